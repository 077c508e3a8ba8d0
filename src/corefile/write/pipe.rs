//! QEMU's stream out of its pipe, as a core to be stored.
//!
//! Needs: the read end of the pipe. Gives: the head of the stored core, its memory, and in
//! the end whether the stream was whole. The bytes of memory go from the pipe to their
//! place in a chunk without a copy.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use vmcore_formats::elf::dump_head::{self, DumpHead};
use vmcore_formats::elf::stored_core::StoredCore;
use vmcore_formats::page_class::LeftOut;

use super::MAX_CORE;
use super::chunks::{Chunks, Closed, CoreSource};
use super::end::{CoreSummary, StreamEnd, StreamError};
use super::input::Input;

/// How much is read at once: little enough to be still in the cache when it is
/// searched for anything but zeros.
const READ: usize = 128 << 10;

/// The read end of the pipe that QEMU dumps into.
#[derive(Debug)]
pub struct PipeSource {
    pipe: OwnedFd,
    /// The pages that the core is to lack, if any.
    left_out: Option<LeftOut>,
}

impl PipeSource {
    /// All that comes out of `pipe`.
    pub fn new(pipe: OwnedFd) -> Self {
        Self { pipe, left_out: None }
    }

    /// The same without these pages, if any: they are read, too, and not stored.
    #[must_use]
    pub fn without(self, left_out: Option<LeftOut>) -> Self {
        Self { left_out, ..self }
    }
}

impl CoreSource for PipeSource {
    type End = StreamEnd;

    fn run(&mut self, chunks: &mut Chunks) -> StreamEnd {
        let input = Input::new(self.pipe.as_fd(), Arc::clone(chunks.shared()));
        let left_out = self.left_out.take();
        let mut stream = Stream { input, chunks, left_out, summary: None, scratch: Vec::new() };
        let outcome = stream.read_all();
        // What was read is worth keeping, whatever came after.
        stream.chunks.finish();
        StreamEnd { bytes_read: stream.input.position(), summary: stream.summary, outcome }
    }
}

/// A stream on its way into chunks.
struct Stream<'a> {
    input: Input<'a>,
    chunks: &'a mut Chunks,
    left_out: Option<LeftOut>,
    summary: Option<CoreSummary>,
    /// Where bytes go that the core does not have.
    scratch: Vec<u8>,
}

impl Stream<'_> {
    fn read_all(&mut self) -> Result<(), StreamError> {
        let (mut head, mut prefix) = self.read_head()?;
        let summary_of_notes = head.summarise_notes(&prefix);
        let plan = self.left_out.take();
        let left_out = plan.and_then(|plan| head.leave_out(&plan, &mut prefix));
        let core = StoredCore::plan(&head)?;
        if core.length() > MAX_CORE {
            return Err(StreamError::TooLarge { bytes: core.length() });
        }
        self.chunks.expect(head.stream_length);
        self.summary = Some(CoreSummary::of(&head, summary_of_notes, left_out));
        let encoded = core.encode_head(&head, &prefix);
        drop(prefix);
        let closed = |found| move |Closed| StreamError::Aborted { found };
        self.chunks.put(&encoded).map_err(closed(self.input.position()))?;
        let mut core_position = encoded.len() as u64;
        for piece in core.pieces(&head) {
            let (found, offset) = (self.input.position(), piece.stream_offset);
            let gap = offset.checked_sub(found).ok_or(StreamError::Behind { offset, found })?;
            self.skip(gap, head.stream_length)?;
            let padding = piece.core_offset.saturating_sub(core_position);
            self.chunks.put_zeros(padding).map_err(closed(self.input.position()))?;
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
            let input = &mut self.input;
            let count =
                self.chunks.read_from(most, |space| input.read(space).map_err(Stop::Stream));
            let found = self.input.position();
            let count = count.map_err(|stop| match stop {
                Stop::Stream(error) => error,
                Stop::Closed => StreamError::Aborted { found },
            })?;
            if count == 0 {
                return Err(StreamError::Short { found, expected: Some(expected) });
            }
            left = left.saturating_sub(count as u64);
        }
        Ok(())
    }

    /// Reads `length` bytes that the core does not have.
    fn skip(&mut self, length: u64, expected: u64) -> Result<(), StreamError> {
        self.scratch.resize(READ, 0);
        let mut left = length;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(READ).min(READ);
            let count = self.input.read(self.scratch.get_mut(..most).unwrap_or_default())?;
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
}

/// Why no more memory is moved.
enum Stop {
    Stream(StreamError),
    Closed,
}

impl From<Closed> for Stop {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}
