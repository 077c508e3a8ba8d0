//! The reader: drains QEMU's pipe and lays the core out, chunk by chunk.
//!
//! Needs: the pipe. Gives: chunks in the order of the core, zero chunks apart
//! from the others, and in the end whether the stream was whole. The bytes of
//! memory go from the pipe to their place in a chunk without a copy.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::Sender;
use vmcore_formats::elf::dump_head::{self, DumpHead};
use vmcore_formats::elf::stored_core::StoredCore;

use super::buffers::Buffer;
use super::compress::{Content, Frame, Job};
use super::end::{CoreSummary, StreamEnd, StreamError};
use super::input::Input;
use super::{CHUNK, MAX_CORE, Shared};

/// How much is read at once: little enough to be still in the cache when it is
/// searched for anything but zeros.
const READ: usize = 128 << 10;
/// How many chunks of zeros are one message to the writer at most: nothing bounds
/// their number while the disk hangs, as they need no buffer.
const RUN: u64 = 1024;
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// The thread that reads.
pub(super) struct Reader {
    input: Input,
    shared: Arc<Shared>,
    jobs: Sender<Job>,
    frames: Sender<Frame>,
    chunk: Option<Buffer>,
    /// How much of the chunk is filled.
    filled: usize,
    /// Whether all of that is zero.
    zero: bool,
    index: u64,
    /// How many of the chunks before were zeros, and the writer does not know it yet.
    zero_run: u64,
    summary: Option<CoreSummary>,
}

impl Reader {
    /// A reader of `pipe`.
    pub(super) fn new(
        pipe: OwnedFd,
        shared: &Arc<Shared>,
        jobs: Sender<Job>,
        frames: Sender<Frame>,
    ) -> Self {
        Self {
            input: Input::new(pipe, Arc::clone(shared)),
            shared: Arc::clone(shared),
            jobs,
            frames,
            chunk: None,
            filled: 0,
            zero: true,
            index: 0,
            zero_run: 0,
            summary: None,
        }
    }

    /// Reads to the end of the stream, or to the first thing that is wrong.
    ///
    /// Gives the pipe, too. QEMU learns that nobody reads when it is dropped.
    pub(super) fn run(mut self) -> (StreamEnd, Input) {
        let outcome = self.read_all();
        // What was read is worth keeping, whatever came after.
        let _ = self.flush();
        self.send_zeros(self.index);
        let end = StreamEnd { bytes_read: self.input.position(), summary: self.summary, outcome };
        (end, self.input)
    }

    fn read_all(&mut self) -> Result<(), StreamError> {
        let (head, prefix) = self.read_head()?;
        let core = StoredCore::plan(&head)?;
        if core.length() > MAX_CORE {
            return Err(StreamError::TooLarge { bytes: core.length() });
        }
        self.shared.bytes_expected.store(head.stream_length, Ordering::Relaxed);
        self.summary = Some(CoreSummary {
            identity: head.identity,
            notes: head.summarise_notes(&prefix),
            segments: head.segments.len(),
            stream_length: head.stream_length,
            trailing_sections: head.trailing_sections,
        });
        let encoded = core.encode_head(&head, &prefix);
        drop(prefix);
        self.put(&encoded)?;
        let mut core_position = encoded.len() as u64;
        for piece in core.pieces(&head) {
            let (found, offset) = (self.input.position(), piece.stream_offset);
            let gap = offset.checked_sub(found).ok_or(StreamError::Behind { offset, found })?;
            self.skip(gap, head.stream_length)?;
            self.put_zeros(piece.core_offset.saturating_sub(core_position))?;
            self.take(piece.length, head.stream_length)?;
            core_position = piece.core_offset.saturating_add(piece.length);
        }
        self.skip(head.stream_length.saturating_sub(self.input.position()), head.stream_length)?;
        self.expect_end(head.stream_length)
    }

    /// Reads what comes before the memory, and not a byte more.
    fn read_head(&mut self) -> Result<(DumpHead, Vec<u8>), StreamError> {
        let mut prefix = Vec::new();
        loop {
            match DumpHead::decode(&prefix)? {
                dump_head::Progress::Complete(head) => return Ok((head, prefix)),
                dump_head::Progress::Incomplete { needed } => {
                    let from = prefix.len();
                    prefix.resize(usize::try_from(needed).unwrap_or(usize::MAX).max(from), 0);
                    let mut rest = prefix.get_mut(from..).unwrap_or_default();
                    while !rest.is_empty() {
                        let count = self.input.read(rest)?;
                        if count == 0 {
                            let found = self.input.position();
                            return Err(StreamError::Short { found, expected: None });
                        }
                        rest = rest.get_mut(count..).unwrap_or_default();
                    }
                }
            }
        }
    }

    /// Moves `length` bytes of memory from the pipe into chunks.
    fn take(&mut self, length: u64, expected: u64) -> Result<(), StreamError> {
        let mut left = length;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(READ).min(READ);
            let filled = self.filled;
            let mut chunk = self.open_chunk()?;
            let end = filled.saturating_add(most).min(CHUNK);
            let space = chunk.get_mut(filled..end).unwrap_or_default();
            let count = self.input.read(space);
            let fresh = space.get(..*count.as_ref().unwrap_or(&0)).unwrap_or_default();
            let zero = self.zero && is_zero(fresh);
            self.chunk = Some(chunk);
            self.zero = zero;
            let count = count?;
            if count == 0 {
                let found = self.input.position();
                return Err(StreamError::Short { found, expected: Some(expected) });
            }
            left = left.saturating_sub(count as u64);
            self.advance(count)?;
        }
        Ok(())
    }

    /// Reads `length` bytes that the core does not have.
    fn skip(&mut self, length: u64, expected: u64) -> Result<(), StreamError> {
        let mut scratch = vec![0; READ.min(usize::try_from(length).unwrap_or(READ))];
        let mut left = length;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(READ).min(scratch.len());
            let count = self.input.read(scratch.get_mut(..most).unwrap_or_default())?;
            if count == 0 {
                let found = self.input.position();
                return Err(StreamError::Short { found, expected: Some(expected) });
            }
            left = left.saturating_sub(count as u64);
        }
        Ok(())
    }

    fn expect_end(&mut self, expected: u64) -> Result<(), StreamError> {
        let mut scratch = [0; 4096];
        let more = self.input.read(&mut scratch)? > 0;
        let found = self.input.position();
        if more { Err(StreamError::Long { found, expected }) } else { Ok(()) }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let filled = self.filled;
            let mut chunk = self.open_chunk()?;
            let count = rest.len().min(CHUNK.saturating_sub(filled));
            let (now, later) = rest.split_at_checked(count).unwrap_or((rest, &[]));
            if let Some(space) = chunk.get_mut(filled..filled.saturating_add(count)) {
                space.copy_from_slice(now);
            }
            self.chunk = Some(chunk);
            self.zero = self.zero && is_zero(now);
            rest = later;
            self.advance(count)?;
        }
        Ok(())
    }

    /// Fills the place between two segments: less than a page for each of them.
    fn put_zeros(&mut self, length: u64) -> Result<(), StreamError> {
        let mut left = length;
        while left > 0 {
            let now = ZEROS.get(..usize::try_from(left).unwrap_or(usize::MAX)).unwrap_or(&ZEROS);
            self.put(now)?;
            left = left.saturating_sub(now.len() as u64);
        }
        Ok(())
    }

    /// The chunk that is being filled, to be put back.
    fn open_chunk(&mut self) -> Result<Buffer, StreamError> {
        if let Some(chunk) = self.chunk.take() {
            return Ok(chunk);
        }
        if let Some(buffer) = self.shared.buffers.try_take() {
            return Ok(buffer);
        }
        self.shared.waits_for_output.store(true, Ordering::Relaxed);
        let buffer = self.shared.buffers.take();
        self.shared.waits_for_output.store(false, Ordering::Relaxed);
        buffer.ok_or(StreamError::Aborted { found: self.input.position() })
    }

    fn advance(&mut self, count: usize) -> Result<(), StreamError> {
        self.filled = self.filled.saturating_add(count);
        if self.filled < CHUNK { Ok(()) } else { self.flush() }
    }

    /// Sends the chunk on its way, full or not.
    fn flush(&mut self) -> Result<(), StreamError> {
        let (length, zero, index) = (self.filled, self.zero, self.index);
        if length == 0 {
            return Ok(());
        }
        self.filled = 0;
        self.zero = true;
        self.index = self.index.saturating_add(1);
        let sent = if zero && length == CHUNK {
            self.shared.zero_bytes.fetch_add(CHUNK as u64, Ordering::Relaxed);
            // The buffer stays: nothing has to be kept of a chunk of zeros.
            self.zero_run = self.zero_run.saturating_add(1);
            self.zero_run < RUN || self.send_zeros(self.index)
        } else {
            let told = self.send_zeros(index);
            let chunk = self.chunk.take();
            told && chunk
                .is_some_and(|buffer| self.jobs.send(Job { index, buffer, length }).is_ok())
        };
        if sent { Ok(()) } else { Err(StreamError::Aborted { found: self.input.position() }) }
    }

    /// Tells the writer of the chunks of zeros before the one of index `end`.
    /// Gives whether it listens.
    fn send_zeros(&mut self, end: u64) -> bool {
        let count = std::mem::take(&mut self.zero_run);
        let index = end.saturating_sub(count);
        let run = Frame { index, decompressed: CHUNK, count, content: Content::Zeros };
        count == 0 || self.frames.send(run).is_ok()
    }
}

/// Compares against zeros a page at a time, so that a page with data ends the
/// search, and the comparison is the C library's own.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(4096).all(|page| Some(page) == ZEROS.get(..page.len()))
}
