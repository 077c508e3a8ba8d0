//! A log as text: a serial console's, pstore's, a journal's, or a copy of one in a mail, on a web
//! page, or in a collector of logs.
//!
//! ```text
//! bytes ─► encoding ─► json ─► markup ─► layout   what the file puts around each message
//!                                     ─► head     the kernel's own level, time and caller
//!                                     ─► order
//! ```
//!
//! Needs: bytes. Gives: records, oldest first. A line that has another record within it becomes
//! two, and the rest of the first, which is on a line of its own, is put back. Empty lines that
//! follow each other become one.

use std::borrow::Cow;

use memchr::{memchr, memchr2, memmem, memrchr};

use super::LogRecord;
use super::anchors::{KERNEL, OTHER};
use super::head::{Head, next_time};
use super::layout::Layout;
use super::markup::SPLIT;
use super::program::{self, Source};
use super::{anchors, encoding, json, markup, order};

/// The most bytes of a record.
const MAX_TEXT: usize = 1 << 16;
/// The most bytes of a record that is put together.
const MAX_JOINED: usize = 1024;
/// Within how many lines the rest of a record that was cut follows.
const REST_WITHIN: u32 = 8;

/// The records of a log that is text.
pub fn records(log: &[u8]) -> Vec<LogRecord> {
    let text = markup::plain(json::messages(encoding::decoded(log)));
    let layout = Layout::learn(&text);
    let mut reader = Reader {
        layout: &layout,
        records: Vec::with_capacity(text.len() / 64),
        line: 0,
        cut: None,
        collected: false,
    };
    let mut rest = text.as_ref();
    while !rest.is_empty() {
        let end = memchr(b'\n', rest).unwrap_or(rest.len());
        let (line, behind) = rest.split_at_checked(end).unwrap_or_default();
        rest = behind.get(1..).unwrap_or_default();
        reader.line(line);
    }
    let mut records = reader.records;
    order::oldest_first(&mut records);
    records
}

/// Reads lines one after the other.
struct Reader<'a> {
    layout: &'a Layout,
    records: Vec<LogRecord>,
    /// The number of the last line.
    line: u32,
    /// Index of a record into which another was printed, and its line.
    cut: Option<(usize, u32)>,
    /// The line is an object that names the kernel.
    collected: bool,
}

impl Reader<'_> {
    /// Adds the records of a line of the file.
    fn line(&mut self, line: &[u8]) {
        self.line = self.line.saturating_add(1);
        let other = line.first() == Some(&OTHER);
        self.collected = line.first() == Some(&KERNEL);
        let line = line.strip_prefix(&[OTHER]).or(line.strip_prefix(&[KERNEL])).unwrap_or(line);
        let mut from_user = other;
        let mut rest = line;
        let mut any = false;
        while !rest.is_empty() {
            let end = memchr2(SPLIT, b'\r', rest).unwrap_or(rest.len());
            let (piece, behind) = rest.split_at_checked(end).unwrap_or_default();
            rest = behind.get(1..).unwrap_or_default();
            if !piece.trim_ascii().is_empty() {
                from_user = self.piece(piece, from_user);
                any = true;
            }
        }
        let blank = self.records.last().is_some_and(|last| last.text.is_empty());
        if !any && !blank {
            self.records.push(LogRecord { line: self.line, ..LogRecord::default() });
        }
    }

    /// Adds the records of a piece of a line. Returns whether user space wrote the last one.
    fn piece(&mut self, piece: &[u8], from_user: bool) -> bool {
        let (mut head, at) = Head::read(piece);
        let mut text = piece.get(at..).unwrap_or_default();
        let mut source = Source::Unknown;
        if head.time_ns.is_none() {
            let (prefix, whose) = self.layout.prefix(text);
            let (inside, at) = Head::read(text.get(prefix..).unwrap_or_default());
            let whole_line = at == 0 && prefix == 0 && inside.time_ns.is_none();
            if whole_line && whose == Source::Unknown && self.ends_cut(text) {
                return from_user;
            }
            text = text.get(prefix + at..).unwrap_or_default();
            source = whose;
            head = head.joined(inside);
            // The daemon that wrote the prefix may have a facility of its own.
            head.from_user &= !matches!(whose, Source::Kernel | Source::Prefixed) || prefix == 0;
        }
        let (inner, whose) = self.layout.inner(text);
        text = text.get(inner..).unwrap_or_default();
        let by_name = inner == 0 && head.time_ns.is_some() && program::begins_with_program(text);
        head.from_user |= from_user && head.time_ns.is_none() || source == Source::Program;
        head.from_user |= whose == Source::Program || by_name;
        head.collected = [source, whose].contains(&Source::Kernel) || self.collected;
        let text = self.layout.without_suffix(text);
        let text = if self.layout.is_quoted() { unescaped(text) } else { Cow::Borrowed(text) };
        self.texts(head, &text)
    }

    /// Adds the records of a text: one for each time in it, and one for what is before the first.
    fn texts(&mut self, mut head: Head, text: &[u8]) -> bool {
        let mut rest = text;
        while let Some(next) = next_time(rest) {
            let (before, behind) = rest.split_at_checked(next).unwrap_or_default();
            if !before.is_empty() || head.time_ns.is_some() {
                if head.time_ns.is_some() && !before.is_empty() {
                    self.cut = Some((self.records.len(), self.line));
                }
                self.push(&head, before);
            }
            let (following, at) = Head::read(behind);
            let from_user = head.from_user && following.time_ns.is_none();
            head = following;
            head.from_user |= from_user;
            rest = behind.get(at..).unwrap_or_default();
            let (inner, _) = self.layout.inner(rest);
            rest = rest.get(inner..).unwrap_or_default();
        }
        self.push(&head, rest);
        head.from_user
    }

    fn push(&mut self, head: &Head, text: &[u8]) {
        let text = text.get(..text.len().min(MAX_TEXT)).unwrap_or_default();
        self.records.push(head.record(self.line, text));
    }

    /// Puts the rest of a record that was cut back to it, if a line is that.
    fn ends_cut(&mut self, text: &[u8]) -> bool {
        let Some((index, line)) = self.cut else { return false };
        if self.line.saturating_sub(line) > REST_WITHIN {
            self.cut = None;
            return false;
        }
        let Some(record) = self.records.get_mut(index) else { return false };
        let (Some(cut), Some(rest)) = (
            record.text.get(..record.text.len().min(MAX_JOINED)),
            text.get(..text.len().min(MAX_JOINED)),
        ) else {
            return false;
        };
        let joined = [cut, rest].concat();
        if !continues(cut, rest, &joined) {
            return false;
        }
        record.text = joined;
        self.cut = None;
        true
    }
}

/// Whether the joined text is a line of a report, and the first part of it alone is not.
fn continues(cut: &[u8], rest: &[u8], joined: &[u8]) -> bool {
    if !anchors::begins(cut) && anchors::begins(joined) {
        return true;
    }
    // `fn+0x1/0x2 [module]`
    let cut = cut.trim_ascii_end();
    let size = memrchr(b'/', cut).and_then(|at| cut.get(at + 1..)?.strip_prefix(b"0x"));
    let sized = size.is_some_and(|hex| !hex.is_empty() && hex.iter().all(u8::is_ascii_hexdigit));
    let more = rest.first().is_some_and(u8::is_ascii_hexdigit) || rest.starts_with(b" [");
    let whole = cut.ends_with(b"]") && memmem::find(cut, b"+0x").is_some() || sized && !more;
    !whole && memmem::find(joined, b"+0x").is_some()
}

/// A text without the backslashes that its quotation marks needed.
fn unescaped(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'\\', text).is_none() {
        return Cow::Borrowed(text);
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        plain.push(if byte == b'\\' { bytes.next().unwrap_or(byte) } else { byte });
    }
    Cow::Owned(plain)
}

#[cfg(test)]
#[path = "console_tests.rs"]
mod tests;
