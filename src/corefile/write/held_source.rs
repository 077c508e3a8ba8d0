//! A held guest's core whose bytes are read in QEMU's process, and not sent by QEMU.
//!
//! Needs: the core as a file that can be read anywhere. Workers read the chunks that they
//! compress. The source ends when all of them were read: the guest need not be held for
//! what is still to be compressed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::chunks::{Chunks, CoreSource};
use super::end::{CoreSummary, StreamEnd, StreamError};
use super::{CHUNK, MAX_CORE};
use crate::corefile::read::bytes::Bytes;

/// How long a run of zeros is found out at once, in bytes: what is counted as read by then.
const RUN: u64 = 1 << 30;

/// The core of a held guest.
#[derive(Debug)]
pub struct HeldSource {
    /// Its file.
    pub core: Arc<dyn Bytes>,
    /// What the head of QEMU's dump says of it.
    pub summary: CoreSummary,
}

impl CoreSource for HeldSource {
    type End = StreamEnd;

    fn run(&mut self, chunks: &mut Chunks) -> StreamEnd {
        let length = self.core.length();
        let outcome = if length > MAX_CORE {
            Err(StreamError::TooLarge { bytes: length })
        } else {
            self.read_all(chunks, length)
        };
        let found = chunks.shared().bytes_read.load(Ordering::Relaxed);
        StreamEnd {
            // The dump's bytes, as those that come through a pipe.
            bytes_read: if outcome.is_ok() { self.summary.stream_length } else { found },
            summary: Some(self.summary.clone()),
            outcome,
        }
    }
}

impl HeldSource {
    fn read_all(&self, chunks: &mut Chunks, length: u64) -> Result<(), StreamError> {
        chunks.expect(length);
        let mut offset = 0_u64;
        let mut outcome = Ok(());
        while offset < length && outcome.is_ok() {
            let left = length.saturating_sub(offset);
            let zeros = self.zeros(offset).min(left);
            let zeros = zeros - zeros % CHUNK as u64;
            let count = if zeros > 0 { zeros } else { left.min(CHUNK as u64) };
            outcome = if zeros > 0 {
                chunks.shared().bytes_read.fetch_add(zeros, Ordering::Relaxed);
                chunks.put_zeros(zeros)
            } else {
                chunks.read_later(&self.core, offset, usize::try_from(count).unwrap_or(CHUNK))
            };
            offset = offset.saturating_add(count);
        }
        // Returns when all reads have ended, well or not.
        chunks.finish();
        let found = chunks.shared().bytes_read.load(Ordering::Relaxed);
        if outcome.is_ok() && found == length {
            Ok(())
        } else {
            Err(StreamError::Aborted { found })
        }
    }

    /// How many bytes from `offset` on are zeros, as far as that is known.
    fn zeros(&self, offset: u64) -> u64 {
        let mut zeros = 0_u64;
        while zeros < RUN {
            match self.core.zeros(offset.saturating_add(zeros)) {
                0 => break,
                more => zeros = zeros.saturating_add(more),
            }
        }
        zeros
    }
}
