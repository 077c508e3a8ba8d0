//! The evidence for a crash's title.
//!
//! Needs: the event. Gives: its records and frames, why it was chosen, and which functions were
//! skipped for which family, as data for people who doubt the title.

use serde::Serialize;
use vmcore_formats::text::{self, MAX_TEXT};

use super::event::Event;
use super::kinds::{self, BlameSource};
use super::stack::{Item, line};
use crate::triage::log::RecordLine;

/// The most frames and skipped functions.
const MAX_FRAMES: usize = 400;
/// In how many lines frames are looked for that were not read.
const MAX_UNREAD: usize = 500;

/// The evidence for a crash's title.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Evidence {
    /// Why this event is the crash.
    pub chosen: String,
    /// The record with its header.
    pub header: Option<EvidenceRecord>,
    /// The record that names the function; none if the core's stack does.
    pub frame: Option<EvidenceRecord>,
    /// The function is from the core's stack, and not from the log.
    pub from_core: bool,
    /// Why the report is taken for damaged, if it is.
    pub damage: Option<String>,
    /// How many lines look like stack frames and could not be read as such, if no function was
    /// found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread_frames: Option<usize>,
    /// The boots that the file is of; none in a core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boots: Option<BootCounts>,
    /// How many lines the event has.
    pub lines: usize,
    /// The functions on its stacks.
    pub frames: Vec<EvidenceFrame>,
    /// The functions that were skipped before the one to blame.
    pub skipped: Vec<SkippedFrame>,
}

/// The boots of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BootCounts {
    /// How many there are.
    pub count: usize,
    /// How many of them have a crash or another event.
    pub crashed: usize,
    /// The one that is explained, from 1: the newest that crashed.
    pub explained: usize,
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EvidenceRecord {
    /// Its index.
    pub record: usize,
    /// The line of the file that it is on, from 1; none in a core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// When it was printed.
    pub time_ns: Option<u64>,
    /// Its text, or one line of it.
    pub text: String,
}

/// A function on a stack of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EvidenceFrame {
    /// Index of its record.
    pub record: usize,
    /// The line of the file that it is on, from 1; none in a core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Its normalised name.
    pub function: String,
    /// The module that it is in.
    pub module: Option<String>,
    /// The kernel did not mark it with `?`.
    pub reliable: bool,
}

/// A function that was skipped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SkippedFrame {
    /// Index of its record; none if it is on the core's stack.
    pub record: Option<usize>,
    /// Its name.
    pub function: String,
    /// Its family.
    pub family: String,
}

/// How many lines of the event's boot look like frames and are none, if it has no function.
fn unread_frames(lines: &[RecordLine<'_>], event: &Event<'_>) -> Option<usize> {
    if event.blame.function.is_some() || event.header.kind.blame == BlameSource::None {
        return None;
    }
    let below = lines.iter().enumerate().skip(event.header.line.saturating_add(1));
    let unread = below.take(MAX_UNREAD).filter(|(index, line)| {
        line::looks_like_frame(line.text)
            && line::read(line.text).is_none()
            && kinds::read(lines, *index).is_none()
    });
    Some(unread.count()).filter(|count| *count > 0)
}

pub(super) fn of(lines: &[RecordLine<'_>], event: &Event<'_>, why: &str) -> Evidence {
    let record = |index: usize| {
        lines.get(index).map(|line| EvidenceRecord {
            record: line.record,
            line: line.number(),
            time_ns: line.time_ns,
            text: text::lossy(line.text.trim_ascii(), MAX_TEXT),
        })
    };
    let number = |index: usize| lines.get(index).map_or(0, |line| line.record);
    let frames = event.items.iter().filter_map(Item::frame).take(MAX_FRAMES);
    Evidence {
        chosen: text::bounded(why, MAX_TEXT),
        header: record(event.header.line),
        frame: event.blame.line.and_then(record),
        from_core: event.from_core,
        damage: event.damage.as_ref().map(|damage| text::bounded(damage, MAX_TEXT)),
        unread_frames: unread_frames(lines, event),
        boots: None,
        lines: event.indexes.len(),
        frames: frames
            .map(|frame| EvidenceFrame {
                record: number(frame.line),
                line: lines.get(frame.line).and_then(RecordLine::number),
                function: frame.name.clone(),
                module: frame.module.clone(),
                reliable: frame.reliable,
            })
            .collect(),
        skipped: event
            .blame
            .skipped
            .iter()
            .take(MAX_FRAMES)
            .map(|skipped| SkippedFrame {
                record: skipped.line.map(number),
                function: skipped.function.clone(),
                family: skipped.family.clone(),
            })
            .collect(),
    }
}
