//! Finds the sections of memory that have struct pages, and where these are.
//!
//! All sections' struct pages are one array in the kernel's addresses (`vmemmap`): each section's
//! word has the address that struct page 0 would have. A section that has another one is left out.

use std::collections::HashMap;
use std::ops::Range;

use vmcore_formats::addr::VirtAddr;
use vmcore_formats::struct_page::{PageLayout, Section, SectionTable};
use vmcore_formats::vmcoreinfo::VmcoreInfo;

use super::KeepAll;
use crate::kernel::page_tables::AddressSpace;
use crate::vmcore::memory::{MemoryRange, held_ranges};

/// Pages are looked at in groups of this many, so that no block is cut by the end of a range.
const GROUP: u64 = 1024;
/// How many words of sections are read: those of 4 PiB.
const MAX_SECTIONS: u64 = 1 << 25;

/// What has struct pages.
#[derive(Debug)]
pub(super) struct Sections {
    /// Where the struct page of page 0 would be.
    pub(super) base: VirtAddr,
    /// Numbers of pages that have struct pages and may be in memory: sorted, apart.
    pub(super) pages: Vec<Range<u64>>,
    /// What is wrong with some of them, as sentences.
    pub(super) findings: Vec<String>,
}

impl Sections {
    /// Finds them as VMCOREINFO describes them.
    ///
    /// # Errors
    /// Fails if there are none, or they contradict each other.
    pub(super) fn find(
        space: &AddressSpace,
        info: &VmcoreInfo,
        layout: &PageLayout,
    ) -> Result<Self, KeepAll> {
        let vmemmap = info.symbol("vmemmap");
        let ranges: Vec<_> = held_ranges(&**space.memory()).collect();
        let mut problem = "the kernel has no section with struct pages".to_owned();
        for table in SectionTable::candidates(info)? {
            // Linux 4.14 gave the address of the pointer, not its value; mended by "kdump: write
            // correct address of mem_section into vmcoreinfo".
            let pointer = space.read_u64(table.at()).ok().map(VirtAddr);
            for table in [Some(table), pointer.map(|at| table.moved_to(at))].into_iter().flatten() {
                match Self::in_table(space, &table, &ranges, layout, vmemmap) {
                    Ok(found) if !found.pages.is_empty() => return Ok(found),
                    Ok(_) => {}
                    Err(found) => problem = found,
                }
            }
        }
        Err(KeepAll::Sections { problem })
    }

    fn in_table(
        space: &AddressSpace,
        table: &SectionTable,
        ranges: &[MemoryRange],
        layout: &PageLayout,
        vmemmap: Option<VirtAddr>,
    ) -> Result<Self, String> {
        let page_size = layout.page_size();
        let sections = present(space, table, ranges)?;
        let usable = |section: &Section| section.is_usable();
        let base = vmemmap.map_or_else(|| usual_base(&sections, page_size), Some);
        let Some(base) = base else {
            return Err("no section with struct pages is online".to_owned());
        };
        if base.0 >> 52 < 0xff0 {
            return Err(format!("struct pages would be at {base}, which is no kernel address"));
        }
        let (mut pages, mut other) = (Vec::new(), 0_u64);
        let per_section = table.section_bytes().checked_div(page_size).unwrap_or(1);
        for (number, section) in sections.iter().filter(|(_, section)| usable(section)) {
            if section.base(page_size) != base {
                other = other.saturating_add(1);
                continue;
            }
            let first = number.saturating_mul(per_section);
            let section = first..first.saturating_add(per_section);
            in_memory(&section, ranges, page_size, &mut pages);
        }
        let count = sections.len() as u64;
        if other.saturating_mul(2) > count {
            return Err(format!(
                "{other} of {count} sections have their struct pages elsewhere than at {base}"
            ));
        }
        let mut findings = Vec::new();
        if other > 0 {
            findings.push(format!(
                "{other} of {count} sections of memory have their struct pages elsewhere than at {base}: they are kept"
            ));
        }
        Ok(Self { base, pages, findings })
    }
}

/// The sections that are present and have memory in `ranges`, by their number.
fn present(
    space: &AddressSpace,
    table: &SectionTable,
    ranges: &[MemoryRange],
) -> Result<Vec<(u64, Section)>, String> {
    let bytes = table.section_bytes();
    let mut found = Vec::new();
    let (mut next, mut looked_at) = (0_u64, 0_u64);
    let mut row: Option<(u64, Option<Vec<u8>>)> = None;
    for range in ranges {
        let mut number = range.start.0.checked_div(bytes).unwrap_or_default().max(next);
        let end = range.end().0.div_ceil(bytes).min(table.count());
        while number < end {
            looked_at = looked_at.saturating_add(1);
            if looked_at > MAX_SECTIONS {
                return Err(format!("there are more than {MAX_SECTIONS} sections"));
            }
            let first = number.saturating_sub(number.checked_rem(table.row()).unwrap_or_default());
            if row.as_ref().is_none_or(|(of, _)| *of != first) {
                row = Some((first, read_row(space, table, first)));
            }
            let Some(words) = row.as_ref().and_then(|(_, words)| words.as_ref()) else {
                number = first.saturating_add(table.row());
                continue;
            };
            let word = space.endian().u64_at(words, table.word_in_row(number));
            let section = Section(word.unwrap_or_default());
            if section.is_present() {
                found.push((number, section));
            }
            number = number.saturating_add(1);
        }
        next = next.max(end);
    }
    Ok(found)
}

/// A row of sections, from this one on. `None` if there is none, or it cannot be read.
fn read_row(space: &AddressSpace, table: &SectionTable, first: u64) -> Option<Vec<u8>> {
    let at = match table.row_of(first) {
        Ok(at) => at,
        Err(pointer) => VirtAddr(space.read_u64(pointer).ok()?),
    };
    space.read_vec(at, usize::try_from(table.row_bytes()).ok()?).ok()
}

/// The base that most of the sections have.
fn usual_base(sections: &[(u64, Section)], page_size: u64) -> Option<VirtAddr> {
    let mut counts: HashMap<VirtAddr, u64> = HashMap::new();
    for (_, section) in sections.iter().filter(|(_, section)| section.is_usable()) {
        let count = counts.entry(section.base(page_size)).or_default();
        *count = count.saturating_add(1);
    }
    counts.into_iter().max_by_key(|(base, count)| (*count, *base)).map(|(base, _)| base)
}

/// Adds the groups of a section's pages that have memory.
fn in_memory(
    section: &Range<u64>,
    ranges: &[MemoryRange],
    page_size: u64,
    pages: &mut Vec<Range<u64>>,
) {
    let at = |pfn: u64| pfn.saturating_mul(page_size);
    let from = ranges.partition_point(|range| range.end().0 <= at(section.start));
    let ranges = ranges.get(from..).unwrap_or_default();
    for range in ranges.iter().take_while(|range| range.start.0 < at(section.end)) {
        let page = |at: u64| at.checked_div(page_size).unwrap_or_default();
        let first = page(range.start.0);
        let start = first.saturating_sub(first % GROUP).max(section.start);
        let end = page(range.end().0).saturating_add(1);
        let end = end.checked_next_multiple_of(GROUP).unwrap_or(end).min(section.end);
        match pages.last_mut() {
            Some(last) if start <= last.end => last.end = last.end.max(end),
            _ if start < end => pages.push(start..end),
            _ => {}
        }
    }
}
