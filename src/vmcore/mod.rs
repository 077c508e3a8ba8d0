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

mod dump;
pub mod elf_image;
mod left_out;
pub mod memory;
pub mod nearby;
mod open;
mod opened;
pub mod pages;
pub mod pattern;
pub mod reader;
pub mod registers;
pub mod scan;
pub mod search;
pub mod summary;
pub mod verify;
mod verify_chunks;
mod verify_metadata;

pub use dump::Dump;
pub use memory::{MemoryError, MemoryRange, PhysMemory};
pub use open::{OpenError, pack_of};
pub use opened::Vmcore;
