//! What the threads of a pipeline share.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use rustix::event::{EventfdFlags, eventfd};

use super::Progress;
use super::buffers::Buffers;
use super::effort::Rates;
use super::work::Work;

/// Whether the file has room for what is still to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Room {
    /// That is not decided: not all is read yet.
    Unknown,
    /// It is reserved.
    Reserved,
    /// It cannot be reserved: there is too little, or the file system cannot.
    Refused,
}

/// What the threads share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) bytes_read: AtomicU64,
    pub(super) bytes_expected: AtomicU64,
    pub(super) bytes_written: AtomicU64,
    pub(super) zero_bytes: AtomicU64,
    /// Chunks that are not zeros, and not written yet.
    pub(super) pending: AtomicU64,
    /// How many chunks the core has, once all is read.
    chunks: AtomicU64,
    room: AtomicU8,
    pub(super) waits_for_output: AtomicBool,
    pub(super) hurries: AtomicBool,
    /// Whether the file has room for all that is still to be written if nothing of it is
    /// compressed.
    pub(super) raw_fits: AtomicBool,
    /// Whether the sink is being written to.
    pub(super) writing: AtomicBool,
    pub(super) aborted: AtomicBool,
    /// Whether what was read is of no use, either.
    pub(super) discarded: AtomicBool,
    /// Readable once the source should stop.
    pub(super) abort: OwnedFd,
    /// Readable once the source or the writer has come to its end.
    pub(super) ended: OwnedFd,
    pub(super) buffers: Buffers,
    pub(super) work: Work,
    pub(super) rates: Rates,
    /// How many threads work.
    pub(super) workers: usize,
}

/// The number of chunks as long as it is unknown.
const UNKNOWN: u64 = u64::MAX;

impl Shared {
    pub(super) fn new(
        buffers: Buffers,
        work: Work,
        rates: Rates,
        workers: usize,
    ) -> io::Result<Self> {
        let event = || eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        Ok(Self {
            bytes_read: AtomicU64::new(0),
            bytes_expected: AtomicU64::new(0),
            bytes_written: AtomicU64::new(0),
            zero_bytes: AtomicU64::new(0),
            pending: AtomicU64::new(0),
            chunks: AtomicU64::new(UNKNOWN),
            room: AtomicU8::new(Room::Unknown as u8),
            waits_for_output: AtomicBool::new(false),
            hurries: AtomicBool::new(false),
            raw_fits: AtomicBool::new(false),
            writing: AtomicBool::new(false),
            aborted: AtomicBool::new(false),
            discarded: AtomicBool::new(false),
            abort: event()?,
            ended: event()?,
            buffers,
            work,
            rates,
            workers,
        })
    }

    /// Makes the source stop. That closes a pipe: QEMU's next write fails.
    pub(super) fn abort(&self) {
        self.aborted.store(true, Ordering::Relaxed);
        raise(&self.abort);
        self.buffers.close();
        self.work.source_waits();
    }

    /// All of a core is read: it has this number of chunks.
    pub(super) fn all_is_read(&self, chunks: u64) {
        self.chunks.store(chunks, Ordering::Release);
        self.work.all_is_read();
        self.buffers.drain();
    }

    /// How many chunks the core has, if all of it is read.
    pub(super) fn chunks(&self) -> Option<u64> {
        let chunks = self.chunks.load(Ordering::Acquire);
        (chunks != UNKNOWN).then_some(chunks)
    }

    pub(super) fn room(&self) -> Room {
        let room = self.room.load(Ordering::Acquire);
        let all = [Room::Reserved, Room::Refused];
        all.into_iter().find(|known| *known as u8 == room).unwrap_or(Room::Unknown)
    }

    /// Sets whether there is room, and wakes the pipeline's owner.
    pub(super) fn set_room(&self, room: Room) {
        self.room.store(room as u8, Ordering::Release);
        raise(&self.ended);
    }

    pub(super) fn progress(&self) -> Progress {
        let number = |value: &AtomicU64| value.load(Ordering::Relaxed);
        Progress {
            bytes_read: number(&self.bytes_read),
            bytes_expected: number(&self.bytes_expected),
            bytes_written: number(&self.bytes_written),
            waits_for_output: self.waits_for_output.load(Ordering::Relaxed),
        }
    }
}

/// Makes an eventfd readable.
pub(super) fn raise(event: &OwnedFd) {
    let _ = rustix::io::write(event, &1_u64.to_ne_bytes());
}
