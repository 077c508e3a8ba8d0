//! Unpacked pages that may be read again soon.

use std::sync::{Arc, Mutex, PoisonError};

/// How many bytes of pages are kept.
const CAPACITY: u64 = 8 << 20;

/// One slot: a page's number, and its bytes.
type Slot = Mutex<Option<(u64, Arc<[u8]>)>>;

/// The pages that were read last. Each page has one slot, which it shares with others.
#[derive(Debug)]
pub(crate) struct PageCache {
    slots: Vec<Slot>,
}

impl PageCache {
    /// An empty cache for pages of this length.
    pub(crate) fn new(page_size: u64) -> Self {
        let count = CAPACITY / page_size.max(1);
        Self { slots: (0..count.max(1)).map(|_| Mutex::default()).collect() }
    }

    /// A page by its number.
    pub(crate) fn find(&self, page: u64) -> Option<Arc<[u8]>> {
        let slot = self.slot(page)?.lock().unwrap_or_else(PoisonError::into_inner);
        slot.as_ref().filter(|(kept, _)| *kept == page).map(|(_, bytes)| Arc::clone(bytes))
    }

    /// Keeps a page instead of the one that has its slot.
    pub(crate) fn keep(&self, page: u64, bytes: Arc<[u8]>) {
        if let Some(slot) = self.slot(page) {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some((page, bytes));
        }
    }

    fn slot(&self, page: u64) -> Option<&Slot> {
        let index = page.checked_rem(self.slots.len() as u64)?;
        self.slots.get(usize::try_from(index).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_gives_way_to_the_next_in_its_place() {
        let cache = PageCache::new(4096);
        let slots = CAPACITY / 4096;
        cache.keep(7, [1].into());
        cache.keep(8, [2].into());
        assert_eq!(cache.find(7).as_deref(), Some(&[1][..]));
        cache.keep(7 + slots, [3].into());
        assert_eq!(cache.find(7), None);
        assert_eq!(cache.find(7 + slots).as_deref(), Some(&[3][..]));
        assert_eq!(cache.find(8).as_deref(), Some(&[2][..]));
    }
}
