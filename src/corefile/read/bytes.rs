//! A file's bytes by offset, whatever it takes to get them.

use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use thiserror::Error;

use super::work::Work;
use crate::units;

/// Why bytes of a core's file cannot be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// The system refused.
    #[error("cannot read at byte {offset:#x} of the file")]
    Io {
        /// Where in the file.
        offset: u64,
        /// What the system said.
        source: std::io::Error,
    },
    /// A compressed unit does not decompress.
    #[error("the {unit} at byte {offset:#x} of the file is damaged: {problem}")]
    Damaged {
        /// What it is: a chunk or a page.
        unit: &'static str,
        /// Where in the file.
        offset: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// A file on another machine that cannot be had any more.
    #[error("cannot read at byte {offset:#x} of the remote file: {problem}")]
    Remote {
        /// Where in the file.
        offset: u64,
        /// What became of it.
        problem: String,
    },
    /// Not in the triage pack, which is all of the core that can be had.
    #[error("byte {offset:#x} of the core's file is not in its triage pack, and {problem}")]
    NotInPack {
        /// Where in the core's file.
        offset: u64,
        /// Why it does not come from the core.
        problem: String,
    },
    /// The bytes are computed from something else, which cannot be read.
    #[error(transparent)]
    Underlying(Box<dyn std::error::Error + Send + Sync>),
    /// More than the file is worth.
    #[error(
        "the file describes far more than it holds: reading ended after {}, --deep reads all",
        units::bytes(*limit)
    )]
    TooMuch {
        /// How many bytes may be read and unpacked.
        limit: u64,
    },
    /// Past the end.
    #[error("byte {offset:#x} is past the end of the file, which has {length:#x} bytes")]
    PastEnd {
        /// What was wanted.
        offset: u64,
        /// How many bytes there are.
        length: u64,
    },
}

impl DataError {
    /// The same error once more, if the same read would fail in the same way.
    pub(super) fn again(&self) -> Option<Self> {
        match self {
            Self::Io { offset, source } => {
                let source = source.raw_os_error().map(std::io::Error::from_raw_os_error)?;
                Some(Self::Io { offset: *offset, source })
            }
            Self::Damaged { unit, offset, problem } => {
                Some(Self::Damaged { unit, offset: *offset, problem: problem.clone() })
            }
            Self::Remote { offset, problem } => {
                Some(Self::Remote { offset: *offset, problem: problem.clone() })
            }
            Self::NotInPack { offset, problem } => {
                Some(Self::NotInPack { offset: *offset, problem: problem.clone() })
            }
            Self::PastEnd { offset, length } => {
                Some(Self::PastEnd { offset: *offset, length: *length })
            }
            Self::Underlying(_) | Self::TooMuch { .. } => None,
        }
    }
}

/// Bytes that can be read anywhere: of a plain file, or of an unpacked one.
pub trait Bytes: fmt::Debug + Send + Sync {
    /// How many there are.
    fn length(&self) -> u64;

    /// Reads bytes: all of `buffer`, or nothing that counts.
    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DataError>;

    /// The end of the unit that is best read at once with `offset`. Always after it.
    fn unit_end(&self, offset: u64) -> u64 {
        unit_end(offset, self.length())
    }

    /// The first bytes from `offset` on that the file holds, as a range: those that can be read,
    /// unless they are damaged.
    fn next_held(&self, offset: u64) -> Option<Range<u64>> {
        Some(offset..self.length()).filter(|held| !held.is_empty())
    }

    /// How many bytes from `offset` on are zeros, as far as that can be said without reading
    /// them.
    fn zeros(&self, _offset: u64) -> u64 {
        0
    }

    /// Accounts for work that these bytes cause where they are not read: pages that are unpacked
    /// from them, zeros that are written out.
    ///
    /// # Errors
    /// Fails if it is more than the file is worth.
    fn spend(&self, _bytes: u64) -> Result<(), DataError> {
        Ok(())
    }

    /// Lifts the bound on what may be read.
    fn read_without_limit(&self) {}

    /// How many bytes were read of it and unpacked from it, as far as that is counted.
    fn work_done(&self) -> u64 {
        0
    }

    /// Says that these ranges are read next. What is far away begins to fetch them, all at once.
    fn prefetch(&self, _ranges: &[Range<u64>]) {}

    /// Says that a reader of some of this range reads all of it.
    fn read_together(&self, _range: Range<u64>) {}

    /// Whether each read may cost a round trip through a network.
    fn is_remote(&self) -> bool {
        false
    }
}

impl Bytes for Vec<u8> {
    fn length(&self) -> u64 {
        self.len() as u64
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DataError> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let found = self.get(start..start.saturating_add(buffer.len()));
        buffer.copy_from_slice(found.ok_or(DataError::PastEnd { offset, length: self.length() })?);
        Ok(())
    }
}

/// A plain file. Its holes are zeros that need not be read.
///
/// Read by `pread`: where a file is truncated meanwhile, or a network file system fails,
/// the result is an error and not SIGBUS.
#[derive(Debug)]
pub struct PlainFile {
    file: File,
    length: u64,
    work: Work,
}

impl PlainFile {
    /// The bytes of an open file.
    pub fn new(file: File) -> std::io::Result<Self> {
        /// What `st_blocks` counts in.
        const BLOCK: u64 = 512;
        let metadata = file.metadata()?;
        let length = metadata.len();
        let stored = metadata.blocks().saturating_mul(BLOCK).min(length);
        Ok(Self { file, length, work: Work::of_stored(stored) })
    }

    /// The file itself.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where the hole that `offset` is in ends; `offset` itself if it is in none.
    fn hole_end(&self, offset: u64) -> u64 {
        match seek(&self.file, SeekFrom::Data(offset)) {
            Ok(data) => data.clamp(offset, self.length.max(offset)),
            // Nothing but a hole follows.
            Err(Errno::NXIO) => self.length.max(offset),
            Err(_) => offset,
        }
    }
}

impl Bytes for PlainFile {
    fn length(&self) -> u64 {
        self.length
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DataError> {
        self.spend(buffer.len() as u64)?;
        self.file.read_exact_at(buffer, offset).map_err(|source| match source.kind() {
            std::io::ErrorKind::UnexpectedEof => DataError::PastEnd { offset, length: self.length },
            _ => DataError::Io { offset, source },
        })
    }

    fn unit_end(&self, offset: u64) -> u64 {
        let hole = self.hole_end(offset);
        if hole > offset {
            return hole;
        }
        let end = unit_end(offset, self.length);
        match seek(&self.file, SeekFrom::Hole(offset)) {
            Ok(hole) if hole > offset => end.min(hole),
            _ => end,
        }
    }

    fn zeros(&self, offset: u64) -> u64 {
        self.hole_end(offset).saturating_sub(offset)
    }

    fn spend(&self, bytes: u64) -> Result<(), DataError> {
        self.work.spend(bytes).map_err(|error| DataError::TooMuch { limit: error.limit })
    }

    fn read_without_limit(&self) {
        self.work.unlimited();
    }

    fn work_done(&self) -> u64 {
        self.work.done()
    }
}

/// The end of a unit of 1 MiB.
fn unit_end(offset: u64, length: u64) -> u64 {
    const UNIT: u64 = 1 << 20;
    let end = offset.saturating_add(1).checked_next_multiple_of(UNIT).unwrap_or(u64::MAX);
    // What the file has is not read together with what it has not.
    if offset < length { end.min(length) } else { end }
}

/// Reads up to `length` bytes at `offset` into a new buffer.
///
/// Callers bound `length`.
pub fn read_vec(bytes: &dyn Bytes, offset: u64, length: u64) -> Result<Vec<u8>, DataError> {
    let past = || DataError::PastEnd { offset, length: bytes.length() };
    // What the file cannot hold is not allocated.
    let end = offset.checked_add(length).filter(|end| *end <= bytes.length());
    end.ok_or_else(past)?;
    let mut buffer = vec![0; usize::try_from(length).map_err(|_| past())?];
    bytes.read(offset, &mut buffer)?;
    Ok(buffer)
}
