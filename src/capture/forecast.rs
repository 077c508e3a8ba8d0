//! Whether a core will fit, asked before the guest's hold is spent on it.
//!
//! The forecast is what compression leaves of the memory that the guest uses:
//! its QEMU's resident and swapped pages, where the system shows them. Refused is
//! only what will not fit by the forecast; what would not fit if nothing
//! compressed is a warning.

use super::disk::on_disk;
use super::outcome::CaptureError;
use super::session::Session;
use crate::monitor::qemu_process::used_memory;
use crate::store::space::{Fit, Forecast, Space};
use crate::units::bytes;

/// Checks the space, and gives how many bytes are to be kept free.
pub(super) fn check_space(session: &mut Session<'_>) -> Result<u64, CaptureError> {
    let path = session.request.destination.path().to_owned();
    let asked = path.clone();
    let Ok(space) = on_disk(session, move || Space::of(&asked), drop)? else {
        session.warn(format!("the free space in {} cannot be found out", path.display()));
        return Ok(session.request.keep_free.unwrap_or(0));
    };
    let reserve = session.request.keep_free.unwrap_or_else(|| space.default_reserve());
    let forecast = forecast(session);
    match forecast.fit(&space, reserve) {
        Fit::Fits => {}
        Fit::MayNotFit => session.warn(format!(
            "space may not suffice: the guest uses {}, and {} can be written to {}",
            bytes(forecast.worst.unwrap_or(0)),
            bytes(space.available.saturating_sub(reserve)),
            path.display()
        )),
        Fit::TooLittle => {
            return Err(CaptureError::Space {
                path,
                needed: bytes(forecast.needed),
                available: bytes(space.available),
                reserve: bytes(reserve),
            });
        }
    }
    Ok(reserve)
}

/// How many bytes the core will have, by the forecast.
pub(super) fn needed(session: &Session<'_>) -> u64 {
    forecast(session).needed
}

fn forecast(session: &Session<'_>) -> Forecast {
    let used = session.monitor.process().and_then(used_memory);
    Forecast::of(used, session.metadata.guest.memory_bytes)
}
