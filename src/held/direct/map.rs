//! Where QEMU's process has the guest's memory.
//!
//! Needs: where the guest has memory, by the program headers of its dump. Gives: for each of
//! these ranges the addresses in QEMU's process, by QEMU's own answers. The flat view alone
//! would not do: it has memory of a virtio-mem device that is not plugged.

use vmcore_formats::addr::PhysAddr;
use vmcore_formats::flat_view::{Block, blocks, translation};

use super::NotDirect;
use crate::monitor::{Manager, Monitor, MonitorError, WaitLimits};
use crate::vmcore::MemoryRange;

/// The most blocks that are asked for one by one. A usual machine has less than ten.
const MAX_BLOCKS: usize = 256;

/// A part of the guest's memory that QEMU has in one piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) range: MemoryRange,
    /// The address of its first byte in QEMU's process.
    pub(super) host: u64,
}

/// The flat view of the guest's memory.
///
/// # Errors
/// Fails if this QEMU does not give it, or one that is not understood.
pub(super) fn ask_blocks(
    monitor: &mut dyn Monitor,
    limits: &WaitLimits<'_>,
) -> Result<Vec<Block>, NotDirect> {
    let text = ask(monitor, "info mtree -f", limits)?;
    Ok(blocks(&text)?)
}

/// The address in QEMU's process of the first byte of the guest's memory.
pub(super) fn first_address(
    monitor: &mut dyn Monitor,
    blocks: &[Block],
    limits: &WaitLimits<'_>,
) -> Result<u64, NotDirect> {
    let first = blocks.first().ok_or(NotDirect::NoMap)?;
    host_address(monitor, first.start, &first.region, limits)
}

/// Places all of the guest's ranges.
///
/// Each block is asked for at both ends of what is wanted of it: QEMU has it in one piece, and
/// two answers that agree show that this is so.
pub(super) fn place(
    monitor: &mut dyn Monitor,
    blocks: &[Block],
    wanted: &[MemoryRange],
    limits: &WaitLimits<'_>,
) -> Result<Vec<Placed>, NotDirect> {
    let cut = cut(blocks, wanted)?;
    let mut placed = Vec::new();
    for (index, block) in blocks.iter().enumerate() {
        let of_block = || cut.iter().filter(|(of, _)| *of == index).map(|(_, range)| *range);
        let Some((first, last)) = of_block().next().zip(of_block().next_back()) else { continue };
        if placed.len() >= MAX_BLOCKS {
            return Err(NotDirect::TooMany { found: blocks.len() });
        }
        let last = last.end().0.saturating_sub(1);
        let host = host_address(monitor, first.start.0, &block.region, limits)?;
        let end = host_address(monitor, last, &block.region, limits)?;
        if end.checked_sub(host) != last.checked_sub(first.start.0) {
            return Err(NotDirect::Scattered { at: first.start });
        }
        for range in of_block() {
            let skip = range.start.0.saturating_sub(first.start.0);
            placed.push(Placed { range, host: host.saturating_add(skip) });
        }
    }
    Ok(placed)
}

/// Cuts ranges at the ends of blocks. Each part has the number of its block.
fn cut(blocks: &[Block], wanted: &[MemoryRange]) -> Result<Vec<(usize, MemoryRange)>, NotDirect> {
    let mut parts = Vec::new();
    for range in wanted {
        let mut at = range.start;
        while at < range.end() {
            let index = blocks.partition_point(|block| block.last < at.0);
            let block = blocks.get(index).filter(|block| block.start <= at.0);
            let block = block.ok_or(NotDirect::Unmapped { at })?;
            let end = range.end().min(PhysAddr(block.last.saturating_add(1)));
            let length = end.0.checked_sub(at.0).filter(|length| *length > 0);
            let length = length.ok_or(NotDirect::Unmapped { at })?;
            parts.push((index, MemoryRange { start: at, length }));
            at = end;
        }
    }
    Ok(parts)
}

fn host_address(
    monitor: &mut dyn Monitor,
    physical: u64,
    region: &str,
    limits: &WaitLimits<'_>,
) -> Result<u64, NotDirect> {
    let answer = ask(monitor, &format!("gpa2hva {physical:#x}"), limits)?;
    Ok(translation(&answer, physical, region)?)
}

fn ask(
    monitor: &mut dyn Monitor,
    command: &str,
    limits: &WaitLimits<'_>,
) -> Result<String, NotDirect> {
    match monitor.ask_as_person(command, limits) {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) if monitor.manager() == Manager::Libvirt => Err(NotDirect::NotAsked),
        Ok(None) => Err(NotDirect::NoMap),
        Err(error @ MonitorError::Refused { .. }) => Err(NotDirect::Refused(error)),
        Err(error) => Err(NotDirect::Monitor(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(start: u64, last: u64) -> Block {
        Block { start, last, region: "ram".to_owned(), offset: 0 }
    }

    fn range(start: u64, end: u64) -> MemoryRange {
        MemoryRange { start: PhysAddr(start), length: end - start }
    }

    #[test]
    fn ranges_are_cut_where_blocks_end() {
        let blocks = [block(0, 0xfff), block(0x1000, 0x2fff), block(0x8000, 0x8fff)];
        let parts = cut(&blocks, &[range(0, 0x2000), range(0x2800, 0x3000)]).unwrap();
        let expected =
            [(0, range(0, 0x1000)), (1, range(0x1000, 0x2000)), (1, range(0x2800, 0x3000))];
        assert_eq!(parts, expected);
        for bad in [range(0x2000, 0x4000), range(0x3000, 0x4000), range(0x8000, 0x9001)] {
            assert!(matches!(cut(&blocks, &[bad]), Err(NotDirect::Unmapped { .. })), "{bad}");
        }
    }

    #[test]
    fn the_last_address_of_all_is_in_a_block() {
        let blocks = [block(u64::MAX - 0xfff, u64::MAX)];
        let parts = cut(&blocks, &[range(u64::MAX - 0xfff, u64::MAX)]).unwrap();
        assert_eq!(parts, [(0, range(u64::MAX - 0xfff, u64::MAX))]);
    }
}
