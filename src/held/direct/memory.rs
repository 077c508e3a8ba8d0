//! The guest's memory, read in QEMU's process.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use vmcore_formats::addr::PhysAddr;

use super::map::Placed;
use super::process::{QemuProcess, Wanted};
use super::untouched::Untouched;
use crate::vmcore::memory::range_of;
use crate::vmcore::{MemoryError, MemoryRange, PhysMemory};

/// How much is read by one call at most: at most half as many parts as it has pages, of which
/// the system takes 1024.
const CALL: usize = 1 << 20;
/// How far is looked for pages that were never written, at first and then, in bytes.
const NEAR: u64 = 1 << 20;
const FAR: u64 = 64 << 20;

/// The memory of a held guest, in QEMU's process.
///
/// Many threads may read at once. A read that fails is kept ([`DirectMemory::failure`]).
#[derive(Debug)]
pub(crate) struct DirectMemory {
    process: QemuProcess,
    ranges: Vec<MemoryRange>,
    /// By address, and all of `ranges` together.
    pieces: Vec<Piece>,
    failure: Mutex<Option<String>>,
}

/// Memory that is in one mapping of QEMU's process.
#[derive(Debug)]
struct Piece {
    range: MemoryRange,
    host: u64,
    untouched: Untouched,
}

impl DirectMemory {
    /// The memory of `ranges`, which `placed` has all of.
    ///
    /// # Errors
    /// Fails if the system does not show the process, or it has no such memory.
    pub(super) fn open(
        process: QemuProcess,
        ranges: Vec<MemoryRange>,
        placed: &[Placed],
    ) -> io::Result<Self> {
        let mappings = process.mappings()?;
        let pages = process.page_states().ok().map(Arc::new);
        let mut pieces = Vec::new();
        for Placed { range, host } in placed {
            let mut done = 0;
            while done < range.length {
                let at = host.saturating_add(done);
                let index = mappings.partition_point(|mapping| mapping.end <= at);
                let mapping = mappings.get(index).filter(|mapping| mapping.start <= at);
                let mapping = mapping.ok_or_else(|| {
                    io::Error::other(format!("it has nothing at {at:#x}, where QEMU has memory"))
                })?;
                let length = range.length.saturating_sub(done);
                let length = length.min(mapping.end.saturating_sub(at));
                pieces.push(Piece {
                    range: MemoryRange { start: range.start.saturating_add(done), length },
                    host: at,
                    untouched: Untouched::of(&process, mapping, pages.as_ref()),
                });
                done = done.saturating_add(length);
            }
        }
        pieces.sort_by_key(|piece| piece.range.start);
        Ok(Self { process, ranges, pieces, failure: Mutex::default() })
    }

    /// QEMU's process.
    pub(super) fn process(&self) -> &QemuProcess {
        &self.process
    }

    /// Why a read failed, if one did. Until it is asked again, nothing fails anew.
    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The piece with `at`, the address of that in QEMU's process, and how much follows.
    fn piece(&self, at: PhysAddr) -> Option<(&Piece, u64, u64)> {
        let index = self.pieces.partition_point(|piece| piece.range.start <= at).checked_sub(1)?;
        let piece = self.pieces.get(index).filter(|piece| piece.range.contains(at))?;
        let skip = at.0.saturating_sub(piece.range.start.0);
        Some((piece, piece.host.saturating_add(skip), piece.range.length.saturating_sub(skip)))
    }

    /// Reads a part, which one call can.
    fn read_part(&self, at: PhysAddr, buffer: &mut [u8]) -> Result<(), MemoryError> {
        let mut wanted = Vec::new();
        let (mut next, mut rest) = (at, buffer);
        while !rest.is_empty() {
            let (piece, host, left) = self.piece(next).ok_or(MemoryError::Absent { at: next })?;
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
            let (mut of_piece, later) = rest.split_at_mut(length);
            let mut from = host;
            while !of_piece.is_empty() {
                let (untouched, touched) = piece.untouched.runs(from, of_piece.len() as u64);
                let (zeros, behind) = split(of_piece, untouched);
                zeros.fill(0);
                let (into, behind) = split(behind, touched);
                let done = zeros.len().saturating_add(into.len());
                if !into.is_empty() {
                    wanted.push(Wanted { at: from.saturating_add(zeros.len() as u64), into });
                }
                if done == 0 {
                    return Err(MemoryError::Absent { at: next });
                }
                from = from.saturating_add(done as u64);
                of_piece = behind;
            }
            next = next.saturating_add(length as u64);
            rest = later;
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let length = wanted.iter().fold(0_usize, |sum, part| sum.saturating_add(part.into.len()));
        self.process.read(wanted).map_err(|error| {
            let problem = unreadable(at, length, self.process.number(), &error);
            let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            failure.get_or_insert_with(|| problem.to_string());
            problem
        })
    }
}

/// For memory that cannot be read in a process: `length` bytes of it, at `at` of the guest's or
/// behind that.
pub(crate) fn unreadable(
    at: PhysAddr,
    length: usize,
    process: i32,
    error: &dyn fmt::Display,
) -> MemoryError {
    MemoryError::unreadable(at, format!("{length} bytes in process {process}: {error}"))
}

/// Splits off the front of a buffer.
fn split(buffer: &mut [u8], length: u64) -> (&mut [u8], &mut [u8]) {
    let length = usize::try_from(length).unwrap_or(usize::MAX).min(buffer.len());
    buffer.split_at_mut(length)
}

impl PhysMemory for DirectMemory {
    fn ranges(&self) -> &[MemoryRange] {
        &self.ranges
    }

    fn read(&self, at: PhysAddr, buffer: &mut [u8]) -> Result<(), MemoryError> {
        let mut at = at;
        for part in buffer.chunks_mut(CALL) {
            self.read_part(at, part)?;
            at = at.saturating_add(part.len() as u64);
        }
        Ok(())
    }

    /// Only what follows in one piece.
    fn zeros(&self, at: PhysAddr) -> u64 {
        if range_of(&self.ranges, at).is_none() {
            return 0;
        }
        let Some((piece, host, left)) = self.piece(at) else { return 0 };
        let (near, _) = piece.untouched.runs(host, left.min(NEAR));
        if near < NEAR {
            return near;
        }
        let far = left.saturating_sub(near).min(FAR);
        near.saturating_add(piece.untouched.runs(host.saturating_add(near), far).0)
    }
}
