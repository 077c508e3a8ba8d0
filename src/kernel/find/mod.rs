//! Finds the kernel of a core: by its VMCOREINFO note, in memory, or by its image.

pub mod address_space;
pub(super) mod image;
pub mod missing_note;
pub mod vmcoreinfo;
pub(super) mod without_note;
