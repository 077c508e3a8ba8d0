//! The Zstandard seekable format: independent frames and a seek table.
//!
//! ```text
//! frame 0, frame 1, ...    each decompresses alone
//! 5e 2a 4d 18              magic of the skippable frame that is the seek table
//! size        u32          its length from here on
//!   entry     12 bytes     for each frame, in order:
//!     compressed    u32
//!     decompressed  u32
//!     checksum      u32    low 32 bits of XXH64, seed 0, of the decompressed bytes
//!   count     u32          number of entries
//!   flags     u8           bit 7: entries have a checksum; bits 2-6 are 0
//!   b1 ea 92 8f            magic of the footer
//! ```
//!
//! All numbers are little-endian. An entry that decompresses to nothing may
//! stand for a skippable frame in the middle of the file, so that the sizes
//! still add up. Source: zstd `contrib/seekable_format`, version 0.1.1.

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
const ENTRY_LENGTH: usize = 12;
const CHECKSUM_FLAG: u8 = 0x80;
const RESERVED_FLAGS: u8 = 0x7c;
/// The most frames a seek table may have, as the reference implementation has it.
pub const MAX_FRAMES: u32 = 0x0800_0000;

/// Why bytes are not a seek table.
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
        /// What stands there.
        found: u64,
        /// What would fit.
        expected: u64,
    },
}

/// One frame of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameEntry {
    /// Its length in the file, in bytes.
    pub compressed: u32,
    /// What it decompresses to, in bytes.
    pub decompressed: u32,
    /// Low 32 bits of XXH64 of the decompressed bytes.
    ///
    /// `None` if the table was written without checksums.
    pub checksum: Option<u32>,
}

impl FrameEntry {
    /// Encodes the entry as it stands in a table with checksums.
    pub fn encode(&self) -> [u8; ENTRY_LENGTH] {
        let mut bytes = [0; ENTRY_LENGTH];
        let numbers = [self.compressed, self.decompressed, self.checksum.unwrap_or_default()];
        let numbers = numbers.map(|number| Endian::Little.u32_bytes(number));
        for (to, from) in bytes.iter_mut().zip(numbers.into_iter().flatten()) {
            *to = from;
        }
        bytes
    }
}

/// What the last nine bytes of a file say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footer {
    /// How many frames there are.
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

    /// Encodes what stands before the entries: the skippable frame's header.
    pub fn encode_header(&self) -> [u8; SKIPPABLE_HEADER_LENGTH] {
        let size = self.table_length().saturating_sub(SKIPPABLE_HEADER_LENGTH as u64);
        // The most frames that there may be take less than 4 GiB.
        let [m0, m1, m2, m3] = Endian::Little.u32_bytes(SEEK_TABLE_MAGIC);
        let [s0, s1, s2, s3] = Endian::Little.u32_bytes(u32::try_from(size).unwrap_or(u32::MAX));
        [m0, m1, m2, m3, s0, s1, s2, s3]
    }

    /// Encodes the footer itself, which stands behind the entries.
    pub fn encode(&self) -> [u8; FOOTER_LENGTH] {
        let [c0, c1, c2, c3] = Endian::Little.u32_bytes(self.frame_count);
        let flags = if self.has_checksums { CHECKSUM_FLAG } else { 0 };
        let [m0, m1, m2, m3] = Endian::Little.u32_bytes(FOOTER_MAGIC);
        [c0, c1, c2, c3, flags, m0, m1, m2, m3]
    }

    /// Decodes the last [`FOOTER_LENGTH`] bytes of a file.
    ///
    /// # Errors
    /// Fails if they are no footer, or promise more frames than the format allows.
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

    /// Length of the whole seek table with its skippable header, in bytes.
    pub fn table_length(&self) -> u64 {
        let entry = if self.has_checksums { ENTRY_LENGTH } else { ENTRY_LENGTH.saturating_sub(4) };
        let fixed = SKIPPABLE_HEADER_LENGTH.saturating_add(FOOTER_LENGTH) as u64;
        u64::from(self.frame_count).saturating_mul(entry as u64).saturating_add(fixed)
    }
}

/// The frames of a file, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeekTable {
    /// One entry a frame.
    pub frames: Vec<FrameEntry>,
}

impl SeekTable {
    /// Decodes a whole seek table, from its skippable header to its footer.
    ///
    /// # Errors
    /// Fails if header, footer and length contradict each other.
    pub fn decode(bytes: &[u8]) -> Result<Self, SeekTableError> {
        let footer = bytes.last_chunk().ok_or(SeekTableError::NoFooter)?;
        let footer = Footer::decode(footer)?;
        let contradiction =
            |field, found, expected| SeekTableError::Contradiction { field, found, expected };
        let length = footer.table_length();
        if bytes.len() as u64 != length {
            return Err(contradiction("length", bytes.len() as u64, length));
        }
        let mut cursor = Cursor::new(bytes, Endian::Little);
        let mut number = |what| cursor.u32(what).map_err(|_| SeekTableError::NoFooter);
        let magic = number("skippable magic")?;
        if magic != SEEK_TABLE_MAGIC {
            return Err(contradiction("magic", u64::from(magic), u64::from(SEEK_TABLE_MAGIC)));
        }
        let size = u64::from(number("skippable size")?);
        let expected = length.saturating_sub(SKIPPABLE_HEADER_LENGTH as u64);
        if size != expected {
            return Err(contradiction("frame size", size, expected));
        }
        let frames = (0..footer.frame_count)
            .map(|_| {
                Ok(FrameEntry {
                    compressed: number("compressed size")?,
                    decompressed: number("decompressed size")?,
                    checksum: footer.has_checksums.then(|| number("checksum")).transpose()?,
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { frames })
    }

    /// Encodes the table as the last skippable frame of a file, with checksums.
    ///
    /// Returns `None` if there are more frames than the format allows. A large
    /// table can be written in pieces instead, by [`Footer`] and [`FrameEntry`].
    pub fn encode(&self) -> Option<Vec<u8>> {
        let footer = Footer::of_frames(self.frames.len())?;
        let mut bytes = Vec::with_capacity(usize::try_from(footer.table_length()).ok()?);
        bytes.extend(footer.encode_header());
        bytes.extend(self.frames.iter().flat_map(FrameEntry::encode));
        bytes.extend(footer.encode());
        Some(bytes)
    }

    /// How many bytes all frames take in the file.
    pub fn compressed_length(&self) -> u64 {
        self.frames.iter().fold(0, |sum, frame| u64::from(frame.compressed).saturating_add(sum))
    }

    /// How many bytes all frames decompress to.
    pub fn decompressed_length(&self) -> u64 {
        self.frames.iter().fold(0, |sum, frame| u64::from(frame.decompressed).saturating_add(sum))
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

/// The content of a skippable frame with the given magic.
///
/// Returns `None` if `bytes` are not such a frame, whole and alone.
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
        SeekTable { frames: vec![frame(100, 4096, 7), frame(46, 1 << 20, 8), frame(400, 0, 9)] }
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
        assert_eq!(SeekTable::decode(&bytes).unwrap().frames, [expected]);
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
