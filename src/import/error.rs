//! Why a file is not imported.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::corefile::read::bytes::DataError;
use crate::corefile::write::OutputError;
use crate::encryption::EncryptionError;
use crate::store::StoreError;
use crate::vmcore::OpenError;
use crate::vmcore::elf_image::ElfImageError;

/// Why a file is not imported.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImportError {
    /// It is no core that can be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It is encrypted, and not whole.
    #[error(transparent)]
    Encryption(#[from] EncryptionError),
    /// Its memory does not fit into an ELF file.
    #[error("cannot store the core as ELF")]
    Layout(#[from] ElfImageError),
    /// The store could not do what it should.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Memory that the file should have cannot be read.
    #[error("cannot import all of {}", path.display())]
    Source {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: DataError,
    },
    /// The system has no threads or memory to give.
    #[error("cannot start to compress")]
    Start {
        /// What it said.
        source: io::Error,
    },
    /// The disk is as full as it may get.
    #[error("the disk of {} has {available} bytes left, and {reserve} are to be kept free", path.display())]
    Space {
        /// Where the core should go.
        path: PathBuf,
        /// What is free, in bytes.
        available: u64,
        /// What is to be kept free, in bytes.
        reserve: u64,
    },
    /// A signal came.
    #[error("ended by {signal}; nothing was imported")]
    Stopped {
        /// Its name.
        signal: &'static str,
    },
}

impl ImportError {
    /// Why the core was not written: it could not be read, or its file refused.
    pub(super) fn of(error: OutputError, source_path: &Path, core: &Path) -> Self {
        match error {
            OutputError::Write { source, .. } => match source.downcast::<DataError>() {
                Ok(source) => Self::Source { path: source_path.to_owned(), source },
                Err(source) => Self::Store(StoreError::io("write", core, source)),
            },
            OutputError::Reserve { available, reserve, .. } => {
                Self::Space { path: core.to_owned(), available, reserve }
            }
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Store(error) => error.hint()?.to_owned(),
            Self::Source { path, .. } => {
                format!("`vmcorectl verify {}` says what is damaged", path.display())
            }
            Self::Space { .. } => {
                "free some space, or choose another place with --store DIR or --output FILE"
                    .to_owned()
            }
            _ => return None,
        })
    }
}
