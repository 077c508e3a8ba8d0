//! The same chunks out of bytes that can be read anywhere, for a file that is there already.
//!
//! ```text
//!            ┌──── free buffers ◄──────────────┐
//!            ▼                                 │
//! bytes ──► worker × N ──────► frames ──────► writer ──► file
//!           reads, compresses
//! ```
//!
//! A worker takes its buffer before it takes the next chunk. So the chunk that the
//! writer waits for has one, whatever the others hold.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded, unbounded};
use rustix::event::{EventfdFlags, eventfd};

use super::buffers::Buffers;
use super::compress::{Compressor, Content, Frame};
use super::reader::is_zero;
use super::writer::Writer;
use super::{CHUNK, CONTEXTS, OutputError, Progress, Shared, StreamOptions, Written};
use crate::corefile::read::bytes::{Bytes, DataError};

/// How many compressed chunks may wait for the disk.
const IN_FLIGHT: usize = 32;
/// How often `watch` is asked.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// What was packed.
#[derive(Debug)]
pub struct Packed {
    /// The file, not synced, without what follows its chunks.
    pub written: Written,
    /// How many bytes were in chunks of zeros.
    pub zero_bytes: u64,
    /// How many threads compressed.
    pub threads: usize,
}

/// Why bytes are not packed to their end.
#[derive(Debug)]
pub enum PackError {
    /// A thread, a descriptor or a zstd context cannot be had.
    Start(io::Error),
    /// They cannot be read.
    Source(DataError),
    /// They cannot be written.
    Output(OutputError),
    /// It was stopped.
    Stopped,
}

/// What the workers share.
struct Work<'a> {
    bytes: &'a dyn Bytes,
    shared: &'a Shared,
    /// The number of the chunk that is taken next.
    next: AtomicU64,
    failed: Mutex<Option<DataError>>,
}

/// Packs all of `bytes` into `file`. `watch` hears from time to time how far it is, and
/// says whether to go on.
///
/// # Errors
/// Fails if bytes cannot be read or written, or `watch` stopped it. What is in the file
/// then is of no use.
pub fn pack(
    bytes: &dyn Bytes,
    file: File,
    options: StreamOptions,
    mut watch: impl FnMut(Progress) -> bool,
) -> Result<Packed, PackError> {
    if bytes.length() > MAX_CORE {
        return Err(PackError::Start(io::ErrorKind::FileTooLarge.into()));
    }
    let shared = Arc::new(shared(bytes.length()).map_err(PackError::Start)?);
    let mut first = Compressor::new(options.level).map_err(PackError::Start)?;
    let zero_chunk = first.frame_of_zeros().map_err(PackError::Start)?;
    let affordable = CONTEXTS.checked_div(first.memory()).unwrap_or(options.threads);
    let threads = options.threads.min(affordable).max(1);
    let compressors = std::iter::once(Ok(first))
        .chain(std::iter::repeat_with(|| Compressor::new(options.level)))
        .take(threads)
        .collect::<io::Result<Vec<_>>>()
        .map_err(PackError::Start)?;
    let (frame_sender, frames) = unbounded();
    let (output_sender, output) = bounded(1);
    let writer = Writer::new(file, Arc::clone(&shared), zero_chunk, options.reserve);
    let next = AtomicU64::new(0);
    let work = Work { bytes, shared: &shared, next, failed: Mutex::default() };
    let stopped = AtomicBool::new(false);

    let written = thread::scope(|scope| {
        for compressor in compressors {
            let (work, frames) = (&work, frame_sender.clone());
            scope.spawn(move || work.run(compressor, &frames));
        }
        drop(frame_sender);
        let buffers = &shared.buffers;
        scope.spawn(move || {
            let written = writer.run(&frames);
            // Nobody compresses for a file that cannot be written.
            drop(frames);
            buffers.close();
            let _ = output_sender.send(written);
        });
        loop {
            match output.recv_timeout(LOOK_INTERVAL) {
                Ok(written) => return Some(written),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) if !watch(shared.progress()) => {
                    stopped.store(true, Ordering::Relaxed);
                    shared.buffers.close();
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    });
    if let Some(error) = work.failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(PackError::Source(error));
    }
    match written {
        Some(Err(error)) => Err(PackError::Output(error)),
        Some(Ok(written)) if !stopped.into_inner() => {
            let zero_bytes = shared.zero_bytes.load(Ordering::Relaxed);
            Ok(Packed { written, zero_bytes, threads })
        }
        _ => Err(PackError::Stopped),
    }
}

fn shared(length: u64) -> io::Result<Shared> {
    let event = || eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
    Ok(Shared {
        bytes_read: AtomicU64::new(0),
        bytes_expected: AtomicU64::new(length),
        bytes_written: AtomicU64::new(0),
        zero_bytes: AtomicU64::new(0),
        waits_for_output: AtomicBool::new(false),
        aborted: AtomicBool::new(false),
        abort: event()?,
        ended: event()?,
        buffers: Buffers::new(IN_FLIGHT, zstd::zstd_safe::compress_bound(CHUNK)),
    })
}

impl Work<'_> {
    fn run(&self, mut compressor: Compressor, frames: &Sender<Frame>) {
        let mut space = vec![0; CHUNK];
        while let Some(mut buffer) = self.shared.buffers.take() {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let offset = index.saturating_mul(CHUNK as u64);
            let left = self.bytes.length().saturating_sub(offset);
            let length = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            let Some(chunk) = space.get_mut(..length).filter(|chunk| !chunk.is_empty()) else {
                return self.shared.buffers.give(buffer);
            };
            let content = match self.is_zeros(offset, chunk) {
                Err(error) => {
                    let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
                    failed.get_or_insert(error);
                    return self.shared.buffers.close();
                }
                Ok(true) => {
                    self.shared.zero_bytes.fetch_add(length as u64, Ordering::Relaxed);
                    self.shared.buffers.give(buffer);
                    Content::Zeros
                }
                Ok(false) => match compressor.compress(chunk, &mut buffer) {
                    Ok(size) => Content::Data(buffer, size),
                    Err(error) => Content::Failed(error),
                },
            };
            self.shared.bytes_read.fetch_add(length as u64, Ordering::Relaxed);
            if frames.send(Frame { index, decompressed: length, count: 1, content }).is_err() {
                return;
            }
        }
    }

    /// Whether a whole chunk has nothing but zeros; if it has, it may not have been read.
    fn is_zeros(&self, offset: u64, chunk: &mut [u8]) -> Result<bool, DataError> {
        let whole = chunk.len() == CHUNK;
        let end = offset.saturating_add(chunk.len() as u64);
        let mut known = offset;
        while whole && known < end {
            match self.bytes.zeros(known) {
                0 => break,
                zeros => known = known.saturating_add(zeros),
            }
        }
        if known >= end {
            return Ok(true);
        }
        self.bytes.read(offset, chunk)?;
        Ok(whole && is_zero(chunk))
    }
}

#[cfg(test)]
#[path = "pack_tests.rs"]
mod tests;
