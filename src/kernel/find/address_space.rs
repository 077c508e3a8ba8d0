//! Where a kernel's page tables begin, and what format they have.
//!
//! ```text
//! x86-64   root = SYMBOL(swapper_pg_dir) - 0xffffffff80000000 + NUMBER(phys_base)
//!          else a vCPU's CR3, if it maps the kernel
//!          five levels: NUMBER(pgtable_l5_enabled), else bit 12 of CR4
//! arm64    root = SYMBOL(swapper_pg_dir) - NUMBER(kimage_voffset)
//!          page size: PAGESIZE; address bits: 64 - NUMBER(TCR_EL1_T1SZ), else NUMBER(VA_BITS)
//! ```
//!
//! With 64 KiB pages the tables have the geometry of `VA_BITS` even on a processor
//! that has fewer bits; with 4 and 16 KiB pages the kernel drops a level there
//! (Linux commit 9684ec186f8f "arm64: Enable LPA2 at boot if supported by the
//! system", in v6.9), so that `T1SZ` tells. Test: `wide_64k_tables_keep_their_geometry`.

use std::sync::Arc;

use goblin::elf::header::{EM_386, EM_AARCH64, EM_X86_64};
use thiserror::Error;
use vmcore_formats::addr::{PhysAddr, VirtAddr};
use vmcore_formats::cursor::Endian;
use vmcore_formats::elf::qemu_cpu::QemuCpu;
use vmcore_formats::paging::{Arm64, CR4_LA57, Granule, Paging, X86_64, root_of_cr3};
use vmcore_formats::vmcoreinfo::VmcoreInfo;

use crate::kernel::page_tables::{AddressSpace, TranslateError};
use crate::vmcore::{PhysMemory, Vmcore};

/// Where x86-64 kernels are linked to run.
pub(crate) const X86_IMAGE: u64 = 0xffff_ffff_8000_0000;
/// With page-table isolation, a CR3 with this bit is of the table for user code.
pub(crate) const USER_CR3: u64 = 1 << 12;

/// Why a kernel's page tables are not found.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum FindError {
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
        /// Where they say they are.
        found: PhysAddr,
    },
}

impl AddressSpace {
    /// The kernel's own addresses.
    ///
    /// # Errors
    /// Fails if VMCOREINFO says too little, or the tables do not map the kernel.
    pub fn find(core: &Vmcore, info: &VmcoreInfo) -> Result<Self, FindError> {
        let cpus: Vec<_> = QemuCpu::all(core.notes()).into_iter().flatten().collect();
        let identity = core.identity;
        let memory = Arc::clone(&core.memory);
        match identity.machine {
            // QEMU says EM_386 of a 64-bit guest, too, if its first vCPU is not in long mode.
            EM_X86_64 | EM_386 => x86_64(&memory, info, &cpus),
            EM_AARCH64 => arm64(&memory, info, identity.endian),
            other => Err(FindError::Machine {
                machine: identity.machine_name().map_or_else(|| other.to_string(), str::to_owned),
            }),
        }
    }
}

/// Tables that are there, and say nothing sensible.
fn encrypted(error: &TranslateError) -> &'static str {
    match error {
        TranslateError::Missing { .. } => "",
        _ => " (encrypted guest memory looks like this, too)",
    }
}

/// The addresses of an x86-64 kernel.
pub(crate) fn x86_64(
    memory: &Arc<dyn PhysMemory>,
    info: &VmcoreInfo,
    cpus: &[QemuCpu],
) -> Result<AddressSpace, FindError> {
    let symbol = root_symbol(info)?;
    let five_levels = info
        .number("pgtable_l5_enabled")
        .map_or_else(|| cpus.iter().any(|cpu| cpu.cr4() & CR4_LA57 != 0), |enabled| enabled != 0);
    let encryption_mask = info.number("sme_mask").unwrap_or(0);
    let paging = Paging::X86_64(X86_64 { five_levels, encryption_mask });
    let space = |root| AddressSpace::new(Arc::clone(memory), paging, root, Endian::Little);

    let said = said_root(info).map(|root| maps_itself(space(root), symbol));
    if let Some(Ok(found)) = said {
        return Ok(found);
    }
    let by_cpu = cpus
        .iter()
        .flat_map(|cpu| [cpu.cr3(), cpu.cr3() & !USER_CR3])
        .map(|cr3| space(root_of_cr3(cr3 & !encryption_mask)))
        .find(|space| space.translate(symbol).is_ok());
    let failure = || said.unwrap_or(Err(FindError::NotSaid { key: "NUMBER(phys_base)" }));
    by_cpu.map_or_else(failure, Ok)
}

/// Where VMCOREINFO says that the tables of an x86-64 kernel are.
pub(crate) fn said_root(info: &VmcoreInfo) -> Option<PhysAddr> {
    let (symbol, phys_base) = (info.symbol("swapper_pg_dir")?, info.number("phys_base")?);
    Some(PhysAddr(symbol.0.wrapping_sub(X86_IMAGE).wrapping_add(phys_base)))
}

/// The addresses of an arm64 kernel.
pub(crate) fn arm64(
    memory: &Arc<dyn PhysMemory>,
    info: &VmcoreInfo,
    endian: Endian,
) -> Result<AddressSpace, FindError> {
    let symbol = root_symbol(info)?;
    let page_size = info.page_size().ok_or(FindError::NotSaid { key: "PAGESIZE" })?;
    let offset = info
        .number("kimage_voffset")
        .ok_or(FindError::NotSaid { key: "NUMBER(kimage_voffset)" })?;
    let said = info.number("VA_BITS");
    let actual = info.number("TCR_EL1_T1SZ").map(|size| 64_u64.saturating_sub(size));
    let va_bits = if page_size == 64 << 10 { said.or(actual) } else { actual.or(said) };
    let va_bits = va_bits.ok_or(FindError::NotSaid { key: "NUMBER(VA_BITS)" })?;
    let format = Granule::of_page_size(page_size)
        .zip(u32::try_from(va_bits).ok())
        .and_then(|(granule, va_bits)| Arm64::kernel(granule, va_bits))
        .ok_or(FindError::Geometry { page_size, va_bits })?;
    let root = PhysAddr(symbol.0.wrapping_sub(offset));
    maps_itself(AddressSpace::new(Arc::clone(memory), Paging::Arm64(format), root, endian), symbol)
}

fn root_symbol(info: &VmcoreInfo) -> Result<VirtAddr, FindError> {
    info.symbol("swapper_pg_dir").ok_or(FindError::NotSaid { key: "SYMBOL(swapper_pg_dir)" })
}

/// Checks that tables map their own root to where it is.
fn maps_itself(space: AddressSpace, symbol: VirtAddr) -> Result<AddressSpace, FindError> {
    let root = space.root();
    match space.translate(symbol) {
        Ok(found) if found == root => Ok(space),
        Ok(found) => Err(FindError::Elsewhere { root, found }),
        Err(source) => Err(FindError::NotTheKernels { root, source: Box::new(source) }),
    }
}

#[cfg(test)]
#[path = "address_space_tests.rs"]
mod tests;
