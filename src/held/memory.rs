//! The memory of a held guest, read piece by piece and kept.
//!
//! Each question to QEMU costs half a millisecond, and each MiB as much again. So memory
//! comes in pieces of 256 KiB, in longer ones where it is read from end to end, and what
//! came is kept: but for long reads, of what is read once. Any number of threads may read; QEMU
//! answers one after the other.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use vmcore_formats::addr::PhysAddr;
use vmcore_formats::elf::dump_head::DumpHead;

use super::wire::MOST;
use crate::vmcore::memory::range_of;
use crate::vmcore::{MemoryError, MemoryRange, PhysMemory};

/// A piece, in bytes.
const PIECE: u64 = 256 << 10;
/// Reads from this length on go straight to where they are wanted, and are not kept.
const LONG: u64 = 1 << 20;
/// How much is kept, in bytes.
const CAPACITY: u64 = 64 << 20;

/// Where memory comes from.
pub(super) trait Source: fmt::Debug + Send {
    /// All bytes from `start` on that `into` has room for, or why they are not to be had.
    fn read(&mut self, start: PhysAddr, into: &mut [u8]) -> Result<(), String>;
}

/// The memory of a held guest.
#[derive(Debug)]
pub(super) struct HeldMemory {
    ranges: Vec<MemoryRange>,
    source: Mutex<Box<dyn Source>>,
    kept: Mutex<Kept>,
}

/// Pieces that were read, by the address of their first byte.
#[derive(Debug, Default)]
struct Kept {
    pieces: HashMap<PhysAddr, (u64, Arc<Vec<u8>>)>,
    bytes: u64,
    /// Counts uses: the piece with the lowest number was not used for longest.
    uses: u64,
    /// Where the last answer ended, and how long the next one is if it begins there.
    ahead: (PhysAddr, u64),
}

impl HeldMemory {
    /// The memory that the program headers of a dump list.
    pub(super) fn new(head: &DumpHead, source: Box<dyn Source>) -> Self {
        Self { ranges: ranges(head), source: Mutex::new(source), kept: Mutex::default() }
    }

    /// The piece with `at`, and where it begins.
    fn piece(&self, at: PhysAddr, wanted: u64) -> Result<(PhysAddr, Arc<Vec<u8>>), MemoryError> {
        let range = range_of(&self.ranges, at).ok_or(MemoryError::Absent { at })?;
        let start = PhysAddr(at.0 - at.0 % PIECE).max(range.start);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(piece) = kept.find(start) {
            return Ok((start, piece));
        }
        let length = kept.length_of_next(start, at, wanted);
        let length = length.min(range.end().0.saturating_sub(start.0));
        // Others wait meanwhile: they want the same monitor.
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        self.ask(start, &mut bytes)?;
        kept.ahead = (start.saturating_add(length), length);
        let mut found = None;
        let mut first = start;
        for piece in cut(bytes, start) {
            let bytes = Arc::new(piece);
            found.get_or_insert_with(|| Arc::clone(&bytes));
            kept.keep(first, bytes);
            first = PhysAddr((first.0 / PIECE).saturating_add(1).saturating_mul(PIECE));
        }
        found.map(|piece| (start, piece)).ok_or(MemoryError::Absent { at })
    }

    fn ask(&self, start: PhysAddr, into: &mut [u8]) -> Result<(), MemoryError> {
        let read = self.source.lock().unwrap_or_else(PoisonError::into_inner).read(start, into);
        read.map_err(|problem| MemoryError::unreadable(start, format!("the held guest: {problem}")))
    }

    /// Reads what is wanted at `at`, as far as it is read at once and not kept. Gives how much.
    fn read_long(&self, at: PhysAddr, wanted: &mut [u8]) -> Result<usize, MemoryError> {
        let range = range_of(&self.ranges, at).ok_or(MemoryError::Absent { at })?;
        let length = (wanted.len() as u64).min(MOST).min(range.end().0.saturating_sub(at.0));
        let length = if length < LONG { 0 } else { usize::try_from(length).unwrap_or_default() };
        if length > 0 {
            self.ask(at, wanted.get_mut(..length).unwrap_or_default())?;
        }
        Ok(length)
    }
}

/// Where a guest has memory, as a dump's head tells it: sorted, apart, not empty.
pub(super) fn ranges(head: &DumpHead) -> Vec<MemoryRange> {
    let mut segments: Vec<_> = head
        .segments
        .iter()
        .filter(|segment| segment.file_size > 0)
        .map(|segment| MemoryRange { start: segment.physical, length: segment.file_size })
        .collect();
    segments.sort_by_key(|range| range.start);
    let mut ranges: Vec<MemoryRange> = Vec::new();
    for range in segments {
        match ranges.last_mut() {
            Some(last) if range.start <= last.end() => {
                let end = range.end().max(last.end());
                last.length = end.0.saturating_sub(last.start.0);
            }
            _ => ranges.push(range),
        }
    }
    ranges
}

/// Cuts bytes at multiples of [`PIECE`] of their addresses, without a copy of what comes first.
fn cut(mut bytes: Vec<u8>, start: PhysAddr) -> Vec<Vec<u8>> {
    let mut ends = Vec::new();
    let mut end = PIECE.saturating_sub(start.0 % PIECE);
    while end < bytes.len() as u64 {
        ends.push(usize::try_from(end).unwrap_or(usize::MAX));
        end = end.saturating_add(PIECE);
    }
    let mut pieces: Vec<_> = ends.iter().rev().map(|end| bytes.split_off(*end)).collect();
    bytes.shrink_to_fit();
    pieces.push(bytes);
    pieces.reverse();
    pieces
}

impl Kept {
    fn find(&mut self, start: PhysAddr) -> Option<Arc<Vec<u8>>> {
        self.uses = self.uses.saturating_add(1);
        let (used, piece) = self.pieces.get_mut(&start)?;
        *used = self.uses;
        Some(Arc::clone(piece))
    }

    /// How much to ask for: to the end of what is wanted, and twice as much as the last
    /// time if that ended here.
    fn length_of_next(&self, start: PhysAddr, at: PhysAddr, wanted: u64) -> u64 {
        let end = at.0.saturating_add(wanted).next_multiple_of(PIECE);
        let wanted = end.saturating_sub(start.0);
        let ahead = if self.ahead.0 == start { self.ahead.1.saturating_mul(2) } else { 0 };
        let end = start.0.saturating_add(wanted.max(ahead).min(MOST));
        // Pieces end at multiples, wherever the first of a range begins.
        (end - end % PIECE).saturating_sub(start.0)
    }

    fn keep(&mut self, start: PhysAddr, bytes: Arc<Vec<u8>>) {
        self.uses = self.uses.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        if let Some((_, old)) = self.pieces.insert(start, (self.uses, bytes)) {
            self.bytes = self.bytes.saturating_sub(old.len() as u64);
        }
        while self.bytes > CAPACITY && self.pieces.len() > 1 {
            let oldest = self.pieces.iter().min_by_key(|(_, (used, _))| *used);
            let Some((&oldest, _)) = oldest else { return };
            if let Some((_, gone)) = self.pieces.remove(&oldest) {
                self.bytes = self.bytes.saturating_sub(gone.len() as u64);
            }
        }
    }
}

impl PhysMemory for HeldMemory {
    /// The guest waits, and each piece is a dump of its own.
    fn search_budget(&self) -> u64 {
        64 << 20
    }

    fn ranges(&self) -> &[MemoryRange] {
        &self.ranges
    }

    fn read(&self, at: PhysAddr, buffer: &mut [u8]) -> Result<(), MemoryError> {
        let (mut at, mut rest) = (at, buffer);
        while !rest.is_empty() {
            let long = self.read_long(at, rest)?;
            if long > 0 {
                at = at.saturating_add(long as u64);
                rest = rest.split_at_mut(long).1;
                continue;
            }
            let (start, piece) = self.piece(at, rest.len() as u64)?;
            let skip = usize::try_from(at.0.saturating_sub(start.0)).unwrap_or(usize::MAX);
            let there = piece.get(skip..).unwrap_or_default();
            let length = there.len().min(rest.len());
            if length == 0 {
                return Err(MemoryError::Absent { at });
            }
            let (now, later) = rest.split_at_mut(length);
            now.copy_from_slice(there.get(..length).unwrap_or_default());
            at = at.saturating_add(length as u64);
            rest = later;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
