//! Crashes around the guest's kernel: a secure world's, its programs', its firmware's.

use super::{Candidate, Effect, Header, Kind, header};
use crate::triage::crash::scrub::scrubbed;
use crate::triage::crash::text::after;

const NAME: &str = "outside the kernel";

pub(super) static ROWS: &[&Kind] = &[&TRUSTY, &FUZZER, &GO, &REBOOT];

/// The secure world's kernel:
/// `trusty: panic (caller 0x...): DEBUG ASSERT FAILED at (file:line): condition`
pub(crate) static TRUSTY: Kind = Kind {
    headers: &[header(&["trusty: panic"], "trusty: ").read_by(trusty)],
    r#type: Some("DoS"),
    within_another: true,
    ..Kind::named("message")
};

/// With the condition.
fn trusty(at: &Candidate<'_, '_>) -> Option<Header> {
    let condition = after(after(at.message(), "ASSERT FAILED at (")?, "):").map(scrubbed);
    let condition = condition.unwrap_or_default();
    let title = format!("trusty: ASSERT FAILED: {condition}");
    let header = Header::new(&TRUSTY, title.trim_end());
    Some(if condition.is_empty() { header.damaged() } else { header })
}

/// A fuzzer's program in the guest that gives up.
pub(super) static FUZZER: Kind = Kind {
    headers: &[header(&["SYZFAIL:", "SYZFATAL:"], "SYZ").read_by(|at| {
        let message = at.whole();
        let fatal = message.starts_with(b"SYZFATAL");
        let also = fatal.then(|| "SYZFATAL".to_owned());
        Some(Header { also, ..Header::new(&FUZZER, scrubbed(message)) })
    })],
    r#type: Some("SYZ_FAILURE"),
    effect: Effect::Outside,
    within_another: true,
    ..Kind::named(NAME)
};

/// A Go program that gives up: `fatal error: out of memory`, and its goroutines.
pub(super) static GO: Kind = Kind {
    headers: &[header(&["fatal error: "], "go runtime error").read_by(|at| {
        let mut below = at.next_lines(10);
        let stacks = below.any(|line| line.starts_with(b"goroutine ") || line == b"runtime stack:");
        (at.before().is_empty() && stacks).then(|| at.found())
    })],
    r#type: Some("DoS"),
    effect: Effect::Outside,
    within_another: true,
    ..Kind::named(NAME)
};

/// A boot that nothing announced: [`super::super::boots`] finds it.
pub(crate) static REBOOT: Kind = Kind {
    r#type: Some("REBOOT"),
    effect: Effect::Outside,
    within_another: true,
    ..Kind::named(NAME)
};
