//! Whether a core will fit, asked before the guest's hold is spent on it.
//!
//! The forecast is what compression leaves of the memory that the guest uses:
//! its QEMU's resident and swapped pages, where the system shows them, without the pages that
//! are left out. These are planned before, if the core does not fit with them. Refused is
//! only what will not fit by the forecast; what would not fit if nothing
//! compressed is a warning.

use super::disk::on_disk;
use super::outcome::CaptureError;
use super::plan;
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
    let mut forecast = forecast_of(session);
    if forecast.fit(&space, reserve) != Fit::Fits && plan::for_forecast(session)? {
        forecast = forecast_of(session);
    }
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
    forecast_of(session).needed
}

fn forecast_of(session: &Session<'_>) -> Forecast {
    let used = session.monitor.process().and_then(used_memory);
    let left_out = session.left_out.as_ref().map_or(&[][..], |left_out| &left_out.runs);
    let left_out = left_out.iter().fold(0_u64, |sum, run| sum.saturating_add(run.length));
    let kept = |bytes: u64| bytes.saturating_sub(left_out);
    Forecast::of(used, session.metadata.guest.memory_bytes.map(kept))
}
