//! The memory of a kdump-compressed file.
//!
//! Needs: the file's bytes, its bitmap, and where its descriptors are. Gives: any
//! page by its descriptor, which is found by counting the bits before it. A
//! read of many pages fetches their bytes at once; a read of less than two
//! keeps the page.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use vmcore_formats::addr::PhysAddr;
use vmcore_formats::cursor::Endian;
use vmcore_formats::kdump::page::{DESCRIPTOR_LENGTH, PageDescriptor};

use super::bytes::Bytes;
use super::memory::{DataError, MemoryError, MemoryRange, PhysMemory, range_of};
use super::page_bitmap::PageBitmap;
use super::page_cache::PageCache;
use super::page_codec::PageUnpacker;

/// How many bytes of memory are best read at once, and at most.
const PIECE: u64 = 1 << 20;
/// The largest gap in the file that is read along with what is around it.
const GAP: u64 = 16 << 10;

/// Where things are in a kdump-compressed file.
#[derive(Clone, Copy, Debug)]
pub(super) struct KdumpLayout {
    /// Byte order of the descriptors.
    pub(super) endian: Endian,
    /// Length of a page, in bytes. A power of two.
    pub(super) page_size: u64,
    /// Where the first descriptor is in the file.
    pub(super) descriptors: u64,
}

/// The memory of a kdump-compressed file.
#[derive(Debug)]
pub struct KdumpMemory {
    bytes: Arc<dyn Bytes>,
    layout: KdumpLayout,
    /// The pages that have a descriptor in this file.
    held: PageBitmap,
    /// Those of them whose bytes are in the file, if it was cut off.
    readable: Option<PageBitmap>,
    ranges: Vec<MemoryRange>,
    /// The descriptor of all pages of zeros, if the first of its place is one of them.
    zeros: OnceLock<Option<PageDescriptor>>,
    cache: PageCache,
    /// What no thread uses just now.
    idle: Mutex<Vec<Workshop>>,
}

/// What a thread needs to read pages.
#[derive(Debug, Default)]
struct Workshop {
    unpacker: PageUnpacker,
    packed: Vec<u8>,
    table: Vec<u8>,
}

impl KdumpMemory {
    /// The memory of a file in which the pages `held` have descriptors, of a guest
    /// that has memory in `ranges`.
    ///
    /// # Errors
    /// Fails if the descriptors cannot be read.
    pub(super) fn new(
        bytes: Arc<dyn Bytes>,
        layout: KdumpLayout,
        held: PageBitmap,
        ranges: Vec<MemoryRange>,
    ) -> Result<Self, DataError> {
        let mut memory = Self {
            bytes,
            layout,
            held,
            readable: None,
            ranges,
            zeros: OnceLock::new(),
            cache: PageCache::new(layout.page_size),
            idle: Mutex::default(),
        };
        memory.readable = memory.what_is_left()?;
        Ok(memory)
    }

    /// How many bytes of memory are not in this file, and were not cut off.
    #[must_use]
    pub fn excluded(&self) -> u64 {
        let all = self.ranges.iter().fold(0_u64, |sum, range| range.length.saturating_add(sum));
        all.saturating_sub(self.held.set().saturating_mul(self.layout.page_size))
    }

    /// The pages whose bytes are in the file, if not all of them are.
    fn what_is_left(&self) -> Result<Option<PageBitmap>, DataError> {
        const BATCH: u64 = 4096;
        let length = self.bytes.length();
        let there = length.saturating_sub(self.layout.descriptors) / DESCRIPTOR_LENGTH as u64;
        let count = self.held.set();
        let mut workshop = Workshop::default();
        // The last page that has a place of its own tells whether all are there.
        let mut whole = there >= count;
        let mut end = count.min(there);
        while whole && end > 0 {
            let first = end.saturating_sub(BATCH);
            let pages = self.descriptors(first, end.saturating_sub(first), &mut workshop.table)?;
            let own = |page: &PageDescriptor| page.offset != self.zero_place();
            if let Some(last) = pages.iter().rev().find(|page| own(page)) {
                whole = last.end() <= length;
                break;
            }
            end = first;
        }
        if whole {
            return Ok(None);
        }
        let (mut batch, mut batch_start, mut index) = (Vec::new(), 0_u64, 0_u64);
        let mut failure = None;
        let left = self.held.without(|_| {
            let at = index;
            index = index.saturating_add(1);
            if at >= there || failure.is_some() {
                return true;
            }
            if at >= batch_start.saturating_add(batch.len() as u64) {
                batch_start = at;
                let next = BATCH.min(there.saturating_sub(at));
                match self.descriptors(at, next, &mut workshop.table) {
                    Ok(pages) => batch = pages,
                    Err(error) => failure = Some(error),
                }
            }
            let skip = usize::try_from(at.saturating_sub(batch_start)).unwrap_or(usize::MAX);
            batch.get(skip).is_none_or(|page: &PageDescriptor| page.end() > length)
        });
        failure.map_or(Ok(Some(left)), Err)
    }

    /// Where the pages' bytes begin: all pages of zeros are there, in one place.
    fn zero_place(&self) -> u64 {
        let table = self.held.set().saturating_mul(DESCRIPTOR_LENGTH as u64);
        self.layout.descriptors.saturating_add(table)
    }

    fn readable(&self) -> &PageBitmap {
        self.readable.as_ref().unwrap_or(&self.held)
    }

    fn page(&self, at: PhysAddr) -> u64 {
        at.0 / self.layout.page_size
    }

    fn address(&self, page: u64) -> PhysAddr {
        PhysAddr(page.saturating_mul(self.layout.page_size))
    }

    /// Checks that a page can be read.
    fn check(&self, at: PhysAddr) -> Result<(), MemoryError> {
        let page = self.page(at);
        if self.readable().has(page) {
            return Ok(());
        }
        Err(match (self.held.has(page), range_of(&self.ranges, at)) {
            (true, _) => MemoryError::Truncated { at, offset: self.place_of(page) },
            (false, Some(_)) => MemoryError::Excluded { at },
            (false, None) => MemoryError::Absent { at },
        })
    }

    /// Where a page's bytes should be, or its descriptor if that is missing, too.
    fn place_of(&self, page: u64) -> u64 {
        let index = self.held.before(page);
        match self.descriptors(index, 1, &mut Vec::new()) {
            Ok(found) => found.first().map_or(0, |page| page.offset),
            Err(_) => self.descriptor_place(index),
        }
    }

    fn descriptor_place(&self, index: u64) -> u64 {
        let skip = index.saturating_mul(DESCRIPTOR_LENGTH as u64);
        self.layout.descriptors.saturating_add(skip)
    }

    /// Reads descriptors one after the other.
    fn descriptors(
        &self,
        first: u64,
        count: u64,
        table: &mut Vec<u8>,
    ) -> Result<Vec<PageDescriptor>, DataError> {
        let offset = self.descriptor_place(first);
        let length = usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(DESCRIPTOR_LENGTH);
        table.resize(length, 0);
        self.bytes.read(offset, table)?;
        let decode = |bytes: &[u8]| PageDescriptor::decode(bytes, self.layout.endian);
        let pages: Result<Vec<_>, _> = table.chunks_exact(DESCRIPTOR_LENGTH).map(decode).collect();
        pages.map_err(|error| DataError::Damaged {
            unit: "descriptor",
            offset,
            problem: error.to_string(),
        })
    }

    /// Whether a page is one of those of zeros that share a place.
    fn is_zeros(&self, page: &PageDescriptor, workshop: &mut Workshop) -> bool {
        if page.offset != self.zero_place() {
            return false;
        }
        let known = self.zeros.get_or_init(|| {
            let mut bytes = vec![1; usize::try_from(self.layout.page_size).unwrap_or_default()];
            let read = self.unpack(std::slice::from_ref(page), &mut bytes, workshop);
            (read.is_ok() && bytes.iter().all(|byte| *byte == 0)).then_some(*page)
        });
        known.as_ref() == Some(page)
    }

    /// Unpacks pages whose bytes stand close together in the file.
    fn unpack(
        &self,
        pages: &[PageDescriptor],
        buffer: &mut [u8],
        workshop: &mut Workshop,
    ) -> Result<(), DataError> {
        let (Some(first), Some(last)) = (pages.first(), pages.last()) else { return Ok(()) };
        let length = last.end().saturating_sub(first.offset);
        workshop.packed.resize(usize::try_from(length).unwrap_or(usize::MAX), 0);
        self.bytes.read(first.offset, &mut workshop.packed)?;
        let size = usize::try_from(self.layout.page_size).unwrap_or(usize::MAX);
        for (page, to) in pages.iter().zip(buffer.chunks_exact_mut(size)) {
            let start = usize::try_from(page.offset.saturating_sub(first.offset)).ok();
            let packed = start.and_then(|start| {
                workshop.packed.get(start..start.checked_add(page.size as usize)?)
            });
            let unpacked = match (packed, page.codec()) {
                (None, _) => Err("its bytes are elsewhere".to_owned()),
                (Some(packed), Some(codec)) => workshop.unpacker.unpack(codec, packed, to),
                (Some(packed), None) if packed.len() == to.len() => {
                    to.copy_from_slice(packed);
                    Ok(())
                }
                (Some(packed), None) => Err(format!("it has {} bytes", packed.len())),
            };
            unpacked.map_err(|problem| DataError::Damaged {
                unit: "page",
                offset: page.offset,
                problem,
            })?;
        }
        Ok(())
    }

    /// Reads whole pages that all have their bytes in the file.
    fn read_pages(
        &self,
        first: u64,
        buffer: &mut [u8],
        workshop: &mut Workshop,
    ) -> Result<(), DataError> {
        let size = usize::try_from(self.layout.page_size).unwrap_or(usize::MAX);
        let count = buffer.len() / size.max(1);
        let index = self.held.before(first);
        let pages = self.descriptors(index, count as u64, &mut workshop.table)?;
        for page in &pages {
            if page.size == 0 || u64::from(page.size) > self.layout.page_size {
                let problem = format!("its descriptor says that it has {} bytes", page.size);
                return Err(DataError::Damaged { unit: "page", offset: page.offset, problem });
            }
        }
        let (mut rest, mut buffer) = (pages.as_slice(), buffer);
        while let Some(page) = rest.first() {
            let zeros = self.is_zeros(page, workshop);
            let count = if zeros { 1 } else { close_together(rest) };
            let (now, later) = rest.split_at(count.min(rest.len()));
            let (to, next) = buffer.split_at_mut(size.saturating_mul(now.len()));
            if zeros {
                to.fill(0);
            } else {
                self.unpack(now, to, workshop)?;
            }
            (rest, buffer) = (later, next);
        }
        Ok(())
    }

    /// A page that is likely to be read again.
    fn cached(&self, page: u64) -> Result<Arc<[u8]>, DataError> {
        if let Some(bytes) = self.cache.find(page) {
            return Ok(bytes);
        }
        let mut bytes = vec![0; usize::try_from(self.layout.page_size).unwrap_or_default()];
        self.with_workshop(|workshop| self.read_pages(page, &mut bytes, workshop))?;
        let bytes: Arc<[u8]> = bytes.into();
        self.cache.keep(page, Arc::clone(&bytes));
        Ok(bytes)
    }

    fn with_workshop<T>(&self, work: impl FnOnce(&mut Workshop) -> T) -> T {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut workshop = idle().pop().unwrap_or_default();
        let result = work(&mut workshop);
        idle().push(workshop);
        result
    }
}

/// How many pages of the first ones have their bytes one after the other.
fn close_together(pages: &[PageDescriptor]) -> usize {
    let near = |(before, after): (&PageDescriptor, &PageDescriptor)| {
        let gap = after.offset.checked_sub(before.end());
        gap.is_some_and(|gap| gap <= GAP)
    };
    let pairs = pages.iter().zip(pages.iter().skip(1));
    pairs.take_while(|pair| near(*pair)).count().saturating_add(1)
}

impl PhysMemory for KdumpMemory {
    fn ranges(&self) -> &[MemoryRange] {
        &self.ranges
    }

    fn read(&self, at: PhysAddr, buffer: &mut [u8]) -> Result<(), MemoryError> {
        let size = usize::try_from(self.layout.page_size).unwrap_or(usize::MAX);
        let (mut at, mut rest) = (at, buffer);
        while !rest.is_empty() {
            self.check(at)?;
            let damaged = |source| MemoryError::Damaged { at, source: Arc::new(source) };
            let page = self.page(at);
            let skip = usize::try_from(at.0 % self.layout.page_size).unwrap_or_default();
            let most = (PIECE / self.layout.page_size).max(1);
            let wanted = ((rest.len() / size) as u64).min(most);
            let limit = page.saturating_add(wanted);
            let count = self.readable().next(page, limit, false).unwrap_or(limit);
            let whole = size
                .saturating_mul(usize::try_from(count.saturating_sub(page)).unwrap_or_default());
            let take = if skip == 0 && whole > size {
                let to = rest.get_mut(..whole).unwrap_or_default();
                self.with_workshop(|workshop| self.read_pages(page, to, workshop))
                    .map_err(damaged)?;
                whole
            } else {
                let bytes = self.cached(page).map_err(damaged)?;
                let from = bytes.get(skip..).unwrap_or_default();
                for (to, from) in rest.iter_mut().zip(from) {
                    *to = *from;
                }
                from.len().min(rest.len())
            };
            at = PhysAddr(at.0.saturating_add(take as u64));
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
        let zeros = self.with_workshop(|workshop| {
            let index = self.held.before(page);
            let pages = self.descriptors(index, count, &mut workshop.table).unwrap_or_default();
            pages.iter().take_while(|page| self.is_zeros(page, workshop)).count() as u64
        });
        let end = self.address(page.saturating_add(zeros));
        if zeros == 0 { 0 } else { end.0.saturating_sub(at.0) }
    }

    fn truncated(&self) -> u64 {
        let readable = self.readable.as_ref().map_or(self.held.set(), PageBitmap::set);
        self.held.set().saturating_sub(readable).saturating_mul(self.layout.page_size)
    }

    fn next_held(&self, from: PhysAddr) -> Option<MemoryRange> {
        let (first, end) = self.readable().next_run(self.page(from))?;
        let start = self.address(first).max(from);
        let length = self.address(end).0.checked_sub(start.0).filter(|length| *length > 0)?;
        Some(MemoryRange { start, length })
    }
}

#[cfg(test)]
#[path = "kdump_memory_tests.rs"]
mod tests;
