//! The class of a page that is no tail, and the checks that it has to pass.
//!
//! | class | claim | checks |
//! |---|---|---|
//! | free | page type buddy or unaccepted | an order, fitting the page's number; no references; in a list |
//! | user | anonymous mapping | referenced; the mapping is a kernel pointer |
//! | cache | in an LRU list, or in the swap cache | referenced; the mapping is a kernel pointer; in a list |
//! | hugetlb | head marked as such | has an order; in a list |
//! | offline | page type offline | hardly referenced |
//!
//! The first claim counts. What fails its checks has no class, and is counted. A slab has none of
//! these claims. Unevictable pages are in no list: since "mm/munlock: maintain page->`mlock_count`
//! while unevictable" (in v5.18), a count is in its place.

use super::layout::PageType;
use super::page::{StructPage, is_aligned, is_kernel_pointer};
use crate::addr::Pfn;
use crate::page_class::PageClass;

const MAPPING_FLAGS: u64 = 3;
/// None or the balloon's, and those of who looks at the page at the same time.
const OFFLINE_REFERENCES: std::ops::RangeInclusive<i32> = 0..=15;

/// What a struct page claims of its page, and of those that follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nothing: the kernel uses it.
    None,
    /// A class whose checks fail.
    Failed,
    /// A free block of 2^order pages.
    Free {
        /// The order.
        order: u32,
    },
    /// A page, or a compound page of 2^order pages.
    Used {
        /// The class of all its pages.
        class: PageClass,
        /// The order.
        order: u32,
        /// Whether it is one of hugetlbfs.
        huge: bool,
    },
}

/// The claim of a page that is no tail. `next` is the next struct page.
pub(super) fn claim(page: StructPage<'_>, pfn: Pfn, next: Option<StructPage<'_>>) -> Claim {
    if page.is_slab() {
        return Claim::None;
    }
    if let Some(order) = free_order(page) {
        let passes = order < page.layout.orders
            && is_aligned(pfn, order)
            && page.references() == 0
            && page.is_listed();
        return if passes { Claim::Free { order } } else { Claim::Failed };
    }
    let (order, huge) = page.compound(pfn, next);
    let Some((class, passes)) = used_class(page, order, huge) else { return Claim::None };
    let reserved = page.flags() & page.layout.pg_reserved != 0;
    let on_lru = page.flags() & page.layout.pg_lru != 0;
    match passes {
        false => Claim::Failed,
        // Pages that the kernel reserved for itself.
        true if reserved && !on_lru => Claim::None,
        true => Claim::Used { class, order, huge },
    }
}

/// The order of a block that the page claims to begin, if it claims to be free.
fn free_order(page: StructPage<'_>) -> Option<u32> {
    let is = |wanted: Option<PageType>| wanted.is_some_and(|wanted| wanted.is(page.page_type()));
    if is(Some(page.layout.buddy)) {
        return Some(u32::try_from(page.private()).unwrap_or(u32::MAX));
    }
    is(page.layout.unaccepted).then(|| page.layout.orders.saturating_sub(1))
}

/// The class that a page claims, and whether it passes the checks.
fn used_class(page: StructPage<'_>, order: u32, huge: bool) -> Option<(PageClass, bool)> {
    let flags = page.flags();
    let has = |mask: u64| flags & mask != 0;
    let layout = page.layout;
    let referenced = page.references() > 0;
    if page.is_anonymous() {
        let owner = is_kernel_pointer(page.mapping() & !MAPPING_FLAGS);
        return Some((PageClass::User, referenced && owner));
    }
    let on_lru = has(layout.pg_lru);
    let in_swap_cache = has(layout.pg_swapbacked) && has(layout.pg_swapcache);
    if on_lru || in_swap_cache {
        let class = if has(layout.pg_private) { PageClass::CachePrivate } else { PageClass::Cache };
        // Shared memory in the swap cache has no owner, but an entry of the swap.
        let swap_entry = in_swap_cache && page.mapping() == 0;
        let owner = is_kernel_pointer(page.mapping()) || swap_entry;
        let listed = page.is_listed() || has(layout.pg_unevictable);
        return Some((class, referenced && owner && listed));
    }
    if huge && page.is_head() {
        return Some((PageClass::Hugetlb, order > 0 && page.is_listed()));
    }
    let offline = layout.offline.is_some_and(|offline| offline.is(page.page_type()));
    offline.then(|| (PageClass::Offline, OFFLINE_REFERENCES.contains(&page.references())))
}
