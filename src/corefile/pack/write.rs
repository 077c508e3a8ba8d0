//! Writes a triage pack: frames of the core, copied as they are.

use std::collections::HashSet;
use std::io::{self, Write};
use std::path::Path;

use thiserror::Error;
use vmcore_formats::endian::Endian;
use vmcore_formats::seekable::{FrameEntry, SKIPPABLE_HEADER_LENGTH, SeekTable};
use vmcore_formats::triage_pack::{MAX_PACK_FRAMES, PackFrame, PackHead, TAIL_MAGIC};

use super::{MAX_PACK, MAX_STACKS, UsedChunks};
use crate::corefile::chunk_hash::{CHECKSUM_OF_NOTHING, digest_of_chunks};
use crate::corefile::read::chunked::ChunkedFile;
use crate::corefile::read::frame_table::{self, Chunk};
use crate::regular_file;

/// The longest tail: with the seek table of a core of 1.3 TiB.
const MAX_TAIL: u64 = 16 << 20;
/// What head and seek table take for each frame, and without any.
const EACH_FRAME: u64 = 24;
const FIXED: u64 = 256;
/// How much is copied at a time.
const PIECE: usize = 1 << 20;

/// Why a core has no triage pack.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The core cannot be opened.
    #[error("cannot open the core: {0}")]
    Open(#[from] io::Error),
    /// It is not in the seekable format.
    #[error(transparent)]
    Table(#[from] frame_table::Error),
    /// It was cut off.
    #[error("the core was cut off: it has no seek table")]
    CutOff,
    /// Its seek table has no checksums.
    #[error("the core's seek table has no checksums")]
    NoChecksums,
    /// Its seek table is too long.
    #[error("the core's seek table and metadata have {length} bytes, more than {MAX_TAIL}")]
    LongTail {
        /// How long they are.
        length: u64,
    },
}

/// A pack that is to be written.
#[derive(Debug)]
pub struct Pack {
    core: ChunkedFile,
    head: PackHead,
    /// The encoded head.
    start: Vec<u8>,
    /// Where the core's tail is in its file.
    tail: u64,
    chunks: Vec<Chunk>,
    /// The seek table of the pack.
    end: Vec<u8>,
}

impl Pack {
    /// The pack of the core in a file.
    ///
    /// # Errors
    /// Fails if the core is not whole.
    pub fn of_file(core: &Path, used: &UsedChunks) -> Result<Self, WriteError> {
        Self::of(ChunkedFile::open(regular_file::open(core)?)?, used)
    }

    /// The pack of a core. Numbers of `used` that no chunk has are left out, and so is what a pack
    /// has no room for.
    ///
    /// # Errors
    /// Fails if the core is not whole.
    pub fn of(core: ChunkedFile, used: &UsedChunks) -> Result<Self, WriteError> {
        let table = core.table();
        if table.cut_off().is_some() {
            return Err(WriteError::CutOff);
        }
        let last = (0..table.frames().len())
            .rev()
            .find_map(|index| table.chunk(index).filter(|chunk| chunk.entry.decompressed > 0));
        let tail = last.map_or(0, |chunk| chunk.file_end());
        let length = core.file().length();
        let tail_length = length.saturating_sub(tail);
        let short = u32::try_from(tail_length).ok().filter(|_| tail_length <= MAX_TAIL);
        let tail_length = short.ok_or(WriteError::LongTail { length: tail_length })?;
        let mut taken = HashSet::new();
        let mut left = MAX_PACK.saturating_sub(FIXED).saturating_sub(tail_length.into());
        let mut chunks = take(&core, &used.report, &mut left, &mut taken);
        let report_frames = chunks.len();
        left = left.min(MAX_STACKS);
        chunks.extend(take(&core, &used.stacks, &mut left, &mut taken));

        let mut head = PackHead {
            core_length: length,
            chunks_hash: digest_of_chunks(table.frames()),
            tail_length,
            report_frames: u32::try_from(report_frames).unwrap_or_default(),
            frames: chunks
                .iter()
                .map(|chunk| PackFrame {
                    chunk: u32::try_from(chunk.index).unwrap_or_default(),
                    offset: 0,
                })
                .collect(),
        };
        let mut offset = head.frames_offset();
        for (frame, chunk) in head.frames.iter_mut().zip(&chunks) {
            frame.offset = offset;
            offset = offset.saturating_add(u64::from(chunk.entry.compressed));
        }
        // Fewer frames were taken than a pack may have.
        let start = head.encode().unwrap_or_default();
        let skippable = |length: usize| FrameEntry {
            compressed: u32::try_from(length).unwrap_or(u32::MAX),
            decompressed: 0,
            checksum: Some(CHECKSUM_OF_NOTHING),
        };
        let of_tail = SKIPPABLE_HEADER_LENGTH.saturating_add(tail_length as usize);
        let before = [skippable(start.len()), skippable(of_tail)];
        let entries: SeekTable =
            before.into_iter().chain(chunks.iter().map(|chunk| chunk.entry)).collect();
        let end = entries.encode().ok_or(WriteError::NoChecksums)?;
        Ok(Self { core, head, start, tail, chunks, end })
    }

    /// How long it will be.
    pub fn length(&self) -> u64 {
        let frames = self.chunks.iter().map(|chunk| u64::from(chunk.entry.compressed));
        let before = self.head.frames_offset().saturating_add(self.end.len() as u64);
        frames.fold(before, u64::saturating_add)
    }

    /// Writes it.
    ///
    /// # Errors
    /// Fails if the core cannot be read any more, or with the error of `out`.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self.start)?;
        out.write_all(&Endian::Little.u32_bytes(TAIL_MAGIC))?;
        out.write_all(&Endian::Little.u32_bytes(self.head.tail_length))?;
        self.copy(self.tail, self.head.tail_length.into(), out)?;
        for chunk in &self.chunks {
            self.copy(chunk.file_offset, chunk.entry.compressed.into(), out)?;
        }
        out.write_all(&self.end)?;
        out.flush()
    }

    fn copy(&self, offset: u64, length: u64, out: &mut dyn Write) -> io::Result<()> {
        let (mut at, end) = (offset, offset.saturating_add(length));
        let mut buffer = Vec::new();
        while at < end {
            let left = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
            buffer.resize(left.min(PIECE), 0);
            self.core.file().read(at, &mut buffer).map_err(io::Error::other)?;
            out.write_all(&buffer)?;
            at = at.saturating_add(buffer.len() as u64);
        }
        Ok(())
    }
}

/// The chunks of these numbers, as far as they fit, without those that were taken.
fn take(
    core: &ChunkedFile,
    numbers: &[u32],
    left: &mut u64,
    taken: &mut HashSet<u32>,
) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    for number in numbers {
        let chunk = usize::try_from(*number).ok().and_then(|index| core.table().chunk(index));
        let Some(chunk) = chunk.filter(|chunk| chunk.entry.decompressed > 0) else { continue };
        let count = taken.len() as u64;
        let takes = u64::from(chunk.entry.compressed).saturating_add(EACH_FRAME);
        let after = left.checked_sub(takes);
        let Some(after) = after.filter(|_| count < u64::from(MAX_PACK_FRAMES)) else { break };
        if taken.insert(*number) {
            *left = after;
            chunks.push(chunk);
        }
    }
    chunks
}
