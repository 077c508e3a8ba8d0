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

use super::memory::{MemoryError, MemoryRange, PhysMemory, pieces};

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

/// Reads all of `ranges`, piece by piece.
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
                    let result = work(piece, read(memory, piece, &mut buffer));
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

fn cut<'a>(
    memory: &'a dyn PhysMemory,
    ranges: &'a [MemoryRange],
) -> impl Iterator<Item = MemoryRange> + Send + 'a {
    pieces(memory, ranges).flat_map(|piece| {
        (0..piece.length).step_by(usize::try_from(MAX_PIECE).unwrap_or(usize::MAX)).map(
            move |skip| MemoryRange {
                start: piece.start.saturating_add(skip),
                length: piece.length.saturating_sub(skip).min(MAX_PIECE),
            },
        )
    })
}

fn read<'a>(memory: &dyn PhysMemory, piece: MemoryRange, buffer: &'a mut Vec<u8>) -> Content<'a> {
    if memory.zeros(piece.start) >= piece.length {
        return Content::Zeros;
    }
    buffer.resize(usize::try_from(piece.length).unwrap_or_default(), 0);
    match memory.read(piece.start, buffer) {
        Ok(()) => Content::Bytes(buffer),
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
