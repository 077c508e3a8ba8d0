//! Why there is nothing to capture, and what would have held the guest.

use super::outcome::Problem;
use super::panic_events::Seen;
use crate::monitor::GuestEvent;
use crate::monitor::RunState;

/// The guest is there, and not held by a panic.
pub(super) fn not_panicked(state: &RunState, seen: &Seen) -> Problem {
    if seen.crash_loaded {
        return problem(
            "the guest crashed and dumps itself (GUEST_CRASHLOADED): QEMU does not hold it",
            "its own kdump writes a core; --any-state stops the guest and captures it nevertheless",
        );
    }
    if seen.runs_on() {
        return problem(
            "the guest panicked, and QEMU is set to let it run on (panic=none)",
            "start QEMU with `-action panic=pause`, or capture it with --any-state",
        );
    }
    if seen.panics > 0 || seen.shut_down.is_some() {
        return qemu_ended(seen);
    }
    Problem {
        message: format!("the guest is not panicked: its state is {:?}", state.status),
        hint: Some("--any-state captures it nevertheless, --wait waits for a panic".to_owned()),
    }
}

/// Another client was faster.
pub(super) fn released_by_another(event: GuestEvent) -> Problem {
    Problem {
        message: format!("the guest panicked, and is not held any more: {event}"),
        hint: Some(
            "a management daemon acts on panics itself (libvirt: <on_crash>): have it preserve \
             the guest"
                .to_owned(),
        ),
    }
}

/// The guest is gone, or about to go.
pub(super) fn qemu_ended(seen: &Seen) -> Problem {
    let reason = seen.shut_down.as_deref();
    if seen.panics > 0 || reason == Some("guest-panic") {
        return problem(
            "QEMU shut the guest down",
            "start QEMU with `-action panic=pause` (before 6.0: -no-shutdown), \
             so that a panic holds the guest",
        );
    }
    let mut message = match reason {
        Some(reason) => format!("the guest was shut down ({reason}), and no panic was seen"),
        None => "QEMU ended, and no panic was seen".to_owned(),
    };
    message.push_str(self_dump(seen));
    Problem { message, hint: None }
}

/// The time to wait for a panic is up.
pub(super) fn time_is_up(seen: &Seen) -> Problem {
    let mut message = "the guest did not panic in the time that was given".to_owned();
    message.push_str(self_dump(seen));
    Problem { message, hint: None }
}

fn self_dump(seen: &Seen) -> &'static str {
    if seen.crash_loaded { "; it crashed and dumps itself (GUEST_CRASHLOADED)" } else { "" }
}

fn problem(message: &str, hint: &str) -> Problem {
    Problem { message: message.to_owned(), hint: Some(hint.to_owned()) }
}
