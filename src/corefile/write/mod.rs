//! A core on its way to where it is stored: cut, compressed, written in order.
//!
//! ```text
//!              ┌─────────────── free buffers ◄──────────────────┐
//!              ▼                                                │
//! source ──► chunks ──► work ──► worker × N ──► frames ──► writer ──► sink
//!              └───────────── zero chunks ────────►┘
//! ```
//!
//! A source ([`CoreSource`]) gives bytes and runs of zeros: QEMU's pipe, or another core; or
//! it has the workers read. It never waits for a worker while there is a free buffer, and the
//! number of buffers bounds the memory. What waits in them for a worker is the spool
//! ([`SpoolLimit`]): a guest is held for what is read, and not for what is compressed. Once
//! it is full, chunks get less work (`effort`), whichever lets the most of them pass. The
//! sink ([`CoreSink`]) is written from front to back. The threads are not joined: a file
//! system that hangs blocks the writer alone.

mod buffers;
mod bytes_source;
mod chunks;
mod compress;
mod effort;
mod end;
mod held_source;
mod input;
mod pipe;
mod ranged_source;
mod raw_frame;
mod recompress;
mod shared;
mod sink;
mod spool;
pub mod tail;
mod work;
mod writer;
mod zeros;

pub use bytes_source::BytesSource;
pub use chunks::{Chunks, CoreSource};
pub use end::{CoreSummary, OutputError, StreamEnd, StreamError, Written};
pub use held_source::HeldSource;
pub use pipe::PipeSource;
pub use ranged_source::{MemoryPiece, RangedSource};
pub use recompress::StoredSource;
pub use shared::Room;
pub use sink::CoreSink;
pub use spool::SpoolLimit;

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded, unbounded};
use vmcore_formats::seekable::{ENTRY_LENGTH, MAX_FRAMES};

use buffers::Buffers;
use compress::{Compressor, do_work};
use effort::Rates;
use shared::{Shared, raise};
use spool::Spool;
use work::Work;
use writer::Writer;

/// How many bytes of the core a chunk has.
///
/// Chosen by measurement (`tests/bench/held-time --sweep`): smaller chunks
/// compress worse and cost more calls, larger ones make a single page dearer to
/// read and the memory in flight larger.
pub const CHUNK: usize = 1 << 20;
/// The longest core, in bytes: of the frames that the format allows, one is the metadata's.
pub const MAX_CORE: u64 = (MAX_FRAMES as u64 - 1) * CHUNK as u64;
/// How much memory may wait for workers and for the disk, in bytes, and how much
/// at least: the seek table of a large guest takes of it what it will need.
const IN_FLIGHT: usize = 96 << 20;
const LEAST_IN_FLIGHT: usize = 32 << 20;
/// How much memory the workers' zstd contexts may take, in bytes. One of them
/// has about 1 MiB at level 1, and 20 MiB at level 19.
const CONTEXTS: usize = 96 << 20;
/// How often progress is reported while a pipeline is waited for.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// What a pipeline needs to know.
#[derive(Clone, Copy, Debug)]
pub struct StreamOptions {
    /// The zstd level.
    pub level: i32,
    /// How many threads compress.
    pub threads: usize,
    /// How much space the file system must keep, in bytes.
    pub reserve: u64,
    /// How much memory the guest has, in bytes; 0 if that is unknown.
    pub memory: u64,
    /// How much of it may wait for workers and the disk, beside what always may.
    pub spool: SpoolLimit,
}

/// How far a pipeline is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that the source gave.
    pub bytes_read: u64,
    /// Bytes that will come; 0 as long as that is unknown.
    pub bytes_expected: u64,
    /// Bytes that were written.
    pub bytes_written: u64,
    /// Whether the source waits for the disk or the workers, and not they for it.
    pub waits_for_output: bool,
}

/// What of a pipeline has come to its end.
#[derive(Debug)]
pub struct Ended<E = StreamEnd> {
    /// How the source ended.
    pub stream: Option<E>,
    /// What became of the output.
    pub output: Option<Result<Written, OutputError>>,
}

impl<E> Default for Ended<E> {
    fn default() -> Self {
        Self { stream: None, output: None }
    }
}

/// A core on its way.
#[derive(Debug)]
pub struct Pipeline<E = StreamEnd> {
    shared: Arc<Shared>,
    stream: Receiver<E>,
    output: Receiver<Result<Written, OutputError>>,
    threads: usize,
}

impl<E: Send + 'static> Pipeline<E> {
    /// Starts to move what `source` gives into `sink`.
    ///
    /// Fails if a thread, a descriptor or a zstd context cannot be had.
    pub fn start<S: CoreSource<End = E>>(
        mut source: S,
        sink: Box<dyn CoreSink>,
        options: StreamOptions,
    ) -> io::Result<Self> {
        let buffers = buffer_count(options.memory).min(source.buffers());
        let buffer_size = zstd::zstd_safe::compress_bound(CHUNK);
        let mut first = Compressor::new(options.level)?;
        let zero_chunk = first.frame_of_zeros()?;
        let affordable = CONTEXTS.checked_div(first.memory()).unwrap_or(options.threads);
        let threads = options.threads.min(affordable).max(1);
        drop(first);
        let spool = Spool::new(options.spool);
        let has_spool = spool.exists();
        // Within the quota of this process's control groups, too.
        let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let shared = Arc::new(Shared::new(
            Buffers::new(buffers, buffer_size, spool),
            Work::new(threads, processors),
            Rates::new(options.level),
            threads,
        )?);
        // The buffers bound what is in this queue. A bound of its own could
        // hold the source, and with it QEMU, when the disk hangs.
        let (frame_sender, frames) = unbounded();
        let (stream_sender, stream) = bounded(1);
        let (output_sender, output) = bounded(1);

        let writer = Writer::new(sink, Arc::clone(&shared), zero_chunk, options.reserve, has_spool);
        spawn("writer", &shared, move |shared| {
            let written = writer.run(&frames);
            let failed = written.is_err();
            // Before QEMU can report the consequence.
            let _ = output_sender.send(written);
            if failed {
                shared.abort();
            }
        })?;
        for number in 0..threads {
            let frames = frame_sender.clone();
            let (compressor, spare) = (Compressor::new(options.level)?, shared.buffers.extra()?);
            spawn(&format!("zstd-{number}"), &shared, move |shared| {
                do_work(&frames, compressor, spare, shared);
            })?;
        }
        spawn("source", &shared, move |shared| {
            let mut chunks = Chunks::new(Arc::clone(shared), frame_sender);
            let end = source.run(&mut chunks);
            drop(chunks);
            // Before QEMU can report the consequence.
            let _ = stream_sender.send(end);
            drop(source);
        })?;
        Ok(Self { shared, stream, output, threads })
    }

    /// The descriptor that is readable when [`Pipeline::take_ended`] has something new.
    pub fn waker(&self) -> BorrowedFd<'_> {
        self.shared.ended.as_fd()
    }

    /// What has come to its end since this was asked last: each of the two once.
    pub fn take_ended(&self) -> Ended<E> {
        // Cleared once, and before both are looked at: what ends later wakes again.
        let _ = rustix::io::read(&self.shared.ended, &mut [0; 8]);
        Ended { stream: self.stream.try_recv().ok(), output: self.output.try_recv().ok() }
    }

    /// Waits until all is written. `watch` hears from time to time how far it is, and says
    /// whether to go on; `None` if it ended the work.
    pub fn wait(
        &self,
        mut watch: impl FnMut(Progress) -> bool,
    ) -> Option<Result<Written, OutputError>> {
        let mut stopped = false;
        loop {
            match self.output.recv_timeout(LOOK_INTERVAL) {
                Ok(output) => return (!stopped).then_some(output),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {
                    if !stopped && !watch(self.progress()) {
                        stopped = true;
                        self.abort();
                    }
                }
            }
        }
    }

    /// Ends the stream: QEMU's next write fails, and the sink gets what was read.
    pub fn abort(&self) {
        self.shared.abort();
    }

    /// The same, and gives up what was read: the sink is given back soon.
    pub fn discard(&self) {
        self.shared.discarded.store(true, Ordering::Relaxed);
        self.abort();
    }

    /// How many threads compress: fewer than asked for at a level at which each
    /// takes much memory.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Whether the file has room for all that was read and is not in it yet, whatever it
    /// compresses to.
    pub fn room(&self) -> Room {
        self.shared.room()
    }

    /// Sets whether a guest waits until the file has all that was read: chunks then get as
    /// much work as lets the most of them pass.
    pub fn hurry(&self, hurries: bool) {
        self.shared.hurries.store(hurries, Ordering::Relaxed);
    }

    /// Whether the sink is being written to, and not waited for.
    pub fn is_writing(&self) -> bool {
        self.shared.writing.load(Ordering::Relaxed)
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.shared.progress()
    }

    /// How many bytes were in chunks of zeros.
    pub fn zero_bytes(&self) -> u64 {
        self.shared.zero_bytes.load(Ordering::Relaxed)
    }
}

/// How many buffers there may be for a guest with so much memory: fewer for a
/// large one, whose seek table grows to what they leave.
fn buffer_count(memory: u64) -> usize {
    let chunks = usize::try_from(memory).unwrap_or(usize::MAX) / CHUNK;
    let table = chunks.saturating_mul(ENTRY_LENGTH);
    IN_FLIGHT.saturating_sub(table).max(LEAST_IN_FLIGHT) / CHUNK
}

fn spawn(
    name: &str,
    shared: &Arc<Shared>,
    work: impl FnOnce(&Arc<Shared>) + Send + 'static,
) -> io::Result<()> {
    let shared = Arc::clone(shared);
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        work(&shared);
        raise(&shared.ended);
    })?;
    Ok(())
}

#[cfg(test)]
#[path = "pipeline_tests.rs"]
mod tests;

#[cfg(test)]
mod spool_tests;
