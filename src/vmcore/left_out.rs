//! Memory of which pages were left out, or are to be.
//!
//! Needs: memory, and the record of what it lacks. Gives: the rest of it; who asks for a page
//! that was left out is answered with its class. It is read from a stored core in this form,
//! and written from a whole one: a core built of it lacks the pages.

use std::sync::Arc;

use vmcore_formats::addr::PhysAddr;
use vmcore_formats::elf::note::{Note, Notes};
use vmcore_formats::endian::Endian;
use vmcore_formats::page_class::left_out::{ClassRun, LeftOut, LeftOutError, NOTE_KIND, NOTE_NAME};

use super::memory::{MemoryError, MemoryRange, PhysMemory};
use crate::corefile::read::bytes::DataError;

/// Memory without some pages.
#[derive(Debug)]
pub(super) struct LeftOutMemory {
    memory: Arc<dyn PhysMemory>,
    record: Arc<LeftOut>,
    /// What the guest has: with the pages that were left out.
    ranges: Vec<MemoryRange>,
}

impl LeftOutMemory {
    pub(super) fn new(memory: Arc<dyn PhysMemory>, record: Arc<LeftOut>) -> Self {
        let ranges = joined(memory.ranges(), &record.runs);
        Self { memory, record, ranges }
    }

    /// The first run that ends after `at`.
    fn run_after(&self, at: PhysAddr) -> Option<&ClassRun> {
        self.record.runs.get(self.record.runs.partition_point(|run| run.end() <= at))
    }
}

/// The ranges, with those of the runs.
fn joined(ranges: &[MemoryRange], runs: &[ClassRun]) -> Vec<MemoryRange> {
    let of_runs = runs.iter().map(|run| MemoryRange { start: run.start, length: run.length });
    let mut all: Vec<MemoryRange> = ranges.iter().copied().chain(of_runs).collect();
    all.sort_by_key(|range| range.start);
    all.dedup_by(|next, range| {
        let touch = next.start <= range.end();
        if touch {
            let end = range.end().max(next.end());
            range.length = end.saturating_distance_from(range.start);
        }
        touch
    });
    all
}

impl PhysMemory for LeftOutMemory {
    fn ranges(&self) -> &[MemoryRange] {
        &self.ranges
    }

    fn read(&self, at: PhysAddr, buffer: &mut [u8]) -> Result<(), MemoryError> {
        let end = at.saturating_add(buffer.len() as u64);
        let Some(run) = self.run_after(at).filter(|run| run.start < end) else {
            return self.memory.read(at, buffer);
        };
        // Of what is missing, the first byte is reported.
        let before = usize::try_from(run.start.saturating_distance_from(at)).unwrap_or(usize::MAX);
        if let Some(before) = buffer.get_mut(..before).filter(|before| !before.is_empty()) {
            self.memory.read(at, before)?;
        }
        Err(MemoryError::LeftOut { at: run.start.max(at), class: run.class })
    }

    fn piece_end(&self, at: PhysAddr) -> PhysAddr {
        match self.run_after(at) {
            Some(run) if run.start <= at => run.end(),
            Some(run) => self.memory.piece_end(at).min(run.start),
            None => self.memory.piece_end(at),
        }
    }

    fn zeros(&self, at: PhysAddr) -> u64 {
        let most =
            self.run_after(at).map_or(u64::MAX, |run| run.start.saturating_distance_from(at));
        self.memory.zeros(at).min(most)
    }

    fn spend(&self, bytes: u64) -> Result<(), DataError> {
        self.memory.spend(bytes)
    }

    fn read_without_limit(&self) {
        self.memory.read_without_limit();
    }

    fn is_far(&self) -> bool {
        self.memory.is_far()
    }

    fn prefetch(&self, ranges: &[MemoryRange]) {
        self.memory.prefetch(ranges);
    }

    fn search_budget(&self) -> u64 {
        self.memory.search_budget()
    }

    fn truncated(&self) -> u64 {
        self.memory.truncated()
    }

    fn next_held(&self, from: PhysAddr) -> Option<MemoryRange> {
        let mut from = from;
        loop {
            let held = self.memory.next_held(from)?;
            match self.run_after(held.start) {
                Some(run) if run.start <= held.start => from = run.end(),
                Some(run) => {
                    let length = held.end().min(run.start).saturating_distance_from(held.start);
                    return Some(MemoryRange { length, ..held });
                }
                None => return Some(held),
            }
        }
    }
}

/// The record in the notes of a core, if it has one.
pub(super) fn in_notes(notes: &[u8], endian: Endian) -> Option<Result<LeftOut, LeftOutError>> {
    let mut notes = Notes::new(notes, endian).map_while(Result::ok);
    notes.find(is_record).map(|note| LeftOut::decode(note.descriptor))
}

/// The notes with this record, and no other. `None` if it is too long.
pub(super) fn with_record(notes: &[u8], endian: Endian, record: &LeftOut) -> Option<Vec<u8>> {
    let kept = Notes::new(notes, endian).map_while(Result::ok).filter(|note| !is_record(note));
    let mut bytes: Vec<u8> = kept.filter_map(|note| note.encode(endian)).flatten().collect();
    bytes.extend(record.note(endian)?);
    Some(bytes)
}

fn is_record(note: &Note<'_>) -> bool {
    note.name == NOTE_NAME && note.kind == NOTE_KIND
}

#[cfg(test)]
#[path = "left_out_tests.rs"]
mod tests;
