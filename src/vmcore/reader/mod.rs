//! The formats of cores, each read as guest memory by physical address.

pub mod elf_memory;
pub mod flattened;
pub mod kdump_memory;
mod kdump_pages;
#[cfg(test)]
pub(crate) mod kdump_sample;
pub(super) mod open_kdump;
pub mod open_windows;
mod page_bitmap;
mod page_cache;
pub mod page_codec;
