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
use crate::store::space::Space;
use crate::units::bytes;

/// What part of the used memory a core takes, as its inverse. Measured: between
/// a third and a half of it on guests with page cache and programs.
const USED_RATIO: u64 = 3;
/// The same for all memory, where the used part is not known.
const TOTAL_RATIO: u64 = 6;

/// Checks the space, and gives how many bytes are to be kept free.
pub(super) fn check_space(session: &mut Session<'_>) -> Result<u64, CaptureError> {
    let path = session.request.destination.path().to_owned();
    let asked = path.clone();
    let Ok(space) = on_disk(session, move || Space::of(&asked), drop)? else {
        session.warn(format!("the free space in {} cannot be found out", path.display()));
        return Ok(session.request.keep_free.unwrap_or(0));
    };
    let reserve = session.request.keep_free.unwrap_or_else(|| space.default_reserve());
    let (worst, needed) = forecast(session);
    let usable = space.available.saturating_sub(reserve);
    if needed > usable || (usable == 0 && reserve > 0) {
        return Err(CaptureError::Space {
            path,
            needed: bytes(needed),
            available: bytes(space.available),
            reserve: bytes(reserve),
        });
    }
    if let Some(worst) = worst.filter(|worst| *worst > usable) {
        session.warn(format!(
            "space may not suffice: the guest uses {}, and {} can be written to {}",
            bytes(worst),
            bytes(usable),
            path.display()
        ));
    }
    Ok(reserve)
}

/// How many bytes the core will have, by the forecast.
pub(super) fn needed(session: &Session<'_>) -> u64 {
    forecast(session).1
}

/// How long the core is if nothing compresses, and by the forecast.
fn forecast(session: &Session<'_>) -> (Option<u64>, u64) {
    let total = session.metadata.guest.memory_bytes;
    let used = session.monitor.process().and_then(used_memory);
    let worst = match (used, total) {
        (Some(used), Some(total)) => Some(used.min(total)),
        (used, total) => used.or(total),
    };
    let ratio = if used.is_some() { USED_RATIO } else { TOTAL_RATIO };
    (worst, worst.map_or(0, |worst| worst / ratio))
}
