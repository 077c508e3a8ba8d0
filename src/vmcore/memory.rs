//! Guest physical memory: the trait through which everything reads it.
//!
//! ```text
//! PhysMemory ◄── ElfMemory    an ELF core, plain or compressed
//!            ◄── KdumpMemory  a kdump-compressed file
//! ```

use std::fmt;
use std::sync::Arc;

use thiserror::Error;
use vmcore_formats::addr::PhysAddr;
use vmcore_formats::page_class::PageClass;

use crate::corefile::read::bytes::DataError;

/// A range of guest physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRange {
    /// Where it begins.
    pub start: PhysAddr,
    /// How many bytes it has. Never zero.
    pub length: u64,
}

impl MemoryRange {
    /// The address after the last byte.
    pub fn end(&self) -> PhysAddr {
        self.start.saturating_add(self.length)
    }

    /// Whether `at` is in it.
    pub fn contains(&self, at: PhysAddr) -> bool {
        at >= self.start && at < self.end()
    }
}

impl fmt::Display for MemoryRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end())
    }
}

/// Why memory cannot be read.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// The guest has no memory there, as far as the core says.
    #[error("no memory at {at} in the core")]
    Absent {
        /// The first byte that is not there.
        at: PhysAddr,
    },
    /// The guest has memory there that was left out when the core was written.
    #[error("the memory at {at} was left out when the core was written")]
    Excluded {
        /// The first byte that was left out.
        at: PhysAddr,
    },
    /// The guest has memory there that was left out by the class of its page.
    #[error("the memory at {at} was left out at capture ({class} page)")]
    LeftOut {
        /// The first byte that was left out.
        at: PhysAddr,
        /// The class of its page.
        class: PageClass,
    },
    /// The file ends before it.
    #[error(
        "the memory at {at} should be at byte {offset:#x} of the core, which was cut off before"
    )]
    Truncated {
        /// The first byte that is missing.
        at: PhysAddr,
        /// Where it should be in the file.
        offset: u64,
    },
    /// The file is damaged there.
    #[error("the memory at {at} cannot be read: {source}")]
    Damaged {
        /// The first byte of what was wanted.
        at: PhysAddr,
        /// What is wrong.
        source: Arc<DataError>,
    },
}

/// Whether more work may be done for a core ([`PhysMemory::spend`]).
pub type Spent = Result<(), DataError>;

impl MemoryError {
    /// Whether more was read than the file is worth: nothing else can be read, either.
    pub fn is_too_much(&self) -> bool {
        matches!(self, Self::Damaged { source, .. } if matches!(**source, DataError::TooMuch { .. }))
    }

    /// For memory that does not come from a file.
    pub fn unreadable(at: PhysAddr, problem: String) -> Self {
        Self::Damaged { at, source: Arc::new(DataError::Underlying(problem.into())) }
    }
}

/// A guest's physical memory.
///
/// Everything that reads a core reads through this: many threads at once, if they like.
pub trait PhysMemory: fmt::Debug + Send + Sync {
    /// What memory the core has, or had when it was whole: sorted, apart, not empty.
    /// Not all of it need be readable.
    fn ranges(&self) -> &[MemoryRange];

    /// Reads memory: all of `buffer`, or nothing that counts.
    ///
    /// # Errors
    /// Fails if a byte of it is missing, and says where and why. Never gives
    /// zeros for what is not there.
    fn read(&self, at: PhysAddr, buffer: &mut [u8]) -> Result<(), MemoryError>;

    /// The end of the piece that is best read at once with `at`: of the chunk, in
    /// a core that has chunks. Always after `at`.
    fn piece_end(&self, at: PhysAddr) -> PhysAddr {
        const PIECE: u64 = 1 << 20;
        PhysAddr(at.0.checked_add(1).map_or(u64::MAX, |next| next.next_multiple_of(PIECE)))
    }

    /// How many bytes from `at` on are zeros, as far as that can be said without reading
    /// them; 0 if it cannot.
    fn zeros(&self, _at: PhysAddr) -> u64 {
        0
    }

    /// Accounts for work that this memory causes where it is not read, as
    /// [`Bytes::spend`](crate::corefile::read::bytes::Bytes::spend).
    fn spend(&self, _bytes: u64) -> Spent {
        Ok(())
    }

    /// Lifts the bound on what may be read of the file.
    fn read_without_limit(&self) {}

    /// Whether each read may cost a round trip through a network.
    fn is_far(&self) -> bool {
        false
    }

    /// Says that these ranges are read next: a core on another machine is asked for all of them at
    /// once.
    fn prefetch(&self, _ranges: &[MemoryRange]) {}

    /// How many bytes a search that need not be complete may read of it.
    fn search_budget(&self) -> u64 {
        1 << 30
    }

    /// How many bytes of memory should be in the file, and are behind its end.
    fn truncated(&self) -> u64 {
        0
    }

    /// The first range, from `from` on, of memory that the file really holds: not
    /// left out, and not cut off. Whether it is damaged is not looked at.
    ///
    /// Returns `None` if there is none. What follows the range is not held, or is
    /// another range.
    fn next_held(&self, from: PhysAddr) -> Option<MemoryRange> {
        next_range(self.ranges(), from)
    }
}

/// The part from `from` on of the first sorted range that ends after it.
pub fn next_range(ranges: &[MemoryRange], from: PhysAddr) -> Option<MemoryRange> {
    let range = ranges.get(ranges.partition_point(|range| range.end() <= from))?;
    let start = range.start.max(from);
    let length = range.end().0.checked_sub(start.0).filter(|length| *length > 0)?;
    Some(MemoryRange { start, length })
}

/// All memory that the file really holds, by address; ranges that touch are one.
pub fn held_ranges(memory: &dyn PhysMemory) -> impl Iterator<Item = MemoryRange> + '_ {
    let mut next = memory.next_held(PhysAddr(0));
    std::iter::from_fn(move || {
        let mut range = next?;
        loop {
            next = memory.next_held(range.end()).filter(|next| next.start >= range.end());
            match next {
                Some(more) if more.start == range.end() => {
                    range.length = range.length.saturating_add(more.length);
                }
                _ => return Some(range),
            }
        }
    })
}

/// The range among sorted ones that holds `at`.
pub fn range_of(ranges: &[MemoryRange], at: PhysAddr) -> Option<&MemoryRange> {
    let index = ranges.partition_point(|range| range.start <= at).checked_sub(1)?;
    ranges.get(index).filter(|range| range.contains(at))
}

/// Cuts `ranges` at the ends of `memory`'s pieces.
pub fn pieces<'a>(
    memory: &'a dyn PhysMemory,
    ranges: &'a [MemoryRange],
) -> impl Iterator<Item = MemoryRange> + 'a {
    ranges.iter().flat_map(move |range| {
        let mut at = range.start;
        std::iter::from_fn(move || {
            let end = memory.piece_end(at).min(range.end());
            let length = end.0.checked_sub(at.0).filter(|length| *length > 0)?;
            let piece = MemoryRange { start: at, length };
            at = end;
            Some(piece)
        })
    })
}
