//! Looks for kallsyms in the kernel's image, by its structure.
//!
//! Needs: the kernel's addresses, and where its image begins. Gives: where the tables are.
//! Pages that are mapped as data are searched first: kallsyms is in `.rodata`, behind tens of MiB of
//! code.

use std::ops::Range;

use memchr::memmem;
use vmcore_formats::addr::VirtAddr;
use vmcore_formats::kallsyms::locate::{Candidate, DIGITS, Located, are_tokens, locate};
use vmcore_formats::kallsyms::{MAX_TOKEN_TABLE, Mode};

use super::tables::Tables;
use crate::kernel::budget::Budget;
use crate::kernel::image;
use crate::kernel::page_tables::AddressSpace;
use crate::kernel::reading::read_tables;

/// How much is read at once.
const PIECE: u64 = 4 << 20;
/// What has no page is passed over in steps of the largest page that an image is mapped with
/// apart from it.
const STEP: u64 = 64 << 10;
/// How many places that look like tokens are looked at.
const MAX_PLACES: usize = 256;
/// How much of what is before and behind the tokens is read: as much as distributions'
/// kernels take, then as much as the largest may.
const AROUND: [(u64, u64); 2] = [(8 << 20, 3 << 20), (64 << 20, 16 << 20)];
/// How much is read around all places together, in bytes: a guest can have many tables of tokens.
const MAX_WINDOWS: u64 = 1 << 30;

/// The tables in the image that begins at `start`.
pub(super) fn search(space: &AddressSpace, start: VirtAddr) -> Option<Tables> {
    let runs = runs(space, start);
    let begin = runs.first().map_or(start, |run| run.range.start);
    let (code, data): (Vec<_>, Vec<_>) = runs.into_iter().partition(|run| run.executable);
    let mut left = MAX_PLACES;
    let windows = Budget::of(MAX_WINDOWS);
    let tables = |at| tables(space, begin, at, &windows);
    let mut look = |run: &Run| places(space, &run.range, &mut left, tables);
    data.iter().find_map(&mut look).or_else(|| code.iter().find_map(look))
}

/// A part of the image that is mapped alike.
struct Run {
    range: Range<VirtAddr>,
    executable: bool,
}

/// The parts of the image, in order.
fn runs(space: &AddressSpace, start: VirtAddr) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut at = start;
    let end = start.saturating_add(image::MAX_LENGTH);
    while at < end {
        let walk = space.walk(at);
        let (Ok(mapping), Some(last)) = (&walk.outcome, walk.steps.last()) else {
            at = VirtAddr((at.0 | (STEP - 1)).saturating_add(1));
            continue;
        };
        let executable = space.paging().is_executable(last.value);
        let next = VirtAddr(at.0.saturating_add(mapping.left(at)).min(end.0));
        match runs.last_mut() {
            Some(run) if run.range.end == at && run.executable == executable => {
                run.range.end = next;
            }
            _ => runs.push(Run { range: at..next, executable }),
        }
        at = next;
    }
    runs
}

/// Hands each place that looks like the tokens of the digits to `take`, until it finds something.
fn places<T>(
    space: &AddressSpace,
    range: &Range<VirtAddr>,
    left: &mut usize,
    mut take: impl FnMut(VirtAddr) -> Option<T>,
) -> Option<T> {
    let mut at = range.start;
    let mut buffer = Vec::new();
    while at < range.end {
        // A place may be across the end of a piece.
        let overlap = DIGITS.len() as u64;
        let length = range.end.0.saturating_sub(at.0).min(PIECE.saturating_add(overlap));
        buffer.resize(usize::try_from(length).unwrap_or_default(), 0);
        read_tables(space, &mut [(at, &mut buffer)]);
        for found in memmem::find_iter(&buffer, DIGITS) {
            *left = left.checked_sub(1)?;
            let place = at.saturating_add(found as u64);
            if let Some(found) = take(place) {
                return Some(found);
            }
        }
        at = at.saturating_add(PIECE);
    }
    None
}

/// The tables around a place.
fn tables(
    space: &AddressSpace,
    begin: VirtAddr,
    digits: VirtAddr,
    windows: &Budget,
) -> Option<Tables> {
    const NEAR: u64 = MAX_TOKEN_TABLE as u64;
    let near = Window::read(space, begin, digits, (NEAR, NEAR));
    if !are_tokens(&near.bytes, near.digits, space.endian()) {
        return None;
    }
    AROUND.into_iter().find_map(|around| {
        windows.take(around.0.saturating_add(around.1)).ok()?;
        let window = Window::read(space, begin, digits, around);
        let located = locate(&window.bytes, window.digits, space.endian())?;
        Some(window.tables(&located))
    })
}

/// What is around a place.
struct Window {
    /// Where it begins: at the beginning of a page.
    start: VirtAddr,
    bytes: Vec<u8>,
    /// Where the place is in it.
    digits: usize,
}

impl Window {
    fn read(
        space: &AddressSpace,
        begin: VirtAddr,
        digits: VirtAddr,
        (before, behind): (u64, u64),
    ) -> Self {
        let start = VirtAddr(digits.0.saturating_sub(before).max(begin.0) & !0xfff);
        let length = digits.0.saturating_sub(start.0).saturating_add(behind);
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        read_tables(space, &mut [(start, &mut bytes)]);
        let digits = usize::try_from(digits.0.saturating_sub(start.0)).unwrap_or_default();
        Self { start, bytes, digits }
    }

    fn tables(&self, located: &Located) -> Tables {
        let at = |offset: usize| self.start.saturating_add(offset as u64);
        let modes = |candidate: &Candidate| {
            let table = at(candidate.at());
            let modes = match candidate {
                Candidate::Absolute { .. } => vec![Mode::Absolute],
                Candidate::Based { base, .. } => {
                    vec![Mode::AbsolutePerCpu { base: *base }, Mode::BaseRelative { base: *base }]
                }
                Candidate::PlaceRelative { .. } => vec![Mode::PlaceRelative { table }],
            };
            (table, modes)
        };
        Tables {
            names: at(located.names),
            symbol_count: located.symbol_count,
            token_table: at(located.token_table),
            token_index: at(located.token_index),
            addresses: located.addresses.iter().map(modes).collect(),
        }
    }
}
