//! arm64.

mod cpus;
mod image;
pub(super) mod paging;
mod registers;
mod start;
mod unwind;

use vmcore_formats::addr::{PhysAddr, VirtAddr};
use vmcore_formats::elf::machine::EM_AARCH64;
use vmcore_formats::paging::Paging;
use vmcore_formats::vmcoreinfo::VmcoreInfo;

use super::{Arch, Image, Machine, PageTablesError, VcpuState};
use crate::kernel::Kernel;
use crate::kernel::page_tables::AddressSpace;
use crate::kernel::types::SavedContext;
use crate::kernel::unwind::{Callers, VcpuStart, VcpuStartError};
use crate::vmcore::Vmcore;
use crate::vmcore::registers::Vcpu;

/// The architecture.
#[derive(Debug)]
pub(super) struct Arm64;

impl Arch for Arm64 {
    fn machines(&self) -> &'static [u16] {
        &[EM_AARCH64]
    }

    fn has_paging(&self, paging: Paging) -> bool {
        matches!(paging, Paging::Arm64(_))
    }

    fn page_tables(
        &self,
        machine: &Machine,
        info: &VmcoreInfo,
    ) -> Result<AddressSpace, PageTablesError> {
        paging::find(&machine.memory, info, machine.endian)
    }

    fn root(&self, info: &VmcoreInfo) -> Option<PhysAddr> {
        paging::root(info)
    }

    fn is_in_use(&self, _: &Machine, _: &AddressSpace, _: VirtAddr) -> Option<bool> {
        // Notes have no TTBR1.
        None
    }

    fn images<'m>(&self, machine: &'m Machine) -> Box<dyn Iterator<Item = Image> + 'm> {
        image::all(machine)
    }

    fn root_symbol(&self) -> &'static str {
        "swapper_pg_dir"
    }

    fn vcpus(&self, core: &Vmcore) -> Vec<VcpuState> {
        cpus::states(core)
    }

    fn interrupt_stack(&self) -> Option<&'static str> {
        Some(cpus::INTERRUPT_STACK)
    }

    fn vcpu_start(&self, cpu: &Vcpu) -> Result<VcpuStart, VcpuStartError> {
        start::of_vcpu(cpu)
    }

    fn saved_context(&self) -> &'static SavedContext {
        &start::SAVED_CONTEXT
    }

    fn callers(&self, kernel: &Kernel, _: &mut Vec<String>) -> Box<dyn Callers> {
        unwind::callers(kernel)
    }
}
