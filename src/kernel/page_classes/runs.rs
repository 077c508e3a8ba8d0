//! Collects pages of a class into runs, and takes out what is kept in any case.

use vmcore_formats::addr::{Pfn, PhysAddr};
use vmcore_formats::page_class::left_out;
use vmcore_formats::page_class::{ClassRun, PageClass};

use crate::vmcore::MemoryRange;

/// The most runs: as many as a core has room for.
pub(super) const MAX_RUNS: usize = left_out::MAX_RUNS;

/// Runs in the making.
#[derive(Debug)]
pub(super) struct Runs {
    page_size: u64,
    runs: Vec<ClassRun>,
}

impl Runs {
    pub(super) fn new(page_size: u64) -> Self {
        Self { page_size, runs: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }

    /// Adds a page that is above all before.
    pub(super) fn add(&mut self, pfn: Pfn, class: PageClass) {
        let Some(start) = pfn.address(self.page_size) else { return };
        match self.runs.last_mut() {
            Some(last) if last.class == class && last.end() == start => {
                last.length = last.length.saturating_add(self.page_size);
            }
            _ => self.runs.push(ClassRun { start, length: self.page_size, class }),
        }
    }

    /// The runs within `memory`, without what is kept always; and how many bytes of that are in
    /// them.
    pub(super) fn finish(
        self,
        memory: &[MemoryRange],
        kept_always: &[MemoryRange],
    ) -> (Vec<ClassRun>, u64) {
        let mut all = Vec::with_capacity(self.runs.len());
        let mut forced = 0_u64;
        let (mut ranges, mut kept) = (memory, kept_always);
        for run in self.runs {
            ranges = from(ranges, run.start);
            for range in ranges.iter().take_while(|range| range.start < run.end()) {
                let mut at = run.start.max(range.start);
                let end = run.end().min(range.end());
                kept = from(kept, at);
                for kept in kept.iter().take_while(|kept| kept.start < end) {
                    put(&mut all, at, kept.start.min(end), run.class);
                    let next = kept.end().min(end);
                    let covered = kept.start.max(at);
                    forced = forced.saturating_add(next.saturating_distance_from(covered));
                    at = at.max(next);
                }
                put(&mut all, at, end, run.class);
            }
        }
        (all, forced)
    }
}

/// The ranges that end after an address.
fn from(ranges: &[MemoryRange], at: PhysAddr) -> &[MemoryRange] {
    let passed = ranges.iter().take_while(|range| range.end() <= at).count();
    ranges.get(passed..).unwrap_or_default()
}

fn put(runs: &mut Vec<ClassRun>, start: PhysAddr, end: PhysAddr, class: PageClass) {
    let length = end.saturating_distance_from(start);
    if length > 0 {
        runs.push(ClassRun { start, length, class });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_become_runs_within_memory_and_without_what_is_kept() {
        let range = |start, length| MemoryRange { start: PhysAddr(start), length };
        let run = |start, length, class| ClassRun { start: PhysAddr(start), length, class };
        let (free, user) = (PageClass::Free, PageClass::User);
        let mut runs = Runs::new(0x1000);
        for pfn in 1..9 {
            runs.add(Pfn(pfn), free);
        }
        runs.add(Pfn(9), user);
        runs.add(Pfn(11), user);
        runs.add(Pfn(u64::MAX), user);
        assert_eq!(runs.len(), 3);
        let memory = [range(0, 0x3000), range(0x4000, 0x6000), range(0xb000, 0x5000)];
        let kept = [range(0x5000, 0x2000), range(0x8000, 0x1000), range(0xa000, 0x1000)];
        let (found, forced) = runs.finish(&memory, &kept);
        let expected = [
            run(0x1000, 0x2000, free),
            run(0x4000, 0x1000, free),
            run(0x7000, 0x1000, free),
            run(0x9000, 0x1000, user),
            run(0xb000, 0x1000, user),
        ];
        assert_eq!((found.as_slice(), forced), (expected.as_slice(), 0x3000));
    }
}
