//! Goes through arrays of struct pages, from the lowest page up.
//!
//! A free block and a compound page are decided at their first page, and each further page has to
//! confirm it: in a free block none is in use, typed or a tail, and a tail's link leads to the head. Where it does
//! not, the page has no class. So a damaged struct page costs its own page and a block at most.
//!
//! Struct pages of hugetlb may share memory (HVO): before v7.1, those at the beginning of a page of
//! struct pages are then copies of the head, and look like heads themselves. They count as tails.

use super::layout::PageLayout;
use super::page::StructPage;
use super::rules::{Claim, claim};
use crate::addr::{Pfn, VirtAddr};
use crate::endian::Endian;
use crate::page_class::PageClass;

/// The type of a page that has none, and is mapped nowhere: each page that is freed has it.
const NO_TYPE: u32 = u32::MAX;

/// How many pages were seen, and with what result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All that have a struct page.
    pub pages: u64,
    /// Those that claim a class whose checks they fail.
    pub failed: u64,
    /// Those that the hardware reported as damaged.
    pub poisoned: u64,
}

/// A free block or a compound page that began before.
#[derive(Clone, Debug)]
struct Block {
    head: Pfn,
    end: Pfn,
    class: PageClass,
    kind: Kind,
    /// The head of a compound page of hugetlbfs.
    copy: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Free,
    Compound,
}

/// Gives each page its class.
#[derive(Clone, Debug)]
pub struct Classifier<'l> {
    layout: &'l PageLayout,
    endian: Endian,
    /// Where the struct page of page 0 would be.
    base: VirtAddr,
    block: Option<Block>,
    tally: Tally,
}

impl<'l> Classifier<'l> {
    /// For struct pages of a layout, that of page 0 being at `base`.
    pub fn new(layout: &'l PageLayout, endian: Endian, base: VirtAddr) -> Self {
        Self { layout, endian, base, block: None, tally: Tally::default() }
    }

    /// What was counted so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Classifies the pages from `first` on, by their struct pages. Each page that has a class goes
    /// to `found`. Pages come in ascending order.
    pub fn classify(&mut self, first: Pfn, bytes: &[u8], mut found: impl FnMut(Pfn, PageClass)) {
        let mut pages = bytes.chunks_exact(self.layout.size.max(1)).peekable();
        let mut pfn = first;
        while let Some(page) = pages.next() {
            let next = pages.peek().map(|next| self.page(next));
            if let Some(class) = self.one(pfn, self.page(page), next) {
                found(pfn, class);
            }
            pfn = Pfn(pfn.0.saturating_add(1));
        }
    }

    fn page<'b>(&self, bytes: &'b [u8]) -> StructPage<'b>
    where
        'l: 'b,
    {
        StructPage { layout: self.layout, bytes, endian: self.endian }
    }

    fn one(
        &mut self,
        pfn: Pfn,
        page: StructPage<'_>,
        next: Option<StructPage<'_>>,
    ) -> Option<PageClass> {
        self.tally.pages = self.tally.pages.saturating_add(1);
        let class = match self.block.take().filter(|block| pfn > block.head && pfn < block.end) {
            Some(block) => {
                let class = self.member(pfn, page, &block);
                self.block = Some(block);
                class
            }
            None => self.first(pfn, page, next),
        };
        // Before any class: what is damaged is not read.
        let class = if page.is_poisoned() { Some(PageClass::Poison) } else { class };
        if class == Some(PageClass::Poison) {
            self.tally.poisoned = self.tally.poisoned.saturating_add(1);
        }
        class
    }

    /// A page that no block before covers.
    fn first(
        &mut self,
        pfn: Pfn,
        page: StructPage<'_>,
        next: Option<StructPage<'_>>,
    ) -> Option<PageClass> {
        if page.is_tail() {
            return None;
        }
        let (class, order, kind, huge) = match claim(page, pfn, next) {
            Claim::Free { order } => (PageClass::Free, order, Kind::Free, false),
            Claim::Used { class, order, huge } => (class, order, Kind::Compound, huge),
            other => {
                if other == Claim::Failed {
                    self.fail();
                }
                let (order, huge) = page.compound(pfn, next);
                if page.is_poisoned() && order > 0 {
                    self.begin(pfn, page, (PageClass::Poison, order, Kind::Compound, huge));
                }
                return None;
            }
        };
        let poisoned = page.is_poisoned() && kind == Kind::Compound;
        let class = if poisoned { PageClass::Poison } else { class };
        self.begin(pfn, page, (class, order, kind, huge));
        Some(class)
    }

    fn begin(
        &mut self,
        head: Pfn,
        page: StructPage<'_>,
        (class, order, kind, huge): (PageClass, u32, Kind, bool),
    ) {
        let pages = 1_u64.checked_shl(order).unwrap_or(1);
        if pages > 1 {
            let copy = if huge { page.bytes.to_vec() } else { Vec::new() };
            let end = Pfn(head.0.saturating_add(pages));
            self.block = Some(Block { head, end, class, kind, copy });
        }
    }

    /// A page of a block that began before.
    fn member(&mut self, pfn: Pfn, page: StructPage<'_>, block: &Block) -> Option<PageClass> {
        let belongs = match block.kind {
            Kind::Free => {
                let in_use = page.references() != 0
                    || page.flags() & self.layout.pg_lru != 0
                    || page.page_type() != NO_TYPE
                    || page.is_tail();
                if in_use {
                    self.fail();
                }
                !in_use
            }
            Kind::Compound => {
                let (own, head) = (self.at(pfn), self.at(block.head));
                let shared = own.offset_in(self.layout.page_size)
                    == head.offset_in(self.layout.page_size)
                    && block.copy == page.bytes;
                page.names_head(own, head) || shared
            }
        };
        belongs.then_some(block.class)
    }

    fn fail(&mut self) {
        self.tally.failed = self.tally.failed.saturating_add(1);
    }

    fn at(&self, pfn: Pfn) -> VirtAddr {
        self.base.wrapping_add(pfn.0.wrapping_mul(self.layout.size as u64))
    }
}
