//! Stacks of the kernel that overflow or are overwritten.

use super::candidate::function;
use super::faults::death;
use super::{BUG, BlameSource, Candidate, Effect, Header, KERNEL_PANIC, Kind, StackRule, header};
use crate::triage::crash::text::{after, has};

/// The title that the kinds of overflows share.
pub(crate) const OVERFLOW: &str = "stack-overflow";
const STALL: BlameSource = BlameSource::Stall { every_stack: true };

pub(super) static ROWS: &[&Kind] = &[&CORRUPT, &END, &OVERFLOWS, &GUARD];

/// `BUG: TASK stack guard page was hit at 1 (stack is 2..3)`
pub(super) static GUARD: Kind = Kind {
    headers: &[header(BUG, "BUG: stack guard page was hit").read_by(|at| {
        let message = at.message();
        let start = message.get(..message.len().min(40))?;
        has(start, "stack guard page was hit").then(|| at.found())
    })],
    r#type: None,
    blame: STALL,
    alternate: Some(OVERFLOW),
    ..death("stack overflow")
};

/// `Kernel stack overflow`, `Insufficient stack space to handle exception!`
pub(super) static OVERFLOWS: Kind = Kind {
    headers: &[
        header(
            &[
                "Kernel stack overflow",
                "kernel stack overflow",
                "Insufficient stack space to handle exception",
            ],
            "kernel stack overflow",
        ),
        header(KERNEL_PANIC, "kernel stack overflow").containing("kernel stack overflow"),
    ],
    blame: STALL,
    skip: &["@stack"],
    alternate: Some(OVERFLOW),
    within_another: true,
    ..death("stack overflow")
};

/// `Kernel panic - not syncing: corrupted stack end detected inside scheduler`
pub(super) static END: Kind = Kind {
    headers: &[header(KERNEL_PANIC, "kernel panic: corrupted stack end")
        .containing("corrupted stack end detected")],
    r#type: Some("DoS"),
    blame: STALL,
    skip: &["@stack"],
    alternate: Some(OVERFLOW),
    effect: Effect::Panic,
    ..Kind::named("stack overflow")
};

/// `... stack-protector: Kernel stack is corrupted in: fn+0x1/0x2`
pub(super) static CORRUPT: Kind = Kind {
    headers: &[header(KERNEL_PANIC, "kernel panic: stack is corrupted")
        .containing("stack-protector: Kernel stack is corrupted in:")
        .read_by(corrupt)],
    r#type: Some("DoS"),
    blame: BlameSource::Named,
    stack: StackRule::HeaderOnly,
    effect: Effect::Panic,
    ..Kind::named("stack corruption")
};

/// With the function whose canary is wrong.
fn corrupt(at: &Candidate<'_, '_>) -> Option<Header> {
    let by = after(at.message(), "Kernel stack is corrupted in:")?.trim_ascii();
    // Old kernels printed an address, and its symbol behind it.
    let by = if by.starts_with(b"[<") || by.first().is_some_and(u8::is_ascii_digit) {
        after(by, "]").or_else(|| after(by, " ")).unwrap_or_default()
    } else {
        by
    };
    Some(at.found().naming(function(by)))
}
