//! Names and their markers, before the tokens.

use crate::cursor::Endian;
use crate::kallsyms::MAX_SYMBOLS;
use crate::kallsyms::names::entry;

/// How many names there are from marker to marker.
const STRIDE: u32 = 256;
/// How many bytes the names from marker to marker take: one token each at least, and
/// lengths that real kernels stay far below.
const STEPS: std::ops::RangeInclusive<u64> = 512..=STRIDE as u64 * 260;
/// How many bytes may be between markers and tokens: three for each symbol, of the most
/// that kernels have.
const MAX_GAP: usize = 4 << 20;
/// Fewer markers are none: every kernel has thousands of symbols.
const MIN_MARKERS: usize = 8;
/// How many bytes may be between the names and the markers, so that these are aligned.
const MAX_PADDING: usize = 16;
/// How many runs of markers are tried. Memory that is not made up has one.
const MAX_RUNS: usize = 64;
/// How many times names are walked for a run.
const MAX_WALKS: usize = 16;

/// Names that were found.
pub(super) struct Found {
    pub(super) names: usize,
    pub(super) symbol_count: u32,
    /// Where their number is.
    pub(super) count_at: usize,
}

/// A run of markers.
struct Markers {
    start: usize,
    values: Vec<u64>,
}

/// The names before a table of tokens.
pub(super) fn before(bytes: &[u8], token_table: usize, endian: Endian) -> Option<Found> {
    let bytes = bytes.get(..token_table)?;
    let lowest = token_table.saturating_sub(MAX_GAP).next_multiple_of(4);
    // Each marker is of four bytes, before 5.0 of eight.
    [4, 8].into_iter().find_map(|size| {
        (lowest..token_table)
            .step_by(4)
            .filter(|at| begins(bytes, *at, size, endian))
            .map(|at| run(bytes, at, size, endian))
            .filter(|markers| markers.values.len() >= MIN_MARKERS)
            .take(MAX_RUNS)
            .find_map(|markers| names_of(bytes, &markers, endian))
    })
}

/// Whether markers may begin at `at`: most places are told apart by two values.
fn begins(bytes: &[u8], at: usize, size: usize, endian: Endian) -> bool {
    let second = || value(bytes, at.checked_add(size)?, size, endian);
    value(bytes, at, size, endian) == Some(0) && second().is_some_and(|step| STEPS.contains(&step))
}

fn value(bytes: &[u8], at: usize, size: usize, endian: Endian) -> Option<u64> {
    if size == 4 { endian.u32_at(bytes, at).map(u64::from) } else { endian.u64_at(bytes, at) }
}

/// The values from `at` on that ascend as markers do.
fn run(bytes: &[u8], at: usize, size: usize, endian: Endian) -> Markers {
    let value =
        |index: usize| value(bytes, at.checked_add(index.checked_mul(size)?)?, size, endian);
    let mut values = Vec::new();
    while let Some(next) = value(values.len()) {
        let fits = match values.last() {
            None => next == 0,
            Some(last) => next.checked_sub(*last).is_some_and(|step| STEPS.contains(&step)),
        };
        if !fits {
            break;
        }
        values.push(next);
    }
    Markers { start: at, values }
}

/// The names that markers are of.
fn names_of(bytes: &[u8], markers: &Markers, endian: Endian) -> Option<Found> {
    let last = usize::try_from(*markers.values.last()?).ok()?;
    // The last marker's names take something, too: up to as much as others.
    let highest = markers.start.checked_sub(last)?;
    let lowest = highest.saturating_sub(usize::try_from(*STEPS.end()).ok()?);
    let places = (lowest.next_multiple_of(4)..highest.saturating_add(1)).step_by(4).rev();
    places
        .flat_map(|names| [(names, 4), (names, 8)])
        .filter_map(|(names, before)| Some((names, names.checked_sub(before)?)))
        .filter_map(|(names, count_at)| {
            let symbol_count = endian.u32_at(bytes, count_at)?;
            fits(symbol_count, markers).then_some(Found { names, symbol_count, count_at })
        })
        .take(MAX_WALKS)
        .find(|found| is_walked(bytes, found.names, found.symbol_count, markers))
}

/// Whether so many names have so many markers.
fn fits(count: u32, markers: &Markers) -> bool {
    count <= MAX_SYMBOLS && count.div_ceil(STRIDE) as usize == markers.values.len()
}

/// Whether walking the names meets every marker, and ends before the first.
fn is_walked(bytes: &[u8], names: usize, count: u32, markers: &Markers) -> bool {
    let Some(stream) = bytes.get(names..markers.start) else { return false };
    let mut at = 0_usize;
    for index in 0..count {
        if index.is_multiple_of(STRIDE) {
            let marker = markers.values.get((index / STRIDE) as usize);
            if marker != Some(&(at as u64)) {
                return false;
            }
        }
        match entry(stream, at) {
            Some((start, length @ 1..)) => at = start.saturating_add(length),
            _ => return false,
        }
    }
    stream.len().checked_sub(at).is_some_and(|padding| padding < MAX_PADDING)
}
