//! The page tables of an x86-64 kernel.
//!
//! ```text
//! root = SYMBOL(swapper_pg_dir) - 0xffffffff80000000 + NUMBER(phys_base)
//! else a vCPU's CR3, if it maps the kernel
//! five levels: NUMBER(pgtable_l5_enabled), else bit 12 of CR4
//! ```

use std::sync::Arc;

use vmcore_formats::addr::{PhysAddr, VirtAddr};
use vmcore_formats::elf::qemu_cpu::QemuCpu;
use vmcore_formats::endian::Endian;
use vmcore_formats::paging::{CR4_LA57, Paging, X86_64, root_of_cr3};
use vmcore_formats::vmcoreinfo::VmcoreInfo;

use crate::kernel::arch::PageTablesError;
use crate::kernel::arch::paging::{maps_itself, root_symbol};
use crate::kernel::page_tables::AddressSpace;
use crate::vmcore::PhysMemory;

/// Where images are mapped: `__START_KERNEL_map`.
pub(super) const IMAGE_MAP: u64 = 0xffff_ffff_8000_0000;
/// With page-table isolation, a CR3 with this bit is of the table for user code.
pub(super) const USER_CR3: u64 = 1 << 12;

/// The kernel's page tables.
pub(in crate::kernel::arch) fn find(
    memory: &Arc<dyn PhysMemory>,
    info: &VmcoreInfo,
    cpus: &[QemuCpu],
) -> Result<AddressSpace, PageTablesError> {
    let symbol = root_symbol(info)?;
    let five_levels = info
        .number("pgtable_l5_enabled")
        .map_or_else(|| has_five_levels(cpus), |enabled| enabled != 0);
    let encryption_mask = info.number("sme_mask").unwrap_or(0);
    let paging = Paging::X86_64(X86_64 { five_levels, encryption_mask });
    let space = |root| AddressSpace::new(Arc::clone(memory), paging, root, Endian::Little);
    let by_info = root(info).map(|root| maps_itself(space(root), symbol));
    if let Some(Ok(found)) = by_info {
        return Ok(found);
    }
    let by_cpu = cpus
        .iter()
        .flat_map(|cpu| [cpu.cr3(), cpu.cr3() & !USER_CR3])
        .map(|cr3| space(root_of_cr3(cr3 & !encryption_mask)))
        .find(|space| space.translate(symbol).is_ok());
    let failure = || by_info.unwrap_or(Err(PageTablesError::NotSaid { key: "NUMBER(phys_base)" }));
    by_cpu.map_or_else(failure, Ok)
}

/// Where VMCOREINFO says that the topmost table is.
pub(super) fn root(info: &VmcoreInfo) -> Option<PhysAddr> {
    let (symbol, phys_base) = (info.symbol("swapper_pg_dir")?, info.number("phys_base")?);
    Some(PhysAddr(symbol.0.wrapping_sub(IMAGE_MAP).wrapping_add(phys_base)))
}

/// Whether a vCPU's tables map the kernel's root to where this kernel's is.
pub(super) fn is_in_use(cpus: &[QemuCpu], space: &AddressSpace, symbol: VirtAddr) -> Option<bool> {
    if cpus.is_empty() {
        return None;
    }
    // With page-table isolation, this bit is set in the root for user code, which maps little.
    let mut roots = cpus.iter().flat_map(|cpu| [cpu.cr3(), cpu.cr3() & !USER_CR3]);
    Some(roots.any(|cr3| {
        let found = space.of_process(root_of_cr3(cr3)).translate(symbol);
        found.is_ok_and(|found| found == space.root())
    }))
}

/// Whether vCPUs walk tables of five levels.
pub(super) fn has_five_levels(cpus: &[QemuCpu]) -> bool {
    cpus.iter().any(|cpu| cpu.cr4() & CR4_LA57 != 0)
}
