//! A core whose bytes can be read at any offset, such as a dump to be imported.
//!
//! Workers read the chunks that they compress: a dump of another tool may have to be
//! decompressed, which takes as long.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::CHUNK;
use super::chunks::{Chunks, Closed, CoreSource};
use crate::corefile::read::bytes::Bytes;

/// How many chunks may be read, compressed or waiting for the disk.
const IN_FLIGHT: usize = 32;

/// The bytes of a core's file.
#[derive(Debug)]
pub struct BytesSource(pub Arc<dyn Bytes>);

impl CoreSource for BytesSource {
    type End = Result<(), Closed>;

    fn buffers(&self) -> usize {
        IN_FLIGHT
    }

    fn run(&mut self, chunks: &mut Chunks) -> Result<(), Closed> {
        let length = self.0.length();
        chunks.expect(length);
        let mut offset = 0_u64;
        let mut outcome = Ok(());
        while offset < length && outcome.is_ok() {
            let count = length.saturating_sub(offset).min(CHUNK as u64);
            let whole = count == CHUNK as u64;
            outcome = if whole && self.is_zeros(offset, count) {
                chunks.shared().bytes_read.fetch_add(count, Ordering::Relaxed);
                chunks.put_zeros(count)
            } else {
                chunks.read_later(&self.0, offset, usize::try_from(count).unwrap_or(CHUNK))
            };
            offset = offset.saturating_add(count);
        }
        chunks.finish();
        outcome
    }
}

impl BytesSource {
    /// Whether bytes are zeros, as far as that can be said without reading them.
    fn is_zeros(&self, offset: u64, length: u64) -> bool {
        let end = offset.saturating_add(length);
        let mut known = offset;
        while known < end {
            match self.0.zeros(known) {
                0 => return false,
                zeros => known = known.saturating_add(zeros),
            }
        }
        true
    }
}

#[cfg(test)]
#[path = "bytes_source_tests.rs"]
mod tests;
