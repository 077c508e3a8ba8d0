//! The guest as it was found, and how it changed since.
//!
//! Needs: its run state when it was found, then events and run states as they
//! come. Gives: the first change. Asks nothing (`guard` does).

use std::fmt;

use crate::monitor::GuestEvent;
use crate::monitor::RunState;

/// The guest as it was found, and what happened to it since.
#[derive(Debug, Default)]
pub(super) struct SameGuest {
    /// The run state in which it is to be dumped.
    expected: Option<String>,
    /// The first thing by which it changed.
    change: Option<GuestChange>,
    /// Whether what is read from now on is the dump.
    dumping: bool,
    /// Whether a press of its power button was seen.
    power_button: bool,
}

/// How the guest changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuestChange {
    /// QEMU reported it.
    Event(GuestEvent),
    /// It is in another run state.
    State {
        /// The run state in which it was found.
        expected: String,
        /// The run state now.
        found: String,
    },
    /// Its vCPUs report another crash.
    CrashInformation,
}

impl fmt::Display for GuestChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(event) => event.fmt(f),
            Self::State { expected, found } => {
                write!(f, "its run state is {found:?} and was {expected:?}")
            }
            Self::CrashInformation => f.write_str("its vCPUs report another crash than before"),
        }
    }
}

impl SameGuest {
    /// The guest was found in `state`, or stopped in it: so it has to stay.
    pub(super) fn expect(&mut self, state: &RunState) {
        *self = Self { expected: Some(state.status.clone()), ..Self::default() };
    }

    /// How the guest changed, as far as it is known.
    pub(super) fn change(&self) -> Option<&GuestChange> {
        self.change.as_ref()
    }

    /// From here on, memory is read for the core.
    pub(super) fn dump_begins(&mut self) {
        self.dumping = true;
    }

    /// What was read is not for the core any more.
    pub(super) fn dump_is_over(&mut self) {
        self.dumping = false;
    }

    /// Whether memory was read for the core.
    pub(super) fn is_dumping(&self) -> bool {
        self.dumping
    }

    /// It changed. The first time counts.
    pub(super) fn changed(&mut self, change: GuestChange) {
        self.change.get_or_insert(change);
    }

    /// Takes an event. Gives whether it is the first that is no change, and yet
    /// worth a warning.
    pub(super) fn take(&mut self, event: GuestEvent) -> bool {
        if !event.is_change() {
            return !std::mem::replace(&mut self.power_button, true);
        }
        // One crash may be reported several times before the guest is stopped.
        if event != GuestEvent::Panicked || self.expected.is_some() {
            self.changed(GuestChange::Event(event));
        }
        false
    }

    /// Compares the run state with the one that it was found in.
    pub(super) fn compare(&mut self, state: &RunState) {
        if let Some(expected) = &self.expected
            && *expected != state.status
        {
            let (expected, found) = (expected.clone(), state.status.clone());
            self.changed(GuestChange::State { expected, found });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(status: &str) -> RunState {
        RunState { status: status.to_owned(), running: status == "running" }
    }

    fn stopped() -> SameGuest {
        let mut guest = SameGuest::default();
        guest.expect(&state("guest-panicked"));
        guest
    }

    #[test]
    fn a_guest_that_stays_as_it_was_found_has_not_changed() {
        let mut guest = stopped();
        guest.compare(&state("guest-panicked"));
        assert!(guest.take(GuestEvent::PowerButton));
        assert!(!guest.take(GuestEvent::PowerButton), "once is enough");
        assert_eq!(guest.change(), None);
    }

    #[test]
    fn the_first_change_is_kept() {
        let mut guest = stopped();
        guest.take(GuestEvent::Reset);
        guest.take(GuestEvent::Resumed);
        guest.compare(&state("running"));
        assert_eq!(guest.change(), Some(&GuestChange::Event(GuestEvent::Reset)));
    }

    #[test]
    fn each_event_but_the_power_button_is_a_change() {
        for event in [
            GuestEvent::Reset,
            GuestEvent::Resumed,
            GuestEvent::WokeUp,
            GuestEvent::Panicked,
            GuestEvent::ShutDown,
        ] {
            let mut guest = stopped();
            guest.take(event);
            assert_eq!(guest.change(), Some(&GuestChange::Event(event)));
        }
    }

    #[test]
    fn another_run_state_is_a_change_whatever_it_is() {
        for found in ["running", "prelaunch", "paused", "shutdown", "postmigrate"] {
            let mut guest = stopped();
            guest.compare(&state(found));
            assert!(matches!(guest.change(), Some(GuestChange::State { .. })), "{found}");
        }
    }

    #[test]
    fn a_panic_that_is_reported_twice_before_the_stop_is_one() {
        let mut guest = SameGuest::default();
        guest.take(GuestEvent::Panicked);
        guest.take(GuestEvent::Panicked);
        assert_eq!(guest.change(), None);
    }
}
