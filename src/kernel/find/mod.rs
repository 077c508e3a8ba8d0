//! Finds the kernel of a core: by its VMCOREINFO note, in memory, or by its image.

mod address_space;
pub mod missing_note;
mod search;
pub mod vmcoreinfo;
pub(super) mod without_note;

pub use search::{SearchDepth, SearchExtent};
