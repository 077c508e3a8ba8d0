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
pub mod backtrace;
pub mod log;
pub mod missing_note;
pub mod page_tables;
pub mod place;
#[cfg(test)]
mod synthetic;
pub mod unwind;
pub mod view;
pub mod vmcoreinfo;

pub use page_tables::AddressSpace;
pub use place::{CodeAddress, Place};

use thiserror::Error;
use vmcore_formats::vmcoreinfo::VmcoreInfo;

use crate::vmcore::Vmcore;

/// A guest's kernel: what it says of itself, and its addresses.
#[derive(Debug)]
pub struct Kernel {
    /// Its VMCOREINFO.
    pub info: VmcoreInfo,
    /// Where that was found.
    pub source: vmcoreinfo::Source,
    /// Its addresses.
    pub space: AddressSpace,
}

/// Why a kernel is not found in a core.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KernelError {
    /// It says nothing of itself.
    #[error(transparent)]
    Info(#[from] vmcoreinfo::FindError),
    /// Its page tables are not where it says.
    #[error(transparent)]
    AddressSpace(#[from] address_space::FindError),
}

impl Kernel {
    /// Finds a core's kernel.
    ///
    /// # Errors
    /// Fails if there is no VMCOREINFO, or its page tables do not map the kernel.
    pub fn find(core: &Vmcore) -> Result<Self, KernelError> {
        let vmcoreinfo::Found { info, source } = vmcoreinfo::find(core)?;
        let space = AddressSpace::find(core, &info)?;
        Ok(Self { info, source, space })
    }

    /// What a reader should know of where VMCOREINFO comes from, if it is not its note.
    #[must_use]
    pub fn origin(&self) -> Option<String> {
        let vmcoreinfo::Source::Memory { at, candidates, in_use } = self.source else {
            return None;
        };
        let used = match in_use {
            Some(true) => "a vCPU uses its page tables",
            Some(false) => "no vCPU uses its page tables",
            None => "what the vCPUs use is not known",
        };
        Some(format!(
            "the core has no VMCOREINFO note; the one at {at} in memory was taken, of {candidates} found; {used}"
        ))
    }
}
