//! A stored core in the form that another tool reads.
//!
//! ```text
//! Vmcore ──► ElfImage ──► elf     a sparse file, or a pipe
//!        └──────────────► kdump   kdump-compressed, plain or flattened
//! ```
//!
//! Needs: an open core. Gives: its memory and notes again, by all processors at
//! once. Memory that the core does not hold is in no form: it is absent from an
//! ELF file's headers, and from a kdump-compressed file's second bitmap. Damage
//! ends an export: what the bytes should have been is unknown.

pub mod elf;
pub mod kdump;
mod kdump_head;
mod uts;

use std::io;
use std::sync::Arc;

use thiserror::Error;

use crate::corefile::read::bytes::DataError;
use crate::vmcore::elf_image::ElfImageError;
use crate::vmcore::memory::MemoryError;

/// Why a core could not be exported.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExportError {
    /// It does not fit into an ELF file.
    #[error("cannot write the core as an ELF file: {0}")]
    Image(#[from] ElfImageError),
    /// A part of it cannot be read.
    #[error(transparent)]
    Memory(MemoryError),
    /// A part of its file cannot be read.
    #[error(transparent)]
    Data(Arc<DataError>),
    /// The exported file cannot be written.
    #[error("cannot write")]
    Write(#[source] io::Error),
    /// It holds no whole page.
    #[error("the core holds no whole page of memory")]
    Empty,
    /// It does not fit.
    #[error("{what} is too large for a kdump-compressed file: {bytes:#x} bytes")]
    TooLarge {
        /// What does not fit.
        what: &'static str,
        /// How long it is.
        bytes: u64,
    },
    /// A compressor cannot be set up.
    #[error("cannot start a compressor")]
    Compressor(#[source] io::Error),
}

/// What was exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// How many bytes the file or the stream has, holes included.
    pub bytes: u64,
    /// How many of them are memory's zeros that take no room.
    pub zeros: u64,
}
