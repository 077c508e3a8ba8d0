//! Where in a guest's memory some bytes are.
//!
//! ```text
//! piece     ······xx│xx·····xxxx··│····      by several threads: what is inside a piece
//! seam           xx│xx                       in order: what begins in one and ends in a later one
//! ```
//!
//! Needs: memory, ranges of it, a pattern. Gives: each address at which the pattern
//! begins, in order, those that overlap included. What is found does not depend on
//! where pieces end. Chunks of zeros are not unpacked.

use std::ops::ControlFlow;

use vmcore_formats::addr::PhysAddr;

use super::memory::{MemoryError, MemoryRange, PhysMemory};
use super::pattern::Pattern;
use super::scan::{Content, scan};

/// What is wanted of the places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The first ones, so many.
    First(u64),
    /// Their number.
    Count,
}

/// What a search came to.
#[derive(Debug, Default)]
pub struct Searched {
    /// How many places there are, or how many were handed on.
    pub found: u64,
    /// Whether there are more than were wanted.
    pub more: bool,
    /// How many bytes could not be read, and so not be searched.
    pub missing: u64,
    /// Why, of the first of them, or why the search ended before all was searched.
    pub problem: Option<MemoryError>,
    /// Whether any of them should be there: the core is damaged or was cut off.
    pub damaged: bool,
}

/// Searches `ranges`. Hands each place to `take`, in order.
pub fn search(
    memory: &dyn PhysMemory,
    ranges: &[MemoryRange],
    pattern: &Pattern,
    threads: usize,
    wanted: Wanted,
    mut take: impl FnMut(PhysAddr) -> ControlFlow<()>,
) -> Searched {
    let mut searched = Searched::default();
    let mut seam = Seam { pattern, carry: Vec::new(), end: PhysAddr(0) };
    let mut hand_on = |searched: &mut Searched, places: Places| match wanted {
        Wanted::Count => {
            searched.found = searched.found.saturating_add(places.count);
            ControlFlow::Continue(())
        }
        Wanted::First(limit) => {
            for at in places {
                if searched.found >= limit {
                    searched.more = true;
                    return ControlFlow::Break(());
                }
                searched.found = searched.found.saturating_add(1);
                take(at)?;
            }
            ControlFlow::Continue(())
        }
    };
    scan(
        memory,
        ranges,
        threads,
        |piece, content| Matches::of(piece, content, pattern, wanted),
        |matches| {
            if let Some(error) = matches.problem {
                let ends = error.is_too_much();
                let missing =
                    if ends { left(ranges, &matches.piece) } else { matches.piece.length };
                searched.missing = searched.missing.saturating_add(missing);
                searched.damaged |=
                    matches!(error, MemoryError::Truncated { .. } | MemoryError::Damaged { .. });
                if ends {
                    searched.problem = Some(error);
                    return ControlFlow::Break(());
                }
                searched.problem.get_or_insert(error);
                seam.carry.clear();
                return ControlFlow::Continue(());
            }
            let across = seam.add(&matches);
            hand_on(&mut searched, across)?;
            hand_on(&mut searched, matches.places)
        },
    );
    searched
}

/// How many bytes of `ranges` there are from a piece on.
fn left(ranges: &[MemoryRange], piece: &MemoryRange) -> u64 {
    let rest = ranges.iter().skip_while(|range| range.end() <= piece.start);
    rest.fold(0, |sum, range| {
        let start = range.start.max(piece.start);
        range.end().0.saturating_sub(start.0).saturating_add(sum)
    })
}

/// Places in order: offsets from a base, or a run of addresses that follow each other.
#[derive(Debug, Default)]
struct Places {
    /// How many there are; if no addresses are wanted, that is all there is.
    count: u64,
    base: u64,
    /// Four bytes each: they may be as many as the piece has bytes.
    offsets: std::vec::IntoIter<u32>,
    /// The next of a run, and how many there are of it.
    run: (u64, u64),
}

impl Places {
    fn listed(base: u64, offsets: Vec<u32>) -> Self {
        Self { count: offsets.len() as u64, base, offsets: offsets.into_iter(), run: (0, 0) }
    }
}

impl Iterator for Places {
    type Item = PhysAddr;

    fn next(&mut self) -> Option<PhysAddr> {
        if let Some(offset) = self.offsets.next() {
            return Some(PhysAddr(self.base.saturating_add(u64::from(offset))));
        }
        let (next, left) = self.run;
        self.run = (next.saturating_add(1), left.checked_sub(1)?);
        Some(PhysAddr(next))
    }
}

/// What a thread found in a piece, and its ends.
struct Matches {
    piece: MemoryRange,
    places: Places,
    /// As many bytes of its beginning and of its end as can belong to a place that
    /// begins or ends in another piece.
    head: Vec<u8>,
    tail: Vec<u8>,
    problem: Option<MemoryError>,
}

impl Matches {
    fn of(piece: MemoryRange, content: Content<'_>, pattern: &Pattern, wanted: Wanted) -> Self {
        let whole = usize::try_from(piece.length).unwrap_or(usize::MAX);
        let edge = pattern.length().saturating_sub(1).min(whole);
        let empty = || Self {
            piece,
            places: Places::default(),
            head: Vec::new(),
            tail: Vec::new(),
            problem: None,
        };
        match content {
            Content::Missing(error) => Self { problem: Some(error), ..empty() },
            Content::Zeros => {
                let count = whole.saturating_sub(edge) as u64;
                let count = if pattern.is_zeros() && whole > edge { count } else { 0 };
                let places = Places { count, run: (piece.start.0, count), ..Places::default() };
                Self { places, head: vec![0; edge], tail: vec![0; edge], ..empty() }
            }
            Content::Bytes(bytes) => {
                let head = bytes.get(..edge).unwrap_or(bytes).to_vec();
                let tail = bytes.get(whole.saturating_sub(edge)..).unwrap_or(bytes).to_vec();
                let places = inside(piece.start, bytes, pattern, wanted);
                Self { places, head, tail, ..empty() }
            }
        }
    }
}

fn inside(start: PhysAddr, bytes: &[u8], pattern: &Pattern, wanted: Wanted) -> Places {
    // One more than is wanted, to see whether there are more.
    let (most, listed) = match wanted {
        Wanted::First(limit) => (limit.saturating_add(1), true),
        Wanted::Count => (u64::MAX, false),
    };
    let (mut count, mut places, mut from) = (0_u64, Vec::new(), 0);
    while count < most
        && let Some(at) = pattern.find(bytes, from)
    {
        count = count.saturating_add(1);
        if listed {
            places.extend(u32::try_from(at));
        }
        from = at.saturating_add(1);
    }
    if listed { Places::listed(start.0, places) } else { Places { count, ..Places::default() } }
}

/// The end of what was searched last.
struct Seam<'a> {
    pattern: &'a Pattern,
    /// Its last bytes: fewer than the pattern has.
    carry: Vec<u8>,
    /// The address after them.
    end: PhysAddr,
}

impl Seam<'_> {
    /// The places that begin before a piece and end in it.
    fn add(&mut self, matches: &Matches) -> Places {
        if self.end != matches.piece.start {
            self.carry.clear();
        }
        self.end = matches.piece.end();
        let before = self.carry.len();
        let start = matches.piece.start.0.saturating_sub(before as u64);
        self.carry.extend(&matches.head);
        let (mut places, mut from) = (Vec::new(), 0);
        while let Some(at) = self.pattern.find(&self.carry, from).filter(|at| *at < before) {
            places.extend(u32::try_from(at));
            from = at.saturating_add(1);
        }
        let edge = self.pattern.length().saturating_sub(1);
        if matches.tail.len() >= edge {
            self.carry.clear();
            self.carry.extend(&matches.tail);
        } else {
            // The whole piece is shorter than that: what came before still counts.
            let surplus = self.carry.len().saturating_sub(edge);
            self.carry.drain(..surplus);
        }
        Places::listed(start, places)
    }
}

#[cfg(test)]
#[path = "search_tests.rs"]
mod tests;
