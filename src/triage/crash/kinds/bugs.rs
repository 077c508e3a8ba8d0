//! `kernel BUG at`, and panics of Rust code.

use super::candidate::function;
use super::faults::death;
use super::sanitizers::BAD_ACCESS;
use super::{BlameSource, Candidate, Header, Kind, StackRule, header};
use crate::triage::crash::scrub::scrubbed;
use crate::triage::crash::text::after;

const BUG_AT: &[&str] = &["kernel BUG at", "Kernel BUG at"];

pub(super) static ROWS: &[&Kind] =
    &[&CORRUPTED_LIST, &BAD_USERCOPY, &RUST_BUG, &BUG, &FAILURE, &RUST_PANIC];

/// `kernel BUG at lib/list_debug.c:51!`
pub(super) static CORRUPTED_LIST: Kind = Kind {
    headers: &[header(BUG_AT, "BUG: corrupted list").containing("lib/list_debug.c")],
    r#type: Some("MEMORY_SAFETY_BUG"),
    blame: BlameSource::FirstStack,
    skip: &["@list"],
    alternate: Some(BAD_ACCESS),
    ..death("bug")
};

/// `kernel BUG at mm/usercopy.c:99!`
pub(super) static BAD_USERCOPY: Kind = Kind {
    headers: &[header(BUG_AT, "BUG: bad usercopy").containing("mm/usercopy.c")],
    r#type: Some("BUG"),
    blame: BlameSource::FirstStack,
    skip: &["@usercopy"],
    ..death("bug")
};

/// `kernel BUG at file:line!`
pub(super) static BUG: Kind = Kind {
    headers: &[header(BUG_AT, "kernel BUG")],
    r#type: Some("BUG"),
    skip: &["@bug"],
    ..death("bug")
};

/// `BUG: failure at file:line/fn()!`: architectures whose `BUG()` is no trap.
pub(super) static FAILURE: Kind = Kind {
    headers: &[header(super::BUG, "kernel BUG").starting("failure at ").read_by(|at| {
        let (_, named) = at.message().split_at_checked(memchr::memrchr(b'/', at.message())?)?;
        Some(at.found().naming(function(named.get(1..)?)))
    })],
    r#type: Some("BUG"),
    blame: BlameSource::Header,
    skip: &["@bug"],
    stack: StackRule::IfAnnounced,
    ..death("bug")
};

/// What a panic of Rust code ends with: the kernel's `BUG()` in a helper.
pub(super) static RUST_BUG: Kind = Kind {
    headers: &[header(BUG_AT, "kernel BUG").starting("rust/")],
    r#type: Some("BUG"),
    within_another: true,
    ..death("bug")
};

/// `rust_kernel: panicked at file:line:`, and the message on the next line; in older kernels, the
/// message is in quotes on the same one.
pub(super) static RUST_PANIC: Kind = Kind {
    headers: &[header(&["rust_kernel: panicked"], "").read_by(rust_panic)],
    r#type: None,
    blame: BlameSource::FirstStack,
    ..death("bug")
};

fn rust_panic(at: &Candidate<'_, '_>) -> Option<Header> {
    let quoted = after(at.message(), "at '").and_then(|text| {
        let end = memchr::memmem::rfind(text, b"', ")?;
        text.get(..end)
    });
    let message = quoted.or_else(|| at.next_lines(1).next());
    let message = message.map(scrubbed).unwrap_or_default();
    Some(if message.is_empty() {
        Header::new(&RUST_PANIC, "rust panic").damaged()
    } else {
        Header::new(&RUST_PANIC, message)
    })
}
