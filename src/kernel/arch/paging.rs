//! Why a kernel's page tables are not found, and the check that they are the kernel's.

use thiserror::Error;
use vmcore_formats::addr::{PhysAddr, VirtAddr};
use vmcore_formats::vmcoreinfo::VmcoreInfo;

use crate::kernel::page_tables::{AddressSpace, TranslateError};

/// Why a kernel's page tables are not found.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum PageTablesError {
    /// Another machine.
    #[error("page tables of this machine ({machine}) cannot be walked; x86_64 and aarch64 can")]
    Machine {
        /// Its name, or `e_machine`.
        machine: String,
    },
    /// A value that is needed is not there.
    #[error("VMCOREINFO does not say {key}, which is needed to find the kernel's page tables")]
    NotSaid {
        /// The key.
        key: &'static str,
    },
    /// Pages and addresses of a size that the kernel has not.
    #[error(
        "VMCOREINFO says pages of {page_size} bytes and {va_bits} address bits: no kernel has these together"
    )]
    Geometry {
        /// `PAGESIZE`.
        page_size: u64,
        /// `64 - TCR_EL1_T1SZ`, or `VA_BITS`.
        va_bits: u64,
    },
    /// The tables do not map the kernel.
    #[error(
        "the page tables at {root} do not map the kernel that VMCOREINFO describes: {source}{}",
        encrypted(source)
    )]
    NotTheKernels {
        /// Where they should be.
        root: PhysAddr,
        /// What came of translating the address of the root.
        source: Box<TranslateError>,
    },
    /// The tables map the kernel elsewhere.
    #[error(
        "the page tables at {root} map the kernel's own root to {found}: VMCOREINFO is of another kernel, or damaged"
    )]
    Elsewhere {
        /// Where they should be.
        root: PhysAddr,
        /// Where they map the root to.
        found: PhysAddr,
    },
}

/// Tables that are there, and have no sensible entries.
fn encrypted(error: &TranslateError) -> &'static str {
    match error {
        TranslateError::Missing { .. } => "",
        _ => " (encrypted guest memory looks like this, too)",
    }
}

/// The virtual address of the topmost table.
pub(super) fn root_symbol(info: &VmcoreInfo) -> Result<VirtAddr, PageTablesError> {
    info.symbol("swapper_pg_dir").ok_or(PageTablesError::NotSaid { key: "SYMBOL(swapper_pg_dir)" })
}

/// Checks that tables map their own root to where it is.
pub(super) fn maps_itself(
    space: AddressSpace,
    symbol: VirtAddr,
) -> Result<AddressSpace, PageTablesError> {
    let root = space.root();
    match space.translate(symbol) {
        Ok(found) if found == root => Ok(space),
        Ok(found) => Err(PageTablesError::Elsewhere { root, found }),
        Err(source) => Err(PageTablesError::NotTheKernels { root, source: Box::new(source) }),
    }
}

#[cfg(test)]
#[path = "paging_tests.rs"]
mod tests;
