//! The compressed core as a file: an ELF core in the seekable Zstandard format.

pub mod read;
pub mod write;
