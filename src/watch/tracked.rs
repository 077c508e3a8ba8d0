//! What the supervisor has of each guest, and how it changes.
//!
//! ```text
//!            panic            a slot           released
//! Watched ──────────► Queued ────────► Capturing ──────────► Watched
//!                       ▲                  │ held as its policy says
//!                       │ still panicked   ├─────────────────► Held ──► Watched, once it runs
//!                       └──── Failed ◄─────┘ failed
//! ```
//!
//! A guest that is found panicked again has the same panic, unless it was released in between.

use std::time::{Duration, Instant};

use super::config::Policy;
use super::guest::{Guest, Panic};

/// The first and the longest wait before a failed capture is tried again.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// A guest.
#[derive(Clone, Debug)]
pub(super) struct Tracked {
    pub(super) guest: Guest,
    pub(super) policy: Policy,
    pub(super) state: State,
}

/// What a guest is at.
#[derive(Clone, Debug)]
pub(super) enum State {
    /// Its panics are ignored.
    Ignored,
    /// It runs, or is stopped without a panic.
    Watched,
    /// It waits for its capture.
    Queued(Waiting),
    /// Its capture is under way.
    Capturing(Waiting),
    /// Its capture failed, and it was not seen since.
    Failed(Waiting),
    /// It was captured, and stays held.
    Held,
}

/// A panic that is not captured yet.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) panic: Panic,
    /// How many captures of it failed.
    pub(super) failures: u32,
    /// When it may be tried again.
    pub(super) not_before: Option<Instant>,
    /// Why the last one failed.
    pub(super) problem: Option<String>,
}

impl Waiting {
    pub(super) fn new(panic: Panic) -> Self {
        Self { panic, failures: 0, not_before: None, problem: None }
    }

    /// After one more capture that failed.
    pub(super) fn failed(mut self, problem: Option<String>) -> Self {
        let wait = RETRY.0.saturating_mul(2_u32.saturating_pow(self.failures.min(16)));
        self.failures = self.failures.saturating_add(1);
        self.not_before = Instant::now().checked_add(wait.min(RETRY.1));
        self.problem = problem.or(self.problem);
        self
    }

    /// Whether it may be tried now.
    pub(super) fn is_due(&self) -> bool {
        self.not_before.is_none_or(|at| Instant::now() >= at)
    }
}

impl Tracked {
    /// A guest that was just found.
    pub(super) fn new(guest: Guest, policy: Policy, state: State) -> Self {
        Self { guest, policy, state }
    }

    /// The panic that would be lost if the guest were gone now.
    pub(super) fn waiting(&self) -> Option<&Waiting> {
        match &self.state {
            State::Queued(waiting) | State::Failed(waiting) => Some(waiting),
            _ => None,
        }
    }
}
