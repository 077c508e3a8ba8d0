//! Where each frame of a compressed file is, and what it unpacks to.

use thiserror::Error;
use vmcore_formats::seekable::{
    FOOTER_LENGTH, Footer, FrameEntry, SKIPPABLE_HEADER_LENGTH, SeekTable, SeekTableError,
};
use vmcore_formats::zstd_frame::{BLOCK_HEADER, BlockHeader, CHECKSUM, FrameHeader, MAX_HEADER};

use super::bytes::{Bytes, PlainFile, read_vec};
use super::chunked::{Chunk, MAX_CHUNK};
use crate::vmcore::memory::DataError;

/// The longest seek table that is read, in bytes: for a core of 8 TiB.
const MAX_TABLE: u64 = 128 << 20;

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
    /// No frame at its start unpacks alone.
    #[error(
        "the file is compressed as one piece of {} bytes, so that it cannot be opened in place",
        size.map_or_else(|| "unknown".to_owned(), |size| size.to_string())
    )]
    OnePiece {
        /// What its first frame unpacks to, if it says.
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
}

/// The frames of a file.
#[derive(Debug)]
pub struct FrameTable {
    entries: Vec<FrameEntry>,
    /// Where each frame begins: in the unpacked core, and in the file.
    starts: Vec<(u64, u64)>,
    unpacked: u64,
    /// Where the file was cut off: it has no seek table, and its frames end there.
    cut_off: Option<u64>,
}

impl FrameTable {
    /// Reads a file's seek table, or finds its frames if it was cut off before.
    ///
    /// # Errors
    /// Fails if it is no such file, or if the table contradicts the file.
    pub fn read(file: &PlainFile) -> Result<Self, Error> {
        match seek_table(file) {
            Ok(table) => Self::new(table.frames, None),
            Err(Error::Table(SeekTableError::NoFooter)) => find_frames(file),
            Err(error) => Err(error),
        }
    }

    fn new(entries: Vec<FrameEntry>, cut_off: Option<u64>) -> Result<Self, Error> {
        let mut starts = Vec::with_capacity(entries.len());
        let (mut unpacked, mut packed) = (0_u64, 0_u64);
        for entry in &entries {
            // A frame that unpacks to nothing is skipped, whatever its length.
            let packed_too_long = entry.decompressed > 0 && entry.compressed > MAX_PACKED;
            if entry.decompressed > MAX_CHUNK || packed_too_long {
                return Err(Error::OnePiece { size: Some(u64::from(entry.decompressed)) });
            }
            starts.push((unpacked, packed));
            unpacked = unpacked.saturating_add(u64::from(entry.decompressed));
            packed = packed.saturating_add(u64::from(entry.compressed));
        }
        Ok(Self { entries, starts, unpacked, cut_off })
    }

    /// How many bytes all frames unpack to.
    #[must_use]
    pub fn unpacked_length(&self) -> u64 {
        self.unpacked
    }

    /// Where the file was cut off, if it was: it then has no seek table.
    #[must_use]
    pub fn cut_off(&self) -> Option<u64> {
        self.cut_off
    }

    /// The frames, those that unpack to nothing included.
    #[must_use]
    pub fn entries(&self) -> &[FrameEntry] {
        &self.entries
    }

    /// All chunks, in order.
    pub fn chunks(&self) -> impl DoubleEndedIterator<Item = Chunk> + '_ {
        let frames = self.entries.iter().zip(&self.starts).enumerate();
        frames.map(|(index, (entry, (offset, file_offset)))| Chunk {
            index,
            file_offset: *file_offset,
            offset: *offset,
            entry: *entry,
        })
    }

    /// The chunk that has the byte at `offset` of the unpacked core.
    #[must_use]
    pub fn chunk_at(&self, offset: u64) -> Option<Chunk> {
        if offset >= self.unpacked {
            return None;
        }
        // Of frames that begin at one offset, only the last unpacks to anything.
        let index = self.starts.partition_point(|(start, _)| *start <= offset).checked_sub(1)?;
        let (start, file_offset) = *self.starts.get(index)?;
        let entry = *self.entries.get(index)?;
        Some(Chunk { index, file_offset, offset: start, entry })
    }
}

fn seek_table(file: &PlainFile) -> Result<SeekTable, Error> {
    let length = file.length();
    let footer_at = length.checked_sub(FOOTER_LENGTH as u64).ok_or(SeekTableError::NoFooter)?;
    let mut footer = [0; FOOTER_LENGTH];
    file.read(footer_at, &mut footer)?;
    let table_length = Footer::decode(&footer)?.table_length();
    let table_at = length
        .checked_sub(table_length)
        .filter(|_| table_length <= MAX_TABLE)
        .ok_or(SeekTableError::NoFooter)?;
    let table = SeekTable::decode(&read_vec(file, table_at, table_length)?)?;
    let described = table.compressed_length().saturating_add(table_length);
    if described != length {
        return Err(Error::Length { found: length, described });
    }
    Ok(table)
}

/// Walks from frame to frame, by the headers of their blocks.
fn find_frames(file: &PlainFile) -> Result<FrameTable, Error> {
    let mut entries = Vec::new();
    let mut at = 0;
    while let Some(entry) = whole_frame(file, at)? {
        let next = at.saturating_add(u64::from(entry.compressed));
        if next > file.length() {
            break;
        }
        entries.push(entry);
        at = next;
    }
    if entries.is_empty() {
        let mut first = [0; MAX_HEADER];
        let _ = file.read(0, &mut first);
        let header = FrameHeader::decode(&first).ok().flatten();
        return Err(Error::OnePiece { size: header.and_then(|header| header.content_size) });
    }
    FrameTable::new(entries, Some(at))
}

/// The frame at `at`, if it is whole and of a chunk's size.
fn whole_frame(file: &PlainFile, at: u64) -> Result<Option<FrameEntry>, DataError> {
    /// As many as a chunk of the largest size has: one for each 128 KiB, and some.
    const MAX_BLOCKS: usize = 4096;
    let mut start = [0; MAX_HEADER];
    let have = file.length().saturating_sub(at).min(MAX_HEADER as u64);
    let start = start.get_mut(..usize::try_from(have).unwrap_or_default()).unwrap_or_default();
    file.read(at, start)?;
    if let Some(length) = skippable(start) {
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

/// Length of the skippable frame that begins with `start`, if one does.
fn skippable(start: &[u8]) -> Option<u64> {
    const MAGICS: u32 = 0x184d_2a50;
    let magic = u32::from_le_bytes(*start.first_chunk()?);
    let size = u32::from_le_bytes(*start.get(4..)?.first_chunk()?);
    (magic & 0xffff_fff0 == MAGICS)
        .then(|| u64::from(size).saturating_add(SKIPPABLE_HEADER_LENGTH as u64))
}
