//! The search through lines for the headers of all rows.

use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::{Candidate, Header, Kind, Pattern, TABLE};
use crate::triage::crash::text::has;
use crate::triage::log::RecordLine;

/// The event that begins in a line.
pub(crate) fn read(lines: &[RecordLine<'_>], index: usize) -> Option<Header> {
    let line = lines.get(index)?;
    // The kernel's audit names programs and files in their own words.
    if line.from_user || line.text.trim_ascii_start().starts_with(b"audit: type=") {
        return None;
    }
    let markers = markers()?;
    for found in markers.search.find_iter(line.text) {
        let (start, end) = (found.start(), found.end());
        let patterns = markers.patterns.get(found.pattern().as_usize())?;
        let mut candidates = patterns
            .iter()
            .map(|(marker, kind, pattern)| Candidate {
                lines,
                index,
                start,
                end,
                marker,
                kind,
                pattern,
            })
            .peekable();
        // A tool that symbolises logs repeats a header for each inlined function.
        if has(line.text, " [inline]") {
            return None;
        }
        // Whether it is a note depends on the marker alone.
        if candidates.peek().is_some_and(Candidate::is_note) {
            continue;
        }
        let mut fitting = candidates.filter(|at| at.pattern.matches(at.message()));
        if let Some(header) = fitting.find_map(|at| at.read()) {
            return Some(header);
        }
    }
    None
}

/// The types of messages that begin as a known title does.
pub(super) fn type_by_title(title: &str) -> Option<&'static str> {
    let rows = TABLE.iter().copied().flatten();
    let mut patterns = rows.flat_map(|row| row.headers.iter().map(move |header| (row, header)));
    let (row, pattern) = patterns.find(|(_, pattern)| {
        !pattern.marked && !pattern.title.is_empty() && title.starts_with(pattern.title)
    })?;
    pattern.r#type.or(row.r#type)
}

/// The words of a panic's reason that name a kind as its cause.
pub(crate) fn panic_reason(reason: &[u8]) -> Option<&'static str> {
    let rows = TABLE.iter().copied().flatten();
    rows.flat_map(|row| row.panic_reasons).copied().find(|words| has(reason, words))
}

/// The markers of all rows, for one search through a line.
struct Markers {
    search: AhoCorasick,
    /// For each marker, the patterns that have it, in the table's order.
    patterns: Vec<Vec<(&'static str, &'static Kind, &'static Pattern)>>,
}

fn markers() -> Option<&'static Markers> {
    static MARKERS: OnceLock<Option<Markers>> = OnceLock::new();
    MARKERS.get_or_init(Markers::of_table).as_ref()
}

impl Markers {
    fn of_table() -> Option<Self> {
        let mut markers: Vec<&'static str> = Vec::new();
        let mut patterns: Vec<Vec<_>> = Vec::new();
        for kind in TABLE.iter().copied().flatten().copied() {
            for pattern in kind.headers {
                for marker in pattern.markers.iter().copied() {
                    let known = markers.iter().position(|known| *known == marker);
                    match known.and_then(|at| patterns.get_mut(at)) {
                        Some(of_marker) => of_marker.push((marker, kind, pattern)),
                        None => {
                            markers.push(marker);
                            patterns.push(vec![(marker, kind, pattern)]);
                        }
                    }
                }
            }
        }
        let mut search = AhoCorasick::builder();
        let search = search
            .match_kind(MatchKind::LeftmostFirst)
            // Built in a fifth of the time that a DFA takes, and few bytes get past the vectors.
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(markers)
            .ok()?;
        Some(Self { search, patterns })
    }
}
