//! Which chunks were read, for the triage pack.

use std::collections::HashSet;
use std::sync::{Mutex, OnceLock, PoisonError};

use vmcore_formats::triage_pack::MAX_PACK_FRAMES;

use super::frame_table::Chunk;

/// The record of them. Nothing is recorded before that is asked for: a search reads millions.
#[derive(Debug, Default)]
pub(super) struct Record {
    used: OnceLock<Mutex<Used>>,
}

#[derive(Debug, Default)]
struct Used {
    order: Vec<u32>,
    seen: HashSet<u32>,
    /// How many bytes their frames have.
    packed: u64,
}

impl Record {
    pub(super) fn begin(&self) {
        let _ = self.used.set(Mutex::default());
    }

    pub(super) fn is_kept(&self) -> bool {
        self.used.get().is_some()
    }

    /// Records that a chunk is read.
    pub(super) fn add(&self, chunk: &Chunk) {
        let (Some(used), Ok(number)) = (self.used.get(), u32::try_from(chunk.index)) else {
            return;
        };
        let mut used = used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.order.len() < MAX_PACK_FRAMES as usize && used.seen.insert(number) {
            used.order.push(number);
            used.packed = used.packed.saturating_add(u64::from(chunk.entry.compressed));
        }
    }

    /// The numbers of the chunks in the order of their first use, and the bytes of their frames.
    pub(super) fn so_far(&self) -> (Vec<u32>, u64) {
        let Some(used) = self.used.get() else { return Default::default() };
        let used = used.lock().unwrap_or_else(PoisonError::into_inner);
        (used.order.clone(), used.packed)
    }

    /// The bytes of their frames.
    pub(super) fn packed(&self) -> u64 {
        let Some(used) = self.used.get() else { return 0 };
        used.lock().unwrap_or_else(PoisonError::into_inner).packed
    }
}
