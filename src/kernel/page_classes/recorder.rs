//! Memory that records which pages were read of it.
//!
//! Small reads, which are those of page tables, read the whole page once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use vmcore_formats::addr::PhysAddr;

use crate::vmcore::memory::Spent;
use crate::vmcore::{MemoryError, MemoryRange, PhysMemory};

const PAGE: u64 = 4096;
const PAGE_LENGTH: usize = 4096;
/// Reads up to this length are of the page.
const SMALL: usize = 64;
/// How many pages are kept for small reads: 16 MiB.
const MAX_PAGES: usize = 4096;
/// How many ranges are recorded before those that touch become one.
const MANY: usize = 1 << 16;

/// Memory, and what was read of it.
#[derive(Debug)]
pub(super) struct Recorder {
    memory: Arc<dyn PhysMemory>,
    read: Mutex<Vec<MemoryRange>>,
    pages: Mutex<HashMap<PhysAddr, Arc<[u8; PAGE_LENGTH]>>>,
}

impl Recorder {
    pub(super) fn new(memory: Arc<dyn PhysMemory>) -> Self {
        Self { memory, read: Mutex::default(), pages: Mutex::default() }
    }

    /// The memory itself, of which nothing is recorded.
    pub(super) fn memory(&self) -> &dyn PhysMemory {
        &*self.memory
    }

    /// Records that these pages were read.
    pub(super) fn note(&self, at: PhysAddr, length: u64) {
        let start = at.align_down(PAGE);
        let end = at.saturating_add(length).align_up(PAGE).unwrap_or(PhysAddr(u64::MAX));
        let range = MemoryRange { start, length: end.saturating_distance_from(start) };
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        match read.last_mut() {
            Some(last) if range.start >= last.start && range.start <= last.end() => {
                let end = range.end().max(last.end());
                last.length = end.saturating_distance_from(last.start);
            }
            _ => read.push(range),
        }
        if read.len() >= MANY {
            let joined = joined(&read);
            *read = joined;
        }
    }

    /// The pages that were read, sorted, apart.
    pub(super) fn recorded(&self) -> Vec<MemoryRange> {
        joined(&self.read.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn page(&self, at: PhysAddr) -> Result<Arc<[u8; PAGE_LENGTH]>, MemoryError> {
        let lock = || self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(page) = lock().get(&at) {
            return Ok(Arc::clone(page));
        }
        let mut page = [0; PAGE_LENGTH];
        self.memory.read(at, &mut page)?;
        self.note(at, PAGE);
        let page = Arc::new(page);
        let mut pages = lock();
        if pages.len() >= MAX_PAGES {
            pages.clear();
        }
        pages.insert(at, Arc::clone(&page));
        Ok(page)
    }
}

fn joined(ranges: &[MemoryRange]) -> Vec<MemoryRange> {
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable_by_key(|range| range.start);
    let mut joined: Vec<MemoryRange> = Vec::new();
    for range in sorted {
        match joined.last_mut() {
            Some(last) if range.start <= last.end() => {
                let end = range.end().max(last.end());
                last.length = end.saturating_distance_from(last.start);
            }
            _ => joined.push(range),
        }
    }
    joined
}

impl PhysMemory for Recorder {
    fn ranges(&self) -> &[MemoryRange] {
        self.memory.ranges()
    }

    fn read(&self, at: PhysAddr, buffer: &mut [u8]) -> Result<(), MemoryError> {
        let offset = usize::try_from(at.offset_in(PAGE)).unwrap_or_default();
        if buffer.len() <= SMALL
            && let Some(end) = offset.checked_add(buffer.len()).filter(|end| *end <= PAGE_LENGTH)
            && let Ok(page) = self.page(at.align_down(PAGE))
            && let Some(part) = page.get(offset..end)
        {
            buffer.copy_from_slice(part);
            return Ok(());
        }
        self.memory.read(at, buffer)?;
        self.note(at, buffer.len() as u64);
        Ok(())
    }

    fn piece_end(&self, at: PhysAddr) -> PhysAddr {
        self.memory.piece_end(at)
    }

    fn zeros(&self, at: PhysAddr) -> u64 {
        self.memory.zeros(at)
    }

    fn spend(&self, bytes: u64) -> Spent {
        self.memory.spend(bytes)
    }

    fn next_held(&self, from: PhysAddr) -> Option<MemoryRange> {
        self.memory.next_held(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::test_kernel::TestMemory;

    #[test]
    fn what_was_read_is_recorded_by_the_page() {
        let recorder = Recorder::new(Arc::new(TestMemory::new(0..0x10_0000).word(0x5008, 7)));
        let mut word = [0; 8];
        recorder.read(PhysAddr(0x5008), &mut word).unwrap();
        assert_eq!(u64::from_le_bytes(word), 7);
        recorder.read(PhysAddr(0x5ffc), &mut word).unwrap();
        recorder.read(PhysAddr(0x2000), &mut [0; 0x1800]).unwrap();
        assert!(recorder.read(PhysAddr(0x20_0000), &mut word).is_err());
        let range = |start, length| MemoryRange { start: PhysAddr(start), length };
        assert_eq!(recorder.recorded(), [range(0x2000, 0x2000), range(0x5000, 0x2000)]);
    }
}
