//! A core in the seekable format.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use thiserror::Error;
use vmcore_formats::seekable::{
    FOOTER_LENGTH, Footer, METADATA_MAGIC, SeekTable, SeekTableError, skippable_content,
};

use crate::store::metadata::{Metadata, SCHEMA};

/// The longest metadata that is read, in bytes.
const MAX_METADATA: u64 = 16 << 20;
/// The longest seek table that is read, in bytes: for a core of 8 TiB.
const MAX_TABLE: u64 = 128 << 20;

/// Why a file is no core that can be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VmcoreError {
    /// The system refused.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No seek table at its end.
    #[error("{} is not a whole core of vmcorectl", path.display())]
    NotSeekable {
        /// The file.
        path: PathBuf,
        /// What is wrong with its end.
        source: SeekTableError,
    },
    /// The seek table does not add up to the file.
    #[error("{} has {found} bytes, but its seek table describes {described}", path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// How long it is.
        found: u64,
        /// How long it should be.
        described: u64,
    },
    /// No metadata in it, or of another schema.
    #[error("{} has no metadata of the schema {SCHEMA}", path.display())]
    NoMetadata {
        /// The file.
        path: PathBuf,
    },
}

/// An open core.
#[derive(Debug)]
pub struct StoredVmcore {
    path: PathBuf,
    file: File,
    length: u64,
    table: SeekTable,
}

impl StoredVmcore {
    /// Opens a core by its seek table.
    ///
    /// # Errors
    /// Fails if the file has none, or one that does not add up.
    pub fn open(path: &Path) -> Result<Self, VmcoreError> {
        let io = |source| VmcoreError::Io { path: path.to_owned(), source };
        let not_seekable = |source| VmcoreError::NotSeekable { path: path.to_owned(), source };
        let file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let mut footer = [0; FOOTER_LENGTH];
        let footer_at = length
            .checked_sub(FOOTER_LENGTH as u64)
            .ok_or_else(|| not_seekable(SeekTableError::NoFooter))?;
        file.read_exact_at(&mut footer, footer_at).map_err(io)?;
        let table_length = Footer::decode(&footer).map_err(not_seekable)?.table_length();
        let table_at = length
            .checked_sub(table_length)
            .filter(|_| table_length <= MAX_TABLE)
            .ok_or_else(|| not_seekable(SeekTableError::NoFooter))?;
        let bytes = read(&file, table_at, table_length).map_err(io)?;
        let table = SeekTable::decode(&bytes).map_err(not_seekable)?;
        let described = table.compressed_length().saturating_add(table_length);
        if described != length {
            return Err(VmcoreError::Length { path: path.to_owned(), found: length, described });
        }
        Ok(Self { path: path.to_owned(), file, length, table })
    }

    /// Its length in the file, in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Its frames.
    #[must_use]
    pub fn table(&self) -> &SeekTable {
        &self.table
    }

    /// The metadata that travels in it.
    ///
    /// # Errors
    /// Fails if there is none that this version understands.
    pub fn metadata(&self) -> Result<Metadata, VmcoreError> {
        let none = || VmcoreError::NoMetadata { path: self.path.clone() };
        let mut end = self.table.compressed_length();
        for frame in self.table.frames.iter().rev() {
            let length = u64::from(frame.compressed);
            let start = end.checked_sub(length).ok_or_else(none)?;
            end = start;
            if frame.decompressed > 0 {
                break;
            }
            if length > MAX_METADATA {
                continue;
            }
            let bytes = read(&self.file, start, length)
                .map_err(|source| VmcoreError::Io { path: self.path.clone(), source })?;
            if let Some(json) = skippable_content(METADATA_MAGIC, &bytes) {
                let metadata: Metadata = serde_json::from_slice(json).map_err(|_| none())?;
                return if metadata.schema == SCHEMA { Ok(metadata) } else { Err(none()) };
            }
        }
        Err(none())
    }
}

fn read(file: &File, at: u64, length: u64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(length).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}
