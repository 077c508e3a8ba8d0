//! Names and their markers, before the tokens.

use crate::endian::Endian;
use crate::kallsyms::MAX_SYMBOLS;
use crate::kallsyms::names::entry;

/// The number of names per marker.
const STRIDE: u32 = 256;
/// The bytes that the names of one marker can take: at least one token each, at most lengths
/// that kernels stay far below.
const STEPS: std::ops::RangeInclusive<u64> = 512..=STRIDE as u64 * 260;
/// The most bytes between markers and tokens: three for each symbol
/// (`kallsyms_seqs_of_names`), for more symbols than kernels have.
const MAX_GAP: usize = 4 << 20;
/// The fewest markers: every kernel has thousands of symbols.
const MIN_MARKERS: usize = 8;
/// The most padding between the names and the markers.
const MAX_PADDING: usize = 16;
/// The most runs of markers that are tried. A kernel has one; hostile memory may have more.
const MAX_RUNS: usize = 64;
/// The most times that names are walked for a run.
const MAX_WALKS: usize = 16;

/// The names of all symbols.
pub(super) struct LocatedNames {
    pub(super) names: usize,
    pub(super) symbol_count: u32,
    /// The offset of their number.
    pub(super) count_at: usize,
}

/// A run of markers.
struct Markers {
    start: usize,
    values: Vec<u64>,
}

/// The names before a table of tokens.
pub(super) fn before(bytes: &[u8], token_table: usize, endian: Endian) -> Option<LocatedNames> {
    let bytes = bytes.get(..token_table)?;
    let lowest = token_table.saturating_sub(MAX_GAP).next_multiple_of(4);
    // Markers have four bytes, in old kernels eight.
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

/// Whether markers may begin at `at`: the first two values exclude most offsets.
fn begins(bytes: &[u8], at: usize, size: usize, endian: Endian) -> bool {
    let second = || value(bytes, at.checked_add(size)?, size, endian);
    value(bytes, at, size, endian) == Some(0) && second().is_some_and(|step| STEPS.contains(&step))
}

fn value(bytes: &[u8], at: usize, size: usize, endian: Endian) -> Option<u64> {
    if size == 4 { endian.u32_at(bytes, at).map(u64::from) } else { endian.u64_at(bytes, at) }
}

/// The values from `at` on that ascend like markers.
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

/// The names that the markers belong to.
fn names_of(bytes: &[u8], markers: &Markers, endian: Endian) -> Option<LocatedNames> {
    let last = usize::try_from(*markers.values.last()?).ok()?;
    // The names of the last marker take bytes, too: at most as many as those of the others.
    let highest = markers.start.checked_sub(last)?;
    let lowest = highest.saturating_sub(usize::try_from(*STEPS.end()).ok()?);
    let offsets = (lowest.next_multiple_of(4)..highest.saturating_add(1)).step_by(4).rev();
    offsets
        .flat_map(|names| [(names, 4), (names, 8)])
        .filter_map(|(names, before)| Some((names, names.checked_sub(before)?)))
        .filter_map(|(names, count_at)| {
            let symbol_count = endian.u32_at(bytes, count_at)?;
            fits(symbol_count, markers).then_some(LocatedNames { names, symbol_count, count_at })
        })
        .take(MAX_WALKS)
        .find(|found| is_walked(bytes, found.names, found.symbol_count, markers))
}

/// Whether this number of names has this number of markers.
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
