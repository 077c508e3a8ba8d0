//! `Kernel panic - not syncing:` with a reason of its own.

use super::{Candidate, Effect, Header, KERNEL_PANIC, Kind, header};
use crate::triage::crash::scrub::scrubbed;

pub(super) static ROWS: &[&Kind] = &[&PANIC];

/// Any reason for which no other row has a header.
pub(crate) static PANIC: Kind = Kind {
    headers: &[header(KERNEL_PANIC, "kernel panic").read_by(panic)],
    r#type: Some("DoS"),
    effect: Effect::Panic,
    within_another: true,
    ..Kind::named("panic")
};

/// With the reason, up to where it differs each time.
fn panic(at: &Candidate<'_, '_>) -> Option<Header> {
    // An exit's code, a terminal's name and its error.
    let ends = [" exitcode=", " for tty", " for pts", " for ptm", " --- error"];
    // A module's reason begins on the next line.
    let below = at.next_lines(1).next().filter(|line| line.starts_with(b"!!"));
    let reason = Some(at.message()).filter(|reason| !reason.is_empty()).or(below);
    let reason = reason.unwrap_or_default();
    let end = ends.iter().filter_map(|end| memchr::memmem::find(reason, end.as_bytes())).min();
    let reason = scrubbed(reason.get(..end.unwrap_or(reason.len()))?);
    let header = Header::new(&PANIC, format!("kernel panic: {reason}").trim());
    Some(if reason.is_empty() { header.damaged() } else { header })
}
