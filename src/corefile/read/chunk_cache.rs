//! Unpacked chunks that may be read again soon.

use std::sync::{Arc, Mutex, PoisonError};

/// How many bytes of chunks are kept. The chunk read last is kept in any case.
const CAPACITY: usize = 48 << 20;

/// The chunks that were read last.
#[derive(Debug, Default)]
pub(super) struct ChunkCache {
    /// The one used last is the last one. Short: looked through from its end.
    chunks: Mutex<Vec<(usize, Arc<Vec<u8>>)>>,
}

impl ChunkCache {
    /// A chunk by its number.
    pub(super) fn find(&self, index: usize) -> Option<Arc<Vec<u8>>> {
        let mut chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        let position = chunks.iter().rposition(|(kept, _)| *kept == index)?;
        if position.saturating_add(1) < chunks.len() {
            let chunk = chunks.remove(position);
            chunks.push(chunk);
        }
        chunks.last().map(|(_, bytes)| Arc::clone(bytes))
    }

    /// Keeps a chunk, and forgets those that were not used for longest.
    pub(super) fn keep(&self, index: usize, bytes: Arc<Vec<u8>>) {
        let mut chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        chunks.retain(|(kept, _)| *kept != index);
        chunks.push((index, bytes));
        let mut size: usize = chunks.iter().map(|(_, bytes)| bytes.len()).sum();
        let mut forgotten = 0_usize;
        for (_, bytes) in chunks.iter() {
            if size <= CAPACITY || forgotten.saturating_add(1) == chunks.len() {
                break;
            }
            size = size.saturating_sub(bytes.len());
            forgotten = forgotten.saturating_add(1);
        }
        chunks.drain(..forgotten);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_is_forgotten_first() {
        let cache = ChunkCache::default();
        let chunk = || Arc::new(vec![0; CAPACITY / 4]);
        for index in 0..4 {
            cache.keep(index, chunk());
        }
        assert!(cache.find(0).is_some());
        cache.keep(4, chunk());
        assert!(cache.find(1).is_none());
        assert!([0, 2, 3, 4].iter().all(|index| cache.find(*index).is_some()));
    }

    #[test]
    fn a_chunk_larger_than_the_cache_is_kept_until_the_next() {
        let cache = ChunkCache::default();
        cache.keep(7, Arc::new(vec![0; CAPACITY + 1]));
        assert!(cache.find(7).is_some());
        cache.keep(8, Arc::new(vec![0; 1]));
        assert!(cache.find(7).is_none() && cache.find(8).is_some());
    }
}
