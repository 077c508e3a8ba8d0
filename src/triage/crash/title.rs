//! Titles: `class in function`, and the other titles that the same bug may have.
//!
//! Needs: a header and the function to blame. Gives: the titles.

use vmcore_formats::text::{MAX_TITLE, bounded};

use super::kinds::{BlameSource, Header, Kind};
use super::stack::name::without_syscall_prefix;

/// The most alternate titles.
const MAX_ALTERNATES: usize = 8;

/// The titles of a crash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Titles {
    pub(crate) title: String,
    pub(crate) alternates: Vec<String>,
    /// The function, as the title has it.
    pub(crate) frame: Option<String>,
}

/// In place of a function that is not known: syzkaller's word.
const MISSING: &str = "corrupted";

/// The titles of an event.
pub(crate) fn of(header: &Header, function: Option<&str>, origin: Option<&str>) -> Titles {
    let kind = header.kind;
    let frameless = kind.blame == BlameSource::None;
    let (frame, full) = match function {
        Some(function) => frame(kind, function),
        None => (None, None),
    };
    let with = |class: &str, frame: Option<&str>| {
        let title = match frame {
            Some(frame) => format!("{class} in {frame}{}", kind.suffix),
            None if frameless => class.to_owned(),
            None => format!("{class} in {MISSING}"),
        };
        bounded(&title, MAX_TITLE)
    };
    let title = with(&header.class, frame.as_deref());
    let mut alternates: Vec<String> =
        header.also.iter().map(|also| bounded(also, MAX_TITLE)).collect();
    alternates.extend(origin.map(|origin| format!("KMSAN origin in {origin}")));
    let other = kind.alternate;
    alternates.extend(other.map(|other| with(other, frame.as_deref())));
    if let Some(full) = full {
        alternates.push(with(&header.class, Some(&full)));
        alternates.extend(other.map(|other| with(other, Some(&full))));
    }
    alternates.retain(|alternate| *alternate != title);
    alternates.sort();
    alternates.dedup();
    alternates.truncate(MAX_ALTERNATES);
    Titles { title, alternates, frame }
}

/// The function as a title has it; and the full name, if that differs.
fn frame(kind: &Kind, function: &str) -> (Option<String>, Option<String>) {
    let synonym = kind.synonyms.iter().find(|(word, _)| function.contains(word));
    let short = synonym.map_or_else(|| without_syscall_prefix(function), |(_, name)| name);
    let full = (short != function).then(|| function.to_owned());
    (Some(short.to_owned()), full)
}
