//! Another client's dump of the guest, which is waited for.

use std::time::{Duration, Instant};

use super::guard;
use super::outcome::CaptureError;
use super::session::Session;
use crate::monitor::WaitLimits;

/// How often QEMU is asked for it.
const ASK_INTERVAL: Duration = Duration::from_millis(100);

/// Waits for another client's dump, and checks that its end left the guest as it
/// was found: libvirt resets a guest that it dumped (`coredump-restart`).
///
/// QEMU makes one dump at a time, and cannot be asked to end it.
pub(super) fn wait(session: &mut Session<'_>, limits: &WaitLimits<'_>) -> Result<(), CaptureError> {
    if !wait_for_end(session, limits)? {
        return Ok(());
    }
    // Its last event is no event of ours.
    session.monitor.forget_events();
    guard::check(session, limits)
}

/// Waits until no dump is under way. Gives whether one was.
pub(super) fn wait_for_end(
    session: &mut Session<'_>,
    limits: &WaitLimits<'_>,
) -> Result<bool, CaptureError> {
    let started = Instant::now();
    let deadline = limits.deadline();
    let mut waited = false;
    while session.monitor.dump_status(limits)?.is_some_and(|dump| dump.status == "active") {
        if !waited {
            session.observer.step("waiting for another dump of this guest to end");
        }
        waited = true;
        session.monitor.wait("another dump", &limits.at_most(ASK_INTERVAL), &[])?;
        if Instant::now() >= deadline {
            return Err(CaptureError::Busy { waited: started.elapsed() });
        }
    }
    Ok(waited)
}
