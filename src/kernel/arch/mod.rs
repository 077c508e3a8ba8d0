//! What differs between the architectures whose kernels are read.
//!
//! ```text
//! paging      VMCOREINFO ──► the kernel's page tables
//! image       a vCPU's page tables ──► the kernel's image, where there is no VMCOREINFO
//! cpus        a vCPU's notes ──► its per-CPU area, its stack pointer, its mode
//! start       registers of a vCPU or of a switched-out task ──► the first stack frame
//! registers   struct pt_regs
//! unwind      a stack frame ──► its caller
//! ```
//!
//! Each architecture is a folder with these files, a type that implements [`Arch`], and a row
//! in [`ALL`]. Formats of page tables and of register notes are in `vmcore_formats`.

mod arm64;
mod paging;
mod x86_64;

use std::fmt;
use std::sync::Arc;

use vmcore_formats::addr::{PhysAddr, VirtAddr};
use vmcore_formats::elf::qemu_cpu::QemuCpu;
use vmcore_formats::endian::Endian;
use vmcore_formats::paging::Paging;
use vmcore_formats::vmcoreinfo::VmcoreInfo;

pub use paging::PageTablesError;

use super::Kernel;
use super::page_tables::AddressSpace;
use super::types::SavedContext;
use super::unwind::{Callers, VcpuStart, VcpuStartError};
use crate::vmcore::registers::Vcpu;
use crate::vmcore::{PhysMemory, Vmcore};

/// The architectures.
const ALL: [&dyn Arch; 2] = [&x86_64::X86_64, &arm64::Arm64];

/// Kernel addresses have this bit, on all of them.
const KERNEL_HALF: u64 = 1 << 63;

/// An architecture.
pub(super) trait Arch: fmt::Debug + Sync {
    /// The `e_machine` of its cores.
    fn machines(&self) -> &'static [u16];

    /// Whether this is a format of its page tables.
    fn has_paging(&self, paging: Paging) -> bool;

    /// The kernel's page tables, as VMCOREINFO describes them.
    ///
    /// # Errors
    /// Fails if VMCOREINFO says too little, or the tables do not map the kernel.
    fn page_tables(
        &self,
        machine: &Machine,
        info: &VmcoreInfo,
    ) -> Result<AddressSpace, PageTablesError>;

    /// Where VMCOREINFO says that the topmost page table is.
    fn root(&self, info: &VmcoreInfo) -> Option<PhysAddr>;

    /// Whether a vCPU uses page tables of this kernel, whose topmost one is at `symbol`.
    ///
    /// Returns `None` where notes have no page-table registers.
    fn is_in_use(&self, machine: &Machine, space: &AddressSpace, symbol: VirtAddr) -> Option<bool>;

    /// The kernel image that each vCPU's page tables map, the likeliest first. None where notes
    /// have no page-table registers.
    fn images<'m>(&self, machine: &'m Machine) -> Box<dyn Iterator<Item = Image> + 'm>;

    /// The symbol of the topmost page table in kallsyms: VMCOREINFO's `swapper_pg_dir`.
    fn root_symbol(&self) -> &'static str;

    /// What the notes of a core have on each vCPU.
    fn vcpus(&self, core: &Vmcore) -> Vec<VcpuState>;

    /// The per-CPU pointer to a CPU's interrupt stack, where stacks tell CPUs apart.
    fn interrupt_stack(&self) -> Option<&'static str>;

    /// Where a vCPU is.
    ///
    /// # Errors
    /// Fails with the name of a register that the notes do not have.
    fn vcpu_start(&self, cpu: &Vcpu) -> Result<VcpuStart, VcpuStartError>;

    /// Where a task keeps its registers while it is switched out.
    fn saved_context(&self) -> &'static SavedContext;

    /// How the kernel's stacks are unwound. What is missing for it goes to `findings`.
    fn callers(&self, kernel: &Kernel, findings: &mut Vec<String>) -> Box<dyn Callers>;
}

/// The architecture of a core's machine.
pub(super) fn of_machine(machine: u16) -> Option<&'static dyn Arch> {
    ALL.into_iter().find(|arch| arch.machines().contains(&machine))
}

/// The architecture that a format of page tables belongs to.
pub(super) fn of_paging(paging: Paging) -> &'static dyn Arch {
    let found = ALL.into_iter().find(|arch| arch.has_paging(paging));
    found.unwrap_or(&x86_64::X86_64)
}

/// A guest's hardware, as a core shows it before its kernel is found.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    /// Its memory.
    pub(super) memory: Arc<dyn PhysMemory>,
    /// Its byte order.
    pub(super) endian: Endian,
    /// QEMU's own notes on vCPUs, which x86 alone has.
    pub(super) cpus: Vec<QemuCpu>,
}

impl Machine {
    /// That of a core.
    pub(super) fn of(core: &Vmcore) -> Self {
        Self {
            memory: core.shared_memory(),
            endian: core.identity().endian,
            cpus: QemuCpu::all(core.notes()).into_iter().flatten().collect(),
        }
    }
}

/// A kernel's image, found through page tables.
#[derive(Debug)]
pub(super) struct Image {
    /// The page tables.
    pub(super) space: AddressSpace,
    /// Where the image begins.
    pub(super) start: VirtAddr,
    /// What VMCOREINFO says of where it is: lines of `KEY=value`.
    pub(super) location: String,
}

/// What notes have on a vCPU.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct VcpuState {
    /// What is added to per-CPU variables' addresses, if a register has it.
    pub(super) per_cpu: Option<u64>,
    /// Its stack pointer.
    pub(super) sp: u64,
    /// Whether it is in user mode.
    pub(super) user: Option<bool>,
}
