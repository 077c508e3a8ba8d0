//! `struct page`: what the kernel records of each page of memory, and the class that follows.
//!
//! ```text
//! VMCOREINFO ──► PageLayout ──┐
//!                             ├──► Classifier ──► class of each page, failed checks
//! array of struct pages ──────┘
//! VMCOREINFO ──► SectionTable: where the arrays are
//! ```
//!
//! Needs: keys of VMCOREINFO, and the bytes of struct pages in ascending order of their pages.
//! Gives: a [`PageClass`] for a page that is surely of one; none for what the kernel uses, and
//! for what cannot be relied on. Nothing depends on the kernel's version: names and values are
//! those of 4.19 to 7.2, and the presence of a key decides between layouts.
//!
//! ```text
//! flags      u64   bits: lru, private, swapcache, swapbacked, hwpoison, head; order in page 1
//! link       u64   compound_head or compound_info: bit 0 set in a tail  (with lru and others in a union)
//! lru        2 u64 list of free pages, or of pages that can be reclaimed
//! mapping    u64   bit 0 anonymous, bits 0 and 1 KSM, otherwise the owner of page cache
//! private    u64   order of a free block
//! _mapcount  u32   or page_type: free, offline, hugetlb, slab, unaccepted
//! _refcount  u32
//! ```
//!
//! A class is given only if the page passes its checks ([`rules`]): all real ones do, and of
//! random bytes one in 5000. The first page of a free block or a compound page decides for all
//! of it; each further page has to confirm that it belongs there ([`classify`]).
//! Sources: Linux `include/linux/mm_types.h`, `page-flags.h`, `mm/page_alloc.c`;
//! makedumpfile's `__exclude_unnecessary_pages()` for the classes themselves.
//!
//! [`PageClass`]: crate::page_class::PageClass

pub mod classify;
mod layout;
mod page;
pub mod rules;
mod sections;
#[cfg(test)]
mod synthetic;
#[cfg(test)]
mod tests;

pub use classify::{Classifier, Tally};
pub use layout::{LayoutError, PageLayout};
pub use sections::{Section, SectionTable};
