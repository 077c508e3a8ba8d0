//! x86-64.

mod cpus;
mod image;
pub(super) mod paging;
mod registers;
mod start;
mod unwind;

use vmcore_formats::addr::{PhysAddr, VirtAddr};
use vmcore_formats::elf::machine::{EM_386, EM_X86_64};
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
pub(super) struct X86_64;

impl Arch for X86_64 {
    fn machines(&self) -> &'static [u16] {
        // QEMU says EM_386 of a 64-bit guest, too, if its first vCPU is not in long mode.
        &[EM_X86_64, EM_386]
    }

    fn has_paging(&self, paging: Paging) -> bool {
        matches!(paging, Paging::X86_64(_))
    }

    fn page_tables(
        &self,
        machine: &Machine,
        info: &VmcoreInfo,
    ) -> Result<AddressSpace, PageTablesError> {
        paging::find(&machine.memory, info, &machine.cpus)
    }

    fn root(&self, info: &VmcoreInfo) -> Option<PhysAddr> {
        paging::root(info)
    }

    fn is_in_use(&self, machine: &Machine, space: &AddressSpace, symbol: VirtAddr) -> Option<bool> {
        paging::is_in_use(&machine.cpus, space, symbol)
    }

    fn images<'m>(&self, machine: &'m Machine) -> Box<dyn Iterator<Item = Image> + 'm> {
        Box::new(image::all(&machine.memory, &machine.cpus))
    }

    fn root_symbol(&self) -> &'static str {
        // `swapper_pg_dir` is a macro for it.
        "init_top_pgt"
    }

    fn vcpus(&self, core: &Vmcore) -> Vec<VcpuState> {
        cpus::states(core)
    }

    fn interrupt_stack(&self) -> Option<&'static str> {
        None
    }

    fn vcpu_start(&self, cpu: &Vcpu) -> Result<VcpuStart, VcpuStartError> {
        start::of_vcpu(cpu)
    }

    fn saved_context(&self) -> &'static SavedContext {
        &start::SAVED_CONTEXT
    }

    fn callers(&self, kernel: &Kernel, findings: &mut Vec<String>) -> Box<dyn Callers> {
        unwind::callers(kernel, findings)
    }
}
