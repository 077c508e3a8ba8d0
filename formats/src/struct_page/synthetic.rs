//! Struct pages for tests, as each generation of kernels writes them.

use super::layout::PageLayout;
use crate::addr::VirtAddr;
use crate::vmcoreinfo::VmcoreInfo;

/// Where the struct page of page 0 is in these tests.
pub(super) const BASE: VirtAddr = VirtAddr(0xffff_ea00_0000_0000);
/// A pointer to something of the kernel's.
pub(super) const POINTER: u64 = 0xffff_8880_1234_5678;
pub(super) const SIZE: usize = 64;

const COMMON: &str = "OSRELEASE=any\nPAGESIZE=4096\nSYMBOL(mem_section)=ffff88807ffd1000\n\
    LENGTH(mem_section)=2048\nSIZE(mem_section)=16\nOFFSET(mem_section.section_mem_map)=0\n\
    NUMBER(SECTION_SIZE_BITS)=27\nNUMBER(MAX_PHYSMEM_BITS)=46\nSIZE(page)=64\n\
    OFFSET(page.flags)=0\nOFFSET(page.lru)=8\nOFFSET(page.mapping)=24\nOFFSET(page.private)=40\n\
    OFFSET(page._mapcount)=48\nOFFSET(page._refcount)=52\nLENGTH(zone.free_area)=11\n";

/// What the kernels' VMCOREINFO has besides, by the generation of its layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Generation {
    /// 4.16 to 6.2: order and destructor are bytes of page 1.
    Bytes,
    /// 6.3 to 6.5: the same bytes, in `struct folio`.
    Folio,
    /// 6.6 to 6.8: flags of page 1.
    Flag,
    /// 6.9 to 7.0: a page type.
    Type,
    /// 7.1 and later: masks as links.
    Mask,
}

pub(super) const GENERATIONS: [Generation; 5] =
    [Generation::Bytes, Generation::Folio, Generation::Flag, Generation::Type, Generation::Mask];

impl Generation {
    pub(super) fn vmcoreinfo(self) -> String {
        let older = "NUMBER(PG_lru)=4\nNUMBER(PG_private)=13\nNUMBER(PG_swapcache)=10\n\
            NUMBER(PG_swapbacked)=19\nNUMBER(PG_slab)=9\nNUMBER(PG_hwpoison)=23\n\
            NUMBER(PG_head_mask)=65536\nNUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-129\n\
            NUMBER(PAGE_OFFLINE_MAPCOUNT_VALUE)=-257\nNUMBER(HUGETLB_PAGE_DTOR)=2\n\
            OFFSET(page.compound_head)=8\n";
        let newer = "NUMBER(PG_lru)=5\nNUMBER(PG_private)=14\nNUMBER(PG_swapcache)=10\n\
            NUMBER(PG_swapbacked)=17\nNUMBER(PG_hwpoison)=20\nNUMBER(PG_head_mask)=64\n\
            NUMBER(PAGE_SLAB_MAPCOUNT_VALUE)=-184549376\n\
            NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-268435456\n\
            NUMBER(PAGE_OFFLINE_MAPCOUNT_VALUE)=-251658240\n\
            NUMBER(PAGE_HUGETLB_MAPCOUNT_VALUE)=-201326592\n\
            NUMBER(PAGE_UNACCEPTED_MAPCOUNT_VALUE)=-150994944\n";
        let own = match self {
            Self::Bytes => {
                [older, "OFFSET(page.compound_order)=17\nOFFSET(page.compound_dtor)=16\n"]
            }
            Self::Folio => [older, "OFFSET(folio._folio_order)=81\nOFFSET(folio._folio_dtor)=80\n"],
            Self::Flag => [older, "NUMBER(PG_hugetlb)=8\n"],
            Self::Type => [newer, "OFFSET(page.compound_head)=8\n"],
            Self::Mask => [newer, "OFFSET(page.compound_info)=8\n"],
        };
        [COMMON, &own.concat()].concat()
    }

    pub(super) fn layout(self) -> PageLayout {
        PageLayout::of(&VmcoreInfo::parse(self.vmcoreinfo().as_bytes())).unwrap()
    }
}

/// An array of struct pages from page 0 on, each one in use by the kernel.
#[derive(Clone, Debug)]
pub(super) struct Pages {
    pub(super) generation: Generation,
    pub(super) layout: PageLayout,
    pub(super) bytes: Vec<u8>,
}

impl Pages {
    pub(super) fn new(generation: Generation, count: usize) -> Self {
        let layout = generation.layout();
        let mut pages = Self { generation, layout, bytes: vec![0; count * SIZE] };
        for pfn in 0..count {
            pages.half(pfn, 48, u32::MAX);
            pages.half(pfn, 52, 1);
        }
        pages
    }

    pub(super) fn put(&mut self, pfn: usize, at: usize, bytes: &[u8]) {
        let start = pfn * SIZE + at;
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
    }

    pub(super) fn word(&mut self, pfn: usize, at: usize, value: u64) {
        self.put(pfn, at, &value.to_le_bytes());
    }

    pub(super) fn half(&mut self, pfn: usize, at: usize, value: u32) {
        self.put(pfn, at, &value.to_le_bytes());
    }

    /// Sets bits of the flags.
    pub(super) fn flag(&mut self, pfn: usize, mask: u64) {
        let at = pfn * SIZE;
        let old = u64::from_le_bytes(self.bytes[at..at + 8].try_into().unwrap());
        self.word(pfn, 0, old | mask);
    }

    pub(super) fn listed(&mut self, pfn: usize) {
        self.word(pfn, 8, POINTER);
        self.word(pfn, 16, POINTER);
    }

    /// A free block.
    pub(super) fn free(&mut self, pfn: usize, order: u32) {
        for member in pfn..pfn + (1 << order) {
            self.half(member, 52, 0);
        }
        self.listed(pfn);
        self.word(pfn, 40, order.into());
        self.half(pfn, 48, self.layout.buddy.value());
    }

    /// Anonymous memory.
    pub(super) fn user(&mut self, pfn: usize) {
        self.listed(pfn);
        self.flag(pfn, self.layout.pg_lru | self.layout.pg_swapbacked);
        self.word(pfn, 24, POINTER | 1);
        self.half(pfn, 48, 0);
    }

    /// Page cache.
    pub(super) fn cache(&mut self, pfn: usize) {
        self.listed(pfn);
        self.flag(pfn, self.layout.pg_lru);
        self.word(pfn, 24, POINTER);
    }

    pub(super) fn offline(&mut self, pfn: usize) {
        self.half(pfn, 48, self.layout.offline.unwrap().value());
    }

    /// Makes pages a compound page: mark of the head, order, links of the tails.
    pub(super) fn compound(&mut self, pfn: usize, order: u32) {
        self.flag(pfn, self.layout.pg_head);
        match self.generation {
            Generation::Bytes | Generation::Folio => self.put(pfn + 1, 17, &[order as u8]),
            _ => self.flag(pfn + 1, order.into()),
        }
        for tail in pfn + 1..pfn + (1 << order) {
            let link = match self.generation {
                Generation::Mask => u64::MAX << (order + 6),
                _ => BASE.0 + (pfn * SIZE) as u64,
            };
            self.word(tail, 8, link | 1);
            self.half(tail, 52, 0);
        }
    }

    /// A huge page of the pool, not in use.
    pub(super) fn hugetlb(&mut self, pfn: usize, order: u32) {
        self.compound(pfn, order);
        self.listed(pfn);
        self.half(pfn, 52, 0);
        match self.generation {
            Generation::Bytes | Generation::Folio => self.put(pfn + 1, 16, &[2]),
            Generation::Flag => self.flag(pfn + 1, 1 << 8),
            Generation::Type | Generation::Mask => self.half(pfn, 48, 0xf400_0000),
        }
    }
}
