//! A monitor that is lost during the dump: connected again, and the guest checked anew.
//!
//! The dump goes on in QEMU meanwhile. Whether the guest is still the one that was found
//! has to be asked: events of that time are lost.

use std::time::{Duration, Instant};

use super::guard;
use super::outcome::CaptureError;
use super::session::Session;
use crate::monitor::qemu_process::is_running_qemu;
use crate::monitor::{Manager, MonitorError, WaitLimits};

/// How often a lost monitor is tried again.
const RECONNECT_INTERVAL: Duration = Duration::from_millis(200);
/// How long a socket without a listener is tried: its QEMU is gone, unless
/// its process is seen.
const GONE: Duration = Duration::from_secs(1);
/// How often a monitor that is lost at the dump's end is connected again to confirm it.
const CONFIRMATIONS: u32 = 3;

/// How a monitor was lost for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// The socket has no listener any more: QEMU has ended.
    Gone,
    /// It does not answer, or it was not to be waited for.
    Silent,
}

/// Connects again, and checks that the guest is as it was found: what happened to
/// it in between was not reported.
pub(super) fn monitor_was_lost(
    session: &mut Session<'_>,
    lost: &mut Option<Lost>,
    error: &MonitorError,
) -> Result<(), CaptureError> {
    let mut text = format!("the monitor was lost during the dump: {error}");
    *lost = reconnect(session).err();
    if lost.is_none() {
        let limits = session.limits();
        if let Ok(false) = guard::compare_anew(session, &limits) {
            text.push_str("; a second panic of the guest meanwhile would not have been noticed");
        }
    }
    session.warn(text);
    guard::check_events(session)
}

/// Asks once more whether the guest is as it was found, now that all of it is read.
///
/// A QEMU that has ended said before that the dump is completed, and cannot have
/// done anything to the guest since.
pub(super) fn confirm(
    session: &mut Session<'_>,
    lost: &mut Option<Lost>,
    limits: &WaitLimits<'_>,
) -> Result<(), CaptureError> {
    for _ in 0..CONFIRMATIONS {
        match *lost {
            Some(Lost::Gone) => return Ok(()),
            Some(Lost::Silent) => break,
            None => {}
        }
        match guard::check(session, limits) {
            Err(CaptureError::Monitor(error)) if error.is_connection_lost() => {
                monitor_was_lost(session, lost, &error)?;
            }
            Err(CaptureError::Monitor(error)) => return Err(CaptureError::StateUnknown(error)),
            other => return other,
        }
    }
    Err(CaptureError::Unconfirmed)
}

/// Connects again. QEMU's dump goes on meanwhile, and so does the pipeline.
pub(super) fn reconnect(session: &mut Session<'_>) -> Result<(), Lost> {
    let limits = session.limits();
    let deadline = limits.deadline();
    let started = Instant::now();
    let process = session.monitor.process();
    // A libvirt without a listener is no news about the guest.
    let asks_qemu = session.monitor.manager() == Manager::Qemu;
    let is_gone = || asks_qemu && !process.is_some_and(is_running_qemu);
    loop {
        let limits = WaitLimits { until: Some(deadline), ..limits };
        match session.monitor.reconnect(&limits) {
            Ok(()) => {
                session.observer.step("connected again");
                return Ok(());
            }
            Err(MonitorError::Connect { .. }) if started.elapsed() >= GONE && is_gone() => {
                return Err(Lost::Gone);
            }
            Err(MonitorError::Ended { .. }) => return Err(Lost::Gone),
            Err(MonitorError::Interrupted { .. }) => return Err(Lost::Silent),
            Err(_) if Instant::now() >= deadline => return Err(Lost::Silent),
            Err(_) => std::thread::sleep(RECONNECT_INTERVAL),
        }
    }
}
