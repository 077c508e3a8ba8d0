//! Lines of a stack trace or a register dump, on every architecture.
//!
//! ```text
//! RIP: 0010:fn+0x1/0x2            x86-64    RIP: 0010:[<addr>]  [<addr>] fn+0x1/0x2   older
//! EIP: fn+0x1/0x2                 x86       EIP is at fn+0x1/0x2
//! PC is at fn+0x1/0x2             arm       LR is at fn+0x1/0x2
//! pc : fn+0x1/0x2                 arm64     lr : fn+0x1/0x2
//! NIP [addr] fn+0x1/0x2           powerpc   LR [addr] fn+0x1/0x2
//! epc : fn+0x1/0x2                riscv     epc : addr fn+0x1/0x2                     mips
//! ERA: addr fn+0x1/0x2            loongarch ra: addr fn+0x1/0x2
//! Krnl PSW : mask addr (fn+0x1/0x2)         s390
//! TPC: <fn+0x1/0x2>               sparc     RPC: <fn+0x1/0x2>
//! IAOQ[0]: fn+0x1/0x2             parisc    RP(r2): fn+0x1/0x2
//! [ERET  ]: fn+0x1/0x2            arc       [BLINK ]: fn+0x1/0x2
//! IP: fn+0x1/0x2                  x86       directly below the header, older
//!  ? fn+0x1/0x2 [module]          a stack; ?: found on it, perhaps left over
//!  [<addr>] fn+0x1/0x2            older
//! [<addr>] (fn) from [<addr>] (fn+0x1/0x2)  arm, later: fn from fn+0x1/0x2
//! [sp] [addr] fn+0x1/0x2 (unreliable)       powerpc
//! ([<addr>] fn+0x1/0x2)           s390
//! fn (file:1) module              any of these, where the kernel's script decoded it
//! ```
//!
//! Lines of inlined functions (` fn file.c:12 [inline]`) come from tools that symbolise logs, and
//! never from a kernel. They are skipped, or the same bug would have two names.

use memchr::memmem;

use super::decoded;
use super::name::is_name;

/// What a function on a line was to a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The program counter.
    Pc,
    /// The link register: where it was to return to.
    Link,
    /// A frame of a stack.
    Stack,
}

/// A function on a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mention<'a> {
    pub(crate) role: Role,
    /// As printed.
    pub(crate) symbol: &'a str,
    pub(crate) module: Option<&'a str>,
    /// Not marked with `?` as a guess.
    pub(crate) reliable: bool,
    /// At offset 0. The return address of a noreturn call can be there: the caller is then the
    /// function before this one.
    pub(crate) at_start: bool,
}

/// A line of a stack or a register dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StackLine<'a> {
    /// One function.
    Function(Mention<'a>),
    /// Two: arm names the caller on its callee's line.
    CalleeAndCaller(Mention<'a>, Mention<'a>),
    /// A program counter without a symbol.
    NamelessPc,
    /// A program counter in user space: the stack ends here.
    UserPc,
    /// A stack begins below this line.
    Begin,
}

/// Reads a line.
pub(crate) fn read(text: &[u8]) -> Option<StackLine<'_>> {
    let text = trimmed(text);
    let first = *text.first()?;
    // Most lines of a log are neither, and their first byte says so.
    let registers = matches!(
        first,
        b'R' | b'E'
            | b'P'
            | b'L'
            | b'p'
            | b'l'
            | b'N'
            | b'e'
            | b'K'
            | b'I'
            | b'T'
            | b'i'
            | b'r'
            | b'B'
            | b'['
    );
    if registers && let Some(said) = program_counter(text) {
        return Some(said);
    }
    if is_begin(text) {
        return Some(StackLine::Begin);
    }
    if first == b'-' {
        let at = memmem::find(text, b" at ").filter(|_| text.starts_with(b"--- interrupt: "))?;
        return Some(StackLine::Function(mention(text.get(at + 4..)?, Role::Pc)?.0));
    }
    // A frame has an offset, or the place that a script put for it.
    memchr::memchr2(b'+', b'(', text)?;
    stack(text)
}

/// Whether a stack begins below this line.
fn is_begin(text: &[u8]) -> bool {
    let begins: [&[u8]; 7] = [
        b"Call Trace:",
        b"Call trace:",
        b"Backtrace:",
        b"Stack backtrace:",
        b"Stack Trace:",
        b"Trace:",
        b"Entry trace:",
    ];
    begins.iter().any(|begin| text.starts_with(begin))
}

/// A line of a register dump that has the program counter or the link register.
fn program_counter(text: &[u8]) -> Option<StackLine<'_>> {
    let pc: [&[u8]; 20] = [
        b"RIP: ",
        b"RIP  ",
        b"EIP: ",
        b"EIP is at ",
        b"IP: ",
        b"PC is at ",
        b"pc is at ",
        b"ip is at ",
        b"PC: ",
        b"pc : ",
        b"NIP [",
        b"epc : ",
        b"epc   : ",
        b"ERA: ",
        b"Krnl PSW : ",
        b"TPC: <",
        b"IAOQ[0]: ",
        b"[ERET  ]: ",
        b"ERET: ",
        b"PC  : ",
    ];
    let links: [&[u8]; 13] = [
        b"LR is at ",
        b"lr : ",
        b"LR [",
        b"ra : ",
        b"ra    : ",
        b"ra: ",
        b"ra is at ",
        b"PR is at ",
        b"RPC: <",
        b"RP(r2): ",
        b"[BLINK ]: ",
        b"BLINK: ",
        b"I7: <",
    ];
    if let Some(start) = pc.iter().find(|start| text.starts_with(start)) {
        let mut rest = text.get(start.len()..)?;
        let with_segment = start.starts_with(b"RIP: ") || start.starts_with(b"EIP: ");
        if with_segment && let Some(behind) = segment(rest) {
            let user: [&[u8]; 3] = [b"0033:", b"0023:", b"0073:"];
            if user.iter().any(|segment| rest.starts_with(segment)) {
                return Some(StackLine::UserPc);
            }
            rest = behind;
        }
        let named = symbol_within(rest).or_else(|| decoded_within(rest));
        return Some(match named {
            Some(at) => StackLine::Function(mention(rest.get(at..)?, Role::Pc)?.0),
            None if names_no_function(start) => StackLine::NamelessPc,
            // Others print these registers by name and by number, or the words mean more.
            None => return None,
        });
    }
    if let Some(start) = links.iter().find(|start| text.starts_with(start)) {
        let rest = text.get(start.len()..)?;
        return Some(StackLine::Function(
            mention(
                rest.get(symbol_within(rest).or_else(|| decoded_within(rest))?..)?,
                Role::Link,
            )?
            .0,
        ));
    }
    None
}

/// Whether a line that begins like this and has no symbol shows that the CPU was at no function.
fn names_no_function(start: &[u8]) -> bool {
    let starts: [&[u8]; 7] =
        [b"RIP: ", b"RIP  ", b"EIP", b"PC is at ", b"NIP [", b"ERA: ", b"Krnl PSW : "];
    starts.iter().any(|known| start.starts_with(known)) || start == b"pc : "
}

/// What is behind `0010:`.
fn segment(text: &[u8]) -> Option<&[u8]> {
    let hex = text.get(..4)?.iter().all(u8::is_ascii_hexdigit);
    (hex && text.get(4) == Some(&b':')).then(|| text.get(5..))?
}

/// Where the first `name+0x` begins, in the first few words.
fn symbol_within(text: &[u8]) -> Option<usize> {
    let plus = memmem::find(text.get(..text.len().min(300))?, b"+0x")?;
    let name = text.get(..plus)?.iter().rev().take_while(|byte| is_name(**byte)).count();
    (name > 0).then_some(plus - name)
}

/// Where a function begins whose offset was decoded: at once, or behind its address.
fn decoded_within(text: &[u8]) -> Option<usize> {
    let text = text.get(..text.len().min(300))?;
    let at = memmem::find(text, b" (")?;
    let name = text.get(..at)?.iter().rev().take_while(|byte| is_name(**byte)).count();
    decoded::place(text.get(at..)?).filter(|_| name > 0).map(|_| at - name)
}

/// A line of a stack.
fn stack(text: &[u8]) -> Option<StackLine<'_>> {
    // sparc: `Caller[000000000045a8c0]: fn+0x1/0x2`
    let mut rest = text.strip_prefix(b"Caller").unwrap_or(text);
    let mut reliable = true;
    loop {
        rest = trimmed(rest);
        rest = match rest {
            [b'?', b' ', behind @ ..] => {
                reliable = false;
                behind
            }
            [b'(', behind @ ..] => behind,
            [b':', b' ', behind @ ..] if text.starts_with(b"Caller") => behind,
            // An address in brackets, or a mark of the stack that follows.
            [b'[', ..] => address(rest)?,
            [b'<', ..] => mark(rest)?,
            _ => break,
        };
    }
    let (mut found, length) = mention(rest, Role::Stack)?;
    // Padding before a function: never executed, so this is a pointer that was left on the stack.
    if found.symbol.starts_with("__pfx_") {
        return None;
    }
    let behind = rest.get(length..)?;
    if let Some(caller) = from(behind) {
        let (caller, _) = mention(caller, Role::Stack)?;
        // Old kernels print where the callee begins.
        let callee = Mention { at_start: false, ..found };
        return Some(StackLine::CalleeAndCaller(callee, caller));
    }
    found.reliable = reliable && memmem::find(behind, b"(unreliable)").is_none();
    let decoded = rest.get(..length).is_some_and(|frame| frame.ends_with(b")"));
    (decoded || ends_frame(behind)).then_some(StackLine::Function(found))
}

/// What arm prints behind `from`; the callee's module may be before it.
fn from(text: &[u8]) -> Option<&[u8]> {
    let text = match module(text) {
        Some(_) => text.get(memchr::memchr(b']', text)? + 1..)?,
        None => text,
    };
    let text = text.strip_prefix(b")").unwrap_or(text).strip_prefix(b" from ")?;
    match text {
        [b'[', ..] => trimmed(address(text)?).strip_prefix(b"("),
        _ => Some(text),
    }
}

/// What is behind `[<addr>]` or `[addr]`.
fn address(text: &[u8]) -> Option<&[u8]> {
    let inside = text.strip_prefix(b"[")?;
    let end = inside.iter().take(24).position(|byte| *byte == b']')?;
    let address = inside.get(..end)?;
    let looks = address
        .iter()
        .all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'<' | b'>' | b' ' | b'x'))
        || memmem::find(address, b"inline").is_some();
    looks.then(|| inside.get(end + 1..))?
}

/// What is behind `<IRQ>`, `<<EOE>>` and their like.
fn mark(text: &[u8]) -> Option<&[u8]> {
    let inside = text.strip_prefix(b"<")?;
    let end = inside.iter().take(16).position(|byte| *byte == b'>')?;
    let behind = inside.get(end + 1..)?;
    Some(behind.strip_prefix(b">").unwrap_or(behind))
}

/// `name+0x1/0x2 [module]`, `name` before `from` or in brackets; and
/// how much of the text that was, without the module.
fn mention(text: &[u8], role: Role) -> Option<(Mention<'_>, usize)> {
    let length = text.iter().take_while(|byte| is_name(**byte)).count();
    let symbol = std::str::from_utf8(text.get(..length)?).ok()?;
    if !symbol
        .starts_with(|first: char| first.is_ascii_alphabetic() || matches!(first, '_' | '.' | '$'))
    {
        return None;
    }
    let behind = text.get(length..)?;
    let plain = Mention { role, symbol, module: None, reliable: true, at_start: false };
    if let Some((place, module)) = decoded::place(behind) {
        return Some((Mention { module, ..plain }, length + place));
    }
    if !behind.starts_with(b"+0x") {
        let module = module(behind);
        return from(behind).map(|_| (Mention { module, ..plain }, length));
    }
    let offset = behind.get(3..)?;
    let digits = offset.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let zero = digits > 0 && offset.get(..digits)?.iter().all(|byte| *byte == b'0');
    let mut end = length + 3 + digits;
    if let Some(size) = text.get(end..)?.strip_prefix(b"/0x") {
        end += 3 + size.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    }
    let module = module(text.get(end..)?);
    Some((Mention { module, at_start: zero, ..plain }, end))
}

/// The module of the function that a text begins with.
pub(crate) fn module_of(text: &[u8]) -> Option<String> {
    let name = text.iter().take_while(|byte| is_name(**byte)).count();
    let offset = text.get(name..)?.iter().take_while(|byte| **byte != b' ').count();
    module(text.get(name + offset..)?).map(str::to_owned)
}

/// `[name]` or `[name build-id]` behind a function.
fn module(text: &[u8]) -> Option<&str> {
    let inside = text.strip_prefix(b" [")?;
    let end = inside.iter().take(64).position(|byte| !is_name(*byte) && *byte != b'-')?;
    let closed = matches!(inside.get(end), Some(b']' | b' '));
    let name = std::str::from_utf8(inside.get(..end)?).ok()?;
    let named = closed && !name.is_empty() && name != "inline";
    named.then_some(name)
}

/// Whether this may follow a frame: prose that mentions a function is none.
fn ends_frame(text: &[u8]) -> bool {
    let text = trimmed(text);
    match text.first() {
        None | Some(b'[' | b'(' | b')') => true,
        // Symbolised: a path and a line.
        Some(_) => {
            let word = text.iter().take_while(|byte| **byte != b' ').count();
            text.get(..word).is_some_and(|word| {
                memchr::memchr(b':', word)
                    .is_some_and(|at| at > 0 && word.get(at + 1).is_some_and(u8::is_ascii_digit))
            })
        }
    }
}

/// Whether a text has the `fn+0x1/0x2` of a frame, whatever else it has.
pub(crate) fn looks_like_frame(text: &[u8]) -> bool {
    let text = text.get(..text.len().min(1024)).unwrap_or_default();
    memmem::find_iter(text, b"+0x").any(|at| {
        let named =
            at.checked_sub(1).and_then(|at| text.get(at)).is_some_and(|byte| is_name(*byte));
        let offset = text.get(at + 3..).unwrap_or_default();
        let digits = offset.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        named && digits > 0 && offset.get(digits..).is_some_and(|rest| rest.starts_with(b"/0x"))
    })
}

/// Without blanks at the beginning and the end.
pub(crate) fn trimmed(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
