//! `Kernel panic - not syncing:`, and others that give up.

use super::{At, Header, behind, function};
use crate::triage::crash::kind::Kind;
use crate::triage::crash::scrub::scrubbed;

/// `Kernel panic - not syncing: REASON`
pub(super) fn read(at: &At<'_, '_>) -> Option<Header> {
    let reason = at.message();
    if let Some(by) = behind(reason, "stack-protector: Kernel stack is corrupted in:") {
        let by = by.trim_ascii();
        // Old kernels printed an address, and its symbol behind it.
        let by = if by.starts_with(b"[<") || by.first().is_some_and(u8::is_ascii_digit) {
            behind(by, "]").or_else(|| behind(by, " ")).unwrap_or_default()
        } else {
            by
        };
        let header = Header::new(Kind::StackCorrupt, "kernel panic: stack is corrupted");
        return Some(header.naming(function(by)));
    }
    if super::has(reason, "corrupted stack end detected") {
        return Some(Header::new(Kind::StackEnd, "kernel panic: corrupted stack end"));
    }
    if super::has(reason, "kernel stack overflow") {
        return Some(Header::new(Kind::StackOverflow, "kernel stack overflow"));
    }
    // What differs each time stands behind: an exit's code, a terminal's name and its error.
    let ends = [" exitcode=", " for tty", " for pts", " for ptm", " --- error"];
    let end = ends.iter().filter_map(|end| memchr::memmem::find(reason, end.as_bytes())).min();
    let end = end.unwrap_or(reason.len());
    let reason = scrubbed(reason.get(..end)?);
    let header = Header::new(Kind::Panic, format!("kernel panic: {reason}").trim());
    Some(if reason.is_empty() { header.damaged() } else { header })
}

/// `rust_kernel: panicked at …`
pub(super) fn rust(at: &At<'_, '_>) -> Option<Header> {
    let said = at.following(1).next().map(scrubbed).unwrap_or_default();
    let damaged = said.is_empty();
    let header = Header::new(Kind::RustPanic, if damaged { "rust panic" } else { &said });
    Some(if damaged { header.damaged() } else { header })
}

/// The secure world's kernel: `trusty: panic (caller 0x…): DEBUG ASSERT FAILED at (file:line): condition`
pub(super) fn trusty(at: &At<'_, '_>) -> Option<Header> {
    let condition = behind(at.message(), "ASSERT FAILED at (")?;
    let condition = behind(condition, "):").map(scrubbed);
    let header = Header::new(
        Kind::Message,
        format!("trusty: ASSERT FAILED: {}", condition.as_deref().unwrap_or_default()).trim_end(),
    );
    Some(if condition.is_none_or(|condition| condition.is_empty()) {
        header.damaged()
    } else {
        header
    })
}

/// A fuzzer's harness that gave up in the guest.
pub(super) fn harness(at: &At<'_, '_>) -> Option<Header> {
    Some(Header {
        also: at.whole().starts_with(b"SYZFATAL").then(|| "SYZFATAL".to_owned()),
        ..Header::new(Kind::Outside, scrubbed(at.whole()))
    })
}

/// A Go program that gave up: `fatal error: out of memory`, and its goroutines.
pub(super) fn go(at: &At<'_, '_>) -> Option<Header> {
    let begins = at.before().is_empty();
    let tells =
        at.following(10).any(|line| line.starts_with(b"goroutine ") || line == b"runtime stack:");
    (begins && tells).then(|| Header::new(Kind::Outside, "go runtime error"))
}
