//! Proves that what is read directly is the guest's memory.
//!
//! Needs: the memory that is to be proven, and QEMU, which gives the same pages by partial
//! dumps. Pages that have contents are chosen in each block: of zeros, one is like another.

use vmcore_formats::addr::PhysAddr;

use super::NotDirect;
use super::map::Placed;
use super::memory::DirectMemory;
use crate::held::partial_dump::{self, PartialDumpError};
use crate::monitor::{Monitor, MonitorError, WaitLimits};
use crate::vmcore::{MemoryRange, PhysMemory};

/// What is compared at once: the smallest page.
const PAGE: u64 = 4096;
/// How many pages of a part are looked at for contents.
const LOOKED_AT: u64 = 32;
/// How many of them are compared, in a large part and in a small one.
const OF_LARGE: usize = 3;
const OF_SMALL: usize = 1;
const LARGE: u64 = 16 << 20;
/// How many pages are compared at most: each costs about a millisecond of the hold.
const MOST: usize = 64;

/// Pages that QEMU gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Proof(Vec<(PhysAddr, Vec<u8>)>);

impl Proof {
    /// Compares pages of each part of the memory with QEMU's.
    ///
    /// # Errors
    /// Fails if a page differs, or if all of them are the same.
    pub(super) fn of(
        monitor: &mut dyn Monitor,
        memory: &DirectMemory,
        placed: &[Placed],
        limits: &WaitLimits<'_>,
    ) -> Result<Self, NotDirect> {
        let mut pages = Vec::new();
        for part in placed {
            choose(memory, part.range, &mut pages)?;
        }
        for (at, page) in pages.iter().take(MOST) {
            compare(monitor, *at, page, limits)?;
        }
        pages.truncate(MOST);
        let differ =
            pages.first().is_some_and(|(_, first)| pages.iter().any(|(_, page)| page != first));
        if differ { Ok(Self(pages)) } else { Err(NotDirect::Unproven) }
    }

    /// Compares the same pages again: QEMU's, and those that are read now.
    ///
    /// # Errors
    /// Fails if one of them is another than before.
    pub(super) fn again(
        &self,
        monitor: &mut dyn Monitor,
        memory: &DirectMemory,
        limits: &WaitLimits<'_>,
    ) -> Result<(), NotDirect> {
        for (at, before) in &self.0 {
            let now = read(memory, MemoryRange { start: *at, length: before.len() as u64 })?;
            if now != *before {
                return Err(NotDirect::Differs { at: *at });
            }
            compare(monitor, *at, before, limits)?;
        }
        Ok(())
    }
}

/// Chooses pages of a range: those that differ from all before, as far as there are any.
fn choose(
    memory: &DirectMemory,
    range: MemoryRange,
    chosen: &mut Vec<(PhysAddr, Vec<u8>)>,
) -> Result<(), NotDirect> {
    let wanted = if range.length >= LARGE { OF_LARGE } else { OF_SMALL };
    let enough = chosen.len().saturating_add(wanted);
    let pages = range.length.div_ceil(PAGE);
    let mut empty = None;
    // From both ends to the middle, and not the same pages of each part of a power of two.
    let step = (pages / LOOKED_AT).max(1) | 1;
    for number in 0..LOOKED_AT.min(pages) {
        let forth = number.saturating_mul(step);
        let page = if number % 2 == 0 { forth } else { pages.saturating_sub(forth) };
        let skip = page.min(pages.saturating_sub(1)).saturating_mul(PAGE);
        let start = range.start.saturating_add(skip);
        let length = range.length.saturating_sub(skip).min(PAGE);
        if memory.zeros(start) >= length {
            continue;
        }
        let bytes = read(memory, MemoryRange { start, length })?;
        if bytes.iter().all(|byte| *byte == 0) {
            empty.get_or_insert((start, bytes));
        } else if chosen.iter().all(|(_, other)| *other != bytes) {
            chosen.push((start, bytes));
        }
        if chosen.len() >= enough {
            return Ok(());
        }
    }
    if chosen.len().saturating_add(wanted) == enough {
        // Nothing with contents was found. That this is so is compared, too.
        let length = range.length.min(PAGE);
        let zeros = || (range.start, vec![0; usize::try_from(length).unwrap_or_default()]);
        let found = match empty {
            Some(page) => page,
            None if memory.zeros(range.start) >= length => zeros(),
            None => (range.start, read(memory, MemoryRange { start: range.start, length })?),
        };
        chosen.push(found);
    }
    Ok(())
}

fn read(memory: &DirectMemory, range: MemoryRange) -> Result<Vec<u8>, NotDirect> {
    let mut bytes = vec![0; usize::try_from(range.length).unwrap_or_default()];
    let done = memory.read(range.start, &mut bytes);
    done.map_err(|error| NotDirect::Read(error.to_string()))?;
    Ok(bytes)
}

/// Compares a page with QEMU's.
fn compare(
    monitor: &mut dyn Monitor,
    at: PhysAddr,
    page: &[u8],
    limits: &WaitLimits<'_>,
) -> Result<(), NotDirect> {
    let range = MemoryRange { start: at, length: page.len() as u64 };
    let found = match monitor.peek(at.0, range.length, limits) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => {
            let part = partial_dump::memory(monitor, range, limits);
            let part = part.map_err(|error| match error {
                PartialDumpError::Monitor(error @ MonitorError::Refused { .. }) => {
                    NotDirect::Refused(error)
                }
                error => NotDirect::Dump(error),
            })?;
            part.memory(range).ok_or(NotDirect::Differs { at })?.concat()
        }
        Err(error @ MonitorError::Refused { .. }) => return Err(NotDirect::Refused(error)),
        Err(error) => return Err(NotDirect::Monitor(error)),
    };
    if found == page { Ok(()) } else { Err(NotDirect::Differs { at }) }
}
