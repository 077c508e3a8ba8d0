//! What a crash was read from.
//!
//! Needs: the event. Gives: its records and frames, why it was chosen, what was passed over and
//! by which family, as data for people who doubt the title.

use serde::Serialize;

use super::Event;
use super::stack::Item;
use crate::triage::record::Line;

/// How many records and frames are told.
const MAX_TOLD: usize = 400;

/// What a crash was read from.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Evidence {
    /// Why this event is the crash.
    pub chosen: String,
    /// The record with its header.
    pub header: Option<EvidenceRecord>,
    /// The record that names the guilty function; none if the core's stack does.
    pub frame: Option<EvidenceRecord>,
    /// Whether the guilty function is from the core's stack, and not from the log.
    pub from_core: bool,
    /// Why the report is taken for damaged.
    pub damage: Option<String>,
    /// How many lines are the event's.
    pub lines: usize,
    /// The functions on its stacks.
    pub frames: Vec<EvidenceFrame>,
    /// What was passed over on the way to the guilty function.
    pub skipped: Vec<SkippedFrame>,
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EvidenceRecord {
    /// Its index.
    pub record: usize,
    /// When it was printed.
    pub time_ns: Option<u64>,
    /// Its text, or the line of it.
    pub text: String,
}

/// A function on a stack of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EvidenceFrame {
    /// Index of its record.
    pub record: usize,
    /// Its normalised name.
    pub function: String,
    /// The module that it is in.
    pub module: Option<String>,
    /// Whether the kernel's unwinder was sure.
    pub reliable: bool,
}

/// A function that was passed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SkippedFrame {
    /// Index of its record; none if it is the core's.
    pub record: Option<usize>,
    /// Its name.
    pub function: String,
    /// The family that covers it.
    pub family: String,
}

pub(super) fn of(lines: &[Line<'_>], event: &Event<'_>, why: &str) -> Evidence {
    let record = |index: usize| {
        lines.get(index).map(|line| EvidenceRecord {
            record: line.record,
            time_ns: line.time_ns,
            text: String::from_utf8_lossy(line.text).trim().to_owned(),
        })
    };
    let number = |index: usize| lines.get(index).map_or(0, |line| line.record);
    let frames = event.items.iter().filter_map(Item::frame).take(MAX_TOLD);
    Evidence {
        chosen: why.to_owned(),
        header: record(event.header.line),
        frame: event.guilt.line.and_then(record),
        from_core: event.from_core,
        damage: event.damage.clone(),
        lines: event.indexes.len(),
        frames: frames
            .map(|frame| EvidenceFrame {
                record: number(frame.line),
                function: frame.name.clone(),
                module: frame.module.clone(),
                reliable: frame.reliable,
            })
            .collect(),
        skipped: event
            .guilt
            .skipped
            .iter()
            .take(MAX_TOLD)
            .map(|skipped| SkippedFrame {
                record: skipped.line.map(number),
                function: skipped.function.clone(),
                family: skipped.family.clone(),
            })
            .collect(),
    }
}
