//! What a capture asks about its guest, beside its memory.
//!
//! Most of it while the dump runs, so that it costs no hold.

use super::session::Session;
use crate::held::facts::{ask_first, ask_rest};
use crate::monitor::MonitorError;

/// Asks what the store and the forecast need before the dump.
pub(crate) fn ask_before(session: &mut Session<'_>) -> Result<(), MonitorError> {
    let limits = session.limits();
    ask_first(session.monitor.as_mut(), &mut session.metadata, &limits)
}

/// Asks the rest. What is not answered is a warning, unless the monitor is lost, or
/// a signal came: the dump ends by that, too.
pub(crate) fn ask_during(session: &mut Session<'_>) {
    let limits = session.limits();
    if let Err(error) = ask_rest(session.monitor.as_mut(), &mut session.metadata, &limits) {
        if !error.is_connection_lost() && !matches!(error, MonitorError::Interrupted { .. }) {
            session.warn(format!("not everything about the guest could be asked: {error}"));
        }
        return;
    }
    if session.metadata.guest.memory_encrypted == Some(true) {
        session.warn(
            "the guest's memory is encrypted (SEV): the core holds what the host sees".to_owned(),
        );
    }
}
