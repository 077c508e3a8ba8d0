//! Unpacked chunks that may be read again soon.
//!
//! Memory that a process has not used before costs as much time as unpacking a chunk into it. So
//! few chunks are kept at first, and their buffers used again; four times as many each time that
//! one is read again which was forgotten.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many bytes of chunks are kept at first.
const FIRST: usize = 4 << 20;
/// How many times as much is kept when that was too little.
const GROWTH: usize = 4;
/// How many bytes of chunks are kept at most.
const CAPACITY: usize = 48 << 20;
/// How many chunks are kept whatever their length: a walk goes to and fro between page tables and
/// what they map.
const KEPT: usize = 3;
/// How many chunks that were forgotten are recognised.
const RECOGNISED: usize = 48;
/// How many buffers wait for the next chunk.
const SPARE: usize = 2;

/// The chunks that were read last.
#[derive(Debug)]
pub(super) struct ChunkCache {
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    /// The one used last is the last one. Short: looked through from its end.
    chunks: Vec<(usize, Arc<Vec<u8>>)>,
    /// How many bytes they may have.
    capacity: usize,
    /// The numbers of those that were forgotten, the last one last.
    forgotten: VecDeque<usize>,
    /// Buffers of forgotten chunks.
    spare: Vec<Vec<u8>>,
}

impl ChunkCache {
    /// A cache that grows as it is needed.
    pub(super) fn growing() -> Self {
        Self::with_capacity(FIRST)
    }

    /// One that forgets as little as any, for chunks that take long to read again.
    pub(super) fn full() -> Self {
        Self::with_capacity(CAPACITY)
    }

    fn with_capacity(capacity: usize) -> Self {
        let (chunks, forgotten, spare) = Default::default();
        Self { kept: Mutex::new(Kept { chunks, capacity, forgotten, spare }) }
    }

    /// A chunk by its number.
    pub(super) fn find(&self, index: usize) -> Option<Arc<Vec<u8>>> {
        let chunks = &mut self.kept().chunks;
        let position = chunks.iter().rposition(|(kept, _)| *kept == index)?;
        if position.saturating_add(1) < chunks.len() {
            let chunk = chunks.remove(position);
            chunks.push(chunk);
        }
        chunks.last().map(|(_, bytes)| Arc::clone(bytes))
    }

    /// A buffer of so many bytes for a chunk. What they are is left open.
    pub(super) fn buffer(&self, length: usize) -> Vec<u8> {
        let spare = self.kept().spare.pop().filter(|spare| spare.len() == length);
        spare.unwrap_or_else(|| vec![0; length])
    }

    /// Keeps a chunk, and forgets those that were not used for longest.
    pub(super) fn keep(&self, index: usize, bytes: Arc<Vec<u8>>) {
        self.kept().keep(index, bytes);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn keep(&mut self, index: usize, bytes: Arc<Vec<u8>>) {
        if self.forgotten.contains(&index) {
            self.forgotten.retain(|forgotten| *forgotten != index);
            self.capacity = self.capacity.saturating_mul(GROWTH).min(CAPACITY);
        }
        self.chunks.retain(|(kept, _)| *kept != index);
        self.chunks.push((index, bytes));
        let mut size: usize = self.chunks.iter().map(|(_, bytes)| bytes.len()).sum();
        let mut count = 0_usize;
        for (_, bytes) in &self.chunks {
            if size <= self.capacity || self.chunks.len().saturating_sub(count) <= KEPT {
                break;
            }
            size = size.saturating_sub(bytes.len());
            count = count.saturating_add(1);
        }
        for (index, bytes) in self.chunks.drain(..count) {
            self.forgotten.push_back(index);
            // One that is being read is not used again.
            self.spare.extend(Arc::into_inner(bytes).filter(|_| self.spare.len() < SPARE));
        }
        while self.forgotten.len() > RECOGNISED {
            self.forgotten.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(length: usize) -> Arc<Vec<u8>> {
        Arc::new(vec![0; length])
    }

    #[test]
    fn what_was_used_longest_ago_is_forgotten_first() {
        let cache = ChunkCache::full();
        for index in 0..4 {
            cache.keep(index, chunk(CAPACITY / 4));
        }
        assert!(cache.find(0).is_some());
        cache.keep(4, chunk(CAPACITY / 4));
        assert!(cache.find(1).is_none());
        assert!([0, 2, 3, 4].iter().all(|index| cache.find(*index).is_some()));
    }

    #[test]
    fn a_few_chunks_are_kept_however_large_they_are() {
        let cache = ChunkCache::full();
        for index in 7..=7 + KEPT {
            cache.keep(index, chunk(CAPACITY + 1));
        }
        assert!(cache.find(7).is_none());
        assert!((8..=7 + KEPT).all(|index| cache.find(index).is_some()));
    }

    #[test]
    fn more_are_kept_when_what_was_forgotten_is_read_again() {
        let cache = ChunkCache::growing();
        let each = FIRST / 4;
        (0..100).for_each(|index| cache.keep(index, chunk(each)));
        let kept = || (0..100).filter(|index| cache.find(*index).is_some()).count();
        assert_eq!(kept(), 4);
        // Long forgotten, and forgotten just now.
        cache.keep(0, chunk(each));
        assert_eq!(kept(), 4);
        for (index, capacity) in [(90, 16), (91, 64), (92, 64)] {
            cache.keep(index, chunk(each));
            (1000..1100).for_each(|index| cache.keep(index, chunk(each)));
            let kept = (1000..1100).filter(|index| cache.find(*index).is_some()).count();
            assert_eq!(kept, capacity.min(CAPACITY / each), "{index}");
            (90..100).for_each(|index| cache.kept().forgotten.push_back(index));
        }
    }

    #[test]
    fn the_buffer_of_a_forgotten_chunk_is_used_again() {
        let cache = ChunkCache::growing();
        let read = chunk(FIRST / 4);
        cache.keep(0, Arc::clone(&read));
        (1..6).for_each(|index| cache.keep(index, Arc::new(vec![1; FIRST / 4])));
        assert_eq!(cache.buffer(FIRST / 4), vec![1; FIRST / 4]);
        assert_eq!(cache.buffer(FIRST / 4), vec![0; FIRST / 4]);
        assert_eq!(cache.buffer(7), [0; 7]);
        assert_eq!(read.len(), FIRST / 4);
    }
}
