//! The writer: frames into the file, in their order.
//!
//! A file that is written to the end has room reserved for what follows the
//! frames, so that no full disk can take a core whose guest was let go. With a spool, room is
//! reserved for all that is in it as soon as all is read: the guest may go then.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crossbeam_channel::Receiver;
use vmcore_formats::endian::Endian;
use vmcore_formats::seekable::{ENTRY_LENGTH, FrameEntry, SeekTable};

use super::compress::{Content, Frame};
use super::effort::Effort;
use super::end::{OutputError, Written};
use super::shared::{Room, Shared};
use super::sink::CoreSink;
use super::{CHUNK, raw_frame};

/// How much is written between two looks at the free space, in bytes.
const SPACE_INTERVAL: u64 = 64 << 20;
/// How much is written between two looks whether what is left fits without compression.
const LOOK_INTERVAL: u64 = 16 << 20;
/// Room for metadata behind the frames, in bytes. It takes a few thousand.
const METADATA_ROOM: u64 = 256 << 10;

/// The thread that writes.
pub(super) struct Writer {
    written: Written,
    shared: Arc<Shared>,
    zero_chunk: Vec<u8>,
    reserve: u64,
    has_spool: bool,
    bytes: u64,
    checked: u64,
    /// From how many bytes on it is tried to reserve room for the spool.
    reserve_from: u64,
    /// From how many bytes on it is looked whether there is room for what is not compressed.
    look_from: u64,
}

impl Writer {
    /// A writer into `sink` that leaves `reserve` bytes of its space free.
    pub(super) fn new(
        sink: Box<dyn CoreSink>,
        shared: Arc<Shared>,
        zero_chunk: Vec<u8>,
        reserve: u64,
        has_spool: bool,
    ) -> Self {
        let written = Written { sink, table: SeekTable::default(), lighter: Vec::new() };
        let (bytes, checked, reserve_from, look_from) = (0, 0, 0, 0);
        Self {
            written,
            shared,
            zero_chunk,
            reserve,
            has_spool,
            bytes,
            checked,
            reserve_from,
            look_from,
        }
    }

    /// Writes until no more frames come.
    pub(super) fn run(mut self, frames: &Receiver<Frame>) -> Result<Written, OutputError> {
        let mut waiting = BTreeMap::new();
        let mut next = 0_u64;
        'frames: for frame in frames {
            if !matches!(frame.content, Content::AllRead) {
                waiting.insert(frame.index, frame);
            }
            self.look_at_room(next);
            self.reserve_spool(next);
            while let Some(frame) = waiting.remove(&next) {
                if matches!(frame.content, Content::Ended) {
                    break 'frames;
                }
                next = next.saturating_add(frame.count);
                if let Err(stop) = self.write(frame) {
                    return Err(self.fail(stop));
                }
                self.look_at_room(next);
                self.reserve_spool(next);
            }
        }
        match self.reserve_tail() {
            Ok(()) => Ok(self.written),
            Err(stop) => Err(self.fail(stop)),
        }
    }

    fn write(&mut self, frame: Frame) -> Result<(), Stop> {
        let (buffer, length) = match frame.content {
            Content::Failed(error) => return Err(error.into()),
            Content::Data(buffer, length) => (Some(buffer), length),
            Content::Zeros => (None, self.zero_chunk.len()),
            Content::Ended | Content::AllRead => return Ok(()),
        };
        let bytes = buffer.as_deref().unwrap_or(&self.zero_chunk);
        let bytes = bytes.get(..length).unwrap_or_default();
        let entry = FrameEntry {
            compressed: u32::try_from(length).unwrap_or(u32::MAX),
            decompressed: u32::try_from(frame.decompressed).unwrap_or(u32::MAX),
            // A frame's content checksum, its last four bytes, is the seek table's.
            checksum: bytes.last_chunk().map(|last| Endian::Little.u32(*last)),
        };
        if frame.effort != Effort::Level {
            self.written.lighter.extend(u32::try_from(frame.index));
        }
        let started = Instant::now();
        self.shared.writing.store(true, Ordering::Relaxed);
        for _ in 0..frame.count {
            self.written.sink.write_all(bytes)?;
            self.written.table.push(entry);
            self.bytes = self.bytes.saturating_add(length as u64);
            self.shared.bytes_written.store(self.bytes, Ordering::Relaxed);
        }
        self.shared.writing.store(false, Ordering::Relaxed);
        if let Some(buffer) = buffer {
            self.shared.rates.wrote(started.elapsed(), length);
            self.shared.pending.fetch_sub(1, Ordering::Relaxed);
            self.shared.buffers.give(buffer);
        }
        if self.bytes.saturating_sub(self.checked) >= SPACE_INTERVAL {
            self.check_space()?;
        }
        Ok(())
    }

    fn check_space(&mut self) -> Result<(), Stop> {
        self.checked = self.bytes;
        // What is to stay free was counted when the room was reserved.
        if self.shared.room() == Room::Reserved {
            return Ok(());
        }
        match self.written.sink.available() {
            Some(available) if available < self.reserve => Err(Stop::Reserve { available }),
            _ => Ok(()),
        }
    }

    /// Reserves room for metadata and seek table.
    fn reserve_tail(&mut self) -> Result<(), Stop> {
        self.check_space()?;
        self.written.sink.reserve(self.bytes, tail_room(self.written.table.len() as u64))?;
        Ok(())
    }

    /// Reserves room for all chunks from `next` on, once all is read, as if nothing could be
    /// compressed. If there is too little, it is tried again when some are written.
    fn reserve_spool(&mut self, next: u64) {
        if !self.has_spool || self.bytes < self.reserve_from {
            return;
        }
        let Some(chunks) = self.shared.chunks().filter(|_| self.shared.room() != Room::Reserved)
        else {
            return;
        };
        self.reserve_from = self.bytes.saturating_add(SPACE_INTERVAL);
        let worst = self.worst(next, chunks, 0);
        let wanted = worst.saturating_add(self.reserve);
        if self.written.sink.available().is_some_and(|available| available < wanted) {
            self.shared.raw_fits.store(false, Ordering::Relaxed);
            self.shared.set_room(Room::Refused);
            return;
        }
        self.shared.set_room(match self.written.sink.reserve(self.bytes, worst) {
            Ok(true) => {
                self.shared.raw_fits.store(true, Ordering::Relaxed);
                Room::Reserved
            }
            Ok(false) => {
                self.reserve_from = u64::MAX;
                Room::Refused
            }
            Err(_) => Room::Refused,
        });
    }

    /// Looks whether there is room for all that is still to come, as if nothing of it could be
    /// compressed. Where there is not, each chunk gets all the work that was asked for, however
    /// long the guest waits: a core that fits when it is compressed must not fill the disk.
    fn look_at_room(&mut self, next: u64) {
        if !self.has_spool || self.bytes < self.look_from || self.shared.room() == Room::Reserved {
            return;
        }
        let progress = self.shared.progress();
        let (expected, chunk) = (progress.bytes_expected, CHUNK as u64);
        let unread = match self.shared.chunks() {
            Some(_) => 0,
            // Anything may come.
            None if expected == 0 => return,
            None => expected.saturating_sub(progress.bytes_read).div_ceil(chunk),
        };
        self.look_from = self.bytes.saturating_add(LOOK_INTERVAL);
        let chunks = self.shared.chunks().unwrap_or_else(|| expected.div_ceil(chunk));
        let worst = self.worst(next, chunks, unread).saturating_add(self.reserve);
        let fits = self.written.sink.available().is_some_and(|available| worst <= available);
        self.shared.raw_fits.store(fits, Ordering::Relaxed);
    }

    /// How many bytes may still be written at most, of the chunks from `next` on, of which
    /// `unread` were not read yet.
    fn worst(&self, next: u64, chunks: u64, unread: u64) -> u64 {
        let pending = self.shared.pending.load(Ordering::Relaxed).saturating_add(unread);
        let longest = zstd::zstd_safe::compress_bound(CHUNK).max(raw_frame::length_of(CHUNK));
        let zeros = chunks.saturating_sub(next).saturating_mul(self.zero_chunk.len() as u64);
        let worst = pending.saturating_mul(longest as u64).saturating_add(zeros);
        worst.saturating_add(tail_room(chunks))
    }

    fn fail(self, stop: Stop) -> OutputError {
        let written = Box::new(self.written);
        match stop {
            Stop::Io(source) => OutputError::Write { source, written },
            Stop::Reserve { available } => {
                OutputError::Reserve { available, reserve: self.reserve, written }
            }
        }
    }
}

/// How many bytes follow the frames of a core at most.
fn tail_room(chunks: u64) -> u64 {
    chunks.saturating_add(2).saturating_mul(ENTRY_LENGTH as u64).saturating_add(METADATA_ROOM)
}

enum Stop {
    Io(io::Error),
    Reserve { available: u64 },
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
