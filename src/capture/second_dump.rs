//! A dump that ended with its libvirt is made once more, by the libvirt that is there next.
//!
//! ```text
//! dump ──► libvirt is lost ──► connected again ──► the same panicked guest? ──► dump
//! ```
//!
//! A restarted libvirt knows nothing of the dump, and QEMU's part of it fails: its pipe has no
//! reader any more. The guest is still held, as QEMU does not depend on libvirt. All of that
//! has to happen within the limits of the hold; if it does not, the first dump's failure counts.

use super::attempt::Attempt;
use super::disk::in_time;
use super::dump;
use super::guard;
use super::lost_monitor::reconnect;
use super::outcome::CaptureError;
use super::session::Session;
use crate::monitor::Manager;

const AGAIN: &str = "libvirt ended during the dump, and is back: the guest is dumped anew";

/// Dumps the guest into a new entry.
pub(super) fn attempt(session: &mut Session<'_>) -> Attempt {
    let first = dump::attempt(session);
    if session.monitor.manager() != Manager::Libvirt || !is_lost(&first) {
        return first;
    }
    match is_still_held(session) {
        Ok(true) => {}
        Ok(false) => return first,
        // What is known by now says more than how the dump ended.
        Err(error) => return Attempt { outcome: Err(error), ..first },
    }
    session.warn(AGAIN.to_owned());
    if let Some(staging) = first.staging {
        // The disk may hang; the guest does not wait for that.
        in_time(session.request.timeout, move || staging.discard());
    }
    dump::attempt(session)
}

/// Whether nothing but the end of libvirt is known to have ended the dump.
fn is_lost(attempt: &Attempt) -> bool {
    match &attempt.outcome {
        Err(CaptureError::Dump { .. } | CaptureError::Stream(_) | CaptureError::Unconfirmed) => {
            attempt.lost_monitor
        }
        Err(CaptureError::Monitor(error)) => error.is_connection_lost() && !error.is_end_of_qemu(),
        _ => false,
    }
}

/// Whether libvirt is there, and the guest as it was found.
///
/// # Errors
/// Fails if it is another client's, or its dump is not to be waited for.
fn is_still_held(session: &mut Session<'_>) -> Result<bool, CaptureError> {
    let limits = session.limits();
    let answers = match session.monitor.run_state(&limits) {
        Err(error) if error.is_connection_lost() => reconnect(session).is_ok(),
        other => other.is_ok(),
    };
    if !answers || session.clock.is_over() || session.interrupt.is_raised() {
        return Ok(false);
    }
    let limits = session.limits();
    guard::check(session, &limits)?;
    guard::dump_is_over(session);
    Ok(true)
}
