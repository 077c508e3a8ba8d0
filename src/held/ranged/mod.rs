//! The memory that a core is to have, read range by range through the monitor.
//!
//! ```text
//! head of a whole dump ─► ranges that the dump has ─┐
//! pages to leave out ───────────────────────────────┴─► requests ─► memory, in order
//! ```
//!
//! Needs: a held guest, and pages that its core is to lack. Gives: the rest, without QEMU's
//! sending what is left out. Each request is a partial dump, or with libvirt a peek. QEMU
//! still defines which memory there is. `pmemsave` into one pipe is not used: it copies the
//! guest's memory inside QEMU, and a page that the host cannot read then ends QEMU by SIGBUS,
//! where a dump fails with an error.
//!
//! Whatever does not agree is a reason to take the whole dump instead ([`NotRanged`]).

mod cost;
mod requests;

use thiserror::Error;
use vmcore_formats::elf::stored_core::{StoredCore, StoredCoreError};
use vmcore_formats::page_class::LeftOut;

use super::partial_dump::{self, Part, PartialDumpError};
use crate::corefile::write::CoreSummary;
use crate::monitor::{Monitor, MonitorError, WaitLimits};
use crate::vmcore::MemoryRange;
use cost::Cost;
pub(crate) use requests::Requests;

/// Why the memory of a held guest is not read in ranges.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum NotRanged {
    /// The monitor gives no answer: nothing else is to be had from it, either.
    #[error(transparent)]
    Monitor(MonitorError),
    /// A partial dump failed otherwise, or the guest changed.
    #[error(transparent)]
    Dump(PartialDumpError),
    /// It refused one.
    #[error("{range} was not to be had: {error}")]
    Refused {
        /// What was asked for.
        range: MemoryRange,
        /// What it said.
        error: MonitorError,
    },
    /// Other bytes came than were asked for.
    #[error("for {range}, {found} bytes came")]
    Lacking {
        /// What was asked for.
        range: MemoryRange,
        /// How many came.
        found: u64,
    },
    /// All of the memory, in order, takes no longer.
    #[error("the ranges to be kept would take longer than the whole dump: {0}")]
    Dearer(String),
    /// The dump's segments have another order than their addresses.
    #[error("the dump's segments are not in the order of their addresses")]
    Unordered,
    /// The core has no place in an ELF file.
    #[error(transparent)]
    Layout(#[from] StoredCoreError),
    /// The head of the dump is another by now.
    #[error("the guest's memory map or its registers changed while it was read")]
    Changed,
}

impl NotRanged {
    /// The monitor's error, if nothing else is to be had of it, either: no matter of the way.
    pub(crate) fn into_monitor_error(self) -> Result<MonitorError, Self> {
        match self {
            Self::Monitor(error) | Self::Dump(PartialDumpError::Monitor(error))
                if error.refusal().is_none() =>
            {
                Ok(error)
            }
            other => Err(other),
        }
    }
}

/// A held guest whose memory is to be read in ranges.
#[derive(Debug)]
pub(crate) struct Ranged {
    head: Part,
    /// What the core begins with, and where its memory is.
    layout: StoredCore,
    encoded: Vec<u8>,
    summary: CoreSummary,
    requests: Requests,
}

impl Ranged {
    /// Plans what is to be read of a held guest for a core without these pages.
    ///
    /// # Errors
    /// Fails if the whole dump is the better way.
    pub(crate) fn plan(
        monitor: &mut dyn Monitor,
        limits: &WaitLimits<'_>,
        left_out: &LeftOut,
    ) -> Result<Self, NotRanged> {
        let head = partial_dump::head(monitor, limits);
        monitor.forget_events();
        let head = head.map_err(NotRanged::Dump)?;
        let (mut kept, mut prefix) = (head.head.clone(), head.head_bytes().to_vec());
        let notes = kept.summarise_notes(&prefix);
        let record = kept.leave_out(left_out, &mut prefix);
        let cost = Cost::of(monitor.manager());
        let runs = record.as_ref().map_or(&[][..], |record| &record.runs);
        let requests = Requests::of(&kept.segments, runs, &cost).ok_or(NotRanged::Unordered)?;
        if !requests.are_cheaper(head.head.memory_bytes(), &cost) {
            let dearer = requests.comparison(head.head.memory_bytes(), &cost);
            return Err(NotRanged::Dearer(dearer));
        }
        let layout = StoredCore::plan(&kept)?;
        let encoded = layout.encode_head(&kept, &prefix);
        let summary = CoreSummary::of(&kept, notes, record);
        Ok(Self { head, layout, encoded, summary, requests })
    }

    /// The core's layout, the bytes in front of its memory, and what they say.
    pub(crate) fn core(&self) -> (&StoredCore, &[u8], &CoreSummary) {
        (&self.layout, &self.encoded, &self.summary)
    }

    /// What is to be read, in the order of the core.
    pub(crate) fn requests(&self) -> &Requests {
        &self.requests
    }

    /// Shows that registers and memory map are those of [`Ranged::plan`]: a guest that ran, or
    /// was reset, has others.
    ///
    /// # Errors
    /// Fails if they are not.
    pub(crate) fn confirm(
        &self,
        monitor: &mut dyn Monitor,
        limits: &WaitLimits<'_>,
    ) -> Result<(), NotRanged> {
        let again = partial_dump::head(monitor, limits);
        monitor.forget_events();
        let again = again.map_err(NotRanged::Dump)?;
        let same = again.head == self.head.head && again.head_bytes() == self.head.head_bytes();
        if same { Ok(()) } else { Err(NotRanged::Changed) }
    }
}

/// The memory of one request.
///
/// # Errors
/// Fails if not exactly its bytes come.
pub(crate) fn read(
    monitor: &mut dyn Monitor,
    range: MemoryRange,
    limits: &WaitLimits<'_>,
) -> Result<Vec<u8>, NotRanged> {
    let peeked = monitor.peek(range.start.0, range.length, limits);
    partial_dump::check_guest(monitor).map_err(NotRanged::Dump)?;
    let refused = |error: MonitorError| match error.refusal() {
        Some(_) => NotRanged::Refused { range, error },
        None => NotRanged::Monitor(error),
    };
    let bytes = match peeked.map_err(refused)? {
        Some(bytes) => bytes,
        None => {
            let part = partial_dump::memory(monitor, range, limits);
            monitor.forget_events();
            let part = part.map_err(|error| match error {
                PartialDumpError::Monitor(error) => refused(error),
                error => NotRanged::Dump(error),
            })?;
            part.into_memory(range).map_err(|found| NotRanged::Lacking { range, found })?
        }
    };
    let found = bytes.len() as u64;
    if found == range.length { Ok(bytes) } else { Err(NotRanged::Lacking { range, found }) }
}
