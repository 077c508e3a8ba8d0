//! All of a guest's memory, by several threads, in order.
//!
//! Needs: memory, and what to do with each piece of it. Gives: what came of each
//! piece, in the order of their addresses. At most a few pieces are in memory
//! for each thread, whatever the guest's size.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use vmcore_formats::addr::PhysAddr;

use super::memory::{MemoryError, MemoryRange, PhysMemory};

/// What a piece of memory has in it.
#[derive(Debug)]
pub enum Content<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// Zeros from end to end, which need not be read.
    Zeros,
    /// Nothing that can be read.
    Missing(MemoryError),
}

/// The longest piece that is read at once, in bytes. Longer ones are cut.
pub const MAX_PIECE: u64 = 4 << 20;

/// Reads all of `ranges`, piece by piece. What the core does not hold is one piece, and so are
/// zeros that need not be read, however long they are.
///
/// `work` is called by several threads, once for each piece; what it gives goes
/// to `take` in the order of addresses, until `take` breaks or all is read.
pub fn scan<T: Send>(
    memory: &dyn PhysMemory,
    ranges: &[MemoryRange],
    threads: usize,
    work: impl Fn(MemoryRange, Content<'_>) -> T + Sync,
    mut take: impl FnMut(T) -> ControlFlow<()>,
) {
    /// How many pieces may be done before the one that is waited for, for each thread.
    const AHEAD: usize = 4;
    /// How long a thread that is ahead waits before it looks by itself. It is woken before.
    const WAIT: Duration = Duration::from_millis(10);
    let threads = threads.max(1);
    let source = Mutex::new(cut(memory, ranges).enumerate());
    let stop = AtomicBool::new(false);
    let taken = AtomicUsize::new(0);
    let waiting = AtomicUsize::new(0);
    let (sender, receiver) = crossbeam_channel::unbounded::<(usize, T)>();
    thread::scope(|scope| {
        let mut workers = Vec::with_capacity(threads);
        for _ in 0..threads {
            let (sender, work, source) = (sender.clone(), &work, &source);
            let (stop, taken, waiting) = (&stop, &taken, &waiting);
            let worker = scope.spawn(move || {
                let mut buffer = Vec::new();
                loop {
                    // Bound before the piece is claimed, so that the piece which is
                    // waited for is never held back.
                    let next = source.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((index, piece)) = next else { return };
                    let bound = threads.saturating_mul(AHEAD);
                    while index > taken.load(Ordering::SeqCst).saturating_add(bound)
                        && !stop.load(Ordering::Acquire)
                    {
                        waiting.fetch_add(1, Ordering::SeqCst);
                        if index > taken.load(Ordering::SeqCst).saturating_add(bound) {
                            thread::park_timeout(WAIT);
                        }
                        waiting.fetch_sub(1, Ordering::SeqCst);
                    }
                    if stop.load(Ordering::Acquire) {
                        return;
                    }
                    let result = work(piece.range, read(memory, piece, &mut buffer));
                    if sender.send((index, result)).is_err() {
                        return;
                    }
                }
            });
            workers.push(worker.thread().clone());
        }
        drop(sender);
        let mut early = BTreeMap::new();
        let mut wanted = 0_usize;
        while let Ok((index, result)) = receiver.recv() {
            early.insert(index, result);
            while let Some(result) = early.remove(&wanted) {
                wanted = wanted.saturating_add(1);
                taken.store(wanted, Ordering::SeqCst);
                if take(result).is_break() {
                    stop.store(true, Ordering::Release);
                    workers.iter().for_each(thread::Thread::unpark);
                    return;
                }
            }
            // Once for all that was there: waking a thread costs more than a piece of zeros.
            if receiver.is_empty() && waiting.load(Ordering::SeqCst) > 0 {
                workers.iter().for_each(thread::Thread::unpark);
            }
        }
    });
}

/// A part of memory that is read at once, or that the core does not hold.
#[derive(Clone, Copy, Debug)]
struct Piece {
    range: MemoryRange,
    held: bool,
}

/// Cuts ranges into pieces. The work follows what the core holds, not what it describes.
fn cut<'a>(
    memory: &'a dyn PhysMemory,
    ranges: &'a [MemoryRange],
) -> impl Iterator<Item = Piece> + Send + 'a {
    ranges.iter().flat_map(move |range| {
        let mut at = range.start;
        // What is held from `at` on, or the next that is.
        let mut held = MemoryRange { start: at, length: 0 };
        std::iter::from_fn(move || {
            range.end().0.checked_sub(at.0).filter(|length| *length > 0)?;
            if held.end() <= at {
                let none = MemoryRange { start: range.end(), length: 0 };
                held = memory.next_held(at).unwrap_or(none);
            }
            let is_held = held.start <= at && held.length > 0;
            let end = match is_held {
                true => held_piece_end(memory, at).min(held.end()),
                false => held.start,
            };
            let end = end.min(range.end());
            let length = end.0.checked_sub(at.0).filter(|length| *length > 0)?;
            let piece = Piece { range: MemoryRange { start: at, length }, held: is_held };
            at = end;
            Some(piece)
        })
    })
}

/// The end of the piece of memory that begins at `at`.
fn held_piece_end(memory: &dyn PhysMemory, at: PhysAddr) -> PhysAddr {
    let end = memory.piece_end(at);
    if end.0.saturating_sub(at.0) <= MAX_PIECE {
        return end;
    }
    // Pieces are cut at multiples of this, so that pages of any size stay whole.
    let zeros = memory.zeros(at) & !(MAX_PIECE - 1);
    end.min(at.saturating_add(zeros.max(MAX_PIECE)))
}

fn read<'a>(memory: &dyn PhysMemory, piece: Piece, buffer: &'a mut Vec<u8>) -> Content<'a> {
    let Piece { range, held } = piece;
    if held && memory.zeros(range.start) >= range.length {
        return Content::Zeros;
    }
    // One byte says why the others are not there, either.
    let length = if held { range.length.min(MAX_PIECE) } else { 1 };
    buffer.resize(usize::try_from(length).unwrap_or_default(), 0);
    match memory.read(range.start, buffer) {
        Ok(()) if length == range.length => Content::Bytes(buffer),
        Ok(()) => Content::Missing(MemoryError::Absent { at: range.start }),
        Err(error) => Content::Missing(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmcore_formats::addr::PhysAddr;

    /// Each byte is the number of its piece.
    #[derive(Debug)]
    struct Numbered(Vec<MemoryRange>);

    impl PhysMemory for Numbered {
        fn ranges(&self) -> &[MemoryRange] {
            &self.0
        }

        fn read(&self, at: PhysAddr, buffer: &mut [u8]) -> Result<(), MemoryError> {
            if at.0 == 7 << 20 {
                return Err(MemoryError::Absent { at });
            }
            buffer.fill((at.0 >> 20) as u8);
            Ok(())
        }
    }

    fn memory() -> Numbered {
        Numbered(vec![MemoryRange { start: PhysAddr(0x1000), length: 40 << 20 }])
    }

    fn number(piece: MemoryRange, content: Content<'_>) -> (u64, Option<u8>) {
        match content {
            Content::Bytes(bytes) => {
                assert_eq!(bytes.len() as u64, piece.length);
                (piece.start.0, bytes.first().copied())
            }
            Content::Zeros => (piece.start.0, Some(0)),
            Content::Missing(_) => (piece.start.0, None),
        }
    }

    #[test]
    fn pieces_come_in_order_and_all_of_them() {
        let memory = memory();
        for threads in [1, 2, 7] {
            let mut found = Vec::new();
            scan(&memory, memory.ranges(), threads, number, |result| {
                found.push(result);
                ControlFlow::Continue(())
            });
            assert_eq!(found.len(), 41);
            assert_eq!(found[0], (0x1000, Some(0)));
            assert_eq!(found[7], (7 << 20, None));
            assert!(found.iter().skip(8).all(|(at, byte)| *byte == Some((at >> 20) as u8)));
        }
    }

    #[test]
    fn nothing_more_is_read_once_the_taker_has_enough() {
        let memory = memory();
        let mut found = 0;
        scan(&memory, memory.ranges(), 4, number, |_| {
            found += 1;
            if found == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!(found, 3);
    }
}
