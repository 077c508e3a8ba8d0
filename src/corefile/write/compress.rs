//! The workers: a chunk in, an independent zstd frame out.

use std::io;

use crossbeam_channel::{Receiver, Sender};
use zstd::zstd_safe::{CCtx, CParameter, get_error_name};

use super::CHUNK;
use super::buffers::{Buffer, Buffers};

/// A chunk to compress.
#[derive(Debug)]
pub(super) struct Job {
    /// Its place in the core, counted in chunks.
    pub(super) index: u64,
    /// Its bytes, in front.
    pub(super) buffer: Buffer,
    /// How many bytes.
    pub(super) length: usize,
}

/// A compressed chunk.
#[derive(Debug)]
pub(super) struct Frame {
    /// Its place in the core, counted in chunks.
    pub(super) index: u64,
    /// How many bytes it decompresses to.
    pub(super) decompressed: usize,
    /// How often it stands there: chunks of zeros come in runs.
    pub(super) count: u64,
    /// What it is in the file.
    pub(super) content: Content,
}

/// The bytes of a frame.
#[derive(Debug)]
pub(super) enum Content {
    /// A whole chunk of zeros: the same frame each time.
    Zeros,
    /// The frame in front of a buffer, with its length.
    Data(Buffer, usize),
    /// zstd refused.
    Failed(io::Error),
}

/// A zstd context with the settings of a core.
pub(super) struct Compressor {
    context: CCtx<'static>,
}

/// The level that is made for the hold: see [`Compressor::new`].
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
        Ok(Self { context })
    }

    /// How much memory it takes, in bytes. Known once it has compressed a chunk.
    pub(super) fn memory(&self) -> usize {
        self.context.sizeof()
    }

    /// Compresses `chunk` into the front of `frame` and gives its length there.
    pub(super) fn compress(&mut self, chunk: &[u8], frame: &mut [u8]) -> io::Result<usize> {
        self.context.compress2(frame, chunk).map_err(failed)
    }

    /// The frame of a whole chunk of zeros.
    pub(super) fn frame_of_zeros(&mut self) -> io::Result<Vec<u8>> {
        let mut frame = vec![0; zstd::zstd_safe::compress_bound(CHUNK)];
        let length = self.compress(&vec![0; CHUNK], &mut frame)?;
        frame.truncate(length);
        Ok(frame)
    }
}

fn failed(code: usize) -> io::Error {
    io::Error::other(format!("zstd: {}", get_error_name(code)))
}

/// Compresses until no more jobs come.
///
/// The chunk's buffer becomes the one for the next frame, so that a worker owns
/// one buffer at any time and copies nothing.
pub(super) fn compress_jobs(
    jobs: &Receiver<Job>,
    frames: &Sender<Frame>,
    mut compressor: Compressor,
    buffers: &Buffers,
) {
    let mut spare = buffers.extra();
    for Job { index, buffer, length } in jobs {
        let chunk = buffer.get(..length).unwrap_or(&buffer);
        let content = match compressor.compress(chunk, &mut spare) {
            Ok(size) => Content::Data(std::mem::replace(&mut spare, buffer), size),
            Err(error) => {
                buffers.give(buffer);
                Content::Failed(error)
            }
        };
        // The writer goes first only when the output failed.
        if let Err(unsent) = frames.send(Frame { index, decompressed: length, count: 1, content })
            && let Content::Data(buffer, _) = unsent.into_inner().content
        {
            buffers.give(buffer);
        }
    }
}
