//! Faults and traps, by the words of each architecture.

use super::{At, Header, has};
use crate::triage::crash::kind::Kind;
use crate::triage::crash::scrub::scrubbed;

const NULL: &str = "BUG: unable to handle kernel NULL pointer dereference";
const PAGING: &str = "BUG: unable to handle kernel paging request";
const USER_MEMORY: &str = "BUG: unable to handle kernel access to user memory";

/// Behind `BUG:`, or from `Unable` on: x86's, arm's, riscv's and powerpc's words for two things.
pub(super) fn fault(text: &[u8]) -> Option<Header> {
    let text = text.get(..text.len().min(120))?;
    let starts = |start: &str| {
        text.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start.as_bytes()))
    };
    if starts("kernel NULL pointer dereference") {
        return Some(Header::new(Kind::Fault, NULL));
    }
    if !starts("unable to handle ") {
        return None;
    }
    Some(if has(text, "NULL pointer dereference") {
        Header::new(Kind::Fault, NULL)
    } else if has(text, "access to user memory") {
        Header::new(Kind::Fault, USER_MEMORY)
    } else if [
        "paging request",
        "pointer dereference",
        "page fault",
        "data access",
        "instruction fetch",
        "read from",
        "write to",
        "execute",
    ]
    .iter()
    .any(|word| has(text, word))
        || has(text, " at ")
    {
        Header::new(Kind::Fault, PAGING)
    } else {
        Header::new(Kind::Message, "BUG: unable to handle kernel").damaged()
    })
}

/// `Unable to handle kernel …`, without `BUG:` before it.
pub(super) fn unable(at: &At<'_, '_>) -> Option<Header> {
    fault(at.whole())
}

/// `general protection fault: 0000 [#1]`, and not the line about a program of user space.
pub(super) fn protection(at: &At<'_, '_>) -> Option<Header> {
    let behind = at.text().get(at.end..)?;
    let kernels =
        [b": ".as_slice(), b", ", b" maybe "].iter().any(|start| behind.starts_with(start));
    kernels.then(|| Header::new(Kind::Trap, "general protection fault"))
}

/// `stack segment: 0000 [#1]`
pub(super) fn segment(at: &At<'_, '_>) -> Option<Header> {
    code(at).then(|| Header::new(Kind::Trap, "stack segment fault"))
}

/// `divide error: 0000 [#1]`
pub(super) fn divide(at: &At<'_, '_>) -> Option<Header> {
    code(at).then(|| Header::new(Kind::DivideError, "divide error"))
}

/// `int3: 0000 [#1]`
pub(super) fn breakpoint(at: &At<'_, '_>) -> Option<Header> {
    code(at).then(|| Header::new(Kind::TrapAtPc, "int3"))
}

/// `invalid opcode: 0000 [#1]`
pub(super) fn opcode(at: &At<'_, '_>) -> Option<Header> {
    code(at).then(|| Header::new(Kind::InvalidOpcode, "invalid opcode"))
}

/// `PANIC: double fault, error_code: 0x0`
pub(super) fn double_fault(_: &At<'_, '_>) -> Option<Header> {
    Some(Header::new(Kind::DoubleFault, "PANIC: double fault"))
}

/// `Oops: 0000 [#1] SMP`: what `die()` prints, behind a header if it is not lost. Architectures
/// without headers say in this line what happened.
pub(super) fn die(at: &At<'_, '_>) -> Option<Header> {
    let count = at.text().get(at.end..)?;
    let digits = count.iter().take_while(|byte| byte.is_ascii_digit()).count();
    // Others number things so, too: the registers tell that it died.
    if digits == 0 || count.get(digits) != Some(&b']') || !at.is_report() {
        return None;
    }
    // powerpc: `Oops: Kernel access of bad area, sig: 11 [#1]`; s390: `… : 0001 ilc:1 [#1]`.
    let said = at.before().split(|byte| *byte == b',').next().unwrap_or_default();
    let said = scrubbed(said).replace("Oops - ", "").replace("Oops: ", "");
    let what = said.split([':', '[']).next().unwrap_or_default().trim();
    Some(match what {
        "Kernel access of bad area" => Header::new(Kind::Die, PAGING),
        "Kernel bug detected" | "Kernel BUG" => Header::new(Kind::Die, "kernel BUG"),
        _ if what.is_empty() || what == "Oops" || is_code(what) => Header::lost(),
        _ => Header::new(Kind::Die, what),
    })
}

/// Whether a word is an error code, as it is or in a title.
fn is_code(word: &str) -> bool {
    word == "NUM" || word == "ADDR" || word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether four digits of an error code follow.
fn code(at: &At<'_, '_>) -> bool {
    at.message().get(..4).is_some_and(|code| code.iter().all(u8::is_ascii_hexdigit))
}

/// arm: `Unhandled fault: …`
pub(super) fn unhandled(_: &At<'_, '_>) -> Option<Header> {
    Some(Header::new(Kind::ArmFault, "Unhandled fault"))
}

/// arm: `Alignment trap: …`, which is told of user space, too.
pub(super) fn alignment(at: &At<'_, '_>) -> Option<Header> {
    let user = has(at.message(), "PC=0x") && has(at.message(), " Instr=");
    (!user || has(at.message(), "not handling"))
        .then(|| Header::new(Kind::AlignmentTrap, "Alignment trap"))
}

/// arm64: `Internal error: synchronous external abort: 96000050 [#1]`
pub(super) fn internal(_: &At<'_, '_>) -> Option<Header> {
    Some(Header::new(Kind::ArmFault, "Internal error"))
}

/// arm64: `SError Interrupt on CPU3, code 0x…`
pub(super) fn system_error(_: &At<'_, '_>) -> Option<Header> {
    Some(Header::new(Kind::ArmFault, "SError Interrupt"))
}

/// arm64: `Bad mode in Synchronous Abort handler detected`
pub(super) fn bad_mode(at: &At<'_, '_>) -> Option<Header> {
    has(at.message(), "handler").then(|| Header::new(Kind::ArmFault, "Bad mode"))
}

/// `Kernel stack overflow`, `Insufficient stack space to handle exception!`
pub(super) fn stack_overflow(_: &At<'_, '_>) -> Option<Header> {
    Some(Header::new(Kind::StackOverflow, "kernel stack overflow"))
}

/// `CPU 0: Machine Check Exception: 4 Bank 5: be00000000800400`: what failed, and no address.
pub(super) fn machine_check(at: &At<'_, '_>) -> Option<Header> {
    let text = at.message();
    let bank = super::behind(text, "Bank ").map(|bank| {
        let digits = bank.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let code = super::behind(bank, ": ").unwrap_or_default();
        let length = code.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let low = code.get(length.saturating_sub(4)..length).unwrap_or_default();
        (
            String::from_utf8_lossy(bank.get(..digits).unwrap_or_default()).into_owned(),
            String::from_utf8_lossy(low).into_owned(),
        )
    });
    Some(match bank {
        Some((bank, code)) => {
            Header::new(Kind::MachineCheck, format!("machine check (bank {bank}, mcacod 0x{code})"))
        }
        None => Header::new(Kind::MachineCheck, "machine check"),
    })
}
