//! Cuts a core into chunks and sends them on their way.
//!
//! Needs: the core's bytes and its runs of zeros in order, or for whole chunks who reads
//! them. Gives: chunks for the workers, and runs of chunks of zeros for the writer.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::Sender;
use thiserror::Error;

use super::CHUNK;
use super::buffers::Buffer;
use super::compress::{Content, Frame};
use super::effort::Effort;
use super::shared::Shared;
use super::work::Job;
use super::zeros::is_zero;
use crate::corefile::read::bytes::Bytes;

/// How many chunks of zeros are one message to the writer at most: nothing bounds
/// their number while the disk hangs, as they need no buffer.
const RUN: u64 = 1024;

/// What gives a core to the writer: QEMU's pipe, or another core.
///
/// A source writes the core's head, too, and when it likes: once it is decided which memory
/// the core has.
pub trait CoreSource: Send + 'static {
    /// How it ended.
    type End: Send + 'static;

    /// How many buffers are of use to it.
    fn buffers(&self) -> usize {
        usize::MAX
    }

    /// Gives all of the core, in order.
    ///
    /// The source is dropped after its end was reported: a pipe that closes is never the
    /// first sign of a failure.
    fn run(&mut self, chunks: &mut Chunks) -> Self::End;
}

/// No more chunks are taken: the output failed, or the work was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the core was not written to its end")]
pub struct Closed;

/// The chunks of a core, as they are filled.
#[derive(Debug)]
pub struct Chunks {
    shared: Arc<Shared>,
    frames: Sender<Frame>,
    chunk: Option<Buffer>,
    /// How much of the chunk is filled.
    filled: usize,
    /// Whether all of that is zero.
    zero: bool,
    index: u64,
    /// How many of the chunks before were zeros, and the writer does not know it yet.
    zero_run: u64,
}

impl Chunks {
    pub(super) fn new(shared: Arc<Shared>, frames: Sender<Frame>) -> Self {
        Self { shared, frames, chunk: None, filled: 0, zero: true, index: 0, zero_run: 0 }
    }

    /// What the threads share.
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Sets how many bytes will come, for the progress.
    pub(super) fn expect(&self, bytes: u64) {
        self.shared.bytes_expected.store(bytes, Ordering::Relaxed);
    }

    /// Has `read` put bytes straight into the chunk: `most` at most, and no more than the
    /// chunk has room for. Gives how many it says that it read.
    pub(super) fn read_from<E: From<Closed>>(
        &mut self,
        most: usize,
        read: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        let filled = self.filled;
        let mut chunk = self.open_chunk()?;
        chunk.populate();
        let end = filled.saturating_add(most).min(CHUNK);
        let space = chunk.get_mut(filled..end).unwrap_or_default();
        let count = read(space);
        let fresh = space.get(..*count.as_ref().unwrap_or(&0)).unwrap_or_default();
        self.zero = self.zero && is_zero(fresh);
        self.chunk = Some(chunk);
        let count = count?;
        self.advance(count)?;
        Ok(count)
    }

    /// Copies bytes.
    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<(), Closed> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let count = self.read_from(rest.len(), |space| {
                let count = space.len();
                space.copy_from_slice(rest.get(..count).unwrap_or_default());
                Ok::<_, Closed>(count)
            })?;
            rest = rest.get(count..).unwrap_or_default();
        }
        Ok(())
    }

    /// Adds zeros. Whole chunks of them are never in memory.
    pub(super) fn put_zeros(&mut self, length: u64) -> Result<(), Closed> {
        let mut left = length;
        while left > 0 {
            if self.filled == 0 && left >= CHUNK as u64 {
                self.filled = CHUNK;
                self.flush()?;
                left = left.saturating_sub(CHUNK as u64);
                continue;
            }
            let most = usize::try_from(left).unwrap_or(CHUNK);
            let count = self.read_from(most, |space| {
                space.fill(0);
                Ok::<_, Closed>(space.len())
            })?;
            left = left.saturating_sub(count as u64);
        }
        Ok(())
    }

    /// Has a worker read the next chunk, which is at `offset` of `reader`. Only between
    /// chunks.
    pub(super) fn read_later(
        &mut self,
        reader: &Arc<dyn Bytes>,
        offset: u64,
        length: usize,
    ) -> Result<(), Closed> {
        debug_assert_eq!(self.filled, 0, "a chunk is being filled");
        let buffer = self.open_chunk()?;
        let job =
            Job { index: self.index, buffer, length, reader: Some((Arc::clone(reader), offset)) };
        let listens = self.send_zeros();
        self.send(job);
        self.index = self.index.saturating_add(1);
        if listens { Ok(()) } else { Err(Closed) }
    }

    /// Has `read` put the next frame, of this length, into a buffer: it is written as it is.
    /// Only between chunks.
    pub(super) fn pass_on<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        &mut self,
        length: usize,
        size: usize,
        read: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), Closed> {
        let mut buffer = self.open_chunk()?;
        let read = match buffer.get_mut(..size) {
            Some(frame) => read(frame).map_err(io::Error::other),
            None => Err(io::Error::other("a frame is longer than a chunk can be")),
        };
        let content = match read {
            Ok(()) => Content::Data(buffer, size),
            Err(error) => Content::Failed(error),
        };
        self.shared.bytes_read.fetch_add(length as u64, Ordering::Relaxed);
        self.shared.pending.fetch_add(1, Ordering::Relaxed);
        let (index, effort) = (self.index, Effort::Level);
        self.index = self.index.saturating_add(1);
        let sent =
            self.frames.send(Frame { index, decompressed: length, count: 1, content, effort });
        sent.map_err(|_| Closed)
    }

    /// Sends what is left, and waits until all that was to be read later is read. The last
    /// chunk need not be full.
    pub(super) fn finish(&mut self) {
        // A writer that does not take it has failed, and reports that itself.
        let _ = self.flush();
        self.send_zeros();
        self.shared.work.await_reads();
        self.shared.all_is_read(self.index);
        let (index, content, effort) = (self.index, Content::AllRead, Effort::Level);
        let _ = self.frames.send(Frame { index, decompressed: 0, count: 0, content, effort });
    }

    /// Hands a chunk to the workers.
    fn send(&self, job: Job) {
        self.shared.pending.fetch_add(1, Ordering::Relaxed);
        self.shared.work.add(job);
    }

    /// The chunk that is being filled, to be put back.
    fn open_chunk(&mut self) -> Result<Buffer, Closed> {
        if let Some(chunk) = self.chunk.take() {
            return Ok(chunk);
        }
        if let Some(buffer) = self.shared.buffers.try_take() {
            return Ok(buffer);
        }
        self.shared.waits_for_output.store(true, Ordering::Relaxed);
        self.shared.work.source_waits();
        let buffer = self.shared.buffers.take();
        self.shared.waits_for_output.store(false, Ordering::Relaxed);
        buffer.ok_or(Closed)
    }

    fn advance(&mut self, count: usize) -> Result<(), Closed> {
        self.filled = self.filled.saturating_add(count);
        if self.filled < CHUNK { Ok(()) } else { self.flush() }
    }

    /// Sends the chunk on its way, full or not.
    fn flush(&mut self) -> Result<(), Closed> {
        let (length, zero, index) = (self.filled, self.zero, self.index);
        if length == 0 {
            return Ok(());
        }
        self.filled = 0;
        self.zero = true;
        let sent = if zero && length == CHUNK {
            self.shared.zero_bytes.fetch_add(CHUNK as u64, Ordering::Relaxed);
            // The buffer stays: nothing has to be kept of a chunk of zeros.
            self.zero_run = self.zero_run.saturating_add(1);
            self.index = self.index.saturating_add(1);
            self.zero_run < RUN || self.send_zeros()
        } else {
            let sent = self.send_zeros();
            self.index = self.index.saturating_add(1);
            let chunk = self.chunk.take();
            if let Some(buffer) = chunk {
                self.send(Job { index, buffer, length, reader: None });
            }
            sent
        };
        if sent { Ok(()) } else { Err(Closed) }
    }

    /// Sends the chunks of zeros before the next one to the writer. Gives whether it listens.
    fn send_zeros(&mut self) -> bool {
        let count = std::mem::take(&mut self.zero_run);
        let index = self.index.saturating_sub(count);
        let (content, effort) = (Content::Zeros, Effort::Level);
        let run = Frame { index, decompressed: CHUNK, count, content, effort };
        count == 0 || self.frames.send(run).is_ok()
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        self.shared.work.end();
    }
}
