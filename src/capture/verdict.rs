//! From what happened to the one word for it.
//!
//! ```text
//! found ──► dumped ──► released ──► stored ──► verdict
//! ```
//!
//! Needs: the state in which each step left the capture. Gives: whether what was
//! read is worth keeping, and the [`Verdict`]. Both are tables: no step decides
//! about another one's result.

use super::outcome::{CaptureError, Verdict};
use super::request::{Action, Policy, Request};
use crate::metadata::Release;

/// How the guest was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Found {
    /// Held by its panic, or about to be.
    #[default]
    Panicked,
    /// Running, without a panic: it is stopped for its dump.
    Running,
    /// Stopped by a fault that is no panic.
    Faulted,
    /// Stopped by another client, who decides when it runs again.
    Paused,
}

/// How its dump ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dumped {
    /// All of it was read, or only its report was wanted.
    Complete,
    /// It failed, and the guest is as it was.
    Failed,
    /// The longest hold was reached before.
    LimitReached,
    /// The guest changed during it.
    GuestChanged,
    /// QEMU ended during it.
    GuestGone,
}

/// What became of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Released {
    /// It is gone: there was nothing to release.
    Gone,
    /// Nothing was to be done to it.
    LeftAlone,
    /// It was released as asked.
    AsAsked,
    /// It runs again as it was found, without a request for that.
    AsFound,
    /// An order was given, and what became of it is not confirmed.
    Unconfirmed,
    /// QEMU refused, or the order was not given: it is as it was captured, or
    /// another client's.
    Refused,
    /// QEMU does not answer, and no order was given.
    Unreachable,
}

/// What is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    /// A complete core, or the report that was wanted instead, published.
    Entry,
    /// A part of that.
    Incomplete,
    /// Nothing.
    Nothing,
}

impl Found {
    /// Whether a release may mean that the guest runs.
    pub(super) fn may_run(self) -> bool {
        match self {
            Self::Panicked | Self::Running | Self::Faulted => true,
            Self::Paused => false,
        }
    }

    /// What leaves the guest as it was found.
    pub(super) fn as_found(self) -> Action {
        match self {
            Self::Running => Action::Resume,
            Self::Panicked | Self::Faulted | Self::Paused => Action::Hold,
        }
    }
}

impl Policy {
    /// What is to be done with a guest that was found so: it is left as it was
    /// found, unless the request says otherwise.
    pub(super) fn of(request: &Request, found: Found) -> Self {
        Self {
            then: request.then.unwrap_or(found.as_found()),
            on_failure: request.after_failure().unwrap_or(found.as_found()),
        }
    }
}

impl Dumped {
    /// How a dump of this outcome ended.
    pub(super) fn of(outcome: &Result<(), CaptureError>) -> Self {
        match outcome {
            Ok(()) => Self::Complete,
            Err(CaptureError::HoldLimit { .. }) => Self::LimitReached,
            Err(CaptureError::GuestChanged { dumping: true, .. }) => Self::GuestChanged,
            Err(CaptureError::GuestGone) => Self::GuestGone,
            Err(_) => Self::Failed,
        }
    }
}

impl Released {
    /// What became of a guest: `release` is what was tried, `ordered` whether QEMU
    /// was given an order that it did not refuse, `asked` whether the request names
    /// an action.
    pub(super) fn of(release: &Release, ordered: bool, asked: bool) -> Self {
        if release.done {
            if release.action == Action::Hold.to_string() {
                Self::LeftAlone
            } else if asked {
                Self::AsAsked
            } else {
                Self::AsFound
            }
        } else if ordered {
            Self::Unconfirmed
        } else if release.state_before.is_none() {
            Self::Unreachable
        } else {
            Self::Refused
        }
    }
}

/// Whether a part of a core is worth keeping: not as long as the guest is held as
/// it was, and the evidence is in it, complete.
pub(super) fn is_worth_keeping(dumped: Dumped, released: Released) -> bool {
    match (dumped, released) {
        (Dumped::Complete | Dumped::LimitReached | Dumped::GuestChanged | Dumped::GuestGone, _) => {
            true
        }
        (Dumped::Failed, Released::LeftAlone | Released::Refused) => false,
        (
            Dumped::Failed,
            Released::Gone
            | Released::AsAsked
            | Released::AsFound
            | Released::Unconfirmed
            | Released::Unreachable,
        ) => true,
    }
}

/// The verdict on a capture of which all steps are done.
pub(super) fn verdict(found: Found, dumped: Dumped, released: Released, stored: Stored) -> Verdict {
    use Dumped::{Complete, Failed, GuestChanged, GuestGone, LimitReached};
    use Released::{AsAsked, AsFound, Gone, LeftAlone, Refused, Unconfirmed, Unreachable};
    match (stored, dumped, released) {
        (Stored::Entry, _, Gone | LeftAlone | AsAsked | AsFound) => Verdict::Done,
        (Stored::Entry | Stored::Incomplete, _, Unconfirmed | Refused | Unreachable) => {
            Verdict::NotReleased
        }
        (Stored::Incomplete, Failed | GuestChanged | GuestGone, AsAsked) => {
            Verdict::ReleasedWithoutDump
        }
        // The limit was asked for, and so is the part that it leaves.
        (Stored::Incomplete, Complete | LimitReached, AsAsked) => Verdict::Incomplete,
        (Stored::Incomplete, _, Gone | LeftAlone | AsFound) => Verdict::Incomplete,
        (Stored::Nothing, _, Unconfirmed) => Verdict::NotReleased,
        // It would run if it had not been stopped for its dump.
        (Stored::Nothing, _, Refused | Unreachable) if found == Found::Running => {
            Verdict::NotReleased
        }
        (Stored::Nothing, _, Refused | Unreachable) => Verdict::Failed,
        (Stored::Nothing, _, AsAsked) => Verdict::ReleasedWithoutDump,
        (Stored::Nothing, Complete | LimitReached, AsFound) => Verdict::ReleasedWithoutDump,
        (Stored::Nothing, Failed | GuestChanged | GuestGone, AsFound) => Verdict::Failed,
        (Stored::Nothing, _, Gone | LeftAlone) => Verdict::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Dumped::{Complete, Failed, GuestChanged, GuestGone, LimitReached};
    use Released::{AsAsked, AsFound, Gone, LeftAlone, Refused, Unconfirmed, Unreachable};

    #[test]
    fn each_end_of_a_capture_has_its_verdict() {
        let table = [
            // A panicked guest that is dumped: its release decides.
            (Found::Panicked, Complete, LeftAlone, Stored::Entry, Verdict::Done),
            (Found::Panicked, Complete, AsAsked, Stored::Entry, Verdict::Done),
            (Found::Running, Complete, AsFound, Stored::Entry, Verdict::Done),
            (Found::Panicked, Complete, Refused, Stored::Entry, Verdict::NotReleased),
            (Found::Panicked, Complete, Unconfirmed, Stored::Entry, Verdict::NotReleased),
            (Found::Panicked, Complete, Unreachable, Stored::Entry, Verdict::NotReleased),
            // All was read, and the disk failed at the end.
            (Found::Panicked, Complete, AsAsked, Stored::Incomplete, Verdict::Incomplete),
            (Found::Panicked, Complete, AsAsked, Stored::Nothing, Verdict::ReleasedWithoutDump),
            (Found::Panicked, Complete, LeftAlone, Stored::Nothing, Verdict::Failed),
            // The dump failed.
            (Found::Panicked, Failed, LeftAlone, Stored::Nothing, Verdict::Failed),
            (Found::Panicked, Failed, AsAsked, Stored::Incomplete, Verdict::ReleasedWithoutDump),
            (Found::Panicked, Failed, AsAsked, Stored::Nothing, Verdict::ReleasedWithoutDump),
            (Found::Running, Failed, AsFound, Stored::Nothing, Verdict::Failed),
            (Found::Running, Failed, Refused, Stored::Nothing, Verdict::NotReleased),
            (Found::Panicked, Failed, Refused, Stored::Nothing, Verdict::Failed),
            (Found::Panicked, Failed, Unconfirmed, Stored::Incomplete, Verdict::NotReleased),
            // The limit.
            (Found::Panicked, LimitReached, AsAsked, Stored::Incomplete, Verdict::Incomplete),
            (Found::Panicked, LimitReached, AsAsked, Stored::Nothing, Verdict::ReleasedWithoutDump),
            // Another client acted on the guest.
            (Found::Panicked, GuestChanged, LeftAlone, Stored::Incomplete, Verdict::Incomplete),
            (Found::Panicked, GuestChanged, Refused, Stored::Incomplete, Verdict::NotReleased),
            (Found::Panicked, Failed, LeftAlone, Stored::Nothing, Verdict::Failed),
            // QEMU ended.
            (Found::Panicked, GuestGone, Gone, Stored::Incomplete, Verdict::Incomplete),
            (Found::Panicked, GuestGone, Gone, Stored::Nothing, Verdict::Failed),
        ];
        for (found, dumped, released, stored, expected) in table {
            assert_eq!(
                verdict(found, dumped, released, stored),
                expected,
                "{found:?} {dumped:?} {released:?} {stored:?}"
            );
        }
    }

    #[test]
    fn a_part_is_kept_unless_the_guest_still_has_all() {
        assert!(!is_worth_keeping(Failed, LeftAlone));
        assert!(!is_worth_keeping(Failed, Refused));
        for released in [Gone, AsAsked, AsFound, Unconfirmed, Unreachable] {
            assert!(is_worth_keeping(Failed, released), "{released:?}");
        }
        for dumped in [Complete, LimitReached, GuestChanged, GuestGone] {
            assert!(is_worth_keeping(dumped, Refused), "{dumped:?}");
        }
    }

    #[test]
    fn what_became_of_the_guest_follows_from_its_release() {
        let release = |action: Action, done, state: Option<&str>| Release {
            action: action.to_string(),
            done,
            state_before: state.map(str::to_owned),
            state_after: None,
            error: None,
            qemu_error: None,
            by: None,
        };
        let held = Some("guest-panicked");
        for (release, ordered, asked, expected) in [
            (release(Action::Hold, true, held), false, true, LeftAlone),
            (release(Action::Resume, true, held), true, true, AsAsked),
            (release(Action::Resume, true, held), true, false, AsFound),
            (release(Action::Resume, false, None), true, true, Unconfirmed),
            (release(Action::Quit, false, held), false, true, Refused),
            (release(Action::Quit, false, None), false, true, Unreachable),
        ] {
            assert_eq!(Released::of(&release, ordered, asked), expected);
        }
    }
}
