//! The flattened form: a file on its way through a pipe.
//!
//! ```text
//! 0      signature   16 bytes, "makedumpfile" and zeros
//! 16     type        u64, 1
//! 24     version     u64, 1
//! 32     zeros       up to 4096
//! 4096   offset      u64, where the bytes go; all ones at the end
//!        size        u64, how many follow; all ones at the end
//!        bytes
//!        offset, size, bytes ...
//! ```
//!
//! Numbers are big-endian on every machine. Of bytes that are written twice the
//! later ones count, as `makedumpfile -R` would write them.
//!
//! Source: makedumpfile `write_start_flat_header` and `rearrange_dumpdata`, QEMU
//! `dump/dump.c`. makedumpfile writes `-F` of ELF dumps, too.

use thiserror::Error;

use crate::cursor::{Cursor, Endian, ParseError};

/// How the flattened form begins.
pub const SIGNATURE: [u8; 16] = *b"makedumpfile\0\0\0\0";
/// Length of what is before the first segment.
pub const START_LENGTH: usize = 4096;
/// How many bytes of it [`check_start`] needs.
pub const CHECKED_LENGTH: usize = 32;
/// Length of what is before each segment's bytes.
pub const SEGMENT_HEADER_LENGTH: usize = 16;
/// What both numbers of the last header are.
const END: u64 = u64::MAX;

/// Why bytes are not of the flattened form.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FlattenedError {
    /// It begins with something else.
    #[error("it does not begin with \"makedumpfile\"")]
    Signature,
    /// Another form of it, which nobody ever wrote.
    #[error("its type is {kind} and its version {version}; both should be 1")]
    Version {
        /// The type.
        kind: u64,
        /// The version.
        version: u64,
    },
    /// A segment that no file can hold.
    #[error("a segment of {size:#x} bytes for offset {offset:#x}")]
    Segment {
        /// Where it should go.
        offset: u64,
        /// How long it should be.
        size: u64,
    },
    /// It ends too early.
    #[error(transparent)]
    Short(#[from] ParseError),
}

/// What stands before a segment's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentHeader {
    /// So many bytes follow, which go there.
    Bytes {
        /// Where they go.
        offset: u64,
        /// How many there are.
        size: u64,
    },
    /// Nothing follows: the file is whole.
    End,
}

/// Checks the start of a file of the flattened form.
///
/// # Errors
/// Fails if it is none.
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
#[must_use]
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
    /// Fails if they are fewer, or name what no file can hold.
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
    #[must_use]
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
    fn the_start_is_known_and_every_truncation_of_it_is_not() {
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
    fn a_segment_that_no_file_can_hold_is_refused() {
        for (offset, size) in [(0, 0), (u64::MAX, 1), (1, u64::MAX), (i64::MAX as u64, 1)] {
            let bytes = SegmentHeader::Bytes { offset, size }.encode();
            let error = SegmentHeader::decode(&bytes).unwrap_err();
            assert_eq!(error, FlattenedError::Segment { offset, size });
        }
    }
}
