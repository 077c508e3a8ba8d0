//! Headers of a Zstandard frame and of its blocks, which give its length without
//! decompressing it.
//!
//! ```text
//! 28 b5 2f fd    magic
//! descriptor     u8   bits 7-6: width of the content size; 5: single segment;
//!                     2: a checksum follows the blocks; 1-0: width of the dictionary id
//! window         u8   not in a single segment
//! dictionary id  0, 1, 2 or 4 bytes
//! content size   0, 1, 2, 4 or 8 bytes
//! blocks
//!   header       u24  bit 0: the last block; 2-1: raw, RLE, compressed; 23-3: size
//!   content           size bytes; one byte if RLE
//! checksum       u32  if bit 2 of the descriptor is set
//! ```
//!
//! All numbers are little-endian. Source: RFC 8878, section 3.1.
//!
//! ```
//! use vmcore_formats::zstd_frame::{BlockHeader, FrameHeader};
//!
//! let bytes = [0x28, 0xb5, 0x2f, 0xfd, 0xa4, 0, 0, 0x10, 0];
//! let header = FrameHeader::decode(&bytes)?.unwrap();
//! assert_eq!((header.length, header.content_size), (9, Some(1 << 20)));
//! let block = BlockHeader::decode([0x55, 0, 0]).unwrap();
//! assert_eq!((block.last, block.length), (true, 10));
//! # Ok::<_, vmcore_formats::cursor::ParseError>(())
//! ```

use crate::cursor::{Cursor, ParseError};
use crate::endian::Endian;

/// Magic of a frame.
pub const MAGIC: u32 = 0xfd2f_b528;
/// The longest frame header, in bytes.
pub const MAX_HEADER: usize = 18;
/// Length of a block's header, in bytes.
pub const BLOCK_HEADER: usize = 3;
/// Length of the checksum after the last block, in bytes.
pub const CHECKSUM: usize = 4;

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Its length in bytes.
    pub length: u64,
    /// The decompressed size of the frame in bytes, if the header has it.
    pub content_size: Option<u64>,
    /// Whether a checksum follows the blocks.
    pub has_checksum: bool,
}

impl FrameHeader {
    /// Decodes the header from the first bytes of a frame.
    ///
    /// Returns `Ok(None)` if they have another magic.
    ///
    /// # Errors
    /// Fails if there are too few.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, ParseError> {
        let mut cursor = Cursor::new(bytes, Endian::Little);
        if cursor.u32("zstd magic")? != MAGIC {
            return Ok(None);
        }
        let descriptor = cursor.u8("zstd frame descriptor")?;
        let single = descriptor & 0x20 != 0;
        cursor.take(u64::from(!single), "zstd window")?;
        let dictionary = match descriptor & 3 {
            3 => 4,
            width => u64::from(width),
        };
        cursor.take(dictionary, "zstd dictionary id")?;
        let content_size = match (descriptor >> 6, single) {
            (0, false) => None,
            (0, true) => Some(u64::from(cursor.u8("zstd content size")?)),
            // The two-byte form begins where the one-byte form ends.
            (1, _) => Some(u64::from(cursor.u16("zstd content size")?).saturating_add(256)),
            (2, _) => Some(u64::from(cursor.u32("zstd content size")?)),
            _ => Some(cursor.u64("zstd content size")?),
        };
        let has_checksum = descriptor & 4 != 0;
        Ok(Some(Self { length: cursor.at(), content_size, has_checksum }))
    }
}

/// The header of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockHeader {
    /// Whether it is the frame's last one.
    pub last: bool,
    /// How many bytes follow the header.
    pub length: u64,
}

impl BlockHeader {
    /// Decodes a block's header. Returns `None` for the reserved type.
    pub fn decode(bytes: [u8; BLOCK_HEADER]) -> Option<Self> {
        let [b0, b1, b2] = bytes;
        let number = Endian::Little.u32([b0, b1, b2, 0]);
        let size = u64::from(number >> 3);
        let length = match (number >> 1) & 3 {
            0 | 2 => size,
            1 => 1,
            _ => return None,
        };
        Some(Self { last: number & 1 != 0, length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_of_a_chunk_is_read() {
        // What zstd -1 --single-thread writes for one MiB: single segment, four-byte size, checksum.
        let bytes = [0x28, 0xb5, 0x2f, 0xfd, 0xa4, 0, 0, 0x10, 0];
        let expected = FrameHeader { length: 9, content_size: Some(1 << 20), has_checksum: true };
        assert_eq!(FrameHeader::decode(&bytes), Ok(Some(expected)));
        for len in 0..bytes.len() {
            assert!(FrameHeader::decode(&bytes[..len]).is_err(), "cut at {len}");
        }
    }

    #[test]
    fn other_magics_are_not_a_frame() {
        assert_eq!(FrameHeader::decode(&[0x5e, 0x2a, 0x4d, 0x18, 1]), Ok(None));
    }

    #[test]
    fn block_headers_give_the_length() {
        assert_eq!(BlockHeader::decode([0x55, 0, 0]), Some(BlockHeader { last: true, length: 10 }));
        // RLE: the size is that of the decompressed block.
        assert_eq!(
            BlockHeader::decode([0x02, 0, 0x10]),
            Some(BlockHeader { last: false, length: 1 })
        );
        assert_eq!(BlockHeader::decode([0x07, 0, 0]), None);
    }
}
