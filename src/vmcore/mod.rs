//! Stored cores, opened in place.
//!
//! ```text
//! PlainFile ──┐                    ┌──► ElfMemory ────┐
//!             ├──► Bytes ──► open ─┤                  ├──► PhysMemory
//! ChunkedFile ┘     ▲   │          └──► KdumpMemory ──┘    a guest's memory
//!                   │   ▼                                        │
//!                 FlattenedFile                       ElfImage ◄─┘
//! ```
//!
//! Needs: a file that a capture or another tool wrote. Gives: its notes, and the
//! guest's memory by physical address, unpacking only what is read.

pub mod bytes;
mod chunk_cache;
pub mod chunked;
pub mod elf_image;
pub mod elf_memory;
pub mod flattened;
pub mod frame_table;
pub mod kdump_memory;
mod kdump_pages;
#[cfg(test)]
pub(crate) mod kdump_sample;
pub mod memory;
pub mod metadata;
pub mod nearby;
mod open;
mod open_kdump;
pub mod open_windows;
mod page_bitmap;
mod page_cache;
pub mod page_codec;
pub mod pattern;
pub mod registers;
pub mod scan;
pub mod search;
pub mod summary;
pub mod verify;
mod verify_chunks;
mod verify_metadata;

pub use memory::{MemoryError, MemoryRange, PhysMemory};
pub use open::{Format, OpenError, Vmcore};
pub use open_kdump::{KdumpFileError, KdumpFormat};
