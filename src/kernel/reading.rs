//! Reads long tables out of virtual memory, by several threads.
//!
//! Needs: addresses and buffers. Gives: the bytes, and where some are missing. A piece is a
//! chunk of a compressed core, so that threads unpack different ones.

use std::sync::{Mutex, PoisonError};
use std::thread;

use vmcore_formats::addr::VirtAddr;

use crate::kernel::page_tables::{AddressSpace, ReadError};
use crate::vmcore::memory::MemoryRange;
use crate::vmcore::pages::read_what_is_there;

/// More threads gain nothing: the longest table has a few chunks.
const MAX_THREADS: usize = 4;
/// The shortest piece that a thread takes.
const PAGE: usize = 4096;

/// What could not be read of tables.
#[derive(Debug, Default)]
pub(in crate::kernel) struct Missing {
    /// How many bytes. They are zeros in the buffers.
    pub(in crate::kernel) bytes: u64,
    /// Why, of the first that was met.
    pub(in crate::kernel) problem: Option<ReadError>,
}

/// Fills each buffer with what is at its address. Callers bound the lengths.
pub(in crate::kernel) fn read_tables(
    space: &AddressSpace,
    tables: &mut [(VirtAddr, &mut [u8])],
) -> Missing {
    let mut pieces: Vec<(VirtAddr, &mut [u8])> = Vec::new();
    let mut places = Vec::new();
    for (at, buffer) in tables {
        cut(space, *at, buffer, &mut pieces, &mut places);
    }
    space.memory().prefetch(&places);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let threads = threads.min(MAX_THREADS).min(pieces.len());
    let pieces = Mutex::new(pieces.into_iter());
    let missing = Mutex::new(Missing::default());
    let work = || {
        loop {
            let next = pieces.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((at, buffer)) = next else { return };
            let read = |at, buffer: &mut [u8]| space.read(VirtAddr(at), buffer);
            read_what_is_there(at.0, buffer, read, |hole, error| {
                let mut missing = missing.lock().unwrap_or_else(PoisonError::into_inner);
                missing.bytes = missing.bytes.saturating_add(hole.len() as u64);
                missing.problem.get_or_insert(error);
            });
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    missing.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Cuts a table where chunks end, and notes where in memory the pieces are.
fn cut<'a>(
    space: &AddressSpace,
    start: VirtAddr,
    mut rest: &'a mut [u8],
    pieces: &mut Vec<(VirtAddr, &'a mut [u8])>,
    places: &mut Vec<MemoryRange>,
) {
    let mut at = start;
    while !rest.is_empty() {
        let place = space.translate(at).ok();
        let length = place
            .map_or(PAGE as u64, |place| space.memory().piece_end(place).0.saturating_sub(place.0));
        let length =
            usize::try_from(length).unwrap_or(usize::MAX).clamp(PAGE, rest.len().max(PAGE));
        let (now, later) = rest.split_at_mut(length.min(rest.len()));
        places.extend(place.map(|start| MemoryRange { start, length: now.len() as u64 }));
        let next = at.wrapping_add(now.len() as u64);
        pieces.push((at, now));
        (at, rest) = (next, later);
    }
}
