//! Finds the kernel of a core: by its VMCOREINFO note, in memory, or by its image.

pub(super) mod by_image;
pub mod in_memory;
pub mod note;
mod page_tables;
mod search;
mod synthetic_vmcoreinfo;

pub use search::{SearchDepth, SearchExtent};
