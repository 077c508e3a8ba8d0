//! kdump-compressed files: what makedumpfile and QEMU write for `crash`.
//!
//! ```text
//! block 0                    header: KDUMP, version, utsname, sizes        [`header`]
//! block 1                    sub header, then ELF notes                    [`sub_header`]
//! block 1 + sub header       bitmap 1: which pages the guest has
//!                            bitmap 2: which pages are in the file
//! then                       a descriptor for each page of bitmap 2        [`page`]
//! then                       the pages' bytes, compressed one by one
//! ```
//!
//! A block is as long as a page. Bit `n % 8` of byte `n / 8` of a bitmap is that of
//! the page at `n * block`, in either byte order. All pages of zeros may share the
//! bytes of one, which then come first after the descriptors.
//!
//! In a split dump (`makedumpfile --split`), each part has both bitmaps of the whole,
//! but only the descriptors of its own pages.
//!
//! A file that was written to a pipe is in the [`flattened`] form.
//!
//! ```
//! use vmcore_formats::endian::Endian;
//! use vmcore_formats::kdump::{Codec, page::PageDescriptor};
//!
//! let page = PageDescriptor { offset: 0x5000, size: 137, flags: Codec::Zstd.flag() };
//! let bytes = page.encode(Endian::Little);
//! assert_eq!(PageDescriptor::decode(&bytes, Endian::Little)?.codec(), Some(Codec::Zstd));
//! # Ok::<_, vmcore_formats::kdump::KdumpError>(())
//! ```
//!
//! Source: makedumpfile `diskdump_mod.h` and `makedumpfile.c`, QEMU `dump/dump.c`.

pub mod flattened;
pub mod header;
pub mod page;
pub mod sub_header;

use thiserror::Error;

use crate::cursor::ParseError;
use crate::endian::Endian;

/// How a kdump-compressed file begins.
pub const SIGNATURE: [u8; 8] = *b"KDUMP   ";
/// The smallest page that a processor has, in bytes.
pub const MIN_BLOCK: u32 = 4 << 10;
/// The largest page that a kernel can be built with, in bytes.
pub const MAX_BLOCK: u32 = 256 << 10;

/// How a page is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// `DUMP_DH_COMPRESSED_ZLIB`
    Zlib,
    /// `DUMP_DH_COMPRESSED_LZO`: LZO1X.
    Lzo,
    /// `DUMP_DH_COMPRESSED_SNAPPY`: without the framing.
    Snappy,
    /// `DUMP_DH_COMPRESSED_ZSTD`
    Zstd,
}

impl Codec {
    /// Its flag, in a page's descriptor and in the header.
    pub fn flag(self) -> u32 {
        match self {
            Self::Zlib => 0x1,
            Self::Lzo => 0x2,
            Self::Snappy => 0x4,
            Self::Zstd => 0x20,
        }
    }

    /// The codec that `flags` name. Other flags are ignored.
    ///
    /// Returns `None` if they name none: the page is not compressed.
    pub fn of_flags(flags: u32) -> Option<Self> {
        let all = [Self::Zlib, Self::Lzo, Self::Snappy, Self::Zstd];
        all.into_iter().find(|codec| flags & codec.flag() != 0)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zlib => "zlib",
            Self::Lzo => "lzo",
            Self::Snappy => "snappy",
            Self::Zstd => "zstd",
        }
    }
}

/// Why the head of a kdump-compressed file cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KdumpError {
    /// Another signature.
    #[error("it begins with {found:02x?}, not with \"KDUMP\"")]
    Signature {
        /// The first bytes.
        found: Vec<u8>,
    },
    /// An unknown version.
    #[error("its header has version {found}; versions 1 to 6 are supported")]
    Version {
        /// The version, as a little-endian number.
        found: u32,
    },
    /// Neither layout of the header gives sizes that a dump can have.
    #[error("its header's sizes fit neither a 64-bit nor a 32-bit machine")]
    Sizes,
    /// The bytes end too early.
    #[error(transparent)]
    Short(#[from] ParseError),
}

/// Encodes fields, one after the other.
#[derive(Debug)]
struct Encoder {
    bytes: Vec<u8>,
    endian: Endian,
}

impl Encoder {
    fn new(endian: Endian) -> Self {
        Self { bytes: Vec::new(), endian }
    }

    fn u32(&mut self, value: u32) {
        self.bytes.extend(self.endian.u32_bytes(value));
    }

    fn u64(&mut self, value: u64) {
        self.bytes.extend(self.endian.u64_bytes(value));
    }

    /// A text in a field of fixed length, always with a NUL at its end.
    fn text(&mut self, text: &[u8], length: usize) {
        let end = self.bytes.len().saturating_add(length);
        self.bytes.extend(text.iter().take(length.saturating_sub(1)));
        self.bytes.resize(end, 0);
    }
}
