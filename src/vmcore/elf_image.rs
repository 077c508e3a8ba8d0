//! A core as the plain ELF file that it would be, without writing one.
//!
//! Needs: an open core. Gives: the bytes of an ELF core at any offset. A core that
//! is an ELF file, plain or compressed, is given as it is. For any other, headers are built
//! here in the layout of [`stored_core`](vmcore_formats::elf::stored_core), and memory is
//! read on demand.

use std::sync::Arc;

use thiserror::Error;
use vmcore_formats::elf::stored_core::{StoredCore, StoredCoreError};
use vmcore_formats::elf::{Identity, Segment};

use super::memory::{MemoryRange, PhysMemory, held_ranges};
use super::opened::Vmcore;
use crate::corefile::read::bytes::{Bytes, DataError};

/// The most runs of memory that an ELF core may have: as many as are read of one.
pub const MAX_RUNS: usize = 500_000;

/// Why a core cannot be shown as an ELF file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ElfImageError {
    /// It does not fit into one.
    #[error(transparent)]
    Layout(#[from] StoredCoreError),
    /// What was filtered left too many pieces.
    #[error(
        "its memory is in more than {MAX_RUNS} pieces, too many for the headers of an ELF core"
    )]
    Scattered,
}

/// A core as an ELF file.
#[derive(Debug)]
pub struct ElfImage {
    origin: Origin,
}

#[derive(Debug)]
enum Origin {
    /// The core is one.
    File(Arc<dyn Bytes>),
    /// It is built.
    Built(Built),
}

/// A head, and the memory that follows it.
#[derive(Debug)]
struct Built {
    head: Vec<u8>,
    memory: Arc<dyn PhysMemory>,
    /// Where in the file each run of memory begins. In the order of both.
    runs: Vec<(u64, MemoryRange)>,
    length: u64,
}

/// What is at an offset of a file that is built.
#[derive(Debug)]
enum Region<'a> {
    /// These bytes, and what follows them.
    Head(&'a [u8]),
    /// So many zeros between the runs.
    Gap(u64),
    /// Memory.
    Memory(MemoryRange),
}

impl ElfImage {
    /// The ELF file of a core. Memory that the core does not hold, because it was
    /// left out or cut off, is in no program header of a file that is built.
    pub fn new(core: &Vmcore) -> Result<Self, ElfImageError> {
        if let Some(file) = core.elf() {
            return Ok(Self { origin: Origin::File(Arc::clone(file)) });
        }
        Self::build(core.identity(), core.note_bytes(), core.shared_memory())
    }

    /// The ELF file built from memory and notes, wherever they come from.
    pub fn build(
        identity: Identity,
        notes: &[u8],
        memory: Arc<dyn PhysMemory>,
    ) -> Result<Self, ElfImageError> {
        let runs: Vec<MemoryRange> = held_ranges(&*memory).take(MAX_RUNS + 1).collect();
        if runs.len() > MAX_RUNS {
            return Err(ElfImageError::Scattered);
        }
        let layout = StoredCore::of_memory(
            identity,
            notes.len() as u64,
            runs.iter().map(|run| (run.start, run.length)),
        )?;
        let head = layout.encode_head_with(notes);
        let offsets = layout.segments().iter().map(|segment| segment.offset);
        let runs = offsets.zip(runs).collect();
        Ok(Self { origin: Origin::Built(Built { head, memory, runs, length: layout.length() }) })
    }

    /// The ELF file of a layout: its head, and the memory of its segments.
    pub fn laid_out(layout: &StoredCore, head: Vec<u8>, memory: Arc<dyn PhysMemory>) -> Self {
        let segments = layout.segments().iter().filter(|segment| segment.file_size > 0);
        let run = |segment: &Segment| {
            let range = MemoryRange { start: segment.physical, length: segment.file_size };
            (segment.offset, range)
        };
        let runs = segments.map(run).collect();
        Self { origin: Origin::Built(Built { head, memory, runs, length: layout.length() }) }
    }

    /// How many segments of memory a file that is built has.
    pub fn built_segments(&self) -> Option<usize> {
        match &self.origin {
            Origin::File(_) => None,
            Origin::Built(built) => Some(built.runs.len()),
        }
    }
}

impl Built {
    fn region(&self, offset: u64) -> Option<Region<'_>> {
        let left = self.length.checked_sub(offset).filter(|left| *left > 0)?;
        let in_head = usize::try_from(offset).ok().and_then(|offset| self.head.get(offset..));
        if let Some(head) = in_head.filter(|head| !head.is_empty()) {
            return Some(Region::Head(head));
        }
        let next = self.runs.partition_point(|(start, _)| *start <= offset);
        if let Some((start, run)) = next.checked_sub(1).and_then(|index| self.runs.get(index)) {
            let skip = offset.saturating_sub(*start);
            if let Some(length) = run.length.checked_sub(skip).filter(|length| *length > 0) {
                let start = run.start.saturating_add(skip);
                return Some(Region::Memory(MemoryRange { start, length }));
            }
        }
        let next = self.runs.get(next).map_or(left, |(start, _)| start.saturating_sub(offset));
        Some(Region::Gap(next.min(left)))
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DataError> {
        let (mut offset, mut rest) = (offset, buffer);
        while !rest.is_empty() {
            let region =
                self.region(offset).ok_or(DataError::PastEnd { offset, length: self.length })?;
            let length = match &region {
                Region::Head(bytes) => bytes.len() as u64,
                Region::Gap(length) => *length,
                Region::Memory(run) => run.length,
            };
            let take = rest.len().min(usize::try_from(length).unwrap_or(usize::MAX));
            let (now, later) = rest.split_at_mut(take);
            match region {
                Region::Head(bytes) => {
                    for (to, from) in now.iter_mut().zip(bytes) {
                        *to = *from;
                    }
                }
                Region::Gap(_) => now.fill(0),
                Region::Memory(run) => self
                    .memory
                    .read(run.start, now)
                    .map_err(|error| DataError::Underlying(error.into()))?,
            }
            offset = offset.saturating_add(take as u64);
            rest = later;
        }
        Ok(())
    }
}

impl Bytes for ElfImage {
    fn length(&self) -> u64 {
        match &self.origin {
            Origin::File(file) => file.length(),
            Origin::Built(built) => built.length,
        }
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DataError> {
        match &self.origin {
            Origin::File(file) => file.read(offset, buffer),
            Origin::Built(built) => built.read(offset, buffer),
        }
    }

    fn unit_end(&self, offset: u64) -> u64 {
        let built = match &self.origin {
            Origin::File(file) => return file.unit_end(offset),
            Origin::Built(built) => built,
        };
        let length = match built.region(offset) {
            Some(Region::Head(bytes)) => bytes.len() as u64,
            Some(Region::Gap(length)) => length,
            Some(Region::Memory(run)) => {
                let end = built.memory.piece_end(run.start).min(run.end());
                end.0.saturating_sub(run.start.0)
            }
            None => 1,
        };
        offset.saturating_add(length.max(1))
    }

    fn zeros(&self, offset: u64) -> u64 {
        match &self.origin {
            Origin::File(file) => file.zeros(offset),
            Origin::Built(built) => match built.region(offset) {
                Some(Region::Gap(length)) => length,
                Some(Region::Memory(run)) => built.memory.zeros(run.start).min(run.length),
                Some(Region::Head(_)) | None => 0,
            },
        }
    }

    fn spend(&self, bytes: u64) -> Result<(), DataError> {
        match &self.origin {
            Origin::File(file) => file.spend(bytes),
            Origin::Built(built) => built.memory.spend(bytes),
        }
    }
}

#[cfg(test)]
#[path = "elf_image_tests.rs"]
mod tests;
