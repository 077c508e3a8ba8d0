//! What a capture comes to.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use super::same_guest::GuestChange;
use crate::corefile::read::bytes::DataError;
use crate::corefile::write::StreamError;
use crate::metadata::{Failure, Metadata, QemuError};
use crate::monitor::{Manager, MonitorError};
use crate::store::StoreError;

/// The one word for how it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Captured, and the guest was released as asked.
    Done,
    /// Nothing captured; the guest is as it was.
    Failed,
    /// Captured in part.
    Incomplete,
    /// There was nothing to capture.
    NoPanic,
    /// Captured, but the guest could not be released.
    NotReleased,
    /// The dump failed, and the guest was released as asked.
    ReleasedWithoutDump,
}

/// A problem to report to the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What happened, with its causes.
    pub message: String,
    /// What the user can do.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem from an error and its causes.
    pub(super) fn new(error: &dyn Error, hint: Option<&str>) -> Self {
        Self { message: with_causes(error), hint: hint.map(str::to_owned) }
    }
}

/// How a capture went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// In one word.
    pub verdict: Verdict,
    /// The metadata; `None` if the guest could not even be asked.
    pub metadata: Option<Box<Metadata>>,
    /// The published entry.
    pub entry: Option<PathBuf>,
    /// What was kept without being published.
    pub incomplete: Option<PathBuf>,
    /// What went wrong.
    pub problems: Vec<Problem>,
}

impl Outcome {
    /// An outcome with one problem and nothing on disk.
    pub(super) fn early(verdict: Verdict, problem: Problem) -> Self {
        Self { verdict, metadata: None, entry: None, incomplete: None, problems: vec![problem] }
    }
}

/// Why there is no whole core.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// The monitor gave no answer, or no.
    #[error(transparent)]
    Monitor(#[from] MonitorError),
    /// Another dump of this guest is under way and does not end.
    #[error("another dump of this guest is under way, and did not end within {waited:.1?}")]
    Busy {
        /// How long it was waited for.
        waited: Duration,
    },
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There would not be enough space.
    #[error(
        "about {needed} are needed in {}, {available} are free, and {reserve} of them are to be kept free",
        path.display()
    )]
    Space {
        /// Where.
        path: PathBuf,
        /// The forecast.
        needed: String,
        /// What is free.
        available: String,
        /// What is to be kept free.
        reserve: String,
    },
    /// The store has its limit.
    #[error(
        "the store is full: about {needed} are needed, its limit is {limit}, and {left} of it have to stay"
    )]
    StoreFull {
        /// The limit.
        limit: String,
        /// What is left when everything is pruned that may go.
        left: String,
        /// The forecast.
        needed: String,
    },
    /// No pipe or no threads.
    #[error("cannot set up the dump's pipe")]
    Pipe(#[source] std::io::Error),
    /// No thread for the disk.
    #[error("cannot start a thread")]
    Threads(#[source] std::io::Error),
    /// The store's file system does nothing.
    #[error("the disk that the core should go to did nothing for {waited:.1?}")]
    DiskHangs {
        /// How long.
        waited: Duration,
    },
    /// QEMU or libvirt says that the dump failed.
    #[error("{by}'s dump failed: {text}")]
    Dump {
        /// Whose dump it is.
        by: Manager,
        /// What it said.
        text: String,
    },
    /// The stream is not a whole core.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The guest's memory could not be read.
    #[error("cannot read the guest's memory for the core")]
    Memory(#[source] DataError),
    /// The file could not be written.
    #[error("cannot write the core")]
    Write(#[source] std::io::Error),
    /// The file system has no more space to give.
    #[error("cannot write the core: {available} are free, and {reserve} are to be kept free")]
    Reserve {
        /// What is free.
        available: String,
        /// What is to be kept free.
        reserve: String,
    },
    /// QEMU sent nothing for too long.
    #[error("QEMU sent no more of the dump for {waited:.1?}, after {found} bytes")]
    Stalled {
        /// How long.
        waited: Duration,
        /// Bytes that came.
        found: u64,
    },
    /// QEMU is gone.
    #[error("QEMU ended during the dump")]
    GuestGone,
    /// QEMU did not say that the dump is whole.
    #[error("the stream ended as it should, but QEMU did not confirm the dump")]
    Unconfirmed,
    /// The guest is not the one any more that was found.
    #[error("the guest changed {when}: {change}")]
    GuestChanged {
        /// When it was seen.
        when: &'static str,
        /// How it changed.
        change: GuestChange,
        /// Whether a part of the memory may be read by then.
        dumping: bool,
    },
    /// All of the dump came, and the guest's state cannot be asked any more.
    #[error(
        "the dump came to its end, but whether the guest stayed as it was during it is not known"
    )]
    StateUnknown(#[source] MonitorError),
    /// What was read in pieces may not be the guest's memory, and there is no time for QEMU's
    /// dump.
    #[error("the memory that was read is not to be trusted: {reason}")]
    NotTrusted {
        /// Why.
        reason: String,
    },
    /// A signal came.
    #[error("interrupted by {signal} before the core was whole")]
    Interrupted {
        /// Its name.
        signal: &'static str,
    },
    /// The hold was up.
    #[error("the longest hold of {limit:.1?} was reached before the core was whole")]
    HoldLimit {
        /// How long.
        limit: Duration,
    },
}

impl CaptureError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Monitor(error) => error.hint(),
            Self::Store(error) => error.hint(),
            Self::Busy { .. } => Some("wait for the other dump, or allow more time with --timeout"),
            Self::Space { .. } | Self::Reserve { .. } => Some(
                "free some space, choose another place with --store DIR or --output FILE, \
                 or allow less with --keep-free SIZE",
            ),
            Self::StoreFull { .. } => Some(
                "remove or unpin entries, allow more with --store-limit SIZE, or capture to a \
                 file with --output FILE",
            ),
            Self::Write(source) if source.kind() == std::io::ErrorKind::StorageFull => {
                Some("free some space, or choose another place with --store DIR or --output FILE")
            }
            _ => None,
        }
    }

    /// The error as the metadata has it.
    pub(super) fn as_failure(&self, stage: &str) -> Failure {
        Failure {
            stage: stage.to_owned(),
            message: with_causes(self),
            qemu_error: match self {
                Self::Monitor(error) => qemu_error(error),
                Self::Dump { text, .. } => {
                    Some(QemuError { class: None, description: text.clone() })
                }
                _ => None,
            },
        }
    }
}

/// What QEMU said, if an error came from it.
pub(super) fn qemu_error(error: &MonitorError) -> Option<QemuError> {
    error.refusal().map(|refusal| QemuError {
        class: Some(refusal.class.clone()),
        description: refusal.description.clone(),
    })
}

/// An error in one line, from the outermost to the innermost cause.
pub(super) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
