//! Bytes of a remote file that were fetched, and are kept to be read again.
//!
//! Kept in blocks of 64 KiB. What is missing is fetched in one request for all blocks that
//! follow each other, and no block is fetched twice at the same time: a second thread waits. A
//! request reads ahead: a little at first, and more as long as the reader goes on where it ended.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// The size of a block.
const BLOCK: u64 = 64 << 10;
/// How many blocks are kept: 64 MiB.
const KEPT: usize = 1024;
/// How many blocks a request has at least, and at most.
const LEAST: u64 = 8;
const MOST: u64 = 64;

/// The blocks of one file.
#[derive(Debug)]
pub(super) struct Blocks {
    length: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    blocks: HashMap<u64, Block>,
    /// Counts uses: the block with the lowest count was not used for longest.
    clock: u64,
    /// Where the last request ended, and how many blocks the next one has if it goes on there.
    ahead: (u64, u64),
    /// Blocks that are fetched at once, as far as they are missing.
    together: Range<u64>,
}

#[derive(Debug)]
enum Block {
    /// A thread fetches it.
    Flying,
    Here {
        bytes: Arc<[u8]>,
        used: u64,
    },
}

/// What a thread has to do next.
enum Step {
    Done,
    Wait,
    Fetch(Range<u64>),
}

impl Blocks {
    /// No blocks yet of a file of this length.
    pub(super) fn new(length: u64) -> Self {
        Self { length, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Keeps the first bytes of the file: the blocks that are whole.
    pub(super) fn keep_start(&self, bytes: &[u8]) {
        let whole = match bytes.len() as u64 {
            all if all == self.length => all.div_ceil(BLOCK),
            some => some / BLOCK,
        };
        self.lock().land(&(0..whole), Some(bytes));
    }

    /// Has what is missing of this part of the file fetched in one request, when some of it is read.
    pub(super) fn fetch_together(&self, part: Range<u64>) {
        self.lock().together = part.start / BLOCK..part.end.div_ceil(BLOCK);
    }

    /// Reads bytes, which have to be in the file. `fetch` gets those that are missing, by
    /// offset and length.
    pub(super) fn read<E>(
        &self,
        offset: u64,
        buffer: &mut [u8],
        fetch: impl Fn(u64, u64) -> Result<Vec<u8>, E>,
    ) -> Result<(), E> {
        // No more at a time than are kept: others would displace them before they are copied.
        let size = usize::try_from(MOST.saturating_mul(BLOCK)).unwrap_or(usize::MAX);
        let mut at = offset;
        for piece in buffer.chunks_mut(size) {
            self.read_piece(at, piece, &fetch)?;
            at = at.saturating_add(piece.len() as u64);
        }
        Ok(())
    }

    fn read_piece<E>(
        &self,
        offset: u64,
        piece: &mut [u8],
        fetch: impl Fn(u64, u64) -> Result<Vec<u8>, E>,
    ) -> Result<(), E> {
        let end = offset.saturating_add(piece.len() as u64);
        let wanted = offset / BLOCK..end.div_ceil(BLOCK);
        let mut state = self.lock();
        loop {
            match state.step(&wanted, self.length.div_ceil(BLOCK)) {
                Step::Done => {
                    state.copy(offset, piece);
                    return Ok(());
                }
                Step::Wait => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                Step::Fetch(blocks) => {
                    drop(state);
                    let start = blocks.start.saturating_mul(BLOCK);
                    let end = blocks.end.saturating_mul(BLOCK).min(self.length);
                    let fetched = fetch(start, end.saturating_sub(start));
                    state = self.lock();
                    state.land(&blocks, fetched.as_deref().ok());
                    self.changed.notify_all();
                    fetched?;
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What is to be done before all blocks `wanted` of a file of `count` are here.
    fn step(&mut self, wanted: &Range<u64>, count: u64) -> Step {
        let missing = wanted.clone().find(|block| !self.blocks.contains_key(block));
        let Some(first) = missing else {
            let flies = |block| matches!(self.blocks.get(&block), Some(Block::Flying));
            return if wanted.clone().any(flies) { Step::Wait } else { Step::Done };
        };
        let window = if first == self.ahead.0 { self.ahead.1.max(LEAST) } else { LEAST };
        let most = match self.together.contains(&first) {
            true => self.together.end.max(wanted.end).min(count),
            false => first.saturating_add(window).max(wanted.end).min(count),
        };
        // Of what is fetched together, what precedes it, too: another thread may want that.
        let before = self.together.start..first.max(self.together.start);
        let before = before.rev().take_while(|block| !self.blocks.contains_key(block));
        let first = match self.together.contains(&first) {
            true => before.last().unwrap_or(first),
            false => first,
        };
        let last = (first..most).take_while(|block| !self.blocks.contains_key(block)).last();
        let end = last.unwrap_or(first).saturating_add(1);
        self.ahead = (end, window.saturating_mul(2).min(MOST));
        self.blocks.extend((first..end).map(|block| (block, Block::Flying)));
        Step::Fetch(first..end)
    }

    /// Keeps what was fetched; forgets the blocks if that failed.
    fn land(&mut self, blocks: &Range<u64>, fetched: Option<&[u8]>) {
        let size = usize::try_from(BLOCK).unwrap_or(usize::MAX);
        let mut pieces = fetched.unwrap_or_default().chunks(size);
        for block in blocks.clone() {
            match pieces.next() {
                Some(bytes) => {
                    let used = self.tick();
                    self.blocks.insert(block, Block::Here { bytes: bytes.into(), used });
                }
                None => drop(self.blocks.remove(&block)),
            }
        }
        self.forget();
    }

    fn tick(&mut self) -> u64 {
        self.clock = self.clock.saturating_add(1);
        self.clock
    }

    /// Forgets what was not used for longest: half of all, so that it is seldom done.
    fn forget(&mut self) {
        let here = |block: &Block| match block {
            Block::Here { used, .. } => Some(*used),
            Block::Flying => None,
        };
        let mut used: Vec<u64> = self.blocks.values().filter_map(here).collect();
        if used.len() <= KEPT {
            return;
        }
        used.sort_unstable();
        let middle = used.get(used.len() / 2).copied().unwrap_or_default();
        self.blocks.retain(|_, block| here(block).is_none_or(|used| used >= middle));
    }

    /// Copies bytes, all of which are here.
    fn copy(&mut self, offset: u64, piece: &mut [u8]) {
        let mut at = offset;
        let mut rest = piece;
        while !rest.is_empty() {
            let now = self.tick();
            let skip = usize::try_from(at % BLOCK).unwrap_or_default();
            let Some(Block::Here { bytes, used }) = self.blocks.get_mut(&(at / BLOCK)) else {
                return;
            };
            *used = now;
            let bytes = bytes.get(skip..).unwrap_or_default();
            let take = bytes.len().min(rest.len());
            if take == 0 {
                return;
            }
            let (copied, later) = rest.split_at_mut(take);
            copied.copy_from_slice(bytes.get(..take).unwrap_or_default());
            at = at.saturating_add(take as u64);
            rest = later;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    fn byte(at: u64) -> u8 {
        (at / 7 + at / 4096) as u8
    }

    fn bytes(range: Range<u64>) -> Vec<u8> {
        range.map(byte).collect()
    }

    #[test]
    fn any_bytes_are_those_of_the_file_and_are_fetched_once() {
        const LENGTH: u64 = 3 * BLOCK + 100;
        let fetched = AtomicUsize::new(0);
        let blocks = Blocks::new(LENGTH);
        let fetch = |offset, length| {
            fetched.fetch_add(length as usize, Ordering::Relaxed);
            Ok::<_, Infallible>(bytes(offset..offset + length))
        };
        for (offset, length) in
            [(0, 1), (BLOCK - 1, 2), (5, LENGTH - 5), (LENGTH - 1, 1), (BLOCK * 2, 77), (3, 0)]
        {
            let mut buffer = vec![0; length as usize];
            blocks.read(offset, &mut buffer, fetch).unwrap();
            assert!(buffer == bytes(offset..offset + length), "{offset}");
        }
        assert_eq!(fetched.into_inner() as u64, LENGTH);
    }

    #[test]
    fn threads_that_want_the_same_bytes_fetch_them_once() {
        let requests = AtomicUsize::new(0);
        let blocks = Blocks::new(4 * BLOCK);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut buffer = vec![0; 100];
                    let fetch = |offset, length| {
                        requests.fetch_add(1, Ordering::Relaxed);
                        thread::yield_now();
                        Ok::<_, Infallible>(bytes(offset..offset + length))
                    };
                    blocks.read(1000, &mut buffer, fetch).unwrap();
                    assert!(buffer == bytes(1000..1100));
                });
            }
        });
        assert_eq!(requests.into_inner(), 1);
    }

    #[test]
    fn a_reader_that_goes_on_gets_more_at_a_time_and_memory_is_bounded() {
        const LENGTH: u64 = 4 * KEPT as u64 * BLOCK;
        let requests = AtomicUsize::new(0);
        let blocks = Blocks::new(LENGTH);
        let mut buffer = vec![0; 4096];
        for offset in (0..LENGTH).step_by(BLOCK as usize) {
            let fetch = |offset: u64, length| {
                requests.fetch_add(1, Ordering::Relaxed);
                let _ = offset;
                Ok::<_, Infallible>(vec![1; length as usize])
            };
            blocks.read(offset, &mut buffer, fetch).unwrap();
            assert!(blocks.lock().blocks.len() <= KEPT + MOST as usize);
        }
        let requests = requests.into_inner() as u64;
        assert!(requests < 4 * KEPT as u64 / MOST + 8, "{requests}");
    }

    #[test]
    fn what_cannot_be_fetched_is_an_error_for_each_reader_and_is_tried_again() {
        let blocks = Blocks::new(BLOCK);
        let mut buffer = [0; 8];
        assert_eq!(blocks.read(0, &mut buffer, |_, _| Err("gone")), Err("gone"));
        let fetch = |offset, length| Ok::<_, Infallible>(bytes(offset..offset + length));
        blocks.read(0, &mut buffer, fetch).unwrap();
        assert!(buffer[..] == bytes(0..8));
    }
}
