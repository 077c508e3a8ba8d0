//! The head of a triage pack: the part of a core's file that a report of it reads.
//!
//! A pack has whole frames of the core, as they are in its file, and all that follows the last
//! chunk there. It is a Zstandard file in the [seekable format](crate::seekable) itself.
//!
//! ```text
//! 5c 2a 4d 18              magic of the skippable frame with the head
//! size          u32        of the rest of that frame
//!   "vmcpack1"  8 bytes    what it is, and its version
//!   core        u64        length of the core's file
//!   hash        32 bytes   SHA-256 over the entries of the chunks in the core's seek table
//!   tail        u32        how many bytes follow the last chunk in the core's file
//!   report      u32        how many of the frames below a report uses; the others are stacks
//!   count       u32        number of frames
//!     chunk     u32        number of the chunk in the core, for each frame
//!     offset    u64        where its frame begins in the pack
//! 5b 2a 4d 18              magic of the skippable frame with the core's tail
//! size          u32        the same number as `tail`
//!   tail                   the core's metadata and its seek table, as they are there
//! frame, frame, ...        as in the core, in the order in which they are first used
//! 5e 2a 4d 18 ...          the seek table of the pack
//! ```
//!
//! All numbers are little-endian. Head and tail precede the frames, so that the first request of
//! a remote reader brings them, and the first frames.
//!
//! ```
//! use vmcore_formats::triage_pack::{PackFrame, PackHead};
//!
//! let frames = vec![PackFrame { chunk: 7, offset: 4096 }];
//! let head = PackHead {
//!     core_length: 1 << 30,
//!     chunks_hash: [1; 32],
//!     tail_length: 4000,
//!     report_frames: 1,
//!     frames,
//! };
//! let bytes = head.encode().unwrap();
//! assert_eq!(PackHead::length(&bytes), Ok(bytes.len() as u64));
//! assert_eq!(PackHead::decode(&bytes), Ok(head));
//! ```

use thiserror::Error;

use crate::cursor::{Cursor, ParseError};
use crate::endian::Endian;
use crate::seekable::{SKIPPABLE_HEADER_LENGTH, skippable_content, skippable_frame};

/// Magic of the skippable frame with the head.
pub const HEAD_MAGIC: u32 = 0x184d_2a5c;
/// Magic of the skippable frame with the core's tail.
pub const TAIL_MAGIC: u32 = 0x184d_2a5b;
/// The most frames of a pack.
pub const MAX_PACK_FRAMES: u32 = 1 << 16;

const NAME: &[u8; 8] = b"vmcpack1";
/// Length of a head without its entries and without the header of its frame.
const FIXED: u64 = 60;
const ENTRY: u64 = 12;

/// Why a file is no triage pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PackError {
    /// It begins with something else.
    #[error("it does not begin with the head of a triage pack of this version")]
    NoHead,
    /// The head ends too early.
    #[error("the head of the triage pack is damaged: {0}")]
    Short(#[from] ParseError),
    /// A number contradicts the others.
    #[error("the triage pack's {field} is {found}, but it can be {limit} at most")]
    TooLarge {
        /// Which number.
        field: &'static str,
        /// Its value.
        found: u64,
        /// The highest one that is right.
        limit: u64,
    },
    /// Frames of the pack overlap, or a chunk is in it twice.
    #[error("the frames of the triage pack are not one after the other: {chunk} is out of order")]
    Order {
        /// The number of the chunk.
        chunk: u32,
    },
}

/// A frame of the pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackFrame {
    /// The number of its chunk in the core.
    pub chunk: u32,
    /// Where it begins in the pack.
    pub offset: u64,
}

/// The head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackHead {
    /// Length of the core's file.
    pub core_length: u64,
    /// SHA-256 over the entries of the chunks in the core's seek table.
    pub chunks_hash: [u8; 32],
    /// How many bytes follow the last chunk in the core's file.
    pub tail_length: u32,
    /// How many of the frames a report uses: the first ones.
    pub report_frames: u32,
    /// All frames, in the order in which they are in the pack.
    pub frames: Vec<PackFrame>,
}

impl PackHead {
    /// Length of the head of so many frames, with the header of its skippable frame.
    pub fn length_of(frames: u32) -> u64 {
        let entries = u64::from(frames).saturating_mul(ENTRY);
        entries.saturating_add(FIXED).saturating_add(SKIPPABLE_HEADER_LENGTH as u64)
    }

    /// Where the core's tail begins in the pack.
    pub fn tail_offset(&self) -> u64 {
        let count = u32::try_from(self.frames.len()).unwrap_or(u32::MAX);
        Self::length_of(count).saturating_add(SKIPPABLE_HEADER_LENGTH as u64)
    }

    /// Where the frames begin in the pack.
    pub fn frames_offset(&self) -> u64 {
        self.tail_offset().saturating_add(u64::from(self.tail_length))
    }

    /// Encodes the head as a skippable frame. `None` if there are more frames than a pack has.
    pub fn encode(&self) -> Option<Vec<u8>> {
        let count =
            u32::try_from(self.frames.len()).ok().filter(|count| *count <= MAX_PACK_FRAMES)?;
        let mut content = NAME.to_vec();
        content.extend(Endian::Little.u64_bytes(self.core_length));
        content.extend(self.chunks_hash);
        for number in [self.tail_length, self.report_frames, count] {
            content.extend(Endian::Little.u32_bytes(number));
        }
        for frame in &self.frames {
            content.extend(Endian::Little.u32_bytes(frame.chunk));
            content.extend(Endian::Little.u64_bytes(frame.offset));
        }
        skippable_frame(HEAD_MAGIC, &content)
    }

    /// The length of the head, by the first 16 bytes of a pack.
    ///
    /// # Errors
    /// Fails if they are those of something else.
    pub fn length(start: &[u8]) -> Result<u64, PackError> {
        let mut cursor = Cursor::new(start, Endian::Little);
        let magic = cursor.u32("magic")?;
        let size = u64::from(cursor.u32("size of the head")?);
        if magic != HEAD_MAGIC || cursor.take(NAME.len() as u64, "name")? != NAME {
            return Err(PackError::NoHead);
        }
        let length = size.saturating_add(SKIPPABLE_HEADER_LENGTH as u64);
        let limit = Self::length_of(MAX_PACK_FRAMES);
        if length > limit {
            return Err(PackError::TooLarge { field: "head", found: length, limit });
        }
        Ok(length)
    }

    /// Decodes the head, which has to be whole, and nothing behind it.
    ///
    /// # Errors
    /// Fails if numbers contradict each other.
    pub fn decode(bytes: &[u8]) -> Result<Self, PackError> {
        Self::length(bytes)?;
        let content = skippable_content(HEAD_MAGIC, bytes).ok_or(PackError::NoHead)?;
        let mut cursor = Cursor::new(content, Endian::Little);
        cursor.take(NAME.len() as u64, "name")?;
        let core_length = cursor.u64("length of the core")?;
        let chunks_hash = cursor.array("hash over the chunks")?;
        let tail_length = cursor.u32("length of the tail")?;
        let report_frames = cursor.u32("number of the report's frames")?;
        let count = cursor.u32("number of frames")?;
        let at_most = |field, found: u64, limit: u64| {
            let error = PackError::TooLarge { field, found, limit };
            if found <= limit { Ok(()) } else { Err(error) }
        };
        let fit = (cursor.left() as u64) / ENTRY;
        at_most("number of frames", count.into(), fit.min(MAX_PACK_FRAMES.into()))?;
        at_most("number of frames of a report", report_frames.into(), count.into())?;
        at_most("tail", tail_length.into(), core_length)?;
        let mut frames = Vec::with_capacity(usize::try_from(count).unwrap_or_default());
        for _ in 0..count {
            let (chunk, offset) = (cursor.u32("chunk")?, cursor.u64("offset of a frame")?);
            frames.push(PackFrame { chunk, offset });
        }
        at_most("head", cursor.left() as u64, 0)?;
        let head = Self { core_length, chunks_hash, tail_length, report_frames, frames };
        head.check_order()?;
        Ok(head)
    }

    /// Frames follow each other, and no chunk is there twice.
    fn check_order(&self) -> Result<(), PackError> {
        let mut end = self.frames_offset();
        for frame in &self.frames {
            if frame.offset < end {
                return Err(PackError::Order { chunk: frame.chunk });
            }
            end = frame.offset.saturating_add(1);
        }
        let mut chunks: Vec<u32> = self.frames.iter().map(|frame| frame.chunk).collect();
        chunks.sort_unstable();
        let twice = chunks.windows(2).find_map(|pair| match pair {
            [one, other] if one == other => Some(*one),
            _ => None,
        });
        twice.map_or(Ok(()), |chunk| Err(PackError::Order { chunk }))
    }
}

#[cfg(test)]
mod tests;
