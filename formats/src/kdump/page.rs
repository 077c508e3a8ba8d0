//! The location of each page in a kdump-compressed file (`struct page_desc`).
//!
//! ```text
//!  0   offset      u64   of its bytes in the file
//!  8   size        u32   of its bytes
//! 12   flags       u32   the codec's flag; none if they are not compressed
//! 16   page_flags  u64   always zero
//! ```
//!
//! ```
//! use vmcore_formats::{endian::Endian, kdump::page::PageDescriptor};
//!
//! let page = PageDescriptor { offset: 0x5000, size: 137, flags: 0x20 };
//! let bytes = page.encode(Endian::Big);
//! assert_eq!(PageDescriptor::decode(&bytes, Endian::Big), Ok(page));
//! assert_eq!(page.end(), 0x5089);
//! ```

use super::{Codec, Encoder, KdumpError};
use crate::cursor::Cursor;
use crate::endian::Endian;

/// Length of a descriptor, in bytes.
pub const DESCRIPTOR_LENGTH: usize = 24;

/// A page's descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageDescriptor {
    /// Offset of its bytes in the file.
    pub offset: u64,
    /// How many bytes it has there.
    pub size: u32,
    /// The codec's flag.
    pub flags: u32,
}

impl PageDescriptor {
    /// Decodes [`DESCRIPTOR_LENGTH`] bytes.
    ///
    /// # Errors
    /// Fails if there are fewer.
    pub fn decode(bytes: &[u8], endian: Endian) -> Result<Self, KdumpError> {
        let mut at = Cursor::new(bytes, endian);
        let descriptor = Self {
            offset: at.u64("a page's offset")?,
            size: at.u32("a page's size")?,
            flags: at.u32("a page's flags")?,
        };
        at.take(8, "page_flags")?;
        Ok(descriptor)
    }

    /// The codec of its bytes. `None` if they are not compressed.
    pub fn codec(&self) -> Option<Codec> {
        Codec::of_flags(self.flags)
    }

    /// The end of its bytes in the file.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(u64::from(self.size))
    }

    /// Encodes it.
    pub fn encode(&self, endian: Endian) -> Vec<u8> {
        let mut to = Encoder::new(endian);
        to.u64(self.offset);
        to.u32(self.size);
        to.u32(self.flags);
        to.u64(0);
        to.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_is_decoded_and_encoded() {
        let bytes = [
            0x34, 0x12, 0, 0, 1, 0, 0, 0, // offset
            0x89, 0, 0, 0, // size
            0x20, 0, 0, 0, // zstd
            0, 0, 0, 0, 0, 0, 0, 0,
        ];
        let page = PageDescriptor::decode(&bytes, Endian::Little).unwrap();
        assert_eq!(page, PageDescriptor { offset: 0x1_0000_1234, size: 0x89, flags: 0x20 });
        assert_eq!((page.codec(), page.end()), (Some(Codec::Zstd), 0x1_0000_12bd));
        assert_eq!(page.encode(Endian::Little), bytes);
        assert_eq!(PageDescriptor::decode(&page.encode(Endian::Big), Endian::Big), Ok(page));
        for len in 0..bytes.len() {
            assert!(PageDescriptor::decode(&bytes[..len], Endian::Little).is_err(), "cut at {len}");
        }
    }

    #[test]
    fn flags_other_than_codecs_are_ignored() {
        for (flags, codec) in [
            (0, None),
            (0x8, None),
            (0x10, None),
            (0x1, Some(Codec::Zlib)),
            (0x2, Some(Codec::Lzo)),
            (0x4, Some(Codec::Snappy)),
            (0x30, Some(Codec::Zstd)),
        ] {
            assert_eq!(Codec::of_flags(flags), codec, "{flags:#x}");
        }
    }
}
