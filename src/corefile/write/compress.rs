//! The workers: a chunk in, an independent zstd frame out.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crossbeam_channel::Sender;
use zstd::zstd_safe::{CCtx, CParameter, get_error_name};

use super::CHUNK;
use super::buffers::Buffer;
use super::effort::{Effort, FAST_LEVEL};
use super::raw_frame;
use super::shared::Shared;
use super::spool::Fill;
use super::work::{Job, Task};
use super::zeros::is_zero;
use crate::corefile::read::bytes::Bytes;

/// A compressed chunk.
#[derive(Debug)]
pub(super) struct Frame {
    /// Its number in the core.
    pub(super) index: u64,
    /// How many bytes it decompresses to.
    pub(super) decompressed: usize,
    /// How many times it follows itself: chunks of zeros come in runs.
    pub(super) count: u64,
    /// What it is in the file.
    pub(super) content: Content,
    /// How much work it got.
    pub(super) effort: Effort,
}

/// The bytes of a frame.
#[derive(Debug)]
pub(super) enum Content {
    /// A whole chunk of zeros: the same frame each time.
    Zeros,
    /// The frame in front of a buffer, with its length.
    Data(Buffer, usize),
    /// The chunk could not be read or compressed.
    Failed(io::Error),
    /// The work was stopped before the chunk was read: the core ends before it.
    Ended,
    /// No chunk: all that follow are already on their way.
    AllRead,
}

/// A zstd context with the settings of a core.
pub(super) struct Compressor {
    context: CCtx<'static>,
    level: i32,
    /// What the context is set to.
    effort: Effort,
}

/// The default level, for which zstd is tuned: see [`Compressor::new`].
const FAST: i32 = 1;

impl Compressor {
    /// Settings: the level, a checksum and the content's size in each frame.
    ///
    /// Level 1 gets a window of the whole chunk and a hash table twice as large
    /// as zstd gives it, which still fits a core's own cache. Measured on page
    /// cache: 0.25 % smaller at the same time.
    pub(super) fn new(level: i32) -> io::Result<Self> {
        let mut context = CCtx::try_create().ok_or(io::ErrorKind::OutOfMemory)?;
        let tuned: &[CParameter] = match level {
            FAST => &[CParameter::WindowLog(CHUNK.ilog2()), CParameter::HashLog(15)],
            _ => &[],
        };
        let common = [
            CParameter::CompressionLevel(level),
            CParameter::ChecksumFlag(true),
            CParameter::ContentSizeFlag(true),
        ];
        for parameter in common.iter().chain(tuned) {
            context.set_parameter(*parameter).map_err(failed)?;
        }
        Ok(Self { context, level, effort: Effort::Level })
    }

    /// How much memory it takes, in bytes; meaningful once it has compressed a chunk.
    pub(super) fn memory(&self) -> usize {
        self.context.sizeof()
    }

    /// Compresses `chunk` into the front of `frame` and gives its length there.
    pub(super) fn compress(
        &mut self,
        effort: Effort,
        chunk: &[u8],
        frame: &mut [u8],
    ) -> io::Result<usize> {
        if effort != self.effort {
            let level = if effort == Effort::Level { self.level } else { FAST_LEVEL };
            self.context.set_parameter(CParameter::CompressionLevel(level)).map_err(failed)?;
            self.effort = effort;
        }
        self.context.compress2(frame, chunk).map_err(failed)
    }

    /// The frame of a whole chunk of zeros.
    pub(super) fn frame_of_zeros(&mut self) -> io::Result<Vec<u8>> {
        let mut frame = vec![0; zstd::zstd_safe::compress_bound(CHUNK)];
        let length = self.compress(Effort::Level, &vec![0; CHUNK], &mut frame)?;
        frame.truncate(length);
        Ok(frame)
    }
}

fn failed(code: usize) -> io::Error {
    io::Error::other(format!("zstd: {}", get_error_name(code)))
}

/// Reads and compresses until no more jobs come.
///
/// A worker owns one buffer at any time and copies nothing: the buffer of a chunk becomes
/// the one for the next frame.
pub(super) fn do_work(
    frames: &Sender<Frame>,
    compressor: Compressor,
    spare: Buffer,
    shared: &Shared,
) {
    let mut worker = Worker { frames, compressor, spare, shared };
    while let Some(task) = shared.work.next(|| shared.buffers.fill()) {
        match task {
            Task::Read(job) => {
                let chunk = worker.read(job);
                shared.work.has_read(chunk);
            }
            Task::Compress(job) if shared.discarded.load(Ordering::Relaxed) => {
                worker.end(job);
                shared.work.has_compressed();
            }
            Task::Compress(job) => {
                let whole = job.length == CHUNK;
                let effort = worker.effort();
                let started = Instant::now();
                let size = worker.compress(job, effort);
                if let Some(size) = size.filter(|_| whole) {
                    shared.rates.took(effort, started.elapsed(), size);
                }
                shared.work.has_compressed();
            }
        }
    }
}

/// A thread that reads and compresses.
struct Worker<'a> {
    frames: &'a Sender<Frame>,
    compressor: Compressor,
    /// For the next frame.
    spare: Buffer,
    shared: &'a Shared,
}

impl Worker<'_> {
    /// Reads a chunk. Gives it back if it is to be compressed later.
    fn read(&mut self, job: Job) -> Option<Job> {
        let Job { index, mut buffer, length, reader } = job;
        let (reader, offset) = reader?;
        // The chunk's own buffer is used only if it is to be kept: of zeros, none of a large
        // spool's memory is touched, and what is compressed at once stays in the cache.
        let at_once = self.shared.buffers.fill() == Fill::NoSpool;
        self.spare.populate();
        let chunk = self.spare.get_mut(..length).unwrap_or_default();
        let read = read_chunk(&*reader, offset, chunk, self.shared);
        let content = match read {
            Ok(true) => {
                self.shared.pending.fetch_sub(1, Ordering::Relaxed);
                Content::Zeros
            }
            Ok(false) => {
                std::mem::swap(&mut self.spare, &mut buffer);
                let chunk = Job { index, buffer, length, reader: None };
                if at_once {
                    self.compress(chunk, Effort::Level);
                    return None;
                }
                return Some(chunk);
            }
            Err(Unread::Ended) => Content::Ended,
            // The writer stops the source when it comes to this chunk. Before that, an end of
            // the chunks in front of it would look like one that was asked for.
            Err(Unread::Failed(error)) => Content::Failed(error),
        };
        self.shared.buffers.give(buffer);
        self.send(index, length, content, Effort::Level);
        None
    }

    /// Makes a frame of a chunk, and gives its length.
    fn compress(&mut self, job: Job, effort: Effort) -> Option<usize> {
        let Job { index, mut buffer, length, .. } = job;
        let made = match effort {
            Effort::Raw => raw_frame::wrap(&mut buffer, length)
                .ok_or_else(|| io::Error::other("a chunk is longer than its buffer")),
            Effort::Level | Effort::Fast => {
                let chunk = buffer.get(..length).unwrap_or(&buffer);
                let made = self.compressor.compress(effort, chunk, &mut self.spare);
                if made.is_ok() {
                    std::mem::swap(&mut self.spare, &mut buffer);
                }
                made
            }
        };
        match made {
            Ok(size) => {
                self.send(index, length, Content::Data(buffer, size), effort);
                Some(size)
            }
            Err(error) => {
                self.shared.buffers.give(buffer);
                self.send(index, length, Content::Failed(error), effort);
                None
            }
        }
    }

    /// Ends the core in front of a chunk.
    fn end(&self, job: Job) {
        self.shared.buffers.give(job.buffer);
        self.send(job.index, job.length, Content::Ended, Effort::Level);
    }

    /// How much work the next chunk gets: all, unless the guest would wait for it, and the file has
    /// room for what is not compressed.
    fn effort(&self) -> Effort {
        let waits = self.shared.buffers.fill() == Fill::Full && self.shared.chunks().is_none()
            || self.shared.hurries.load(Ordering::Relaxed);
        let haste = waits && self.shared.raw_fits.load(Ordering::Relaxed);
        if haste { self.shared.rates.best(self.shared.workers) } else { Effort::Level }
    }

    /// Sends a frame to the writer. It goes first only when the output failed.
    fn send(&self, index: u64, decompressed: usize, content: Content, effort: Effort) {
        let frame = Frame { index, decompressed, count: 1, content, effort };
        if let Err(unsent) = self.frames.send(frame)
            && let Content::Data(buffer, _) = unsent.into_inner().content
        {
            self.shared.buffers.give(buffer);
        }
    }
}

/// Why a chunk was not read.
enum Unread {
    /// The work was stopped before.
    Ended,
    /// It cannot be.
    Failed(io::Error),
}

/// Reads a chunk, and gives whether it is a whole one of zeros.
fn read_chunk(
    reader: &dyn Bytes,
    offset: u64,
    chunk: &mut [u8],
    shared: &Shared,
) -> Result<bool, Unread> {
    if shared.aborted.load(Ordering::Relaxed) {
        return Err(Unread::Ended);
    }
    let read = reader.read(offset, chunk);
    read.map_err(|error| Unread::Failed(io::Error::other(error)))?;
    let length = chunk.len() as u64;
    shared.bytes_read.fetch_add(length, Ordering::Relaxed);
    let zero = chunk.len() == CHUNK && is_zero(chunk);
    if zero {
        shared.zero_bytes.fetch_add(length, Ordering::Relaxed);
    }
    Ok(zero)
}
