//! The flattened form: a file written to a pipe, as segments with their offsets.
//!
//! ```text
//! 0      signature   16 bytes, "makedumpfile" and zeros
//! 16     type        u64, 1
//! 24     version     u64, 1
//! 32     zeros       up to 4096
//! 4096   offset      u64, in the file; all ones at the end
//!        size        u64, of the bytes that follow; all ones at the end
//!        bytes
//!        offset, size, bytes ...
//! ```
//!
//! Numbers are big-endian on every machine. Where segments overlap, the later one
//! counts, as with `makedumpfile -R`.
//!
//! Source: makedumpfile `write_start_flat_header` and `rearrange_dumpdata`, QEMU
//! `dump/dump.c`. `makedumpfile -F` writes ELF dumps in this form, too.
//!
//! ```
//! use vmcore_formats::kdump::flattened::{SegmentHeader, check_start, encode_start};
//!
//! assert_eq!(check_start(&encode_start()), Ok(()));
//! let segment = SegmentHeader::Bytes { offset: 0x1000, size: 512 };
//! assert_eq!(SegmentHeader::decode(&segment.encode()), Ok(segment));
//! assert_eq!(SegmentHeader::decode(&[0xff; 16]), Ok(SegmentHeader::End));
//! ```

use thiserror::Error;

use crate::cursor::{Cursor, ParseError};
use crate::endian::Endian;

/// The first bytes of the flattened form.
pub const SIGNATURE: [u8; 16] = *b"makedumpfile\0\0\0\0";
/// Offset of the first segment's header.
pub const START_LENGTH: usize = 4096;
/// How many bytes [`check_start`] needs.
pub const CHECKED_LENGTH: usize = 32;
/// Length of a segment's header.
pub const SEGMENT_HEADER_LENGTH: usize = 16;
/// Both numbers of the last header.
const END: u64 = u64::MAX;

/// Why the flattened form cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FlattenedError {
    /// Another signature.
    #[error("it does not begin with \"makedumpfile\"")]
    Signature,
    /// An unknown type or version.
    #[error("its type is {kind} and its version {version}; both should be 1")]
    Version {
        /// The type.
        kind: u64,
        /// The version.
        version: u64,
    },
    /// A segment that no file can have.
    #[error("a segment of {size:#x} bytes for offset {offset:#x}")]
    Segment {
        /// Its offset in the file.
        offset: u64,
        /// Its length.
        size: u64,
    },
    /// The bytes end too early.
    #[error(transparent)]
    Short(#[from] ParseError),
}

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentHeader {
    /// Bytes follow.
    Bytes {
        /// Their offset in the file.
        offset: u64,
        /// How many there are.
        size: u64,
    },
    /// The file is complete.
    End,
}

/// Checks the start of a file of the flattened form.
///
/// # Errors
/// Fails if it has another signature, type or version.
pub fn check_start(bytes: &[u8]) -> Result<(), FlattenedError> {
    let mut at = Cursor::new(bytes, Endian::Big);
    if at.take(SIGNATURE.len() as u64, "signature")? != SIGNATURE {
        return Err(FlattenedError::Signature);
    }
    match (at.u64("type")?, at.u64("version")?) {
        (1, 1) => Ok(()),
        (kind, version) => Err(FlattenedError::Version { kind, version }),
    }
}

/// The start of a file of the flattened form.
pub fn encode_start() -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    bytes.extend(Endian::Big.u64_bytes(1));
    bytes.extend(Endian::Big.u64_bytes(1));
    bytes.resize(START_LENGTH, 0);
    bytes
}

impl SegmentHeader {
    /// Decodes [`SEGMENT_HEADER_LENGTH`] bytes.
    ///
    /// # Errors
    /// Fails if there are fewer, or if no file can have such a segment.
    pub fn decode(bytes: &[u8]) -> Result<Self, FlattenedError> {
        let mut at = Cursor::new(bytes, Endian::Big);
        let (offset, size) = (at.u64("a segment's offset")?, at.u64("a segment's size")?);
        if (offset, size) == (END, END) {
            return Ok(Self::End);
        }
        let limit = i64::MAX.unsigned_abs();
        match offset.checked_add(size).filter(|end| *end <= limit && size > 0) {
            Some(_) => Ok(Self::Bytes { offset, size }),
            None => Err(FlattenedError::Segment { offset, size }),
        }
    }

    /// Encodes it.
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_LENGTH] {
        let (offset, size) = match *self {
            Self::Bytes { offset, size } => (offset, size),
            Self::End => (END, END),
        };
        let mut bytes = [0; SEGMENT_HEADER_LENGTH];
        let numbers = [offset, size].map(|number| Endian::Big.u64_bytes(number));
        for (to, from) in bytes.iter_mut().zip(numbers.into_iter().flatten()) {
            *to = from;
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_accepted_and_every_truncation_of_it_refused() {
        let start = encode_start();
        assert_eq!(start.len(), START_LENGTH);
        assert_eq!(start[..17], *b"makedumpfile\0\0\0\0\0");
        assert_eq!(check_start(&start[..CHECKED_LENGTH]), Ok(()));
        for len in 0..CHECKED_LENGTH {
            assert!(check_start(&start[..len]).is_err(), "cut at {len}");
        }
        let mut other = start;
        other[31] = 2;
        assert_eq!(check_start(&other), Err(FlattenedError::Version { kind: 1, version: 2 }));
    }

    #[test]
    fn a_segment_header_is_big_endian_and_all_ones_at_the_end() {
        let bytes = [0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 16, 0];
        let segment = SegmentHeader::Bytes { offset: 0x1_0000_0002, size: 4096 };
        assert_eq!(SegmentHeader::decode(&bytes), Ok(segment));
        assert_eq!(segment.encode(), bytes);
        assert_eq!(SegmentHeader::decode(&[0xff; 16]), Ok(SegmentHeader::End));
        assert_eq!(SegmentHeader::End.encode(), [0xff; 16]);
        for len in 0..bytes.len() {
            assert!(SegmentHeader::decode(&bytes[..len]).is_err(), "cut at {len}");
        }
    }

    #[test]
    fn a_segment_that_no_file_can_have_is_refused() {
        for (offset, size) in [(0, 0), (u64::MAX, 1), (1, u64::MAX), (i64::MAX as u64, 1)] {
            let bytes = SegmentHeader::Bytes { offset, size }.encode();
            let error = SegmentHeader::decode(&bytes).unwrap_err();
            assert_eq!(error, FlattenedError::Segment { offset, size });
        }
    }
}
