//! The guest's kernel, out of its own memory.
//!
//! ```text
//! Vmcore ──► vmcoreinfo ──► AddressSpace ──► log
//!            what the       kernel addresses   printk's records
//!            kernel says
//! ```
//!
//! Needs: an open core. Memory is read only through `PhysMemory`. Everything
//! that is read from it may be wrong: lengths, counts and pointers are bounded.

pub mod address_space;
pub mod page_tables;
#[cfg(test)]
mod synthetic;

pub use page_tables::AddressSpace;
