//! What a capture asks about its guest, beside its memory.
//!
//! Most of it while the dump runs, so that it costs no hold.

use super::session::Session;
use crate::held::facts::{ask_first, ask_rest};
use crate::monitor::qmp::QmpError;

/// Asks what the store and the forecast need before the dump.
pub(crate) fn ask_before(session: &mut Session<'_>) -> Result<(), QmpError> {
    let patience = session.patience();
    ask_first(&mut session.client, &mut session.metadata, &patience)
}

/// Asks the rest.
pub(crate) fn ask_during(session: &mut Session<'_>) -> Result<(), QmpError> {
    let patience = session.patience();
    ask_rest(&mut session.client, &mut session.metadata, &patience)?;
    if session.metadata.guest.memory_encrypted == Some(true) {
        session.warn(
            "the guest's memory is encrypted (SEV): the core holds what the host sees".to_owned(),
        );
    }
    Ok(())
}
