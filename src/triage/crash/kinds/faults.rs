//! Faults and traps, by the words of each architecture.

use super::messages::MESSAGE;
use super::sanitizers::BAD_ACCESS;
use super::{BUG, BlameSource, Candidate, DIE, Effect, Header, KERNEL_PANIC, Kind, header};
use crate::triage::crash::scrub::scrubbed;
use crate::triage::crash::text::has;

const FAULT_TITLE: &str = "BUG: unable to handle kernel";
const NULL: &str = "BUG: unable to handle kernel NULL pointer dereference";
const PAGING: &str = "BUG: unable to handle kernel paging request";
const PAGING_TYPE: Option<&str> = Some("MEMORY_SAFETY_BUG");

pub(super) static ROWS: &[&Kind] = &[
    &FAULT,
    &PROTECTION_FAULT,
    &BREAKPOINT,
    &DIVIDE_ERROR,
    &INVALID_OPCODE,
    &DOUBLE_FAULT,
    &ARM_FAULT,
    &ALIGNMENT_TRAP,
    &SERROR_PANIC,
    &DIED,
    &HEADER_LOST,
];

/// A row of what goes through `die()`.
pub(super) const fn death(name: &'static str) -> Kind {
    Kind { r#type: Some("DoS"), blame: BlameSource::Pc, effect: Effect::Oops, ..Kind::named(name) }
}

/// An address that cannot be accessed.
pub(super) static FAULT: Kind = Kind {
    headers: &[
        header(BUG, FAULT_TITLE).read_by(|at| fault(at.message())),
        header(&["Unable to handle kernel"], FAULT_TITLE).read_by(|at| fault(at.whole())),
        // parisc
        header(&["Kernel Fault: Code="], PAGING).typed("MEMORY_SAFETY_BUG"),
    ],
    r#type: None,
    alternate: Some(BAD_ACCESS),
    ..death("memory fault")
};

/// x86, arm, riscv and powerpc have different words for the same.
fn fault(text: &[u8]) -> Option<Header> {
    let text = text.get(..text.len().min(120))?;
    let starts = |start: &str| {
        text.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start.as_bytes()))
    };
    let paging = [
        "paging request",
        "pointer dereference",
        "page fault",
        "data access",
        "instruction fetch",
        "read from",
        "write to",
        "execute",
        " at ",
    ];
    let null = Header::new(&FAULT, NULL).typed(Some("NULL-POINTER-DEREFERENCE"));
    if starts("kernel NULL pointer dereference") {
        return Some(null);
    }
    if !starts("unable to handle ") {
        return None;
    }
    Some(if has(text, "NULL pointer dereference") {
        null
    } else if has(text, "access to user memory") {
        Header::new(&FAULT, "BUG: unable to handle kernel access to user memory")
    } else if paging.iter().any(|word| has(text, word)) {
        Header::new(&FAULT, PAGING).typed(PAGING_TYPE)
    } else {
        Header::new(&MESSAGE, FAULT_TITLE).damaged()
    })
}

/// `general protection fault: 0000 [#1]`
pub(super) static PROTECTION_FAULT: Kind = Kind {
    headers: &[
        header(&["general protection fault"], "general protection fault").read_by(protection),
        header(&["stack segment: "], "stack segment fault").read_by(code),
    ],
    alternate: Some(BAD_ACCESS),
    ..death("trap")
};

/// The kernel's, and not the line about a program of user space.
fn protection(at: &Candidate<'_, '_>) -> Option<Header> {
    let behind = at.after_marker();
    let kernels =
        [b": ".as_slice(), b", ", b" maybe "].iter().any(|start| behind.starts_with(start));
    kernels.then(|| at.found())
}

/// `int3: 0000 [#1]`
pub(super) static BREAKPOINT: Kind =
    Kind { headers: &[header(&["int3: "], "int3").read_by(code)], ..death("trap") };

/// `divide error: 0000 [#1]`
pub(super) static DIVIDE_ERROR: Kind = Kind {
    headers: &[header(&["divide error: ", "divide_error: "], "divide error").read_by(code)],
    blame: BlameSource::PcOnly,
    ..death("trap")
};

/// `invalid opcode: 0000 [#1]`: also what `BUG()` is, if its own header is lost.
pub(super) static INVALID_OPCODE: Kind = Kind {
    headers: &[header(&["invalid opcode: "], "invalid opcode").read_by(code)],
    blame: BlameSource::PcOnly,
    within_another: true,
    ..death("trap")
};

/// `PANIC: double fault, error_code: 0x0`
pub(super) static DOUBLE_FAULT: Kind = Kind {
    headers: &[header(&["PANIC: double fault", "double fault: "], "PANIC: double fault")],
    blame: BlameSource::PcOnly,
    within_another: true,
    ..death("trap")
};

/// The header of a trap whose line has the four digits of an error code.
fn code(at: &Candidate<'_, '_>) -> Option<Header> {
    let code = at.message().get(..4)?;
    code.iter().all(u8::is_ascii_hexdigit).then(|| at.found())
}

/// arm and arm64, for example `Internal error: synchronous external abort: 96000050 [#1]` or
/// `SError Interrupt on CPU3, code 0x...`
pub(super) static ARM_FAULT: Kind = Kind {
    headers: &[
        header(&["Unhandled fault: "], "Unhandled fault").typed("DoS"),
        header(&["Internal error: "], "Internal error").typed("DoS"),
        header(&["SError Interrupt on CPU"], "SError Interrupt").typed("DoS"),
        header(&["Bad mode in "], "Bad mode").containing("handler"),
        // arm64: an exception that the kernel has no use for, as BTI's.
        header(&["Unhandled 64-bit el1", "Unhandled 32-bit el1"], "Unhandled exception")
            .containing("exception on CPU")
            .typed("DoS"),
    ],
    ..ARM_FAULT_ROW
};

/// What arm's faults have in common.
const ARM_FAULT_ROW: Kind =
    Kind { r#type: None, alternate: Some(BAD_ACCESS), within_another: true, ..death("arm fault") };

/// arm: `Alignment trap: ...`
pub(super) static ALIGNMENT_TRAP: Kind = Kind {
    headers: &[header(&["Alignment trap: "], "Alignment trap").read_by(alignment)],
    ..death("arm fault")
};

/// The kernel's: user space's are reported, too.
fn alignment(at: &Candidate<'_, '_>) -> Option<Header> {
    let user = has(at.message(), "PC=0x") && has(at.message(), " Instr=");
    (!user || has(at.message(), "not handling")).then(|| at.found())
}

/// `Kernel panic - not syncing: Asynchronous SError Interrupt`: its stack has what was interrupted.
pub(super) static SERROR_PANIC: Kind = Kind {
    headers: &[header(KERNEL_PANIC, "SError Interrupt").containing("SError")],
    blame: BlameSource::FirstStack,
    effect: Effect::Panic,
    ..ARM_FAULT_ROW
};

/// `Oops: Kernel access of bad area, sig: 11 [#1]`, `illegal operation: 0001 ilc:1 [#1]`: what
/// `die()` prints where an architecture has no header besides.
pub(super) static DIED: Kind = Kind {
    headers: &[header(DIE, "").read_by(|at| {
        Some(match died(at)?.as_str() {
            "Kernel access of bad area" => Header::new(&DIED, PAGING).typed(PAGING_TYPE),
            "Kernel bug detected" | "Kernel BUG" => {
                Header::new(&DIED, "kernel BUG").typed(Some("BUG"))
            }
            what if is_code(what) => return None,
            what => Header::new(&DIED, what).typed(super::search::type_by_title(what)),
        })
    })],
    within_another: true,
    ..death("trap")
};

/// `Oops: 0000 [#1] SMP`, without the header that went before it; or a register dump alone,
/// which [`super::super::cause`] finds.
pub(crate) static HEADER_LOST: Kind = Kind {
    headers: &[header(DIE, "kernel oops").read_by(|at| is_code(&died(at)?).then(Header::lost))],
    within_another: true,
    ..death("oops, header lost")
};

/// The words that `die()` got, without its own.
fn died(at: &Candidate<'_, '_>) -> Option<String> {
    let count = at.after_marker();
    let digits = count.iter().take_while(|byte| byte.is_ascii_digit()).count();
    // Others number things like this, too: only a report of `die()` has registers.
    if digits == 0 || count.get(digits) != Some(&b']') || !at.is_report() {
        return None;
    }
    // powerpc: `Oops: Kernel access of bad area, sig: 11 [#1]`; s390: `... : 0001 ilc:1 [#1]`.
    let words = at.before().split(|byte| *byte == b',').next().unwrap_or_default();
    let words = scrubbed(words).replace("Oops - ", "").replace("Oops: ", "");
    Some(words.split([':', '[']).next().unwrap_or_default().trim().to_owned())
}

/// Whether the words are an error code, as it is or as in a title, or nothing at all.
fn is_code(words: &str) -> bool {
    matches!(words, "" | "Oops" | "NUM" | "ADDR")
        || words.bytes().all(|byte| byte.is_ascii_hexdigit())
}
