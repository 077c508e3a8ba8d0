//! A held guest's core whose memory comes in pieces, of which only a part may belong to it.
//!
//! Needs: the head of the core, where its memory is, and pieces of memory by ascending
//! address, which together have all of that. Gives: the core. Whoever has the pieces waits
//! while the source has one that it did not begin with.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use vmcore_formats::addr::PhysAddr;
use vmcore_formats::elf::Segment;

use super::MAX_CORE;
use super::chunks::{Chunks, CoreSource};
use super::end::{CoreSummary, StreamEnd, StreamError};

/// How often it is looked whether the work was stopped, while no piece comes.
const LOOK: Duration = Duration::from_millis(20);

/// Memory of a guest.
#[derive(Debug)]
pub struct MemoryPiece {
    /// Where it begins.
    pub start: PhysAddr,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The core of a held guest, without some of its pages.
#[derive(Debug)]
pub struct RangedSource {
    /// What precedes the memory in the core.
    pub head: Vec<u8>,
    /// The memory in the core, with its offsets there.
    pub segments: Vec<Segment>,
    /// The length of the core, in bytes.
    pub length: u64,
    /// How many bytes the pieces will have.
    pub expected: u64,
    /// The pieces.
    pub pieces: Receiver<MemoryPiece>,
    /// What the head of QEMU's dump says of it.
    pub summary: CoreSummary,
}

impl CoreSource for RangedSource {
    type End = StreamEnd;

    fn run(&mut self, chunks: &mut Chunks) -> StreamEnd {
        let outcome = if self.length > MAX_CORE {
            Err(StreamError::TooLarge { bytes: self.length })
        } else {
            self.read_all(chunks)
        };
        // What was read is worth keeping, whatever came after.
        chunks.finish();
        let bytes_read = chunks.shared().bytes_read.load(Ordering::Relaxed);
        StreamEnd { bytes_read, summary: Some(self.summary.clone()), outcome }
    }
}

impl RangedSource {
    fn read_all(&self, chunks: &mut Chunks) -> Result<(), StreamError> {
        let head = self.head.len() as u64;
        chunks.expect(self.expected.saturating_add(head));
        chunks.shared().bytes_read.fetch_add(head, Ordering::Relaxed);
        let ended = |chunks: &Chunks| {
            let found = chunks.shared().bytes_read.load(Ordering::Relaxed);
            StreamError::Aborted { found }
        };
        chunks.put(&self.head).map_err(|_| ended(chunks))?;
        let mut position = head;
        let mut piece = MemoryPiece { start: PhysAddr(0), bytes: Vec::new() };
        for segment in self.segments.iter().filter(|segment| segment.file_size > 0) {
            let padding = segment.offset.saturating_sub(position);
            chunks.put_zeros(padding).map_err(|_| ended(chunks))?;
            position = segment.offset.saturating_add(segment.file_size);
            let end = segment.physical.saturating_add(segment.file_size);
            let mut at = segment.physical;
            while at < end {
                let found = part(&piece, at, end);
                if found.is_empty() {
                    piece = self.next(chunks).ok_or_else(|| ended(chunks))?;
                    continue;
                }
                chunks.put(found).map_err(|_| ended(chunks))?;
                at = at.saturating_add(found.len() as u64);
            }
        }
        Ok(())
    }

    /// The next piece. `None` if there will be none any more, or none is wanted.
    fn next(&self, chunks: &Chunks) -> Option<MemoryPiece> {
        let shared = chunks.shared();
        while !shared.aborted.load(Ordering::Relaxed) {
            match self.pieces.recv_timeout(LOOK) {
                Ok(piece) => {
                    shared.bytes_read.fetch_add(piece.bytes.len() as u64, Ordering::Relaxed);
                    return Some(piece);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
        None
    }
}

/// What a piece has from `at` on, up to `end`.
fn part(piece: &MemoryPiece, at: PhysAddr, end: PhysAddr) -> &[u8] {
    let range = at.0.checked_sub(piece.start.0).and_then(|skip| {
        let last = piece.bytes.len().min(usize::try_from(end.0.checked_sub(piece.start.0)?).ok()?);
        Some(usize::try_from(skip).ok()?..last)
    });
    range.and_then(|range| piece.bytes.get(range)).unwrap_or_default()
}
