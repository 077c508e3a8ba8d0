//! Whether what is to be done with the guest may be ordered: nothing is done to a
//! guest that is not as it was captured.
//!
//! Needs: the action, and what is known of the guest at this time. Gives: order
//! it, leave the guest alone, or refuse. `reset` and `quit` destroy the guest's
//! memory, so they also need to know its state; `cont` does not, and a QEMU that
//! is busy obeys it later.

use super::request::Action;
use super::same_guest::GuestChange;
use crate::monitor::GuestEvent;

/// What is known of a guest before its release.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    /// Its run state and whether it runs; `None` if QEMU does not answer.
    pub(super) state: Option<(&'a str, bool)>,
    /// How it changed since it was found.
    pub(super) change: Option<&'a GuestChange>,
    /// Whether it ran until it was stopped for its dump.
    pub(super) stopped_by_us: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The guest is as it was captured, or as good: order it.
    Give,
    /// Another client let the guest run: there is nothing to do.
    AlreadyRuns,
    /// The guest is another's: leave it alone.
    Changed,
    /// The guest's state is not known, and the action would destroy its memory.
    Unknown,
}

/// Decides on an action other than `hold`, which never orders anything.
pub(super) fn decide(action: Action, known: &Known<'_>) -> Order {
    match (action, known.change, known.state) {
        (Action::Hold, ..) | (_, None, Some(_)) => Order::Give,
        (Action::Resume, Some(_), Some((_, true))) => Order::AlreadyRuns,
        // It would run now if it had not been stopped for its dump.
        (
            Action::Resume,
            Some(GuestChange::Event(GuestEvent::Reset)),
            Some(("prelaunch", false)),
        ) if known.stopped_by_us => Order::Give,
        (_, Some(_), _) => Order::Changed,
        (Action::Resume, None, None) => Order::Give,
        (Action::Reset | Action::Quit, None, None) => Order::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTIONS: [Action; 3] = [Action::Resume, Action::Reset, Action::Quit];

    fn decided(state: Option<(&str, bool)>, change: Option<GuestEvent>, ours: bool) -> [Order; 3] {
        let change = change.map(GuestChange::Event);
        let known = Known { state, change: change.as_ref(), stopped_by_us: ours };
        ACTIONS.map(|action| decide(action, &known))
    }

    #[test]
    fn each_action_is_ordered_only_where_it_is_safe() {
        use Order::{AlreadyRuns, Changed, Give, Unknown};
        let (held, running, reset) =
            (Some(("guest-panicked", false)), Some(("running", true)), Some(("prelaunch", false)));
        let table = [
            // state, change, stopped by us: resume, reset, quit
            (held, None, false, [Give, Give, Give]),
            (held, Some(GuestEvent::Panicked), false, [Changed, Changed, Changed]),
            (held, Some(GuestEvent::Resumed), false, [Changed, Changed, Changed]),
            (running, Some(GuestEvent::Resumed), false, [AlreadyRuns, Changed, Changed]),
            (running, Some(GuestEvent::Reset), true, [AlreadyRuns, Changed, Changed]),
            (reset, Some(GuestEvent::Reset), false, [Changed, Changed, Changed]),
            (reset, Some(GuestEvent::Reset), true, [Give, Changed, Changed]),
            // A panic was reported, and QEMU still stops the guest: `cont` ends that.
            (running, None, false, [Give, Give, Give]),
            (None, None, false, [Give, Unknown, Unknown]),
            (None, Some(GuestEvent::Reset), true, [Changed, Changed, Changed]),
        ];
        for (state, change, ours, expected) in table {
            assert_eq!(decided(state, change, ours), expected, "{state:?} {change:?} {ours}");
        }
    }

    #[test]
    fn a_guest_that_stays_held_needs_no_order() {
        let known = Known { state: None, change: None, stopped_by_us: false };
        assert_eq!(decide(Action::Hold, &known), Order::Give);
    }
}
