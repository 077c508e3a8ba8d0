//! Which ranges are asked for: those that are kept, joined where a gap costs less than a request.
//!
//! A gap is read only where all of it is memory that was left out by its class, and no page of
//! it was reported as damaged: such a page is never read.

use vmcore_formats::addr::PhysAddr;
use vmcore_formats::elf::Segment;
use vmcore_formats::page_class::{ClassRun, PageClass};

use super::cost::Cost;
use crate::units;
use crate::vmcore::MemoryRange;

/// What is to be read of a guest, by ascending address, apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Requests {
    ranges: Vec<MemoryRange>,
    bytes: u64,
}

impl Requests {
    /// The requests for the segments of a core that lacks `left_out`, both by ascending
    /// address. Returns `None` if the segments are not.
    pub(super) fn of(kept: &[Segment], left_out: &[ClassRun], cost: &Cost) -> Option<Self> {
        let mut joined: Vec<MemoryRange> = Vec::new();
        for segment in kept.iter().filter(|segment| segment.file_size > 0) {
            let (start, length) = (segment.physical, segment.file_size);
            match joined.last_mut() {
                Some(last) if start < last.end() => return None,
                Some(last) if is_worth_reading(last.end(), start, left_out, cost) => {
                    let end = start.saturating_add(length);
                    last.length = end.0.saturating_sub(last.start.0);
                }
                _ => joined.push(MemoryRange { start, length }),
            }
        }
        let ranges: Vec<_> = joined.iter().flat_map(|range| cut(*range, cost.most)).collect();
        let bytes = ranges.iter().fold(0_u64, |sum, range| sum.saturating_add(range.length));
        Some(Self { ranges, bytes })
    }

    /// The ranges.
    pub(crate) fn ranges(&self) -> &[MemoryRange] {
        &self.ranges
    }

    /// How many bytes they have.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether they take less time than a dump of all memory.
    pub(super) fn are_cheaper(&self, all: u64, cost: &Cost) -> bool {
        cost.of_requests(self.ranges.len(), self.bytes) < cost.of_dump(all)
    }

    /// Both in words.
    pub(super) fn comparison(&self, all: u64, cost: &Cost) -> String {
        let (count, bytes) = (self.ranges.len(), units::bytes(self.bytes));
        let (requests, dump) = (cost.of_requests(count, self.bytes), cost.of_dump(all));
        format!(
            "{bytes} in {count} requests about {} ms, all {} about {} ms",
            requests / 1000,
            units::bytes(all),
            dump / 1000
        )
    }
}

/// Whether the memory from `from` to `to` may be read in vain, and costs less than a request.
fn is_worth_reading(from: PhysAddr, to: PhysAddr, left_out: &[ClassRun], cost: &Cost) -> bool {
    if to.0.saturating_sub(from.0) > cost.gap() {
        return false;
    }
    let first = left_out.partition_point(|run| run.end() <= from);
    let mut at = from;
    for run in left_out.iter().skip(first).take_while(|run| run.start < to) {
        if run.start > at || run.class == PageClass::Poison {
            return false;
        }
        at = run.end();
    }
    at >= to
}

/// A range in parts of `most` bytes.
fn cut(range: MemoryRange, most: u64) -> impl Iterator<Item = MemoryRange> {
    let mut at = range.start;
    std::iter::from_fn(move || {
        let left = range.end().0.checked_sub(at.0).filter(|left| *left > 0)?;
        let part = MemoryRange { start: at, length: left.min(most).max(1) };
        at = part.end();
        Some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::Manager;

    const PAGE: u64 = 4096;
    const MIB: u64 = 1 << 20;

    fn segment(start: u64, length: u64) -> Segment {
        Segment {
            physical: PhysAddr(start),
            virtual_address: start,
            flags: 0,
            offset: 0,
            file_size: length,
            memory_size: length,
        }
    }

    fn run(start: u64, end: u64, class: PageClass) -> ClassRun {
        ClassRun { start: PhysAddr(start), length: end - start, class }
    }

    fn requests(kept: &[Segment], left_out: &[ClassRun]) -> Vec<(u64, u64)> {
        let cost = Cost::of(Manager::Qemu);
        let requests = Requests::of(kept, left_out, &cost).unwrap();
        let ranges: Vec<_> =
            requests.ranges().iter().map(|range| (range.start.0, range.length)).collect();
        assert_eq!(requests.bytes(), ranges.iter().map(|(_, length)| length).sum::<u64>());
        ranges
    }

    #[test]
    fn gaps_are_read_where_that_costs_less_than_a_request() {
        let kept = [segment(0, PAGE), segment(4 * PAGE, PAGE), segment(4 * MIB, PAGE)];
        let gaps = [
            run(PAGE, 2 * PAGE, PageClass::User),
            run(2 * PAGE, 4 * PAGE, PageClass::Free),
            run(5 * PAGE, 4 * MIB, PageClass::Free),
        ];
        assert_eq!(requests(&kept, &gaps), [(0, 5 * PAGE), (4 * MIB, PAGE)]);
    }

    #[test]
    fn what_is_no_memory_or_damaged_is_never_read() {
        let kept = [segment(0, PAGE), segment(4 * PAGE, PAGE)];
        let apart = [(0, PAGE), (4 * PAGE, PAGE)];
        let hole = [run(PAGE, 3 * PAGE, PageClass::User)];
        assert_eq!(requests(&kept, &hole), apart);
        assert_eq!(requests(&kept, &[]), apart);
        let damaged = [
            run(PAGE, 2 * PAGE, PageClass::User),
            run(2 * PAGE, 3 * PAGE, PageClass::Poison),
            run(3 * PAGE, 4 * PAGE, PageClass::User),
        ];
        assert_eq!(requests(&kept, &damaged), apart);
    }

    #[test]
    fn segments_that_touch_are_one_range_and_long_ones_are_cut() {
        let kept = [segment(0, 10 * MIB), segment(10 * MIB, 10 * MIB), segment(32 * MIB, 1)];
        let expected = [(0, 8 * MIB), (8 * MIB, 8 * MIB), (16 * MIB, 4 * MIB), (32 * MIB, 1)];
        assert_eq!(requests(&kept, &[]), expected);
    }

    #[test]
    fn segments_in_another_order_are_refused() {
        let cost = Cost::of(Manager::Qemu);
        assert_eq!(Requests::of(&[segment(MIB, PAGE), segment(0, PAGE)], &[], &cost), None);
    }

    #[test]
    fn the_whole_dump_is_cheaper_where_hardly_anything_is_left_out() {
        let of = |manager, kept: &[Segment]| {
            let cost = Cost::of(manager);
            Requests::of(kept, &[], &cost).unwrap().are_cheaper(4096 * MIB, &cost)
        };
        assert!(!of(Manager::Qemu, &[segment(0, 4096 * MIB)]));
        assert!(of(Manager::Qemu, &[segment(0, 2048 * MIB)]));
        // libvirt gives single ranges much more slowly.
        assert!(!of(Manager::Libvirt, &[segment(0, 1024 * MIB)]));
        assert!(of(Manager::Libvirt, &[segment(0, 512 * MIB)]));
    }
}
