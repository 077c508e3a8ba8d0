//! Whether the guest is still the one that was found, as it was found.
//!
//! A management daemon or another client may resume, reset or end the guest at
//! any time, so this is asked after each wait for another client, when the dump
//! begins, before a core is called complete and before a release is ordered.
//! Events alone do not suffice: those sent while the monitor was lost are lost,
//! too. The run state alone does not either: a guest may have been resumed and
//! have panicked again.
//!
//! The order of QEMU's answers decides. A reset and the reply to `query-status`
//! both come from QEMU's main loop: if no event precedes the reply, nothing had
//! been done to the guest when QEMU wrote it.

use super::outcome::CaptureError;
use super::same_guest::GuestChange;
use super::session::Session;
use crate::held::facts::ask_cpus;
use crate::metadata::{NoticedBy, Panic};
use crate::monitor::GuestEvent;
use crate::monitor::{MonitorError, RunState, WaitLimits};

/// The guest is stopped in `state`.
pub(super) fn expect(session: &mut Session<'_>, state: &RunState) {
    session.monitor.take_guest_events();
    session.guest.expect(state);
}

/// From here on, memory is read for the core.
pub(super) fn dump_begins(session: &mut Session<'_>) {
    session.guest.dump_begins();
}

/// What was read is given up, and another dump is to follow.
pub(super) fn dump_is_over(session: &mut Session<'_>) {
    session.guest.dump_is_over();
}

/// Takes the events that came.
pub(super) fn take_events(session: &mut Session<'_>) {
    for event in session.monitor.take_guest_events() {
        if session.guest.take(event) {
            session.warn(format!(
                "{}: the guest, which is stopped, sees that once it runs",
                GuestEvent::PowerButton
            ));
        }
    }
}

/// Fails if an event that came shows that the guest changed. Asks nothing.
pub(super) fn check_events(session: &mut Session<'_>) -> Result<(), CaptureError> {
    take_events(session);
    match session.guest.change() {
        Some(change) => Err(CaptureError::GuestChanged {
            when: if session.guest.is_dumping() { "during its dump" } else { "before its dump" },
            change: change.clone(),
            dumping: session.guest.is_dumping(),
        }),
        None => Ok(()),
    }
}

/// Fails if the guest changed, by its events or by its run state, for which QEMU
/// is asked.
pub(super) fn check(
    session: &mut Session<'_>,
    limits: &WaitLimits<'_>,
) -> Result<(), CaptureError> {
    check_events(session)?;
    let state = session.monitor.run_state(limits)?;
    compare(session, &state);
    check_events(session)
}

/// Compares a run state that QEMU reported just now. The events that preceded it
/// say more, and go first.
pub(super) fn compare(session: &mut Session<'_>, state: &RunState) {
    take_events(session);
    session.guest.compare(state);
}

/// Looks for a change on a new connection, which knows of no event before it.
///
/// A second panic leaves the same run state: its vCPU may be another. Gives
/// whether a second panic can be excluded.
pub(super) fn compare_anew(
    session: &mut Session<'_>,
    limits: &WaitLimits<'_>,
) -> Result<bool, MonitorError> {
    let state = session.monitor.run_state(limits)?;
    compare(session, &state);
    let dump = session.monitor.dump_status(limits)?;
    let Some(before) = session.metadata.panic.clone() else { return Ok(true) };
    if before.reporting_cpus.is_some() {
        let mut now = session.metadata.clone();
        now.panic = Some(Panic { reporting_cpus: None, info: None, ..before.clone() });
        ask_cpus(session.monitor.as_mut(), &mut now, limits)?;
        // The details that an event carried are not those of a vCPU's property.
        let same_details = before.noticed_by == NoticedBy::Event
            || now.panic.as_ref().is_some_and(|now| now.info == before.info);
        let same_cpus = now.panic.is_some_and(|now| now.reporting_cpus == before.reporting_cpus);
        if !same_cpus || !same_details {
            session.guest.changed(GuestChange::CrashInformation);
        }
    }
    // QEMU resumes no guest during a dump, and after a reset this one waits for that.
    Ok(session.guest.is_dumping() && dump.is_some_and(|dump| dump.status == "active"))
}
