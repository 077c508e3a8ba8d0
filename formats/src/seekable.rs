//! The Zstandard seekable format: independent frames and a seek table.
//!
//! ```text
//! frame 0, frame 1, ...    each decompresses alone
//! 5e 2a 4d 18              magic of the skippable frame with the seek table
//! size        u32          of the rest of that frame
//!   entry     12 bytes     for each frame, in order:
//!     compressed    u32
//!     decompressed  u32
//!     checksum      u32    low 32 bits of XXH64, seed 0, of the decompressed bytes
//!   count     u32          number of entries
//!   flags     u8           bit 7: entries have a checksum; bits 2-6 are 0
//!   b1 ea 92 8f            magic of the footer
//! ```
//!
//! All numbers are little-endian. An entry that decompresses to nothing may be that of a
//! skippable frame in the middle of the file, so that the sizes still add up. Source: zstd
//! `contrib/seekable_format`, version 0.1.1.
//!
//! The format ends at [`MAX_FRAMES`]: its table then has 1.5 GiB, far below the 4 GiB of a
//! skippable frame. With chunks of 1 MiB, that is a file of 128 TiB.
//!
//! ```
//! use vmcore_formats::seekable::{FrameEntry, SeekTable};
//!
//! let chunk = FrameEntry { compressed: 46, decompressed: 1 << 20, checksum: Some(7) };
//! let table: SeekTable = [chunk, chunk].into_iter().collect();
//! let bytes = table.encode().unwrap();
//! assert_eq!(bytes.len(), 8 + 2 * 12 + 9);
//! assert_eq!(SeekTable::decode(&bytes)?, table);
//! assert_eq!(table.get(1), Some(chunk));
//! assert_eq!(table.compressed_length(), 92);
//! # Ok::<_, vmcore_formats::seekable::SeekTableError>(())
//! ```

use std::collections::TryReserveError;

use crate::cursor::Cursor;
use crate::endian::Endian;
use thiserror::Error;

/// Magic of the skippable frame that holds a seek table.
pub const SEEK_TABLE_MAGIC: u32 = 0x184d_2a5e;
/// Magic of the skippable frame that holds a core's metadata as JSON.
pub const METADATA_MAGIC: u32 = 0x184d_2a5d;
/// Length of the footer at the end of a seek table, in bytes.
pub const FOOTER_LENGTH: usize = 9;
/// Length of a skippable frame's header, in bytes.
pub const SKIPPABLE_HEADER_LENGTH: usize = 8;

const FOOTER_MAGIC: u32 = 0x8f92_eab1;
/// Length of an entry with a checksum, in bytes.
pub const ENTRY_LENGTH: usize = 12;
const CHECKSUM_FLAG: u8 = 0x80;
const RESERVED_FLAGS: u8 = 0x7c;
/// The most frames of a seek table, as in the reference implementation.
pub const MAX_FRAMES: u32 = 0x0800_0000;

/// Why a seek table cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SeekTableError {
    /// No footer at the end of the file.
    #[error(
        "the file does not end in a seek table: it was cut off, or is not in the seekable format"
    )]
    NoFooter,
    /// Counts and sizes contradict each other.
    #[error("the seek table's {field} is {found}, but {expected} is needed")]
    Contradiction {
        /// Which number.
        field: &'static str,
        /// Its value.
        found: u64,
        /// The value that would be right, or the largest one.
        expected: u64,
    },
}

/// One frame of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameEntry {
    /// Its length in the file, in bytes.
    pub compressed: u32,
    /// Its decompressed length, in bytes.
    pub decompressed: u32,
    /// Low 32 bits of XXH64 of the decompressed bytes.
    ///
    /// `None` if the table was written without checksums.
    pub checksum: Option<u32>,
}

impl FrameEntry {
    /// Encodes the entry for a table with checksums. `None` if it has no checksum.
    pub fn encode(&self) -> Option<[u8; ENTRY_LENGTH]> {
        let numbers = [self.compressed, self.decompressed, self.checksum?];
        let mut bytes = [0; ENTRY_LENGTH];
        let numbers = numbers.map(|number| Endian::Little.u32_bytes(number));
        for (to, from) in bytes.iter_mut().zip(numbers.into_iter().flatten()) {
            *to = from;
        }
        Some(bytes)
    }
}

/// The last nine bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footer {
    /// The number of frames.
    pub frame_count: u32,
    /// Whether each has a checksum.
    pub has_checksums: bool,
}

impl Footer {
    /// The footer of a table with checksums.
    ///
    /// Returns `None` if there are more frames than the format allows.
    pub fn of_frames(count: usize) -> Option<Self> {
        let frame_count = u32::try_from(count).ok().filter(|count| *count <= MAX_FRAMES)?;
        Some(Self { frame_count, has_checksums: true })
    }

    /// Encodes the header of the skippable frame, which precedes the entries.
    pub fn encode_header(&self) -> [u8; SKIPPABLE_HEADER_LENGTH] {
        let [m0, m1, m2, m3] = Endian::Little.u32_bytes(SEEK_TABLE_MAGIC);
        // The table of the most frames is shorter than 4 GiB.
        let size = u32::try_from(self.content_length()).unwrap_or(u32::MAX);
        let [s0, s1, s2, s3] = Endian::Little.u32_bytes(size);
        [m0, m1, m2, m3, s0, s1, s2, s3]
    }

    /// Encodes the footer itself, which follows the entries.
    pub fn encode(&self) -> [u8; FOOTER_LENGTH] {
        let [c0, c1, c2, c3] = Endian::Little.u32_bytes(self.frame_count);
        let flags = if self.has_checksums { CHECKSUM_FLAG } else { 0 };
        let [m0, m1, m2, m3] = Endian::Little.u32_bytes(FOOTER_MAGIC);
        [c0, c1, c2, c3, flags, m0, m1, m2, m3]
    }

    /// Decodes the last [`FOOTER_LENGTH`] bytes of a file.
    ///
    /// # Errors
    /// Fails if they are not a footer, or have more frames than the format allows.
    pub fn decode(bytes: &[u8; FOOTER_LENGTH]) -> Result<Self, SeekTableError> {
        let [c0, c1, c2, c3, flags, magic @ ..] = *bytes;
        if Endian::Little.u32(magic) != FOOTER_MAGIC || flags & RESERVED_FLAGS != 0 {
            return Err(SeekTableError::NoFooter);
        }
        let frame_count = Endian::Little.u32([c0, c1, c2, c3]);
        if frame_count > MAX_FRAMES {
            return Err(SeekTableError::Contradiction {
                field: "frame count",
                found: u64::from(frame_count),
                expected: u64::from(MAX_FRAMES),
            });
        }
        Ok(Self { frame_count, has_checksums: flags & CHECKSUM_FLAG != 0 })
    }

    /// Checks the first bytes of the table, the header of its skippable frame.
    ///
    /// # Errors
    /// Fails if magic or length are not those of the footer's table.
    pub fn check_header(
        &self,
        bytes: &[u8; SKIPPABLE_HEADER_LENGTH],
    ) -> Result<(), SeekTableError> {
        let [m0, m1, m2, m3, size @ ..] = *bytes;
        let check = |field, found: u64, expected: u64| {
            let error = SeekTableError::Contradiction { field, found, expected };
            if found == expected { Ok(()) } else { Err(error) }
        };
        let magic = Endian::Little.u32([m0, m1, m2, m3]);
        check("magic", magic.into(), SEEK_TABLE_MAGIC.into())?;
        check("frame size", Endian::Little.u32(size).into(), self.content_length())
    }

    /// Decodes entries. Bytes after the last whole one are ignored.
    pub fn decode_entries(self, bytes: &[u8]) -> impl Iterator<Item = FrameEntry> {
        bytes.chunks_exact(self.entry_length()).filter_map(move |entry| {
            let number = |at| Endian::Little.u32_at(entry, at);
            let (compressed, decompressed) = (number(0)?, number(4)?);
            let checksum = if self.has_checksums { Some(number(8)?) } else { None };
            Some(FrameEntry { compressed, decompressed, checksum })
        })
    }

    /// Length of an entry, in bytes.
    pub fn entry_length(&self) -> usize {
        if self.has_checksums { ENTRY_LENGTH } else { ENTRY_LENGTH.saturating_sub(4) }
    }

    /// Length of the whole seek table with its skippable header, in bytes.
    pub fn table_length(&self) -> u64 {
        self.content_length().saturating_add(SKIPPABLE_HEADER_LENGTH as u64)
    }

    fn content_length(&self) -> u64 {
        let entries = u64::from(self.frame_count).saturating_mul(self.entry_length() as u64);
        entries.saturating_add(FOOTER_LENGTH as u64)
    }
}

/// The frames of a file, in order. Each takes [`ENTRY_LENGTH`] bytes of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeekTable {
    /// Compressed length, decompressed length and checksum.
    frames: Vec<[u32; 3]>,
    has_checksums: bool,
}

impl Default for SeekTable {
    /// No frames.
    fn default() -> Self {
        Self { frames: Vec::new(), has_checksums: true }
    }
}

impl SeekTable {
    /// Decodes a whole seek table, from its skippable header to its footer.
    ///
    /// # Errors
    /// Fails if header, footer and length contradict each other.
    pub fn decode(bytes: &[u8]) -> Result<Self, SeekTableError> {
        let (rest, footer) = bytes.split_last_chunk().ok_or(SeekTableError::NoFooter)?;
        let footer = Footer::decode(footer)?;
        let (found, expected) = (bytes.len() as u64, footer.table_length());
        if found != expected {
            return Err(SeekTableError::Contradiction { field: "length", found, expected });
        }
        let (header, entries) = rest.split_first_chunk().ok_or(SeekTableError::NoFooter)?;
        footer.check_header(header)?;
        Ok(footer.decode_entries(entries).collect())
    }

    /// Encodes the table as the last skippable frame of a file.
    ///
    /// Returns `None` if there are more frames than the format allows, or if one has no
    /// checksum. A large table can be written in pieces by [`Footer`] and [`FrameEntry`].
    pub fn encode(&self) -> Option<Vec<u8>> {
        let footer = Footer::of_frames(self.len())?;
        let mut bytes = Vec::with_capacity(usize::try_from(footer.table_length()).ok()?);
        bytes.extend(footer.encode_header());
        for frame in self.iter() {
            bytes.extend(frame.encode()?);
        }
        bytes.extend(footer.encode());
        Some(bytes)
    }

    /// Appends a frame. A table has checksums if all of its frames have one.
    pub fn push(&mut self, frame: FrameEntry) {
        self.has_checksums &= frame.checksum.is_some();
        self.frames.push([frame.compressed, frame.decompressed, frame.checksum.unwrap_or(0)]);
    }

    /// Removes the last frame.
    pub fn pop(&mut self) -> Option<FrameEntry> {
        self.frames.pop().map(|frame| self.entry(frame))
    }

    /// Allocates memory for `count` more frames.
    ///
    /// # Errors
    /// Fails if there is not enough.
    pub fn try_reserve(&mut self, count: usize) -> Result<(), TryReserveError> {
        self.frames.try_reserve_exact(count)
    }

    /// The number of frames.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there are no frames.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// A frame by its number, from 0.
    pub fn get(&self, index: usize) -> Option<FrameEntry> {
        self.frames.get(index).map(|frame| self.entry(*frame))
    }

    /// The frames, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = FrameEntry> {
        self.frames.iter().map(|frame| self.entry(*frame))
    }

    fn entry(&self, [compressed, decompressed, checksum]: [u32; 3]) -> FrameEntry {
        let checksum = self.has_checksums.then_some(checksum);
        FrameEntry { compressed, decompressed, checksum }
    }

    /// The length of all frames in the file, in bytes.
    pub fn compressed_length(&self) -> u64 {
        self.iter().fold(0, |sum, frame| u64::from(frame.compressed).saturating_add(sum))
    }

    /// The decompressed length of all frames, in bytes.
    pub fn decompressed_length(&self) -> u64 {
        self.iter().fold(0, |sum, frame| u64::from(frame.decompressed).saturating_add(sum))
    }
}

impl FromIterator<FrameEntry> for SeekTable {
    fn from_iter<T: IntoIterator<Item = FrameEntry>>(frames: T) -> Self {
        let frames = frames.into_iter();
        let mut table = Self::default();
        table.frames.reserve(frames.size_hint().0);
        frames.for_each(|frame| table.push(frame));
        table
    }
}

/// Wraps `content` into a skippable frame.
///
/// Returns `None` if it is 4 GiB or longer.
pub fn skippable_frame(magic: u32, content: &[u8]) -> Option<Vec<u8>> {
    let size = u32::try_from(content.len()).ok()?;
    let mut bytes = Vec::with_capacity(content.len().saturating_add(SKIPPABLE_HEADER_LENGTH));
    bytes.extend(Endian::Little.u32_bytes(magic));
    bytes.extend(Endian::Little.u32_bytes(size));
    bytes.extend(content);
    Some(bytes)
}

/// The length of a skippable frame with its header, by its first bytes.
///
/// Returns `None` if they are not those of a skippable frame.
pub fn skippable_length(start: &[u8]) -> Option<u64> {
    /// The magics of skippable frames are this one and the 15 after it.
    const FIRST_MAGIC: u32 = 0x184d_2a50;
    let (magic, size) = (Endian::Little.u32_at(start, 0)?, Endian::Little.u32_at(start, 4)?);
    (magic & !0xf == FIRST_MAGIC)
        .then(|| u64::from(size).saturating_add(SKIPPABLE_HEADER_LENGTH as u64))
}

/// The content of a skippable frame with the given magic.
///
/// Returns `None` if `bytes` are not one whole frame with this magic.
pub fn skippable_content(magic: u32, bytes: &[u8]) -> Option<&[u8]> {
    let mut cursor = Cursor::new(bytes, Endian::Little);
    let found = cursor.u32("skippable magic").ok()?;
    let size = cursor.u32("skippable size").ok()?;
    let content = cursor.take(u64::from(size), "skippable content").ok()?;
    (found == magic && cursor.left() == 0).then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> SeekTable {
        let frame = |compressed, decompressed, checksum| FrameEntry {
            compressed,
            decompressed,
            checksum: Some(checksum),
        };
        [frame(100, 4096, 7), frame(46, 1 << 20, 8), frame(400, 0, 9)].into_iter().collect()
    }

    #[test]
    fn a_table_is_read_back_as_it_was_written() {
        let bytes = table().encode().unwrap();
        assert_eq!(SeekTable::decode(&bytes), Ok(table()));
        assert_eq!(table().compressed_length(), 546);
        assert_eq!(table().decompressed_length(), 4096 + (1 << 20));
    }

    #[test]
    fn every_truncation_is_an_error_and_never_a_panic() {
        let bytes = table().encode().unwrap();
        for len in 0..bytes.len() {
            assert!(SeekTable::decode(&bytes[..len]).is_err(), "cut at {len}");
            assert!(SeekTable::decode(&bytes[bytes.len() - len..]).is_err(), "last {len}");
        }
    }

    #[test]
    fn a_count_that_the_file_cannot_hold_allocates_nothing() {
        // The footer alone, with the highest count that the format allows.
        let mut bytes = MAX_FRAMES.to_le_bytes().to_vec();
        bytes.push(0x80);
        bytes.extend(FOOTER_MAGIC.to_le_bytes());
        assert!(matches!(
            SeekTable::decode(&bytes),
            Err(SeekTableError::Contradiction { field: "length", .. })
        ));
    }

    #[test]
    fn the_most_frames_have_a_table_that_a_skippable_frame_can_hold() {
        let footer = Footer::of_frames(MAX_FRAMES as usize).unwrap();
        assert!(footer.table_length() < 1 << 32);
        assert_eq!(footer.check_header(&footer.encode_header()), Ok(()));
        assert_eq!(Footer::of_frames(MAX_FRAMES as usize + 1), None);
    }

    #[test]
    fn frames_are_appended_and_removed() {
        let mut table = table();
        let last = FrameEntry { compressed: 400, decompressed: 0, checksum: Some(9) };
        assert_eq!((table.pop(), table.len()), (Some(last), 2));
        table.push(FrameEntry { checksum: None, ..last });
        assert!(table.iter().all(|frame| frame.checksum.is_none()), "all have one or none has");
    }

    #[test]
    fn the_length_of_a_skippable_frame_is_in_its_header() {
        let frame = skippable_frame(METADATA_MAGIC, b"{}").unwrap();
        assert_eq!(skippable_length(&frame), Some(10));
        assert_eq!(skippable_length(&frame[..7]), None);
        assert_eq!(skippable_length(&[0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0]), None);
    }

    #[test]
    fn reserved_flags_are_refused() {
        let mut bytes = table().encode().unwrap();
        let flags = bytes.len() - 5;
        bytes[flags] |= 0x04;
        assert_eq!(SeekTable::decode(&bytes), Err(SeekTableError::NoFooter));
    }

    #[test]
    fn a_table_without_checksums_is_read() {
        let mut bytes = SEEK_TABLE_MAGIC.to_le_bytes().to_vec();
        bytes.extend(17_u32.to_le_bytes());
        bytes.extend([5, 0, 0, 0, 9, 0, 0, 0]);
        bytes.extend([1, 0, 0, 0, 0]);
        bytes.extend(FOOTER_MAGIC.to_le_bytes());
        let expected = FrameEntry { compressed: 5, decompressed: 9, checksum: None };
        let table = SeekTable::decode(&bytes).unwrap();
        assert_eq!(table.iter().collect::<Vec<_>>(), [expected]);
        assert_eq!((table.encode(), expected.encode()), (None, None));
    }

    #[test]
    fn a_skippable_frame_gives_its_content_only_when_whole() {
        let frame = skippable_frame(METADATA_MAGIC, b"{}").unwrap();
        assert_eq!(skippable_content(METADATA_MAGIC, &frame), Some(&b"{}"[..]));
        assert_eq!(skippable_content(SEEK_TABLE_MAGIC, &frame), None);
        for len in 0..frame.len() {
            assert_eq!(skippable_content(METADATA_MAGIC, &frame[..len]), None, "cut at {len}");
        }
    }
}
