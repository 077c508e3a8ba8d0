//! A file's bytes by offset, whatever it takes to get them.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;

use thiserror::Error;

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
    /// The bytes are computed from something else, which cannot be read.
    #[error(transparent)]
    Underlying(Box<dyn std::error::Error + Send + Sync>),
    /// Past the end.
    #[error("byte {offset:#x} is past the end of the file, which has {length:#x} bytes")]
    PastEnd {
        /// What was wanted.
        offset: u64,
        /// How many bytes there are.
        length: u64,
    },
}

/// Bytes that can be read anywhere: of a plain file, or of an unpacked one.
pub trait Bytes: fmt::Debug + Send + Sync {
    /// How many there are.
    fn length(&self) -> u64;

    /// Reads bytes: all of `buffer`, or nothing that counts.
    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DataError>;

    /// The end of the unit that is best read at once with `offset`. Always after it.
    fn unit_end(&self, offset: u64) -> u64 {
        const UNIT: u64 = 1 << 20;
        let end = offset.saturating_add(1).checked_next_multiple_of(UNIT).unwrap_or(u64::MAX);
        // What the file has is not read together with what it has not.
        if offset < self.length() { end.min(self.length()) } else { end }
    }

    /// How many bytes from `offset` on are zeros, as far as that can be said without reading
    /// them.
    fn zeros(&self, _offset: u64) -> u64 {
        0
    }
}

/// A plain file.
///
/// Read by `pread`: where a file is truncated meanwhile, or a network file system fails,
/// the result is an error and not SIGBUS.
#[derive(Debug)]
pub struct PlainFile {
    file: File,
    length: u64,
}

impl PlainFile {
    /// The bytes of an open file.
    pub fn new(file: File) -> std::io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self { file, length })
    }

    /// The file itself.
    pub fn file(&self) -> &File {
        &self.file
    }
}

impl Bytes for PlainFile {
    fn length(&self) -> u64 {
        self.length
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DataError> {
        self.file.read_exact_at(buffer, offset).map_err(|source| match source.kind() {
            std::io::ErrorKind::UnexpectedEof => DataError::PastEnd { offset, length: self.length },
            _ => DataError::Io { offset, source },
        })
    }
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
