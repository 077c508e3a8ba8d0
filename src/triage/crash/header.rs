//! Headers: the lines that events begin with.
//!
//! Needs: the log's lines. Gives: for a line, which event begins there, with the part of the
//! title that does not name a function. Which event is the crash is decided by
//! [`super::cause`], the function by [`super::guilty`].

mod bug;
mod info;
mod panic;
mod sanitizer;
mod trap;
mod warning;

use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, MatchKind};

use super::kind::Kind;
use super::scrub::scrubbed;
use super::stack;
use crate::triage::record::Line;

/// An event's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Index of the line.
    pub(crate) line: usize,
    pub(crate) kind: Kind,
    /// The title, without the function.
    pub(crate) class: String,
    /// The function that the header names.
    pub(crate) function: Option<String>,
    /// What else the class may be called.
    pub(crate) also: Option<String>,
    /// The processor that the event is of, if it may be another than the one that tells.
    pub(crate) cpu: Option<u32>,
    /// The message is cut, or lacks what it should have.
    pub(crate) damaged: bool,
}

impl Header {
    fn new(kind: Kind, class: impl Into<String>) -> Self {
        Self {
            line: 0,
            kind,
            class: class.into(),
            function: None,
            also: None,
            cpu: None,
            damaged: false,
        }
    }

    /// No header at all.
    pub(crate) const fn nothing() -> Self {
        Self {
            line: 0,
            kind: Kind::Message,
            class: String::new(),
            function: None,
            also: None,
            cpu: None,
            damaged: true,
        }
    }

    /// Of an oops whose first lines are not in the log.
    pub(crate) fn lost() -> Self {
        Self::new(Kind::HeaderLost, "kernel oops (header lost)")
    }

    /// Of a boot that nobody announced.
    pub(crate) fn rebooted() -> Self {
        Self::new(Kind::Outside, "unexpected kernel reboot")
    }

    /// The same, of this line.
    pub(crate) fn on(self, line: usize) -> Self {
        Self { line, ..self }
    }

    fn naming(self, function: Option<String>) -> Self {
        Self { function, ..self }
    }

    fn damaged(self) -> Self {
        Self { damaged: true, ..self }
    }
}

/// Reads what stands at a needle: the lines from that of the header on, and where in the first
/// one the needle begins and ends.
type Reader = fn(&At<'_, '_>) -> Option<Header>;

/// A place where a header may be.
pub(crate) struct At<'l, 'a> {
    lines: &'l [Line<'a>],
    index: usize,
    start: usize,
    end: usize,
}

impl<'a> At<'_, 'a> {
    /// The whole line.
    fn text(&self) -> &'a [u8] {
        self.lines.get(self.index).map_or(b"", |line| line.text)
    }

    /// What is behind the needle, without blanks around it.
    fn message(&self) -> &'a [u8] {
        self.text().get(self.end..).unwrap_or_default().trim_ascii()
    }

    /// What is from the needle on.
    fn whole(&self) -> &'a [u8] {
        self.text().get(self.start..).unwrap_or_default().trim_ascii()
    }

    /// What is before the needle.
    fn before(&self) -> &'a [u8] {
        self.text().get(..self.start).unwrap_or_default()
    }

    /// Whether a report is around the line, and not a message alone: a banner goes before it, or
    /// a processor's state or a stack follows, before anything else begins.
    fn is_report(&self) -> bool {
        const WITHIN: usize = 12;
        let banner = |text: &[u8]| has(text, "[ cut here ]") || text.starts_with(b"=====");
        let before = self.lines.get(..self.index).unwrap_or_default().iter().rev().take(2);
        if before.map(|line| line.text.trim_ascii()).any(banner) {
            return true;
        }
        let begins = ["BUG:", "WARNING:", "INFO:", "Kernel panic", "[ cut here ]", " BUG at "];
        self.following(WITHIN).take_while(|text| !begins.iter().any(|begin| has(text, begin))).any(
            |text| {
                let state = ["Modules linked in:", " Comm: ", "Hardware name:"];
                state.iter().any(|word| has(text, word)) || stack::line::read(text).is_some()
            },
        )
    }

    /// The next lines of the same caller, this one not among them.
    fn following(&self, count: usize) -> impl Iterator<Item = &'a [u8]> {
        let caller = self.lines.get(self.index).and_then(|line| line.caller);
        let behind = self.lines.get(self.index.saturating_add(1)..).unwrap_or_default();
        let same = behind
            .iter()
            .take(count.saturating_mul(8))
            .filter(move |line| caller.is_none() || line.caller.is_none() || line.caller == caller);
        same.take(count).map(|line| line.text)
    }
}

/// What a header is found by.
const NEEDLES: [(&str, Reader); 37] = [
    ("kernel BUG at", bug::at),
    ("Kernel BUG at", bug::at),
    ("BUG:", bug::message_of),
    ("BUG ", bug::object),
    ("WARNING:", warning::read),
    ("INFO:", info::read),
    ("Kernel panic - not syncing:", panic::read),
    ("UBSAN:", sanitizer::ubsan),
    ("Unable to handle kernel", trap::unable),
    ("general protection fault", trap::protection),
    ("stack segment: ", trap::segment),
    ("divide error: ", trap::divide),
    ("divide_error: ", trap::divide),
    ("int3: ", trap::breakpoint),
    ("invalid opcode: ", trap::opcode),
    ("PANIC: double fault", trap::double_fault),
    ("double fault: ", trap::double_fault),
    ("Unhandled fault: ", trap::unhandled),
    ("Alignment trap: ", trap::alignment),
    ("Internal error: ", trap::internal),
    ("SError Interrupt on CPU", trap::system_error),
    ("Bad mode in ", trap::bad_mode),
    ("Kernel stack overflow", trap::stack_overflow),
    ("kernel stack overflow", trap::stack_overflow),
    ("Insufficient stack space to handle exception", trap::stack_overflow),
    ("Watchdog detected hard LOCKUP on cpu", info::hard_lockup),
    ("detected hard LOCKUP", info::hard_lockup),
    ("Machine Check Exception", trap::machine_check),
    ("unregister_netdevice: waiting for ", info::device_in_use),
    ("VFS: Close: file count is 0", info::closed_twice),
    ("VFS: Busy inodes after unmount of ", info::busy_inodes),
    ("rust_kernel: panicked", panic::rust),
    ("trusty: panic", panic::trusty),
    ("SYZFAIL:", panic::harness),
    ("SYZFATAL:", panic::harness),
    ("fatal error: ", panic::go),
    ("[#", trap::die),
];

/// The event that begins in a line.
pub(crate) fn read(lines: &[Line<'_>], index: usize) -> Option<Header> {
    let line = lines.get(index)?;
    if line.from_user {
        return None;
    }
    let text = line.text;
    for found in needles()?.find_iter(text) {
        let (_, reader) = NEEDLES.get(found.pattern().as_usize())?;
        let at = At { lines, index, start: found.start(), end: found.end() };
        if let Some(header) = reader(&at) {
            return Some(Header { line: index, ..header });
        }
    }
    None
}

fn needles() -> Option<&'static AhoCorasick> {
    static NEEDLE_SEARCH: OnceLock<Option<AhoCorasick>> = OnceLock::new();
    NEEDLE_SEARCH
        .get_or_init(|| {
            let needles = NEEDLES.iter().map(|(needle, _)| needle);
            AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(needles).ok()
        })
        .as_ref()
}

/// The function that a text begins with: `fn+0x1/0x2`, or `fn` and its end.
fn function(text: &[u8]) -> Option<String> {
    let text = text.trim_ascii_start();
    let length = text
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$'))
        .count();
    let symbol = std::str::from_utf8(text.get(..length)?).ok()?;
    let named =
        symbol.starts_with(|first: char| first.is_ascii_alphabetic() || matches!(first, '_' | '.'));
    // An address is no name.
    let address = symbol.len() >= 8 && symbol.bytes().all(|byte| byte.is_ascii_hexdigit());
    (named && !address).then(|| stack::name::of(symbol))
}

/// What is behind a word, if it is in a text.
pub(crate) fn behind<'a>(text: &'a [u8], word: &str) -> Option<&'a [u8]> {
    let at = memchr::memmem::find(text, word.as_bytes())?;
    text.get(at + word.len()..)
}

/// Whether a text has a word.
pub(crate) fn has(text: &[u8], word: &str) -> bool {
    memchr::memmem::find(text, word.as_bytes()).is_some()
}

/// Whether a text has one of these, in small or capital letters.
fn mentions(text: &[u8], notes: &[&str]) -> bool {
    let small = text.to_ascii_lowercase();
    notes.iter().any(|note| has(&small, note))
}

/// A message that is its own title.
fn message(marker: &str, text: &[u8]) -> Header {
    let title = scrubbed(text);
    if title.is_empty() {
        return Header::new(Kind::Message, marker.trim_end_matches(':')).damaged();
    }
    Header::new(Kind::Message, format!("{marker} {title}").trim())
}

#[cfg(test)]
#[path = "header_tests.rs"]
mod tests;
