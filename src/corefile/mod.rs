//! The compressed core as a file: an ELF core in the seekable Zstandard format.

pub mod chunk_hash;
pub mod pack;
pub mod read;
pub mod write;
