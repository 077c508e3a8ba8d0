//! `mem_section`: which parts of memory have struct pages (SPARSEMEM).
//!
//! ```text
//! extreme   mem_section ──► pointers to roots ──► a page of sections each
//! flat      mem_section ──► sections, one after the other
//!
//! section_mem_map   63..12  where the struct page of page 0 would be
//!                   0 present   1 has struct pages   2 online   3 and more: other marks
//! ```
//!
//! How many low bits are marks differs between versions; the address is that of a page, so all bits
//! below are masked.

use super::layout::LayoutError;
use crate::addr::VirtAddr;
use crate::vmcoreinfo::VmcoreInfo;

/// Sizes of sections that a kernel can have: 16 MiB to 16 GiB.
const SECTION_BITS: std::ops::RangeInclusive<u64> = 24..=34;
/// Sizes where VMCOREINFO has none (before v5.13), x86-64's first: arm64's were 1 GiB then.
const USUAL_SECTION_BITS: [u64; 3] = [27, 30, 29];
/// `present`, `has struct pages` and `online`. Before v6.11, struct pages of what is not online are
/// not written yet.
const USABLE: u64 = 0b111;
const PRESENT: u64 = 0b1;

/// Where sections are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionTable {
    at: VirtAddr,
    /// Sections in a page of them, if there are roots.
    per_root: Option<u64>,
    section_size: u64,
    map_offset: u64,
    bits: u64,
    count: u64,
    page_size: u64,
}

/// A section, as its word has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section(pub u64);

impl Section {
    /// Whether the kernel has memory there.
    pub fn is_present(self) -> bool {
        self.0 & PRESENT != 0
    }

    /// Whether its struct pages are in use.
    pub fn is_usable(self) -> bool {
        self.0 & USABLE == USABLE
    }

    /// Where the struct page of page 0 would be.
    pub fn base(self, page_size: u64) -> VirtAddr {
        VirtAddr(self.0).align_down(page_size)
    }
}

impl SectionTable {
    /// The tables that VMCOREINFO may describe, the likeliest first. Several, where it has no size
    /// of a section.
    ///
    /// # Errors
    /// Fails if it describes none: the kernel has no sections, or a value cannot be one.
    pub fn candidates(info: &VmcoreInfo) -> Result<Vec<Self>, LayoutError> {
        let said = |key: &str, value: Option<u64>| {
            value.ok_or_else(|| LayoutError::NotSaid { key: key.to_owned() })
        };
        let impossible = |key: &str, value| LayoutError::Impossible { key: key.to_owned(), value };
        let at = said("SYMBOL(mem_section)", info.symbol("mem_section").map(|at| at.0))?;
        let length = said("LENGTH(mem_section)", info.length("mem_section"))?;
        let size = said("SIZE(mem_section)", info.size("mem_section"))?;
        let map_offset = said(
            "OFFSET(mem_section.section_mem_map)",
            info.offset("mem_section.section_mem_map"),
        )?;
        let page_size = said("PAGESIZE", info.page_size())?;
        if size == 0 || size > page_size || !size.is_multiple_of(8) {
            return Err(impossible("SIZE(mem_section)", size));
        }
        if map_offset.checked_add(8).is_none_or(|end| end > size) {
            return Err(impossible("OFFSET(mem_section.section_mem_map)", map_offset));
        }
        let bits = match info.number("SECTION_SIZE_BITS") {
            Some(bits) if SECTION_BITS.contains(&bits) => vec![bits],
            Some(bits) => return Err(impossible("NUMBER(SECTION_SIZE_BITS)", bits)),
            None => USUAL_SECTION_BITS.to_vec(),
        };
        let max = info.number("MAX_PHYSMEM_BITS").or_else(|| info.number("MAX_PHYSMEM_BITS_5"));
        let per = page_size.checked_div(size).unwrap_or(1).max(1);
        let table = |bits: u64| {
            let (per_root, count) = match max {
                None => (Some(per), length.checked_mul(per)?),
                Some(max) => {
                    let total = max.checked_sub(bits).filter(|more| *more <= 40)?;
                    let total = 1_u64.checked_shl(u32::try_from(total).ok()?)?;
                    let per_root = match length {
                        _ if length == total.div_ceil(per) => Some(per),
                        _ if length == total => None,
                        _ => return None,
                    };
                    (per_root, total)
                }
            };
            let at = VirtAddr(at);
            Some(Self { at, per_root, section_size: size, map_offset, bits, count, page_size })
        };
        let tables: Vec<_> = bits.into_iter().filter_map(table).collect();
        if tables.is_empty() {
            return Err(impossible("LENGTH(mem_section)", length));
        }
        Ok(tables)
    }

    /// The same table at another address.
    #[must_use]
    pub fn moved_to(self, at: VirtAddr) -> Self {
        Self { at, ..self }
    }

    /// Where it begins.
    pub fn at(&self) -> VirtAddr {
        self.at
    }

    /// How many bytes of memory a section has.
    pub fn section_bytes(&self) -> u64 {
        1_u64.checked_shl(u32::try_from(self.bits).unwrap_or_default()).unwrap_or(u64::MAX)
    }

    /// How many sections it has room for.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many sections are in a row in memory, from the first of a row on: those of a root.
    pub fn row(&self) -> u64 {
        self.per_root
            .unwrap_or_else(|| self.page_size.checked_div(self.section_size).unwrap_or(1).max(1))
    }

    /// How many bytes a row has.
    pub fn row_bytes(&self) -> u64 {
        self.row().saturating_mul(self.section_size)
    }

    /// Where the row of a section is: the address of the pointer to it (`Err`), or its own.
    pub fn row_of(&self, section: u64) -> Result<VirtAddr, VirtAddr> {
        let row = section.checked_div(self.row()).unwrap_or_default();
        match self.per_root {
            Some(_) => Err(self.at.wrapping_add(row.wrapping_mul(8))),
            None => Ok(self.at.wrapping_add(row.wrapping_mul(self.row_bytes()))),
        }
    }

    /// The offset in its row of the word of a section.
    pub fn word_in_row(&self, section: u64) -> usize {
        let index = section.checked_rem(self.row()).unwrap_or_default();
        let offset = index.wrapping_mul(self.section_size).wrapping_add(self.map_offset);
        usize::try_from(offset).unwrap_or(usize::MAX)
    }
}
