//! What a capture should do.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use vmcore_formats::page_class::PageClasses;

use crate::encryption::EntryEncryption;
use crate::monitor::Target;
use crate::store::staging::Destination;
use crate::triage::crash::families::Families;

/// What to do with a guest after its dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Leave it stopped.
    Hold,
    /// Let it run on: `cont`.
    Resume,
    /// Reset it and let it start: `system_reset`, then `cont`.
    Reset,
    /// End its QEMU: `quit`.
    Quit,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hold => "hold",
            Self::Resume => "resume",
            Self::Reset => "reset",
            Self::Quit => "quit",
        })
    }
}

/// How long to wait for a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all: the guest is panicked now, or there is nothing to do.
    No,
    /// Until it comes.
    Forever,
    /// Until it comes or the time is up.
    For(Duration),
}

/// Where a core's memory comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// From QEMU's process where that is allowed and nothing is in doubt, or else from QEMU's
    /// dump.
    #[default]
    Auto,
    /// From QEMU's dump.
    Stream,
    /// As with [`Source::Auto`], with a warning where it is QEMU's dump.
    Direct,
}

/// A report is wanted, and no core.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportOnly {
    /// Why the core is left out, for the metadata.
    pub reason: Option<String>,
}

/// A capture, as it was asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// What names the guest.
    pub monitor: Target,
    /// Where the core should go.
    pub destination: Destination,
    /// What to do after a good dump. `None`: what suits the state found.
    pub then: Option<Action>,
    /// What to do after a failed dump. `None`: leave the guest as it was.
    pub on_failure: Option<Action>,
    /// When to release the guest, however far the dump is.
    pub max_hold: Option<Duration>,
    /// Whether to capture a guest that did not panic.
    pub any_state: bool,
    /// Whether to wait for a panic.
    pub wait: Wait,
    /// Whether to make the report from the held guest, before the dump.
    pub report_first: bool,
    /// Whether the report and the metadata are all that is wanted: nothing is dumped.
    pub report_only: Option<ReportOnly>,
    /// What the metadata is to note.
    pub note: Option<String>,
    /// What the entry is encrypted with, if it is to be.
    pub encryption: Option<Arc<EntryEncryption>>,
    /// The functions that a crash is not named by.
    pub families: Arc<Families>,
    /// How long QEMU may be silent.
    pub timeout: Duration,
    /// The zstd level.
    pub level: i32,
    /// How many threads compress.
    pub threads: usize,
    /// How many bytes of memory may wait to be compressed. `None`: as the host has them to give.
    pub spool: Option<u64>,
    /// Which pages are left out of the core.
    pub pages: PageClasses,
    /// Where the core's memory comes from.
    pub source: Source,
    /// How many bytes the store may have. `None`: as many as fit.
    pub store_limit: Option<u64>,
    /// How many bytes the file system must keep. `None`: a share of its size.
    pub keep_free: Option<u64>,
}

impl Request {
    /// What to do with the guest if there is no whole core, as far as it was
    /// said. Who limits the hold wants the guest back in any case.
    pub fn after_failure(&self) -> Option<Action> {
        self.on_failure.or_else(|| self.max_hold.and(self.then))
    }
}

/// What is to be done with the guest that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// After a good dump.
    pub(super) then: Action,
    /// After a failed one.
    pub(super) on_failure: Action,
}
