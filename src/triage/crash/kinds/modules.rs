//! Panics of modules: what large modules print when they find their own state broken, before they
//! stop the thread or call the kernel's `panic()`.
//!
//! ```text
//! VERIFY3(a >= b) failed (1 >= 2)                OpenZFS, with the next line
//! PANIC at file.c:12:fn()
//! PANIC: zfs: message                            OpenZFS: message with values
//! SPLError: 12:0:(file.c:12:fn()) SPL PANIC      ZFS before 0.7
//! LustreError: 12:0:(file.c:12:fn()) LBUG        Lustre; an ASSERTION line goes before
//! !!Assertion Failed!!                           VirtualBox, with `Location  : file(12) fn`
//! GFS2: fsid=a: fatal: assertion "x" failed      with `function = fn`
//! ```

use super::candidate::{Candidate, function};
use super::{BlameSource, Effect, Header, KERNEL_PANIC_MARKER, Kind, StackRule, header};
use crate::triage::crash::scrub::scrubbed;
use crate::triage::crash::text::{after, has};

pub(super) static ROWS: &[&Kind] = &[&EARLY, &ASSERTION, &PANIC_OF_MODULE];

/// A module's check that failed: the function is named with it.
pub(super) static ASSERTION: Kind = Kind {
    headers: &[
        header(&["VERIFY", "ASSERT"], "").containing(" failed").read_by(verify),
        header(&["PANIC at "], "PANIC").read_by(|at| {
            begins_line(at).then(|| at.found().naming(behind_file_and_line(at.message())))
        }),
        header(&["LustreError: ", "SPLError: "], "").read_by(located),
        header(&["!!Assertion Failed!!"], "PANIC: assertion failed").read_by(virtual_box),
        header(&["fatal: assertion "], "PANIC: assertion failed").read_by(|at| {
            let named = at.next_lines(4).find_map(|line| function(after(line, "function = ")?));
            named.map(|named| at.found().naming(Some(named)))
        }),
    ],
    blame: BlameSource::Named,
    stack: StackRule::IfAnnounced,
    ..MODULES_OWN
};

/// `PANIC: zfs: message`, `word: PANIC: message`
pub(super) static PANIC_OF_MODULE: Kind = Kind {
    headers: &[
        header(&["PANIC: "], "PANIC: ").read_by(panic),
        header(&["*** ocfs2 is very sorry to be fencing"], "ocfs2: node fences itself"),
    ],
    blame: BlameSource::FirstStack,
    stack: StackRule::IfAnnounced,
    ..MODULES_OWN
};

/// `PANIC: early exception 0x0e IP 10:ffffffff81000000 error 2 cr2 0x0`
pub(super) static EARLY: Kind = Kind {
    headers: &[header(&["PANIC: early exception"], "PANIC: early exception")],
    ..super::faults::death("trap")
};

/// What these have in common.
const MODULES_OWN: Kind = Kind {
    r#type: Some("BUG"),
    effect: Effect::Oops,
    panic_reasons: &["LBUG", "VERIFY", "ASSERT", "PANIC: ", "Assertion Failed"],
    within_another: true,
    ..Kind::named("module panic")
};

/// Whether the message begins with the marker; the kernel's own panic may repeat it.
fn begins_line(at: &Candidate<'_, '_>) -> bool {
    at.before().trim_ascii().is_empty()
}

/// `VERIFY3U(a, ==, b) failed (1 == 2)`: with the check's word, and without its values.
fn verify(at: &Candidate<'_, '_>) -> Option<Header> {
    let whole = at.whole();
    let word = whole.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    if !begins_line(at) || whole.get(word) != Some(&b'(') {
        return None;
    }
    let word = String::from_utf8_lossy(whole.get(..word)?);
    let named = at.next_lines(3).find_map(|line| {
        let place = after(line, "PANIC at ").or_else(|| line.strip_suffix(b"()) SPL PANIC"));
        behind_file_and_line(place?)
    });
    Some(Header::new(&ASSERTION, format!("PANIC: {word} failed")).naming(named))
}

/// `12:0:(file.c:12:fn()) LBUG`
fn located(at: &Candidate<'_, '_>) -> Option<Header> {
    let message = at.message();
    let end = memchr::memmem::find(message, b"()) ")?;
    let (place, words) = (message.get(..end)?, message.get(end + 4..)?);
    let word = if words.starts_with(b"LBUG") {
        "LBUG".to_owned()
    } else if has(words, "SPL PANIC") {
        "SPL PANIC".to_owned()
    } else {
        let length = words.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        let word = String::from_utf8_lossy(words.get(..length)?).into_owned();
        let check = ["ASSERT", "VERIFY"].iter().any(|start| word.starts_with(start));
        if !(check && has(words, "failed")) {
            return None;
        }
        format!("{word} failed")
    };
    let named = behind_file_and_line(place);
    Some(Header::new(&ASSERTION, format!("PANIC: {word}")).naming(named))
}

/// The function in `Location  : file(12) type fn(arguments)`.
fn virtual_box(at: &Candidate<'_, '_>) -> Option<Header> {
    let place = at.next_lines(4).find_map(|line| after(line, "Location"))?;
    let place = after(place, ") ")?;
    let end = memchr::memchr(b'(', place).unwrap_or(place.len());
    let name = place.get(..end)?.rsplit(|byte| matches!(byte, b' ' | b'*')).next()?;
    Some(at.found().naming(function(name)))
}

/// With the message up to its first value.
fn panic(at: &Candidate<'_, '_>) -> Option<Header> {
    let before = at.before().trim_ascii();
    let own = before.is_empty() || before.ends_with(b":");
    if !own || has(before, KERNEL_PANIC_MARKER) || !at.is_report() {
        return None;
    }
    let message = at.message();
    let end = message.iter().position(|byte| matches!(byte, b'(' | b'=' | b'<' | b'[' | b'"'));
    let message = scrubbed(message.get(..end.unwrap_or(message.len()))?);
    let title = format!("PANIC: {message}");
    Some(if message.is_empty() {
        Header::new(&PANIC_OF_MODULE, "PANIC").damaged()
    } else {
        Header::new(&PANIC_OF_MODULE, title)
    })
}

/// The function in `file.c:12:fn()`.
fn behind_file_and_line(text: &[u8]) -> Option<String> {
    function(text.rsplit(|byte| *byte == b':').next()?)
}
