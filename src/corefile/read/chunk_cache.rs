//! Unpacked chunks that may be read again soon.

use std::sync::{Arc, Mutex, PoisonError};

/// How many bytes of chunks are kept.
const CAPACITY: usize = 48 << 20;
/// How many chunks are kept whatever their length: a walk goes to and fro between page tables and
/// what they map.
const KEPT: usize = 3;

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
            if size <= CAPACITY || chunks.len().saturating_sub(forgotten) <= KEPT {
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
    fn a_few_chunks_are_kept_however_large_they_are() {
        let cache = ChunkCache::default();
        for index in 7..=7 + KEPT {
            cache.keep(index, Arc::new(vec![0; CAPACITY + 1]));
        }
        assert!(cache.find(7).is_none());
        assert!((8..=7 + KEPT).all(|index| cache.find(index).is_some()));
    }
}
