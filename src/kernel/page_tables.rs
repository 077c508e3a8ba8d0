//! Walks page tables in a guest's memory.
//!
//! Needs: memory, the format of the tables and the address of their root.
//! Gives: where a virtual address is in memory, and each step on the way.
//! Where the kernel's root is, [`crate::kernel::find`] finds out.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use thiserror::Error;
use vmcore_formats::addr::{PhysAddr, VirtAddr};
use vmcore_formats::endian::Endian;
use vmcore_formats::paging::{ENTRY_SIZE, Entry, Level, OutOfRange, Paging};

use crate::vmcore::{MemoryError, PhysMemory};

/// Why a virtual address cannot be translated.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum TranslateError {
    /// Not an address of these tables.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// An entry on the way cannot be read.
    #[error("the {level} entry at {entry}, needed to translate {at}, is missing: {source}")]
    Missing {
        /// What was to be translated.
        at: VirtAddr,
        /// The level of the entry.
        level: &'static str,
        /// Where the entry should be.
        entry: PhysAddr,
        /// Why it cannot be read.
        source: MemoryError,
    },
    /// An entry on the way maps nothing.
    #[error("{at} is not mapped: its {level} entry at {entry} is {value:#x}, not present")]
    NotMapped {
        /// What was to be translated.
        at: VirtAddr,
        /// The level of the entry.
        level: &'static str,
        /// Where the entry is.
        entry: PhysAddr,
        /// What it is.
        value: u64,
    },
    /// An entry on the way is none that a processor takes.
    #[error("{at} cannot be translated: its {level} entry at {entry}, {value:#x}, is no valid one")]
    Invalid {
        /// What was to be translated.
        at: VirtAddr,
        /// The level of the entry.
        level: &'static str,
        /// Where the entry is.
        entry: PhysAddr,
        /// What it is.
        value: u64,
    },
}

/// Why virtual memory cannot be read.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It has no place in memory.
    #[error(transparent)]
    Translate(#[from] TranslateError),
    /// Its place is not in the core.
    #[error("{at} is at {physical} in memory, which is missing: {source}")]
    Memory {
        /// The virtual address.
        at: VirtAddr,
        /// Where it is.
        physical: PhysAddr,
        /// Why that cannot be read.
        source: MemoryError,
    },
}

/// What a page maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Its first address.
    pub start: VirtAddr,
    /// Where it is in memory.
    pub physical: PhysAddr,
    /// How many bytes it has. A power of two.
    pub length: u64,
}

impl Mapping {
    /// Where `at`, which is in the page, is in memory.
    pub fn translate(&self, at: VirtAddr) -> PhysAddr {
        let offset = at.0 & self.length.wrapping_sub(1);
        self.physical.wrapping_add(offset)
    }

    /// How many bytes of the page there are from `at` on.
    pub fn left(&self, at: VirtAddr) -> u64 {
        self.length.saturating_sub(at.0 & self.length.wrapping_sub(1))
    }
}

/// A step of a walk: an entry that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its level.
    pub level: Level,
    /// Its number in the table.
    pub index: u64,
    /// Where it is in memory.
    pub entry: PhysAddr,
    /// What it is.
    pub value: u64,
    /// What it says.
    pub meaning: Entry,
}

/// A walk: each entry that was read, and what came of it.
#[derive(Clone, Debug)]
pub struct Walk {
    /// The steps, from the root down.
    pub steps: Vec<Step>,
    /// The page, or why there is none.
    pub outcome: Result<Mapping, TranslateError>,
}

/// Addresses as page tables in a guest's memory translate them.
pub struct AddressSpace {
    memory: Arc<dyn PhysMemory>,
    paging: Paging,
    root: PhysAddr,
    endian: Endian,
    recent: Mutex<Recent>,
}

impl AddressSpace {
    /// The tables below a root.
    pub fn new(
        memory: Arc<dyn PhysMemory>,
        paging: Paging,
        root: PhysAddr,
        endian: Endian,
    ) -> Self {
        Self { memory, paging, root, endian, recent: Mutex::default() }
    }

    /// The memory that the tables are in, and map.
    pub fn memory(&self) -> &Arc<dyn PhysMemory> {
        &self.memory
    }

    /// The format.
    pub fn paging(&self) -> Paging {
        self.paging
    }

    /// The same memory seen through other tables: those of a process.
    ///
    /// On arm64 these translate a process's addresses alone; on x86-64 they have the
    /// kernel's, too.
    pub fn of_process(&self, root: PhysAddr) -> Self {
        let paging = match self.paging {
            Paging::Arm64(format) => Paging::Arm64(format.user()),
            other @ Paging::X86_64(_) => other,
        };
        Self::new(Arc::clone(&self.memory), paging, root, self.endian)
    }

    /// The same half of addresses through other tables.
    pub fn at_root(&self, root: PhysAddr) -> Self {
        Self::new(Arc::clone(&self.memory), self.paging, root, self.endian)
    }

    /// Where the topmost table is.
    pub fn root(&self) -> PhysAddr {
        self.root
    }

    /// Byte order of the entries, which is the kernel's.
    pub fn endian(&self) -> Endian {
        self.endian
    }

    /// Translates an address, and keeps each step.
    pub fn walk(&self, at: VirtAddr) -> Walk {
        let mut steps = Vec::new();
        let outcome = self.descend(at, |step| steps.push(step));
        Walk { steps, outcome }
    }

    /// Where an address is in memory.
    ///
    /// # Errors
    /// Fails if it is not mapped, or an entry on the way is missing.
    pub fn translate(&self, at: VirtAddr) -> Result<PhysAddr, TranslateError> {
        self.mapping(at).map(|mapping| mapping.translate(at))
    }

    /// The page that an address is in.
    pub fn mapping(&self, at: VirtAddr) -> Result<Mapping, TranslateError> {
        let lock = || self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mapping) = lock().find(at) {
            return Ok(mapping);
        }
        let mapping = self.descend(at, |_| ())?;
        lock().keep(at, mapping);
        Ok(mapping)
    }

    /// Reads virtual memory: all of `buffer`, or nothing that counts.
    ///
    /// # Errors
    /// Fails if a byte of it is not mapped, or not in the core.
    pub fn read(&self, at: VirtAddr, buffer: &mut [u8]) -> Result<(), ReadError> {
        let (mut at, mut rest) = (at, buffer);
        while !rest.is_empty() {
            let mapping = self.mapping(at)?;
            let physical = mapping.translate(at);
            let mut length = mapping.left(at);
            // Pages that follow each other in memory are read at once.
            while length < rest.len() as u64 {
                let next = at.wrapping_add(length);
                match self.mapping(next) {
                    Ok(found) if found.translate(next).0 == physical.0.wrapping_add(length) => {
                        length = length.saturating_add(found.left(next));
                    }
                    _ => break,
                }
            }
            let take = usize::try_from(length).unwrap_or(usize::MAX).min(rest.len());
            let (now, later) = rest.split_at_mut(take);
            self.memory.read(physical, now).map_err(|source| ReadError::Memory {
                at,
                physical,
                source,
            })?;
            at = at.wrapping_add(take as u64);
            rest = later;
        }
        Ok(())
    }

    /// Reads virtual memory into a new buffer. Callers bound `length`.
    pub fn read_vec(&self, at: VirtAddr, length: usize) -> Result<Vec<u8>, ReadError> {
        let mut buffer = vec![0; length];
        self.read(at, &mut buffer)?;
        Ok(buffer)
    }

    /// Reads a number of eight bytes.
    pub fn read_u64(&self, at: VirtAddr) -> Result<u64, ReadError> {
        let mut bytes = [0; 8];
        self.read(at, &mut bytes)?;
        Ok(self.endian.u64(bytes))
    }

    /// Reads a number of four bytes.
    pub fn read_u32(&self, at: VirtAddr) -> Result<u32, ReadError> {
        let mut bytes = [0; 4];
        self.read(at, &mut bytes)?;
        Ok(self.endian.u32(bytes))
    }

    fn descend(&self, at: VirtAddr, mut tell: impl FnMut(Step)) -> Result<Mapping, TranslateError> {
        self.paging.check(at)?;
        let mut table = self.root;
        // Two to five levels: the walk ends whatever the tables hold.
        for level in self.paging.levels() {
            let index = level.index(at);
            let entry = table.wrapping_add(index.wrapping_mul(ENTRY_SIZE));
            let mut bytes = [0; 8];
            let name = level.name;
            self.memory.read(entry, &mut bytes).map_err(|source| TranslateError::Missing {
                at,
                level: name,
                entry,
                source,
            })?;
            let value = self.endian.u64(bytes);
            let meaning = self.paging.decode(level, value);
            tell(Step { level: *level, index, entry, value, meaning });
            match meaning {
                Entry::Table(next) => table = next,
                Entry::Page(physical) => {
                    let start = VirtAddr(at.0 & !level.span().wrapping_sub(1));
                    return Ok(Mapping { start, physical, length: level.span() });
                }
                Entry::NotPresent => {
                    return Err(TranslateError::NotMapped { at, level: name, entry, value });
                }
                Entry::Invalid => {
                    return Err(TranslateError::Invalid { at, level: name, entry, value });
                }
            }
        }
        // No format has a table in its last level.
        Err(OutOfRange { at, tables: "tables that end" }.into())
    }
}

impl fmt::Debug for AddressSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddressSpace")
            .field("paging", &self.paging)
            .field("root", &self.root)
            .field("endian", &self.endian)
            .finish_non_exhaustive()
    }
}

/// Pages that were looked up, one for each slot that addresses fall into.
#[derive(Debug, Default)]
struct Recent {
    slots: Vec<Option<Mapping>>,
}

impl Recent {
    const SLOTS: usize = 512;
    /// The smallest page; larger ones take a slot for each part that was asked for.
    const SHIFT: u32 = 12;

    fn slot(at: VirtAddr) -> usize {
        usize::try_from(at.0 >> Self::SHIFT).unwrap_or_default() % Self::SLOTS
    }

    fn find(&self, at: VirtAddr) -> Option<Mapping> {
        let mapping = self.slots.get(Self::slot(at)).copied().flatten()?;
        (at.is_in(mapping.start, mapping.length)).then_some(mapping)
    }

    fn keep(&mut self, at: VirtAddr, mapping: Mapping) {
        self.slots.resize(Self::SLOTS, None);
        if let Some(slot) = self.slots.get_mut(Self::slot(at)) {
            *slot = Some(mapping);
        }
    }
}

#[cfg(test)]
#[path = "page_tables_tests.rs"]
mod tests;
