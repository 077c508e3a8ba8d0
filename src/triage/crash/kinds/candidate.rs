//! A place where a header may begin, and what a reader needs to know around it.

use super::{Header, Kind, Pattern};
use crate::triage::crash::stack;
use crate::triage::crash::text::has;
use crate::triage::log::RecordLine;

/// Messages that only sound like a crash: notes for administrators.
const NOTES: [&str; 14] = [
    "the mand mount option",
    "see https://",
    "see http://",
    "kernel not compiled with",
    "unprivileged ebpf",
    "missed to adjust virtual screen size",
    "uses deprecated v2 capabilities",
    "uses wireless extensions",
    "/etc/ssh/moduli does not exist",
    "this software",
    "nmi handler",
    "image with",
    "mounting with",
    "permanently added",
];

/// Whose messages have `WARNING:` within them.
const QUOTES: [&str; 9] =
    ["EXT4-fs", "XFS (", "EXT3-fs", "EXT2-fs", "Spectre", "Speculative", "MDS", "TAA", "L1TF"];

/// A place where a header may begin.
#[derive(Clone, Copy)]
pub(crate) struct Candidate<'l, 'a> {
    pub(super) lines: &'l [RecordLine<'a>],
    pub(super) index: usize,
    /// Where in the line the marker begins and ends.
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) marker: &'static str,
    /// The row and its pattern that fit so far.
    pub(super) kind: &'static Kind,
    pub(super) pattern: &'static Pattern,
}

impl<'a> Candidate<'_, 'a> {
    /// The header of the row and the pattern.
    pub(super) fn found(&self) -> Header {
        let Pattern { title, marked, r#type, .. } = *self.pattern;
        let class = if marked { format!("{} {title}", self.marker) } else { title.to_owned() };
        let header = Header::new(self.kind, class);
        match r#type {
            // Of lockdep's reports, dashboards know those that are warnings.
            _ if marked && self.marker == "INFO:" => header.typed(None),
            Some(_) => header.typed(r#type),
            None => header,
        }
    }

    /// Reads the header, if the whole line fits.
    pub(super) fn read(&self) -> Option<Header> {
        let header = match self.pattern.read {
            Some(read) => read(self)?,
            None => self.found(),
        };
        let is_panic_line = self.marker == super::KERNEL_PANIC_MARKER;
        Some(Header { line: self.index, is_panic_line, ..header })
    }

    /// The whole line.
    pub(super) fn text(&self) -> &'a [u8] {
        self.lines.get(self.index).map_or(b"", |line| line.text)
    }

    /// What follows the marker, without blanks around it.
    pub(super) fn message(&self) -> &'a [u8] {
        self.after_marker().trim_ascii()
    }

    /// What follows the marker.
    pub(super) fn after_marker(&self) -> &'a [u8] {
        self.text().get(self.end..).unwrap_or_default()
    }

    /// The line from the marker on.
    pub(super) fn whole(&self) -> &'a [u8] {
        self.text().get(self.start..).unwrap_or_default().trim_ascii()
    }

    /// The line up to the marker.
    pub(super) fn before(&self) -> &'a [u8] {
        self.text().get(..self.start).unwrap_or_default()
    }

    /// Whether the marker is the end of a longer word, as in `DEBUG:`.
    pub(super) fn follows_word(&self) -> bool {
        self.before().last().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
    }

    /// Whether the marker begins no event: it ends a longer word, is quoted, or a note for
    /// administrators follows.
    pub(super) fn is_note(&self) -> bool {
        if matches!(self.before(), [.., b'"' | b'\'' | b'`']) {
            return true;
        }
        match self.marker {
            "BUG:" | "INFO:" => self.follows_word(),
            "WARNING:" => {
                let before = self.before().trim_ascii_end();
                let quoted = QUOTES.iter().any(|start| before.starts_with(start.as_bytes()));
                self.follows_word() || mentions(self.message(), &NOTES) || quoted
            }
            _ => false,
        }
    }

    /// Whether the line belongs to a report and is not a message alone: a banner goes before it,
    /// or registers or a stack follow before another event begins.
    pub(super) fn is_report(&self) -> bool {
        const WITHIN: usize = 12;
        let banner = |text: &[u8]| has(text, "[ cut here ]") || text.starts_with(b"=====");
        let before = self.lines.get(..self.index).unwrap_or_default().iter().rev().take(2);
        if before.map(|line| line.text.trim_ascii()).any(banner) {
            return true;
        }
        let begins = ["BUG:", "WARNING:", "INFO:", "Kernel panic", "[ cut here ]", " BUG at "];
        self.next_lines(WITHIN).take_while(|text| !begins.iter().any(|begin| has(text, begin))).any(
            |text| {
                let state = ["Modules linked in:", " Comm: ", "Hardware name:"];
                state.iter().any(|word| has(text, word)) || stack::line::read(text).is_some()
            },
        )
    }

    /// The lines below, of the same caller.
    pub(super) fn next_lines(&self, count: usize) -> impl Iterator<Item = &'a [u8]> {
        let caller = self.lines.get(self.index).and_then(|line| line.caller);
        let below = self.lines.get(self.index.saturating_add(1)..).unwrap_or_default();
        let same = below
            .iter()
            .take(count.saturating_mul(8))
            .filter(move |line| caller.is_none() || line.caller.is_none() || line.caller == caller);
        same.take(count).map(|line| line.text)
    }
}

/// Whether a text has one of these, in small or capital letters.
pub(super) fn mentions(text: &[u8], notes: &[&str]) -> bool {
    let small = text.to_ascii_lowercase();
    notes.iter().any(|note| has(&small, note))
}

/// The function that a text begins with: `fn+0x1/0x2`, or `fn` and its end.
pub(super) fn function(text: &[u8]) -> Option<String> {
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
