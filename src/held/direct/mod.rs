//! The memory of a held guest, read in QEMU's own process.
//!
//! ```text
//! info mtree -f ─► blocks ─► gpa2hva at both ends ─► addresses in QEMU's process
//! head of a whole dump ─► ranges that the dump has ───┘        │
//! pages by partial dumps ─► the same as those read there? ─────┴─► DirectMemory
//! ```
//!
//! Needs: a held guest, and a system that lets its QEMU's memory be read: the same user's,
//! or as root. Gives: its memory, several times as fast as QEMU's dump, and the head of that
//! dump. QEMU still defines which memory there is. Nothing of this stops or slows QEMU, or
//! writes anything: what an untouched page is, is looked at before it is read.
//!
//! Whatever cannot be had, is not understood or does not agree is a reason not to read so
//! ([`NotDirect`]), and the dump is taken instead. A reader compares again afterwards
//! ([`Direct::confirm`]): others may resume the guest, or take a device from it.

mod core;
mod map;
mod memory;
mod process;
mod proof;
mod untouched;

pub(crate) use memory::DirectMemory;
#[cfg(test)]
pub(crate) use memory::unreadable;

use std::io;
use std::sync::Arc;

use thiserror::Error;
use vmcore_formats::addr::PhysAddr;
use vmcore_formats::elf::dump_head::DumpHead;
use vmcore_formats::flat_view::{Block, FlatViewError};

use super::partial_dump::{self, Part, PartialDumpError};
use crate::monitor::{Monitor, MonitorError, WaitLimits};
use crate::vmcore::PhysMemory;
use map::Placed;
use process::{QemuProcess, refusal_of_system};
use proof::Proof;

/// Why the memory of a held guest is not read in QEMU's process.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum NotDirect {
    /// The monitor gives no answer: nothing else is to be had from it, either.
    #[error(transparent)]
    Monitor(MonitorError),
    /// A partial dump failed otherwise, or the guest changed.
    #[error(transparent)]
    Dump(PartialDumpError),
    /// It refused an answer.
    #[error(transparent)]
    Refused(MonitorError),
    /// There is no answer for people.
    #[error("this monitor does not show where QEMU has the guest's memory")]
    NoMap,
    /// libvirt would have one.
    #[error(
        "to ask where QEMU has its memory has libvirt mark the domain as tainted, \
         and is done for --source direct alone"
    )]
    NotAsked,
    /// An answer for people is another than expected.
    #[error(transparent)]
    Text(#[from] FlatViewError),
    /// The other end of the monitor's socket is hidden.
    #[error("this system does not show which process is QEMU: it may be in another container")]
    NoProcess,
    /// The system refuses.
    #[error("the memory of process {process} may not be read: {problem}")]
    NotAllowed {
        /// QEMU's.
        process: i32,
        /// What the system said.
        problem: String,
    },
    /// A page of it cannot be read.
    #[error("{0}")]
    Read(String),
    /// The process ended.
    #[error("process {process}, which was QEMU's, has ended")]
    Ended {
        /// QEMU's.
        process: i32,
    },
    /// The dump has memory that the map has not.
    #[error("the dump has memory at {at}, and QEMU's memory map does not")]
    Unmapped {
        /// Where.
        at: PhysAddr,
    },
    /// A block is in several pieces.
    #[error("QEMU does not have the block of memory at {at} in one piece")]
    Scattered {
        /// Where the block begins.
        at: PhysAddr,
    },
    /// There are too many blocks to ask for.
    #[error("the guest's memory is in {found} blocks")]
    TooMany {
        /// How many.
        found: usize,
    },
    /// Pages still come in.
    #[error("the guest's memory is still being migrated to this host")]
    Migrating,
    /// A page is another than QEMU's.
    #[error("what was read in QEMU's process is not what QEMU gives for {at}")]
    Differs {
        /// The page.
        at: PhysAddr,
    },
    /// There is nothing to compare.
    #[error("the guest's memory has no two pages that differ, which could prove its map")]
    Unproven,
    /// QEMU has the memory elsewhere by now.
    #[error("where QEMU has the guest's memory changed while it was read")]
    Moved,
}

impl NotDirect {
    /// The monitor's error, if nothing else is to be had of it, either: no matter of the way.
    pub(crate) fn into_monitor_error(self) -> Result<MonitorError, Self> {
        match self {
            Self::Monitor(error) | Self::Dump(PartialDumpError::Monitor(error)) => {
                if error.refusal().is_some() { Err(Self::Refused(error)) } else { Ok(error) }
            }
            other => Err(other),
        }
    }
}

/// A held guest whose memory can be read in QEMU's process.
#[derive(Debug)]
pub(crate) struct Direct {
    memory: Arc<DirectMemory>,
    head: Part,
    blocks: Vec<Block>,
    placed: Vec<Placed>,
    proof: Proof,
}

impl Direct {
    /// Finds the memory of a held guest in QEMU's process, and proves that it is that.
    ///
    /// # Errors
    /// Fails if that is not allowed, or if anything is in doubt.
    pub(crate) fn find(
        monitor: &mut dyn Monitor,
        limits: &WaitLimits<'_>,
    ) -> Result<Self, NotDirect> {
        let found = find(monitor, limits);
        // Events of our own dumps, and of no other client's.
        monitor.forget_events();
        found
    }

    /// Its memory.
    pub(crate) fn memory(&self) -> &Arc<DirectMemory> {
        &self.memory
    }

    /// The head of its dump, and the bytes of that.
    pub(crate) fn head(&self) -> (&DumpHead, &[u8]) {
        (&self.head.head, self.head.head_bytes())
    }

    /// Shows that what was read since [`Direct::find`] was the guest's memory, unless its run
    /// state says otherwise, which is not looked at here.
    ///
    /// # Errors
    /// Fails if a read had failed, QEMU has ended, or its map or a page is another.
    pub(crate) fn confirm(
        &self,
        monitor: &mut dyn Monitor,
        limits: &WaitLimits<'_>,
    ) -> Result<(), NotDirect> {
        let confirmed = self.compare_again(monitor, limits);
        monitor.forget_events();
        confirmed
    }

    fn compare_again(
        &self,
        monitor: &mut dyn Monitor,
        limits: &WaitLimits<'_>,
    ) -> Result<(), NotDirect> {
        if let Some(problem) = self.memory.failure() {
            return Err(NotDirect::Read(problem));
        }
        let blocks = map::ask_blocks(monitor, limits)?;
        let ranges = self.memory.ranges();
        if blocks != self.blocks || map::place(monitor, &blocks, ranges, limits)? != self.placed {
            return Err(NotDirect::Moved);
        }
        self.proof.again(monitor, &self.memory, limits)?;
        // After the last read: all of them were of this process.
        let process = self.memory.process();
        if process.has_ended() {
            return Err(NotDirect::Ended { process: process.number() });
        }
        Ok(())
    }
}

fn find(monitor: &mut dyn Monitor, limits: &WaitLimits<'_>) -> Result<Direct, NotDirect> {
    let process = QemuProcess::find(monitor.process().ok_or(NotDirect::NoProcess)?);
    let number = process.number();
    let not_allowed = |error: &io::Error| NotDirect::NotAllowed {
        process: number,
        problem: refusal_of_system(error),
    };
    // The cheapest comes first: many monitors do not give it, and many systems refuse.
    let blocks = map::ask_blocks(monitor, limits)?;
    let first = map::first_address(monitor, &blocks, limits)?;
    process.try_to_read(first).map_err(|error| not_allowed(&error))?;
    if monitor.receives_memory(limits).map_err(NotDirect::Monitor)? {
        return Err(NotDirect::Migrating);
    }
    let head = partial_dump::head(monitor, limits).map_err(NotDirect::Dump)?;
    let ranges = super::memory::ranges(&head.head);
    let placed = map::place(monitor, &blocks, &ranges, limits)?;
    let memory = DirectMemory::open(process, ranges, &placed);
    let memory = memory.map_err(|error| not_allowed(&error))?;
    let proof = Proof::of(monitor, &memory, &placed, limits)?;
    Ok(Direct { memory: Arc::new(memory), head, blocks, placed, proof })
}
