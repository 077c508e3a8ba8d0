//! The memory of an ELF core, plain or compressed.

use std::sync::Arc;

use vmcore_formats::addr::PhysAddr;
use vmcore_formats::elf::Segment;

use crate::corefile::read::bytes::{Bytes, DataError};
use crate::vmcore::memory::{MemoryError, MemoryRange, PhysMemory, range_of};

/// A run of memory, and where it is in the file.
#[derive(Clone, Copy, Debug)]
struct Run {
    memory: MemoryRange,
    /// Where its first byte is in the file.
    offset: u64,
    /// How many of its bytes the file has; the rest was left out.
    held: u64,
}

/// The memory of an ELF core.
#[derive(Debug)]
pub(crate) struct ElfMemory {
    bytes: Arc<dyn Bytes>,
    /// Sorted and apart.
    runs: Vec<Run>,
    ranges: Vec<MemoryRange>,
}

impl ElfMemory {
    /// The memory that `segments` describe. Where they overlap, the first counts.
    pub(crate) fn new(bytes: Arc<dyn Bytes>, segments: &[Segment]) -> Self {
        let runs = apart(segments);
        let mut ranges: Vec<MemoryRange> = Vec::with_capacity(runs.len());
        for run in &runs {
            match ranges.last_mut() {
                Some(last) if last.end() == run.memory.start => {
                    last.length = last.length.saturating_add(run.memory.length);
                }
                _ => ranges.push(run.memory),
            }
        }
        Self { bytes, runs, ranges }
    }

    /// How many bytes of memory were left out when the core was written.
    pub(crate) fn excluded(&self) -> u64 {
        let excluded = |run: &Run| run.memory.length.saturating_sub(run.held);
        self.runs.iter().fold(0, |sum, run| excluded(run).saturating_add(sum))
    }

    fn run(&self, at: PhysAddr) -> Option<&Run> {
        let index = self.runs.partition_point(|run| run.memory.start <= at).checked_sub(1)?;
        self.runs.get(index).filter(|run| run.memory.contains(at))
    }
}

/// The segments by address, without what overlaps.
fn apart(segments: &[Segment]) -> Vec<Run> {
    let mut order: Vec<&Segment> =
        segments.iter().filter(|segment| segment.memory_size > 0).collect();
    // A stable sort: of segments that begin together, the table's first wins.
    order.sort_by_key(|segment| segment.physical);
    let mut runs: Vec<Run> = Vec::with_capacity(order.len());
    for segment in order {
        let end = segment.physical.0.saturating_add(segment.memory_size);
        let taken = runs.last().map_or(0, |run| run.memory.end().0);
        let start = segment.physical.0.max(taken);
        if start >= end {
            continue;
        }
        let skipped = start.saturating_sub(segment.physical.0);
        runs.push(Run {
            memory: MemoryRange { start: PhysAddr(start), length: end.saturating_sub(start) },
            offset: segment.offset.saturating_add(skipped),
            held: segment.file_size.saturating_sub(skipped),
        });
    }
    runs
}

impl PhysMemory for ElfMemory {
    fn ranges(&self) -> &[MemoryRange] {
        &self.ranges
    }

    fn read(&self, at: PhysAddr, buffer: &mut [u8]) -> Result<(), MemoryError> {
        let (mut at, mut rest) = (at, buffer);
        while !rest.is_empty() {
            let run = self.run(at).ok_or(MemoryError::Absent { at })?;
            let skip = at.0.saturating_sub(run.memory.start.0);
            let held = run.held.checked_sub(skip).filter(|held| *held > 0);
            let held = held.ok_or(MemoryError::Excluded { at })?;
            let take = rest.len().min(usize::try_from(held).unwrap_or(usize::MAX));
            let offset = run.offset.saturating_add(skip);
            if offset.saturating_add(take as u64) > self.bytes.length() {
                let there = self.bytes.length().saturating_sub(offset);
                return Err(MemoryError::Truncated {
                    at: at.saturating_add(there),
                    offset: offset.saturating_add(there),
                });
            }
            let (now, later) = rest.split_at_mut(take);
            self.bytes
                .read(offset, now)
                .map_err(|source| MemoryError::Damaged { at, source: Arc::new(source) })?;
            at = at.saturating_add(take as u64);
            rest = later;
        }
        Ok(())
    }

    fn piece_end(&self, at: PhysAddr) -> PhysAddr {
        match self.run(at) {
            Some(run) => {
                let skip = at.0.saturating_sub(run.memory.start.0);
                let offset = run.offset.saturating_add(skip);
                let unit = self.bytes.unit_end(offset).saturating_sub(offset);
                // What is left out, or behind the file's end, is a piece of its own.
                let edge = if skip < run.held { run.held } else { run.memory.length };
                let edge = run.memory.start.0.saturating_add(edge);
                PhysAddr(at.0.saturating_add(unit).min(edge))
            }
            // Between ranges there is nothing to be read at once.
            None => range_of(&self.ranges, at).map_or(at.saturating_add(1), MemoryRange::end),
        }
    }

    fn zeros(&self, at: PhysAddr) -> u64 {
        let Some(run) = self.run(at) else { return 0 };
        let skip = at.0.saturating_sub(run.memory.start.0);
        let held = run.held.saturating_sub(skip);
        if held == 0 { 0 } else { self.bytes.zeros(run.offset.saturating_add(skip)).min(held) }
    }

    fn spend(&self, bytes: u64) -> Result<(), DataError> {
        self.bytes.spend(bytes)
    }

    fn read_without_limit(&self) {
        self.bytes.read_without_limit();
    }

    fn is_far(&self) -> bool {
        self.bytes.is_remote()
    }

    fn prefetch(&self, ranges: &[MemoryRange]) {
        let in_file = |range: &MemoryRange| {
            let run = self.run(range.start)?;
            let skip = range.start.0.saturating_sub(run.memory.start.0);
            let length = range.length.min(run.held.saturating_sub(skip));
            let offset = run.offset.saturating_add(skip);
            Some(offset..offset.saturating_add(length).min(self.bytes.length()))
        };
        if self.is_far() {
            self.bytes.prefetch(&ranges.iter().filter_map(in_file).collect::<Vec<_>>());
        }
    }

    fn truncated(&self) -> u64 {
        let length = self.bytes.length();
        self.runs.iter().fold(0, |sum, run| {
            let there = length.saturating_sub(run.offset).min(run.held);
            run.held.saturating_sub(there).saturating_add(sum)
        })
    }

    fn next_held(&self, from: PhysAddr) -> Option<MemoryRange> {
        let first = self.runs.partition_point(|run| run.memory.end() <= from);
        self.runs.get(first..)?.iter().find_map(|run| {
            let start = run.memory.start.max(from);
            let skip = start.0.saturating_sub(run.memory.start.0);
            let end = run.offset.saturating_add(run.held.min(run.memory.length));
            let offset = run.offset.saturating_add(skip);
            let held = self.bytes.next_held(offset)?;
            let length = held.end.min(end).checked_sub(held.start).filter(|length| *length > 0)?;
            let start = start.saturating_add(held.start.saturating_sub(offset));
            Some(MemoryRange { start, length })
        })
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
