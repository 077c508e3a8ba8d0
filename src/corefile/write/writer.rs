//! The writer: frames into the file, in their order.
//!
//! A file that is written to the end has room reserved for what follows the
//! frames, so that no full disk can take a core whose guest was let go.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::Receiver;
use vmcore_formats::endian::Endian;
use vmcore_formats::seekable::{ENTRY_LENGTH, FrameEntry, SeekTable};

use super::Shared;
use super::compress::{Content, Frame};
use super::end::{OutputError, Written};
use super::sink::CoreSink;

/// How much is written between two looks at the free space, in bytes.
const SPACE_INTERVAL: u64 = 64 << 20;
/// Room for metadata behind the frames, in bytes. It takes a few thousand.
const METADATA_ROOM: u64 = 256 << 10;

/// The thread that writes.
pub(super) struct Writer {
    written: Written,
    shared: Arc<Shared>,
    zero_chunk: Vec<u8>,
    reserve: u64,
    bytes: u64,
    checked: u64,
}

impl Writer {
    /// A writer into `sink` that leaves `reserve` bytes of its space free.
    pub(super) fn new(
        sink: Box<dyn CoreSink>,
        shared: Arc<Shared>,
        zero_chunk: Vec<u8>,
        reserve: u64,
    ) -> Self {
        let written = Written { sink, table: SeekTable::default() };
        Self { written, shared, zero_chunk, reserve, bytes: 0, checked: 0 }
    }

    /// Writes until no more frames come.
    pub(super) fn run(mut self, frames: &Receiver<Frame>) -> Result<Written, OutputError> {
        let mut waiting = BTreeMap::new();
        let mut next = 0_u64;
        for frame in frames {
            waiting.insert(frame.index, frame);
            while let Some(frame) = waiting.remove(&next) {
                next = next.saturating_add(frame.count);
                if let Err(stop) = self.write(frame) {
                    return Err(self.fail(stop));
                }
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
        };
        let bytes = buffer.as_deref().unwrap_or(&self.zero_chunk);
        let bytes = bytes.get(..length).unwrap_or_default();
        let entry = FrameEntry {
            compressed: u32::try_from(length).unwrap_or(u32::MAX),
            decompressed: u32::try_from(frame.decompressed).unwrap_or(u32::MAX),
            // A frame's content checksum, its last four bytes, is the seek table's.
            checksum: bytes.last_chunk().map(|last| Endian::Little.u32(*last)),
        };
        for _ in 0..frame.count {
            self.written.sink.write_all(bytes)?;
            self.written.table.push(entry);
            self.bytes = self.bytes.saturating_add(length as u64);
            self.shared.bytes_written.store(self.bytes, Ordering::Relaxed);
        }
        if let Some(buffer) = buffer {
            self.shared.buffers.give(buffer);
        }
        if self.bytes.saturating_sub(self.checked) >= SPACE_INTERVAL {
            self.check_space()?;
        }
        Ok(())
    }

    fn check_space(&mut self) -> Result<(), Stop> {
        self.checked = self.bytes;
        match self.written.sink.available() {
            Some(available) if available < self.reserve => Err(Stop::Reserve { available }),
            _ => Ok(()),
        }
    }

    /// Reserves room for metadata and seek table.
    fn reserve_tail(&mut self) -> Result<(), Stop> {
        self.check_space()?;
        let entries = (self.written.table.len() as u64).saturating_add(2);
        let length = entries.saturating_mul(ENTRY_LENGTH as u64).saturating_add(METADATA_ROOM);
        Ok(self.written.sink.reserve(self.bytes, length)?)
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

enum Stop {
    Io(io::Error),
    Reserve { available: u64 },
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
