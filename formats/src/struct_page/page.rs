//! The fields of one struct page.

use super::layout::{CompoundSource, PageLayout};
use crate::addr::{Pfn, VirtAddr};
use crate::endian::Endian;

/// The largest order of a compound page: larger ones are damage.
const MAX_COMPOUND_ORDER: u32 = 40;
const TAIL: u64 = 1;
const ANONYMOUS: u64 = 1;
/// The lowest kernel address: those of arm64 with 52 bits.
const KERNEL: u64 = 0xff0_u64 << 52;

/// Whether a word is a pointer to something of the kernel's.
pub(super) fn is_kernel_pointer(word: u64) -> bool {
    word >= KERNEL && word.is_multiple_of(8)
}

/// A struct page.
#[derive(Clone, Copy)]
pub(super) struct StructPage<'b> {
    pub(super) layout: &'b PageLayout,
    pub(super) bytes: &'b [u8],
    pub(super) endian: Endian,
}

impl<'b> StructPage<'b> {
    fn word(&self, at: usize) -> u64 {
        self.endian.u64_at(self.bytes, at).unwrap_or_default()
    }

    pub(super) fn flags(&self) -> u64 {
        self.word(self.layout.flags)
    }

    pub(super) fn mapping(&self) -> u64 {
        self.word(self.layout.mapping)
    }

    pub(super) fn private(&self) -> u64 {
        self.word(self.layout.private)
    }

    pub(super) fn page_type(&self) -> u32 {
        self.endian.u32_at(self.bytes, self.layout.mapcount).unwrap_or_default()
    }

    /// How many use it; a count below zero is damage.
    pub(super) fn references(&self) -> i32 {
        let count = self.endian.u32_at(self.bytes, self.layout.refcount);
        count.unwrap_or_default().cast_signed()
    }

    pub(super) fn is_tail(&self) -> bool {
        self.word(self.layout.link) & TAIL != 0
    }

    pub(super) fn is_head(&self) -> bool {
        self.flags() & self.layout.pg_head != 0
    }

    pub(super) fn is_poisoned(&self) -> bool {
        self.flags() & self.layout.pg_hwpoison != 0
    }

    /// Without `PG_slab` in VMCOREINFO there is no such flag: makedumpfile then takes bit 7, which is
    /// `PG_waiters`.
    pub(super) fn is_slab(&self) -> bool {
        let of_type = self.layout.slab.is_some_and(|slab| slab.is(self.page_type()));
        of_type || self.flags() & self.layout.pg_slab != 0
    }

    pub(super) fn is_anonymous(&self) -> bool {
        self.mapping() & ANONYMOUS != 0
    }

    /// Whether it is in a list of the kernel's.
    pub(super) fn is_listed(&self) -> bool {
        let next = self.layout.lru.saturating_add(8);
        is_kernel_pointer(self.word(self.layout.lru)) && is_kernel_pointer(self.word(next))
    }

    /// Whether it is a tail of the compound page whose struct page is at `head`, being itself at
    /// `own`.
    ///
    /// The link is a pointer to the head, or, where struct pages of hugetlb are shared
    /// (since `compound_head` was renamed to `compound_info`, in v7.1), a
    /// mask of the address. The same field has both; its value tells which it is.
    pub(super) fn names_head(&self, own: VirtAddr, head: VirtAddr) -> bool {
        let link = self.word(self.layout.link);
        if link & TAIL == 0 {
            return false;
        }
        let value = link & !TAIL;
        if (!value).wrapping_add(1).is_power_of_two() {
            return own.0 & value == head.0;
        }
        value == head.0
    }

    /// The order of the compound page of this head, and whether it is one of hugetlbfs; `first` is
    /// its first tail. Order 0 if it cannot be.
    pub(super) fn compound(&self, pfn: Pfn, first: Option<StructPage<'_>>) -> (u32, bool) {
        let Some(first) = first.filter(|_| self.is_head()) else { return (0, false) };
        let low_byte = u32::from(first.flags().to_le_bytes().first().copied().unwrap_or_default());
        let byte = |at: usize| first.bytes.get(at).copied().unwrap_or_default();
        let (order, huge) = match self.layout.compound {
            CompoundSource::HugetlbType(hugetlb) => (low_byte, hugetlb.is(self.page_type())),
            CompoundSource::HugetlbFlag(flag) => (low_byte, first.flags() & flag != 0),
            CompoundSource::Bytes { order, huge } => {
                (u32::from(byte(order)), huge.is_some_and(|(at, number)| byte(at) == number))
            }
        };
        let fits = order <= MAX_COMPOUND_ORDER && is_aligned(pfn, order);
        (if fits { order } else { 0 }, huge)
    }
}

/// Whether a block of this order can begin with this page.
pub(super) fn is_aligned(pfn: Pfn, order: u32) -> bool {
    1_u64.checked_shl(order).is_some_and(|pages| pfn.0.is_multiple_of(pages))
}
