//! The memory of a kdump-compressed file.
//!
//! Needs: the file's bytes, its bitmap, and where its descriptors are. Gives: any
//! page by its descriptor, which is found by counting the bits before it. What
//! is read by less than two pages at once is kept.

use std::sync::Arc;

use vmcore_formats::addr::PhysAddr;
use vmcore_formats::kdump::page::PageDescriptor;

use super::page_bitmap::PageBitmap;
use super::page_cache::PageCache;
use super::pages::{KdumpLayout, KdumpPages};
use crate::corefile::read::bytes::{Bytes, DataError};
use crate::vmcore::memory::{MemoryError, MemoryRange, PhysMemory, range_of};

/// How many bytes of memory are best read at once, and at most.
const PIECE: u64 = 1 << 20;

/// The memory of a kdump-compressed file.
#[derive(Debug)]
pub(crate) struct KdumpMemory {
    pages: KdumpPages,
    /// The pages that have a descriptor in this file.
    held: PageBitmap,
    /// Those of them whose bytes are in the file, if it was cut off.
    readable: Option<PageBitmap>,
    ranges: Vec<MemoryRange>,
    cache: PageCache,
}

impl KdumpMemory {
    /// The memory of a file in which the pages `held` have descriptors, of a guest
    /// that has memory in `ranges`.
    pub(super) fn new(
        bytes: Arc<dyn Bytes>,
        layout: KdumpLayout,
        held: PageBitmap,
        ranges: Vec<MemoryRange>,
    ) -> Result<Self, DataError> {
        let mut memory = Self {
            pages: KdumpPages::new(bytes, layout, held.set()),
            held,
            readable: None,
            ranges,
            cache: PageCache::new(layout.page_size),
        };
        memory.readable = memory.what_is_left()?;
        Ok(memory)
    }

    /// How many bytes of memory are not in this file, and were not cut off.
    pub(crate) fn excluded(&self) -> u64 {
        let all = self.ranges.iter().fold(0_u64, |sum, range| range.length.saturating_add(sum));
        all.saturating_sub(self.held.set().saturating_mul(self.pages.page_size()))
    }

    /// The pages whose bytes are in the file, if not all of them are.
    fn what_is_left(&self) -> Result<Option<PageBitmap>, DataError> {
        const BATCH: u64 = 4096;
        let (length, there) = (self.pages.file_length(), self.pages.descriptors_there());
        let count = self.held.set();
        let mut table = Vec::new();
        // The last page with bytes of its own shows whether the file has all.
        let mut whole = there >= count;
        let mut end = count.min(there);
        while whole && end > 0 {
            let first = end.saturating_sub(BATCH);
            let pages = self.pages.descriptors(first, end.saturating_sub(first), &mut table)?;
            let own = |page: &PageDescriptor| page.offset != self.pages.zero_page_offset();
            if let Some(last) = pages.iter().rev().find(|page| own(page)) {
                whole = last.end() <= length;
                break;
            }
            end = first;
        }
        if whole {
            return Ok(None);
        }
        let (mut batch, mut batch_start) = (Vec::new(), 0_u64);
        let mut failure = None;
        let left = self.held.first(there, |at| {
            if failure.is_some() {
                return false;
            }
            if at >= batch_start.saturating_add(batch.len() as u64) {
                batch_start = at;
                let next = BATCH.min(there.saturating_sub(at));
                match self.pages.descriptors(at, next, &mut table) {
                    Ok(pages) => batch = pages,
                    Err(error) => failure = Some(error),
                }
            }
            let skip = usize::try_from(at.saturating_sub(batch_start)).unwrap_or(usize::MAX);
            batch.get(skip).is_some_and(|page: &PageDescriptor| page.end() <= length)
        });
        failure.map_or(Ok(Some(left)), Err)
    }

    fn readable(&self) -> &PageBitmap {
        self.readable.as_ref().unwrap_or(&self.held)
    }

    fn page(&self, at: PhysAddr) -> u64 {
        at.0 / self.pages.page_size()
    }

    fn address(&self, page: u64) -> PhysAddr {
        PhysAddr(page.saturating_mul(self.pages.page_size()))
    }

    /// Checks that a page can be read.
    fn check(&self, at: PhysAddr) -> Result<(), MemoryError> {
        let page = self.page(at);
        if self.readable().has(page) {
            return Ok(());
        }
        Err(match (self.held.has(page), range_of(&self.ranges, at)) {
            (true, _) => MemoryError::Truncated { at, offset: self.file_offset_of(page) },
            (false, Some(_)) => MemoryError::Excluded { at },
            (false, None) => MemoryError::Absent { at },
        })
    }

    /// Where a page's bytes should be, or its descriptor if that is missing, too.
    fn file_offset_of(&self, page: u64) -> u64 {
        let index = self.held.before(page);
        match self.pages.descriptors(index, 1, &mut Vec::new()) {
            Ok(found) => found.first().map_or(0, |page| page.offset),
            Err(_) => self.pages.descriptor_offset(index),
        }
    }

    /// A page that is likely to be read again.
    fn cached(&self, page: u64) -> Result<Arc<[u8]>, DataError> {
        if let Some(bytes) = self.cache.find(page) {
            return Ok(bytes);
        }
        let mut bytes = vec![0; usize::try_from(self.pages.page_size()).unwrap_or_default()];
        self.pages.read(self.held.before(page), &mut bytes)?;
        let bytes: Arc<[u8]> = bytes.into();
        self.cache.keep(page, Arc::clone(&bytes));
        Ok(bytes)
    }
}

impl PhysMemory for KdumpMemory {
    fn ranges(&self) -> &[MemoryRange] {
        &self.ranges
    }

    fn read(&self, at: PhysAddr, buffer: &mut [u8]) -> Result<(), MemoryError> {
        let size = usize::try_from(self.pages.page_size()).unwrap_or(usize::MAX);
        let (mut at, mut rest) = (at, buffer);
        while !rest.is_empty() {
            self.check(at)?;
            let damaged = |source| MemoryError::Damaged { at, source: Arc::new(source) };
            let page = self.page(at);
            let skip = usize::try_from(at.0 % self.pages.page_size()).unwrap_or_default();
            let most = (PIECE / self.pages.page_size()).max(1);
            let wanted = ((rest.len() / size) as u64).min(most);
            let limit = page.saturating_add(wanted);
            let count = self.readable().next(page, limit, false).unwrap_or(limit);
            let whole = size
                .saturating_mul(usize::try_from(count.saturating_sub(page)).unwrap_or_default());
            let take = if skip == 0 && whole > size {
                let to = rest.get_mut(..whole).unwrap_or_default();
                self.pages.read(self.held.before(page), to).map_err(damaged)?;
                whole
            } else {
                let bytes = self.cached(page).map_err(damaged)?;
                let from = bytes.get(skip..).unwrap_or_default();
                for (to, from) in rest.iter_mut().zip(from) {
                    *to = *from;
                }
                from.len().min(rest.len())
            };
            at = at.saturating_add(take as u64);
            rest = rest.get_mut(take..).unwrap_or_default();
        }
        Ok(())
    }

    fn piece_end(&self, at: PhysAddr) -> PhysAddr {
        let page = self.page(at);
        let piece = at.0.saturating_add(1).checked_next_multiple_of(PIECE).unwrap_or(u64::MAX);
        let limit = self.page(PhysAddr(piece)).max(page.saturating_add(1));
        // What can be read and what cannot are never in one piece.
        let edge = self.readable().next(page, limit, !self.readable().has(page));
        edge.map_or(PhysAddr(piece), |edge| self.address(edge))
    }

    fn zeros(&self, at: PhysAddr) -> u64 {
        let page = self.page(at);
        if !self.readable().has(page) {
            return 0;
        }
        let end = self.piece_end(at);
        let count = self.page(end).saturating_sub(page).max(1);
        let zeros = self.pages.zeros(self.held.before(page), count);
        let end = self.address(page.saturating_add(zeros));
        if zeros == 0 { 0 } else { end.0.saturating_sub(at.0) }
    }

    fn spend(&self, bytes: u64) -> Result<(), DataError> {
        self.pages.bytes().spend(bytes)
    }

    fn read_without_limit(&self) {
        self.pages.bytes().read_without_limit();
    }

    fn truncated(&self) -> u64 {
        let readable = self.readable.as_ref().map_or(self.held.set(), PageBitmap::set);
        self.held.set().saturating_sub(readable).saturating_mul(self.pages.page_size())
    }

    fn next_held(&self, from: PhysAddr) -> Option<MemoryRange> {
        let (first, end) = self.readable().next_run(self.page(from))?;
        let start = self.address(first).max(from);
        let length = self.address(end).0.checked_sub(start.0).filter(|length| *length > 0)?;
        Some(MemoryRange { start, length })
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
