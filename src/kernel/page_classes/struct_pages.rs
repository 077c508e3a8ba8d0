//! Reads struct pages in long runs, by their addresses.
//!
//! They are in blocks of 2 MiB, as a rule. Those of huge pages share memory (HVO): the block is
//! split then, and many of its pages are one. So the pages of a batch are translated first, and
//! read once each, in the order of memory; short gaps are read with them, because a request to a
//! held guest takes as long as a MiB of memory.

use std::ops::Range;

use vmcore_formats::addr::{Pfn, PhysAddr, VirtAddr};
use vmcore_formats::struct_page::PageLayout;

use super::KeepAll;
use super::recorder::Recorder;
use crate::kernel::page_tables::AddressSpace;
use crate::vmcore::memory::range_of;
use crate::vmcore::{MemoryError, MemoryRange, PhysMemory};

/// The unit of translation: no page of any kernel is smaller.
const PAGE: u64 = 4096;
const PAGE_LENGTH: usize = 4096;
/// How many bytes of struct pages are read for one batch, and in one request at most.
const BATCH: u64 = 2 << 20;
/// The longest gap that is read with what is around it.
const GAP: u64 = 256 << 10;
/// How many single pages are tried after a run of them could not be read.
const MAX_RETRIES: u32 = 4096;

/// Reader of struct pages.
#[derive(Debug)]
pub(super) struct StructPages<'p> {
    recorder: &'p Recorder,
    space: &'p AddressSpace,
    base: VirtAddr,
    size: u64,
    /// The pages of a batch, in the order of their addresses.
    batch: Vec<u8>,
    scratch: Vec<u8>,
    retries: u32,
    unmapped: u64,
    unreadable: u64,
}

impl<'p> StructPages<'p> {
    pub(super) fn new(
        recorder: &'p Recorder,
        space: &'p AddressSpace,
        layout: &PageLayout,
        base: VirtAddr,
    ) -> Self {
        Self {
            recorder,
            space,
            base,
            size: layout.struct_page_size() as u64,
            batch: Vec::new(),
            scratch: Vec::new(),
            retries: 0,
            unmapped: 0,
            unreadable: 0,
        }
    }

    /// What could not be read, as sentences.
    pub(super) fn findings(&self) -> impl Iterator<Item = String> {
        let sentence = |count: u64, why| {
            let bytes = count.saturating_mul(PAGE);
            (count > 0).then(|| {
                format!("{bytes} bytes of struct pages {why}: the pages that they are of are kept")
            })
        };
        let unmapped = sentence(self.unmapped, "are not mapped, or not to memory");
        unmapped.into_iter().chain(sentence(self.unreadable, "cannot be read"))
    }

    /// Hands the struct pages of these pages to `take`, in order, as many at once as are there.
    ///
    /// # Errors
    /// Fails like `take`, or if more was read than the core is worth.
    pub(super) fn read(
        &mut self,
        pages: Range<u64>,
        mut take: impl FnMut(Pfn, &[u8]) -> Result<(), KeepAll>,
    ) -> Result<(), KeepAll> {
        let per_batch = BATCH.checked_div(self.size.max(1)).unwrap_or(1).max(2) & !1;
        let mut first = pages.start;
        while first < pages.end {
            let end = first.saturating_add(per_batch).min(pages.end);
            let offset = |pfn: u64| pfn.wrapping_mul(self.size);
            let (start, stop) =
                (self.base.wrapping_add(offset(first)), self.base.wrapping_add(offset(end)));
            let whole = start.align_down(PAGE);
            let bytes = stop.wrapping_distance_from(whole).next_multiple_of(PAGE);
            self.recorder.spend(bytes).map_err(|error| too_much(&error))?;
            let there = self.fill(whole, bytes)?;
            // Pages that are there and follow each other have struct pages that can be read.
            for there in consecutive(&there) {
                let from = whole.wrapping_add(there.start).max(start);
                let to = whole.wrapping_add(there.end).min(stop);
                let skip = from.wrapping_distance_from(start).div_ceil(self.size.max(1));
                let count = to.wrapping_distance_from(start).checked_div(self.size).unwrap_or(0);
                let at =
                    start.wrapping_distance_from(whole).wrapping_add(skip.wrapping_mul(self.size));
                let length = count.saturating_sub(skip).wrapping_mul(self.size);
                let range = usize::try_from(at).ok().zip(usize::try_from(length).ok());
                let part =
                    range.and_then(|(at, length)| self.batch.get(at..at.checked_add(length)?));
                take(Pfn(first.saturating_add(skip)), part.unwrap_or_default())?;
            }
            first = end;
        }
        Ok(())
    }

    /// Reads virtual memory into the batch. Gives which pages are there.
    fn fill(&mut self, at: VirtAddr, bytes: u64) -> Result<Vec<bool>, KeepAll> {
        let count = usize::try_from(bytes / PAGE).unwrap_or_default();
        self.batch.resize(count.saturating_mul(PAGE_LENGTH), 0);
        let mut there = vec![false; count];
        // Where each page is in memory, and its number.
        let mut places = Vec::with_capacity(count);
        let mut number = 0;
        while number < count {
            let page = at.wrapping_add((number as u64).wrapping_mul(PAGE));
            let left = match self.space.mapping(page) {
                Ok(mapping) => {
                    let left = (mapping.left(page) / PAGE).max(1);
                    let physical = mapping.translate(page);
                    let pages =
                        usize::try_from(left).unwrap_or(count).min(count.saturating_sub(number));
                    for (index, number) in (number..).take(pages).enumerate() {
                        let place = physical.saturating_add((index as u64).wrapping_mul(PAGE));
                        match range_of(self.recorder.ranges(), place) {
                            Some(range) if range.end() >= place.saturating_add(PAGE) => {
                                places.push((place, number));
                            }
                            _ => self.unmapped = self.unmapped.saturating_add(1),
                        }
                    }
                    pages
                }
                Err(_) => {
                    self.unmapped = self.unmapped.saturating_add(1);
                    1
                }
            };
            number = number.saturating_add(left.max(1));
        }
        places.sort_unstable();
        let mut rest = places.as_slice();
        while let Some(((first, _), _)) = rest.split_first() {
            let run = run_length(self.recorder.ranges(), rest);
            let (run, later) = rest.split_at_checked(run.max(1)).unwrap_or((rest, &[]));
            let end = run.last().map_or(*first, |(last, _)| last.saturating_add(PAGE));
            self.read_run(*first, end.saturating_distance_from(*first), run, &mut there)?;
            rest = later;
        }
        Ok(there)
    }

    /// Reads pages that are near each other, and puts each where it belongs.
    fn read_run(
        &mut self,
        start: PhysAddr,
        length: u64,
        run: &[(PhysAddr, usize)],
        there: &mut [bool],
    ) -> Result<(), KeepAll> {
        let memory = self.recorder.memory();
        self.scratch.resize(usize::try_from(length).unwrap_or_default(), 0);
        let whole = memory.read(start, &mut self.scratch);
        if let Err(error) = &whole {
            end_if_too_much(error)?;
        }
        for (place, number) in run {
            let offset = usize::try_from(place.saturating_distance_from(start)).unwrap_or_default();
            let page = self.scratch.get_mut(offset..offset.saturating_add(PAGE_LENGTH));
            let Some(page) = page else { continue };
            if whole.is_err() {
                let again = self.retries < MAX_RETRIES;
                self.retries = self.retries.saturating_add(1);
                let read = again.then(|| memory.read(*place, page));
                if let Some(Err(error)) = &read {
                    end_if_too_much(error)?;
                }
                if !matches!(read, Some(Ok(()))) {
                    self.unreadable = self.unreadable.saturating_add(1);
                    continue;
                }
            }
            let into = number.saturating_mul(PAGE_LENGTH);
            if let Some(into) = self.batch.get_mut(into..into.saturating_add(PAGE_LENGTH)) {
                into.copy_from_slice(page);
            }
            if let Some(there) = there.get_mut(*number) {
                *there = true;
            }
            self.recorder.note(*place, PAGE);
        }
        Ok(())
    }
}

/// How many of the sorted pages are read at once: in one range of memory, near each other.
fn run_length(ranges: &[MemoryRange], pages: &[(PhysAddr, usize)]) -> usize {
    let Some((first, _)) = pages.first() else { return 0 };
    let limit = range_of(ranges, *first).map_or(*first, MemoryRange::end);
    let limit = limit.min(first.saturating_add(BATCH));
    let mut end = *first;
    let near = |(place, _): &&(PhysAddr, usize)| {
        let fits =
            place.saturating_distance_from(end) <= GAP && place.saturating_add(PAGE) <= limit;
        end = place.saturating_add(PAGE);
        fits
    };
    pages.iter().take_while(near).count()
}

fn end_if_too_much(error: &MemoryError) -> Result<(), KeepAll> {
    if error.is_too_much() { Err(too_much(error)) } else { Ok(()) }
}

fn too_much(problem: &impl ToString) -> KeepAll {
    KeepAll::TooMuch { problem: problem.to_string() }
}

/// The ranges of bytes whose pages are all there.
fn consecutive(there: &[bool]) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for (number, _) in there.iter().enumerate().filter(|(_, there)| **there) {
        let start = (number as u64).wrapping_mul(PAGE);
        let end = start.wrapping_add(PAGE);
        match ranges.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ => ranges.push(start..end),
        }
    }
    ranges
}
