//! The layout of a file: what precedes and what follows each message in it.
//!
//! Terminals, log daemons, container engines, mail and web pages all put something of their own
//! around the kernel's lines. None of it is listed here: it is learnt from the lines with words
//! that only a kernel's message begins or ends with ([`super::anchors`]), and then recognised on
//! the others.
//!
//! Needs: a log. Gives: for a line, where the kernel's part begins and ends, and whether it is
//! another program's line.

use super::anchors::{self, Anchor};
use super::head::{Head, next_time};
use super::pattern::{Fit, MAX_PREFIX, Pattern};
use super::program::{self, Source};

/// The most anchors that are learnt from.
const MAX_LEARNT: usize = 100_000;
/// The most lines that only name the kernel.
const MAX_TAGS: usize = 256;
/// The most shapes of a prefix.
const MAX_PATTERNS: usize = 16;
/// The most suffixes.
const MAX_SUFFIXES: usize = 8;
/// In how many places of a line's end a suffix may begin.
const MAX_PLACES: usize = 64;
/// The longest suffix.
const MAX_SUFFIX: usize = 512;
/// So many different anchors show that a program passes a kernel's report on.
const REPORT_KINDS: u32 = 3;

/// The layout of a file.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// Before the kernel's own level and time.
    outer: Vec<Pattern>,
    /// Between these and the message.
    inner: Vec<Pattern>,
    /// Behind the message.
    suffixes: Vec<Suffix>,
    /// Almost every line of the kernel's has a prefix: those without are others'.
    strict: bool,
    /// The messages are in quotation marks, and characters in them are escaped.
    quoted: bool,
}

/// What follows each message.
#[derive(Clone, Debug)]
struct Suffix {
    pattern: Pattern,
    /// Its first byte.
    first: u8,
}

impl Layout {
    /// Learns the layout of a log.
    pub(super) fn learn(log: &[u8]) -> Self {
        let mut learnt = Learnt::default();
        let mut layout = Self::default();
        let mut tags = 0_usize;
        for anchor in anchors::each(log).take(MAX_LEARNT) {
            // Every line of a journal names the kernel.
            tags += usize::from(anchor.is_tag);
            if anchor.is_tag && tags > MAX_TAGS {
                continue;
            }
            learnt.prefix(&anchor);
            if let Some(after) = anchor.after {
                layout.learn_suffix(after);
            }
        }
        layout.outer = learnt.outer;
        layout.outer.retain(is_sure);
        let covered: usize = layout.outer.iter().map(|pattern| pattern.count).sum();
        layout.strict = covered >= 3 && covered * 5 >= learnt.outer_lines * 4;
        layout.inner = learnt.inner;
        layout.inner.retain(|pattern| pattern.count >= 2 && pattern.count * 2 > learnt.headed);
        layout.suffixes.retain(|suffix| suffix.pattern.count >= 2);
        layout.quoted = layout.suffixes.iter().any(|suffix| suffix.first == b'"');
        layout
    }

    fn learn_suffix(&mut self, after: &[u8]) {
        let after = after.trim_ascii();
        let Some(first) = after.first().copied() else { return };
        // Words of the kernel's own may follow, but none that begins with punctuation.
        if first.is_ascii_alphanumeric()
            || matches!(first, b'[' | b'(' | b'<')
            || after.len() > MAX_SUFFIX
        {
            return;
        }
        let Some(pattern) = Pattern::of(after) else { return };
        if let Some(known) = self.suffixes.iter_mut().find(|one| one.pattern.is_like(&pattern)) {
            known.pattern.merge(pattern);
        } else if self.suffixes.len() < MAX_SUFFIXES {
            self.suffixes.push(Suffix { pattern, first });
        }
    }

    /// How long the prefix of a line is, and whose line it is.
    pub(super) fn prefix(&self, line: &[u8]) -> (usize, Source) {
        let mut other = false;
        let mut longest: Option<(usize, Source)> = None;
        for pattern in &self.outer {
            match pattern.fit(line) {
                Fit::Whole(length) if longest.is_none_or(|(longest, _)| length > longest) => {
                    longest = Some((length, pattern.source()));
                }
                Fit::Whole(_) => {}
                Fit::Other => other = true,
                Fit::No => {}
            }
        }
        match longest {
            Some(longest) => longest,
            None if other => (0, Source::Program),
            None => match program::source(line) {
                (_, Source::Unknown) if self.strict && !anchors::begins(line) => {
                    (0, Source::Program)
                }
                found => found,
            },
        }
    }

    /// How much there is between the kernel's head and its message.
    pub(super) fn inner(&self, text: &[u8]) -> (usize, Source) {
        let mut other = false;
        for pattern in &self.inner {
            match pattern.fit(text) {
                Fit::Whole(length) => return (length, pattern.source()),
                Fit::Other => other = true,
                Fit::No => {}
            }
        }
        (0, if other { Source::Program } else { Source::Unknown })
    }

    /// The message without what follows it.
    pub(super) fn without_suffix<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        if self.suffixes.is_empty() {
            return text;
        }
        let text = text.trim_ascii_end();
        let from = text.len().saturating_sub(MAX_SUFFIX);
        let end = text.get(from..).unwrap_or_default();
        let at = self.suffixes.iter().filter_map(|suffix| {
            let mut places = memchr::memchr_iter(suffix.first, end).take(MAX_PLACES);
            places.find(|at| {
                let rest = end.get(*at..).unwrap_or_default();
                suffix.pattern.fit(rest) == Fit::Whole(rest.len())
            })
        });
        match at.min() {
            Some(at) => text.get(..from + at).unwrap_or(text),
            None => text,
        }
    }

    /// Whether the messages are in quotation marks.
    pub(super) fn is_quoted(&self) -> bool {
        self.quoted
    }
}

/// Whether a prefix is one, and not the beginning of a sentence.
fn is_sure(pattern: &Pattern) -> bool {
    if pattern.relays || pattern.names_kernel() {
        return pattern.count >= 2 || pattern.has_digits() || pattern.names_kernel();
    }
    if pattern.names_program() {
        return pattern.kinds.count_ones() >= REPORT_KINDS;
    }
    pattern.count >= 2 || pattern.has_digits()
}

/// What a log's anchors show.
#[derive(Default)]
struct Learnt {
    outer: Vec<Pattern>,
    inner: Vec<Pattern>,
    /// Lines with a kernel's time.
    headed: usize,
    /// Lines without one.
    outer_lines: usize,
}

impl Learnt {
    /// Learns from what precedes an anchor.
    fn prefix(&mut self, anchor: &Anchor<'_>) {
        if !anchor.begins || anchor.before.len() > MAX_PREFIX {
            return;
        }
        let (head, at) = Head::read(anchor.before);
        let rest = anchor.before.get(at..).unwrap_or_default();
        if head.time_ns.is_some() {
            // After a record that was cut, the last time is the anchor's own.
            self.headed += 1;
            add(&mut self.inner, behind_last_time(rest).unwrap_or(rest), anchor, false);
            return;
        }
        self.outer_lines += 1;
        match next_time(rest) {
            Some(at) => {
                let (outer, inside) = rest.split_at_checked(at).unwrap_or_default();
                self.headed += 1;
                add(&mut self.outer, without_level(outer), anchor, true);
                add(&mut self.inner, behind_last_time(inside).unwrap_or_default(), anchor, false);
            }
            None => add(&mut self.outer, rest, anchor, false),
        }
    }
}

/// A level directly before the kernel's time is the kernel's.
fn without_level(outer: &[u8]) -> &[u8] {
    let level = |length: usize| {
        let (before, level) = outer.split_at_checked(outer.len().checked_sub(length)?)?;
        let (_, read) = Head::read(level);
        (read == length).then_some(before)
    };
    level(3).or_else(|| level(4)).unwrap_or(outer)
}

/// What follows the last time of the kernel's in a text.
fn behind_last_time(text: &[u8]) -> Option<&[u8]> {
    let mut last = None;
    let mut rest = text;
    while let Some(at) = next_time(rest) {
        let (_, length) = Head::read(rest.get(at..)?);
        rest = rest.get(at + length.max(1)..)?;
        last = Some(rest);
    }
    last
}

fn add(patterns: &mut Vec<Pattern>, prefix: &[u8], anchor: &Anchor<'_>, relays: bool) {
    if prefix.is_empty() {
        return;
    }
    let kinds = if anchor.is_tag { 0 } else { anchor.kind };
    let whole = Fit::Whole(prefix.len());
    if let Some(known) = patterns.iter_mut().find(|known| known.fit_strictly(prefix) == whole) {
        known.seen(kinds, relays);
        return;
    }
    let Some(mut pattern) = Pattern::of(prefix) else { return };
    pattern.relays = relays;
    pattern.kinds = kinds;
    if let Some(known) = patterns.iter_mut().find(|known| known.is_like(&pattern)) {
        known.merge(pattern);
    } else if patterns.len() < MAX_PATTERNS {
        patterns.push(pattern);
    }
}
