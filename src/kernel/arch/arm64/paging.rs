//! The page tables of an arm64 kernel.
//!
//! ```text
//! root = SYMBOL(swapper_pg_dir) - NUMBER(kimage_voffset)
//! page size: PAGESIZE; address bits: 64 - NUMBER(TCR_EL1_T1SZ), else NUMBER(VA_BITS)
//! ```
//!
//! With 64 KiB pages the tables have the geometry of `VA_BITS` even on a processor
//! that has fewer bits; with 4 and 16 KiB pages the kernel drops a level there
//! (Linux commit 9684ec186f8f "arm64: Enable LPA2 at boot if supported by the
//! system", in v6.9), so that `T1SZ` counts. Test: `wide_64k_tables_keep_their_geometry`.

use std::sync::Arc;

use vmcore_formats::addr::PhysAddr;
use vmcore_formats::endian::Endian;
use vmcore_formats::paging::{Arm64, Granule, Paging};
use vmcore_formats::vmcoreinfo::VmcoreInfo;

use crate::kernel::arch::PageTablesError;
use crate::kernel::arch::paging::{maps_itself, root_symbol};
use crate::kernel::page_tables::AddressSpace;
use crate::vmcore::PhysMemory;

/// The kernel's page tables.
pub(in crate::kernel::arch) fn find(
    memory: &Arc<dyn PhysMemory>,
    info: &VmcoreInfo,
    endian: Endian,
) -> Result<AddressSpace, PageTablesError> {
    let symbol = root_symbol(info)?;
    let page_size = info.page_size().ok_or(PageTablesError::NotSaid { key: "PAGESIZE" })?;
    let root = root(info).ok_or(PageTablesError::NotSaid { key: "NUMBER(kimage_voffset)" })?;
    let configured = info.number("VA_BITS");
    let actual = info.number("TCR_EL1_T1SZ").map(|size| 64_u64.saturating_sub(size));
    let va_bits = if page_size == 64 << 10 { configured.or(actual) } else { actual.or(configured) };
    let va_bits = va_bits.ok_or(PageTablesError::NotSaid { key: "NUMBER(VA_BITS)" })?;
    let format = Granule::of_page_size(page_size)
        .zip(u32::try_from(va_bits).ok())
        .and_then(|(granule, va_bits)| Arm64::kernel(granule, va_bits))
        .ok_or(PageTablesError::Geometry { page_size, va_bits })?;
    maps_itself(AddressSpace::new(Arc::clone(memory), Paging::Arm64(format), root, endian), symbol)
}

/// Where VMCOREINFO says that the topmost table is.
pub(super) fn root(info: &VmcoreInfo) -> Option<PhysAddr> {
    let (symbol, offset) = (info.symbol("swapper_pg_dir")?, info.number("kimage_voffset")?);
    Some(PhysAddr(symbol.0.wrapping_sub(offset)))
}
