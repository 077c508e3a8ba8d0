//! The offset and size of each frame of a compressed file.
//!
//! ```text
//! seek table    12 bytes for each frame: compressed and decompressed length, checksum
//! marks         16 bytes for each 64th frame: its offset in the core and in the file
//! ```
//!
//! A core of 16 TiB in chunks of 1 MiB has 16 million frames, and so a table of 196 MiB.
//! The format ends at [`MAX_FRAMES`], 128 TiB in such chunks; so does this reader.

use thiserror::Error;
use vmcore_formats::seekable::{
    FOOTER_LENGTH, Footer, FrameEntry, MAX_FRAMES, SKIPPABLE_HEADER_LENGTH, SeekTable,
    SeekTableError, skippable_length,
};
use vmcore_formats::zstd_frame::{BLOCK_HEADER, BlockHeader, CHECKSUM, FrameHeader, MAX_HEADER};

use super::bytes::{Bytes, DataError};

/// The longest chunk that is unpacked, in bytes. Bounds the memory of every reader.
pub const MAX_CHUNK: u32 = 64 << 20;
/// How many entries of a seek table are read at a time.
const PIECE: u64 = 16 << 10;
/// How many frames there are from mark to mark.
const STRIDE: usize = 64;

/// The longest compressed chunk, in bytes: what zstd needs at most for one that does
/// not get shorter.
const MAX_PACKED: u32 = MAX_CHUNK + (MAX_CHUNK >> 8) + 1024;

/// Why a compressed file cannot be opened in place.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// It cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// No frame at its start decompresses alone.
    #[error(
        "the file is compressed as one piece of {} bytes, so that it cannot be opened in place",
        size.map_or_else(|| "unknown".to_owned(), |size| size.to_string())
    )]
    OnePiece {
        /// The decompressed size of its first frame, if its header has it.
        size: Option<u64>,
    },
    /// The seek table does not add up to the file.
    #[error("the file has {found} bytes, but its seek table describes {described}")]
    Length {
        /// How long the file is.
        found: u64,
        /// How long it should be.
        described: u64,
    },
    /// The seek table contradicts itself.
    #[error(transparent)]
    Table(#[from] SeekTableError),
    /// The seek table is larger than the memory that is available.
    #[error("not enough memory for a seek table of {frames} frames")]
    Memory {
        /// How many frames the file has.
        frames: u64,
    },
}

/// One chunk: where it is in the file, and what it unpacks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Its number, from 0.
    pub index: usize,
    /// Where its frame begins in the file.
    pub file_offset: u64,
    /// Where its bytes begin in the unpacked core.
    pub offset: u64,
    /// Its sizes and checksum.
    pub entry: FrameEntry,
}

impl Chunk {
    /// Where its frame ends in the file.
    pub fn file_end(&self) -> u64 {
        self.file_offset.saturating_add(u64::from(self.entry.compressed))
    }

    /// Whether so little of it is in the file that many are likely to be the same: chunks of
    /// zeros, or of a pattern that fills free memory.
    pub fn is_small(&self) -> bool {
        const SMALL: u32 = 256;
        const RATIO: u32 = 4096;
        self.entry.compressed <= SMALL.max(self.entry.decompressed / RATIO)
    }
}

/// The frames of a file.
#[derive(Debug)]
pub struct FrameTable {
    frames: SeekTable,
    /// Offsets of frames 0, 64, 128...: in the decompressed core, and in the file.
    marks: Vec<(u64, u64)>,
    unpacked: u64,
    packed: u64,
    /// The longest decompressed length of a frame.
    largest: u32,
    /// Where the file was cut off: it has no seek table, and its frames end there.
    cut_off: Option<u64>,
}

impl FrameTable {
    /// Reads a file's seek table, or finds its frames if it has none.
    ///
    /// # Errors
    /// Fails if it is not a seekable file, or if the table contradicts the file.
    pub fn read(file: &dyn Bytes) -> Result<Self, Error> {
        match read_table(file) {
            Err(Error::Table(SeekTableError::NoFooter)) => find_frames(file),
            table => table,
        }
    }

    /// A table without frames, and with memory for `count` of them.
    fn with_capacity(count: u64) -> Result<Self, Error> {
        let mut frames = SeekTable::default();
        let memory = || Error::Memory { frames: count };
        let count = usize::try_from(count).map_err(|_| memory())?;
        frames.try_reserve(count).map_err(|_| memory())?;
        Ok(Self { frames, marks: Vec::new(), unpacked: 0, packed: 0, largest: 0, cut_off: None })
    }

    fn push(&mut self, frame: FrameEntry) -> Result<(), Error> {
        // A frame without content is skippable, and may have any length.
        let packed_too_long = frame.decompressed > 0 && frame.compressed > MAX_PACKED;
        if frame.decompressed > MAX_CHUNK || packed_too_long {
            return Err(Error::OnePiece { size: Some(u64::from(frame.decompressed)) });
        }
        // One of neither length is nothing: a file may have any number of such entries.
        if frame.compressed == 0 && frame.decompressed == 0 {
            return Ok(());
        }
        if self.frames.len().is_multiple_of(STRIDE) {
            self.marks.push((self.unpacked, self.packed));
        }
        self.frames.push(frame);
        self.largest = self.largest.max(frame.decompressed);
        self.unpacked = self.unpacked.saturating_add(u64::from(frame.decompressed));
        self.packed = self.packed.saturating_add(u64::from(frame.compressed));
        Ok(())
    }

    /// The decompressed length of all frames, in bytes.
    pub fn unpacked_length(&self) -> u64 {
        self.unpacked
    }

    /// How many of the largest chunks may be unpacked at the same time: at least one.
    pub fn at_once(&self) -> usize {
        /// Bounds the memory of threads, whatever their number.
        const BYTES: u32 = 128 << 20;
        usize::try_from(BYTES / self.largest.max(1)).unwrap_or(usize::MAX).max(1)
    }

    /// Where the file was cut off, if it was: it then has no seek table.
    pub fn cut_off(&self) -> Option<u64> {
        self.cut_off
    }

    /// The frames, those without content included.
    pub fn frames(&self) -> &SeekTable {
        &self.frames
    }

    /// All chunks, in order.
    pub fn chunks(&self) -> impl Iterator<Item = Chunk> + '_ {
        self.chunks_from(0)
    }

    /// A chunk by its number.
    pub fn chunk(&self, index: usize) -> Option<Chunk> {
        let mark = index.checked_div(STRIDE)?;
        self.chunks_from(mark).nth(index.checked_rem(STRIDE)?)
    }

    /// The chunk that has the byte at `offset` of the decompressed core.
    pub fn chunk_at(&self, offset: u64) -> Option<Chunk> {
        // The next mark is above `offset`, so the frame is one of the 64 from this one on.
        let mark = self.marks.partition_point(|(start, _)| *start <= offset).checked_sub(1)?;
        let end = |chunk: &Chunk| chunk.offset.saturating_add(u64::from(chunk.entry.decompressed));
        self.chunks_from(mark).take(STRIDE).find(|chunk| offset < end(chunk))
    }

    /// The chunks from a mark on.
    fn chunks_from(&self, mark: usize) -> impl Iterator<Item = Chunk> + '_ {
        let (mut offset, mut file_offset) = self.marks.get(mark).copied().unwrap_or_default();
        (mark.saturating_mul(STRIDE)..).map_while(move |index| {
            let entry = self.frames.get(index)?;
            let chunk = Chunk { index, file_offset, offset, entry };
            offset = offset.saturating_add(u64::from(entry.decompressed));
            file_offset = file_offset.saturating_add(u64::from(entry.compressed));
            Some(chunk)
        })
    }
}

/// Reads the seek table, in pieces.
fn read_table(file: &dyn Bytes) -> Result<FrameTable, Error> {
    let length = file.length();
    let footer_at = length.checked_sub(FOOTER_LENGTH as u64).ok_or(SeekTableError::NoFooter)?;
    let mut footer = [0; FOOTER_LENGTH];
    file.read(footer_at, &mut footer)?;
    let footer = Footer::decode(&footer)?;
    let table_length = footer.table_length();
    let table_at = length.checked_sub(table_length).ok_or(SeekTableError::NoFooter)?;
    let mut header = [0; SKIPPABLE_HEADER_LENGTH];
    file.read(table_at, &mut header)?;
    footer.check_header(&header)?;

    let mut table = FrameTable::with_capacity(footer.frame_count.into())?;
    let piece = PIECE.saturating_mul(footer.entry_length() as u64);
    let mut at = table_at.saturating_add(SKIPPABLE_HEADER_LENGTH as u64);
    let mut bytes = Vec::new();
    while at < footer_at {
        let size = piece.min(footer_at.saturating_sub(at));
        bytes.resize(usize::try_from(size).unwrap_or_default(), 0);
        file.read(at, &mut bytes)?;
        for frame in footer.decode_entries(&bytes) {
            table.push(frame)?;
        }
        at = at.saturating_add(size);
    }
    if table.packed != table_at {
        let described = table.packed.saturating_add(table_length);
        return Err(Error::Length { found: length, described });
    }
    Ok(table)
}

/// Walks from frame to frame, by the headers of their blocks.
fn find_frames(file: &dyn Bytes) -> Result<FrameTable, Error> {
    let mut table = FrameTable::with_capacity(0)?;
    while table.frames.len() < MAX_FRAMES as usize
        && let Some(entry) = whole_frame(file, table.packed)?
    {
        if table.packed.saturating_add(u64::from(entry.compressed)) > file.length() {
            break;
        }
        table.push(entry)?;
    }
    if table.frames.is_empty() {
        let mut first = [0; MAX_HEADER];
        let _ = file.read(0, &mut first);
        let header = FrameHeader::decode(&first).ok().flatten();
        return Err(Error::OnePiece { size: header.and_then(|header| header.content_size) });
    }
    table.cut_off = Some(table.packed);
    Ok(table)
}

/// The frame at `at`, if it is whole and of a chunk's size.
fn whole_frame(file: &dyn Bytes, at: u64) -> Result<Option<FrameEntry>, DataError> {
    /// As many as a chunk of the largest size has: one for each 128 KiB, and some.
    const MAX_BLOCKS: usize = 4096;
    let mut start = [0; MAX_HEADER];
    let have = file.length().saturating_sub(at).min(MAX_HEADER as u64);
    let start = start.get_mut(..usize::try_from(have).unwrap_or_default()).unwrap_or_default();
    file.read(at, start)?;
    if let Some(length) = skippable_length(start) {
        let compressed = u32::try_from(length).ok();
        return Ok(compressed.map(|compressed| FrameEntry {
            compressed,
            decompressed: 0,
            checksum: None,
        }));
    }
    let Ok(Some(header)) = FrameHeader::decode(start) else { return Ok(None) };
    let Some(size) = header.content_size.filter(|size| *size <= u64::from(MAX_CHUNK)) else {
        return Ok(None);
    };
    let mut end = at.saturating_add(header.length);
    for _ in 0..MAX_BLOCKS {
        let mut block = [0; BLOCK_HEADER];
        if end.saturating_add(BLOCK_HEADER as u64) > file.length() {
            return Ok(None);
        }
        file.read(end, &mut block)?;
        let Some(block) = BlockHeader::decode(block) else { return Ok(None) };
        end = end.saturating_add(BLOCK_HEADER as u64).saturating_add(block.length);
        if block.last {
            end = end.saturating_add(if header.has_checksum { CHECKSUM as u64 } else { 0 });
            let sizes = (u32::try_from(end.saturating_sub(at)), u32::try_from(size));
            let (Ok(compressed), Ok(decompressed)) = sizes else { return Ok(None) };
            return Ok(Some(FrameEntry { compressed, decompressed, checksum: None }));
        }
    }
    Ok(None)
}

#[cfg(test)]
#[path = "frame_table_tests.rs"]
mod tests;
