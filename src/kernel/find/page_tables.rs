//! The kernel's page tables of a core, by its architecture.

use vmcore_formats::vmcoreinfo::VmcoreInfo;

use crate::kernel::arch::{self, Machine, PageTablesError};
use crate::kernel::page_tables::AddressSpace;
use crate::vmcore::Vmcore;

impl AddressSpace {
    /// The kernel's own addresses.
    ///
    /// # Errors
    /// Fails if VMCOREINFO says too little, or the tables do not map the kernel.
    pub fn find(core: &Vmcore, info: &VmcoreInfo) -> Result<Self, PageTablesError> {
        let identity = core.identity();
        let arch = arch::of_machine(identity.machine).ok_or_else(|| PageTablesError::Machine {
            machine: identity
                .machine_name()
                .map_or_else(|| identity.machine.to_string(), str::to_owned),
        })?;
        arch.page_tables(&Machine::of(core), info)
    }
}
