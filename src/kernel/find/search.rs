//! Which parts of memory are searched for a kernel that neither a note nor a vCPU leads to.
//!
//! ```text
//! range of memory   ████░░░░░░░░░░░░░░░░░░████
//!                   first and last parts alone, unless all of it was asked for
//! ```
//!
//! What is looked for is allocated while the kernel starts, from an end of a zone. Zones end
//! where ranges of memory do, and at 4 GiB. To read all takes minutes for each 256 GiB: a guest that runs no
//! Linux would be read to its end for nothing. The budget is in bytes and not a time, so that
//! the same core always gets the same answer.

use std::fmt;

use serde::{Deserialize, Serialize};
use vmcore_formats::addr::PhysAddr;

use crate::vmcore::PhysMemory;
use crate::vmcore::memory::{MemoryRange, held_ranges};

/// How many ranges are searched. Machines have one to four; a core that leaves pages out has
/// many, of which the longest count.
const MAX_RANGES: usize = 4;
/// How many ranges are looked at for that.
const LOOKED_AT: usize = 1 << 20;

/// How much of memory is searched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SearchDepth {
    /// What [`PhysMemory::search_budget`] allows.
    #[default]
    Bounded,
    /// All.
    All,
}

/// What a search reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SearchPlan {
    /// The parts, by address.
    pub(super) ranges: Vec<MemoryRange>,
    /// How much of memory they are.
    pub(super) extent: SearchExtent,
}

/// How much was searched, of how much there is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchExtent {
    /// What was searched.
    pub searched: u64,
    /// All there is.
    pub memory: u64,
}

impl fmt::Display for SearchExtent {
    /// Nothing if all was searched.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MIB: u64 = 1 << 20;
        if self.searched >= self.memory {
            return Ok(());
        }
        let (searched, memory) = (self.searched / MIB, self.memory.div_ceil(MIB));
        write!(f, "; {searched} MiB of {memory} MiB were searched, --deep searches all")
    }
}

impl SearchPlan {
    /// What is searched of a guest's memory, as far as the core holds it.
    pub(super) fn of(memory: &dyn PhysMemory, depth: SearchDepth) -> Self {
        let budget = memory.search_budget();
        let mut longest = Vec::new();
        let mut total = 0_u64;
        for range in held_ranges(memory).take(LOOKED_AT) {
            total = total.saturating_add(range.length);
            longest.extend(zones(range));
            longest.sort_by_key(|range| std::cmp::Reverse(range.length));
            longest.truncate(MAX_RANGES);
        }
        if depth == SearchDepth::All || total <= budget {
            let extent = SearchExtent { searched: total, memory: total };
            return Self { ranges: memory.ranges().to_vec(), extent };
        }
        let ranges = ends(longest, budget);
        let searched = ranges.iter().fold(0_u64, |sum, range| sum.saturating_add(range.length));
        Self { ranges, extent: SearchExtent { searched, memory: total } }
    }
}

/// A range, cut where `ZONE_DMA32` ends on x86-64 and `ZONE_DMA` on most arm64 machines.
fn zones(range: MemoryRange) -> impl Iterator<Item = MemoryRange> {
    const BOUNDARY: u64 = 4 << 30;
    let first = BOUNDARY.clamp(range.start.0, range.end().0).saturating_sub(range.start.0);
    let second = range.length.saturating_sub(first);
    let start = range.start.saturating_add(first);
    let parts = [MemoryRange { length: first, ..range }, MemoryRange { start, length: second }];
    parts.into_iter().filter(|part| part.length > 0)
}

/// The first and last parts of ranges, as much of each as the budget has for it.
fn ends(longest: Vec<MemoryRange>, budget: u64) -> Vec<MemoryRange> {
    const PAGE: u64 = 4096;
    let count = u64::try_from(longest.len()).unwrap_or(u64::MAX).max(1);
    let part = (budget / count.saturating_mul(2)) & !(PAGE - 1);
    let mut parts = Vec::new();
    for range in longest {
        if range.length <= part.saturating_mul(2) {
            parts.push(range);
            continue;
        }
        let last = range.end().0.saturating_sub(part);
        parts.push(MemoryRange { start: range.start, length: part });
        parts.push(MemoryRange { start: PhysAddr(last), length: part });
    }
    parts.retain(|part| part.length > 0);
    parts.sort_by_key(|part| part.start);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::test_kernel::TestMemory;

    #[test]
    fn more_than_the_budget_is_searched_at_its_ends_alone() {
        let memory = TestMemory::new(0x10_0000..0x50_0000).search_budget(0x10_0000);
        let plan = SearchPlan::of(&memory, SearchDepth::Bounded);
        let parts: Vec<_> = plan.ranges.iter().map(|part| (part.start.0, part.end().0)).collect();
        assert_eq!(parts, [(0x10_0000, 0x18_0000), (0x48_0000, 0x50_0000)]);
        let text = plan.extent.to_string();
        assert_eq!(text, "; 1 MiB of 4 MiB were searched, --deep searches all");
    }

    #[test]
    fn both_sides_of_4_gib_are_ends() {
        let range = |start, end: u64| MemoryRange { start: PhysAddr(start), length: end - start };
        let parts = |one, other| zones(range(one, other)).collect::<Vec<_>>();
        let (boundary, end) = (1 << 32, 9 << 30);
        assert_eq!(parts(1 << 30, end), [range(1 << 30, boundary), range(boundary, end)]);
        assert_eq!(parts(0, boundary), [range(0, boundary)]);
        assert_eq!(parts(boundary, end), [range(boundary, end)]);
    }

    #[test]
    fn all_is_searched_if_it_is_no_more_than_the_budget_or_was_asked_for() {
        let memory = TestMemory::new(0..0x40_0000).search_budget(0x40_0000);
        let plan = SearchPlan::of(&memory, SearchDepth::Bounded);
        assert_eq!(
            (plan.ranges, plan.extent.to_string()),
            (memory.ranges().to_vec(), String::new())
        );
        let memory = memory.search_budget(0x1000);
        assert_eq!(SearchPlan::of(&memory, SearchDepth::All).ranges, memory.ranges());
    }
}
