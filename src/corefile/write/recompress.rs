//! A stored core, with those of its chunks compressed that were stored with less work.
//!
//! Needs: an open core, and the numbers of these chunks. Gives: the same core; its other
//! frames are copied as they are.

use std::sync::Arc;

use super::chunks::{Chunks, Closed, CoreSource};
use crate::corefile::read::bytes::Bytes;
use crate::corefile::read::chunked::ChunkedFile;

/// How many chunks may be read, compressed or waiting for the disk.
const IN_FLIGHT: usize = 32;

/// A stored core.
#[derive(Debug)]
pub struct StoredSource {
    /// The core.
    pub core: Arc<ChunkedFile>,
    /// The numbers of the chunks that are to be compressed again, in their order.
    pub lighter: Vec<u32>,
}

impl CoreSource for StoredSource {
    type End = Result<(), Closed>;

    fn buffers(&self) -> usize {
        IN_FLIGHT
    }

    fn run(&mut self, chunks: &mut Chunks) -> Result<(), Closed> {
        // This program has just written all of it.
        self.core.read_without_limit();
        let reader: Arc<dyn Bytes> = Arc::<ChunkedFile>::clone(&self.core);
        let mut lighter = self.lighter.iter().peekable();
        chunks.expect(self.core.length());
        let mut outcome = Ok(());
        let frames = self.core.table().chunks().filter(|chunk| chunk.entry.decompressed > 0);
        for (number, chunk) in frames.enumerate() {
            let length = chunk.entry.decompressed as usize;
            let again = lighter.next_if(|again| usize::try_from(**again) == Ok(number)).is_some();
            outcome = if again {
                chunks.read_later(&reader, chunk.offset, length)
            } else {
                chunks.pass_on(length, chunk.entry.compressed as usize, |frame| {
                    self.core.file().read(chunk.file_offset, frame)
                })
            };
            if outcome.is_err() {
                break;
            }
        }
        chunks.finish();
        outcome
    }
}
