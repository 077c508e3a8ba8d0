//! What reaches the supervisor.

use std::path::PathBuf;

use super::guest::{Guest, Seen};
use crate::metadata::Metadata;
use crate::spool::Spooled;

/// What reaches the supervisor.
#[derive(Debug)]
pub(super) enum News {
    /// A source has seen something of the guest of this key.
    Guest(String, Seen),
    /// The `on_crash` of this domain is about to be set, and was what the guest has here.
    Preserves(Guest),
    /// The capture of this number.
    Capture(u64, CaptureNews),
    /// A hook of a management daemon has spooled this.
    Spooled(Box<Spooled>),
    /// This entry was stored of a panic that was lost.
    LostStored(PathBuf),
    /// This signal asks to stop.
    Stop(&'static str),
    /// A signal asks to read the configuration again.
    Reload,
}

/// What a capture reports to the supervisor.
#[derive(Debug)]
pub(super) enum CaptureNews {
    /// It was decided to leave the core out, for this reason.
    LeavesOut(String),
    /// The guest waits for it no longer.
    Released,
    /// It ended.
    Ended(Box<Ended>),
}

/// What became of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was captured, and stays held as its policy says.
    Held,
    /// It was released, or is gone.
    Released,
    /// It was captured, and its release failed.
    NotReleased,
    /// It had been released before the capture came to it.
    NotPanicked,
    /// It was not captured, and is as it was.
    Failed,
}

/// How a capture ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// What became of the guest.
    pub(super) fate: Fate,
    /// What the capture had to report, in one word.
    pub(super) result: &'static str,
    /// Its directory in the store.
    pub(super) entry: Option<PathBuf>,
    /// Its metadata.
    pub(super) metadata: Option<Box<Metadata>>,
    /// The crash in one line.
    pub(super) title: Option<String>,
    /// What went wrong.
    pub(super) problem: Option<String>,
    /// Why the core was left out.
    pub(super) left_out: Option<String>,
}

impl Ended {
    /// Of a capture that could not be made.
    pub(super) fn failed(problem: String, left_out: Option<String>) -> Self {
        Self {
            fate: Fate::Failed,
            result: "failed",
            entry: None,
            metadata: None,
            title: None,
            problem: Some(problem),
            left_out,
        }
    }

    /// How many bytes of a core were written.
    pub(super) fn bytes_written(&self) -> u64 {
        let core = self.metadata.as_ref().and_then(|metadata| metadata.core.as_ref());
        core.map_or(0, |core| core.bytes_written)
    }

    /// How long the guest was held by the capture, in seconds.
    pub(super) fn held_seconds(&self) -> f64 {
        self.metadata.as_ref().and_then(|metadata| metadata.held_seconds).unwrap_or(0.0)
    }
}
