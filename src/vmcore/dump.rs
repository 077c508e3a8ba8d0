//! What a reader finds in the file of a dump.

use std::sync::Arc;

use vmcore_formats::elf::{Identity, Segment};

use super::memory::PhysMemory;
use crate::corefile::read::bytes::Bytes;

/// The most bytes of notes that are read.
pub(super) const MAX_NOTES: u64 = 32 << 20;

/// A dump, whatever format it has.
#[derive(Debug)]
pub struct Dump {
    /// How it is stored, as it is shown: for example `ELF`.
    pub format: String,
    /// What machine it is of.
    pub identity: Identity,
    /// The notes, as an ELF core has them.
    pub notes: Vec<u8>,
    /// The guest's memory.
    pub memory: Arc<dyn PhysMemory>,
    /// The memory segments, as the program headers of an ELF core have them.
    pub segments: Vec<Segment>,
    /// The ELF core as a file, unpacked; `None` if it is stored as something else.
    pub elf: Option<Arc<dyn Bytes>>,
    /// What is missing or wrong, as sentences.
    pub findings: Vec<String>,
}
