//! The limit of the store's size: asked before the dump, kept after the release.
//!
//! A dump goes ahead if it fits once everything that may go is pruned. It is pruned after the
//! release: a file system takes its time to remove large files, and the guest would be held for
//! it. Only if the file system itself has no space for the dump, room is made before, and only
//! if that is enough.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::disk::{on_disk, within};
use super::facts;
use super::forecast::{check_space, needed};
use super::outcome::{CaptureError, with_causes};
use super::plan;
use super::session::Session;
use crate::store::StoreError;
use crate::store::prune::{Limits, Pruning, Unmet};
use crate::store::space::Space;
use crate::store::staging::Destination;
use crate::units::bytes;

/// How long a guest may be held to count the store.
const COUNTING: Duration = Duration::from_secs(1);

/// The store and its limit, if it has one.
fn limited(session: &Session<'_>) -> Option<(PathBuf, u64)> {
    match &session.request.destination {
        Destination::Store(store) => Some((store.clone(), session.request.store_limit?)),
        Destination::File(_) => None,
    }
}

fn of_size(bytes: u64) -> Limits {
    Limits { total_bytes: Some(bytes), ..Limits::default() }
}

/// Fails if the dump does not fit into the store, whatever is pruned.
///
/// # Errors
/// Fails with the store's size, or if the guest cannot be asked for its own.
pub(super) fn check(session: &mut Session<'_>) -> Result<(), CaptureError> {
    let Some((store, limit)) = limited(session) else { return Ok(()) };
    facts::ask_before(session)?;
    check_limit(session, store.clone(), limit).or_else(|full| match full {
        // It may fit without what is to be left out.
        CaptureError::StoreFull { .. } if plan::for_forecast(session)? => {
            check_limit(session, store, limit)
        }
        other => Err(other),
    })
}

fn check_limit(session: &mut Session<'_>, store: PathBuf, limit: u64) -> Result<(), CaptureError> {
    let needed = needed(session);
    let room = limit.saturating_sub(needed);
    let count = move || -> Result<Option<Unmet>, StoreError> {
        Ok(Pruning::of(&store, of_size(room))?.plan().unmet.first().copied())
    };
    let counted = within(COUNTING, count);
    session.clock.lap("count");
    match counted {
        Some(Ok(None)) if needed <= limit => Ok(()),
        Some(Ok(unmet)) => Err(CaptureError::StoreFull {
            limit: bytes(limit),
            left: bytes(unmet.map_or(0, |unmet| unmet.left)),
            needed: bytes(needed),
        }),
        Some(Err(error)) => {
            session.warn(format!("the store's size is unknown: {}", with_causes(&error)));
            Ok(())
        }
        None => {
            session.warn(format!(
                "the store could not be counted in {COUNTING:.0?}: its limit is kept after the release"
            ));
            Ok(())
        }
    }
}

/// Checks the space on the file system, and makes room for the dump where there is none and
/// the store may be pruned. Gives how many bytes are to be kept free.
pub(super) fn space_for_dump(session: &mut Session<'_>) -> Result<u64, CaptureError> {
    let full = match check_space(session) {
        Err(full @ CaptureError::Space { .. }) => full,
        other => return other,
    };
    let Some((store, _)) = limited(session) else { return Err(full) };
    let (needed, keep_free) = (needed(session), session.request.keep_free);
    session.observer.step("pruning the store, to make room for the dump");
    let made = on_disk(session, move || make_room(&store, needed, keep_free), drop)?;
    match made {
        Ok(Some(count)) => {
            session.observer.step(&format!("pruned {count} entries"));
            check_space(session)
        }
        Ok(None) => Err(full),
        Err(error) => {
            session.warn(format!("the store cannot be pruned: {}", with_causes(&error)));
            Err(full)
        }
    }
}

/// Prunes until the file system has space for the dump. Gives the number of entries that
/// went; `None`, and nothing went, if that would not be enough.
fn make_room(
    store: &Path,
    needed: u64,
    keep_free: Option<u64>,
) -> Result<Option<usize>, StoreError> {
    let space = Space::of(store);
    let space = space.map_err(|source| StoreError::io("find the space of", store, source))?;
    let reserve = keep_free.unwrap_or_else(|| space.default_reserve());
    // One byte more than is kept free: no space at all is refused.
    let wanted = needed.saturating_add(reserve).saturating_add(1);
    let mut pruning = Pruning::of(store, Limits { free_bytes: Some(wanted), ..Limits::default() })?;
    if !pruning.plan().unmet.is_empty() {
        return Ok(None);
    }
    let mut count = 0_usize;
    pruning.run(|_, _, removed| count = count.saturating_add(usize::from(removed.is_ok())));
    Ok(Some(count))
}

/// Prunes the store to its limit. The guest is released, or stays held: nothing waits for it.
pub(super) fn keep(session: &mut Session<'_>) {
    let Some((store, limit)) = limited(session) else { return };
    let mut pruning = match Pruning::of(&store, of_size(limit)) {
        Ok(pruning) => pruning,
        Err(error) => {
            let error = with_causes(&error);
            return session.observer.warning(&format!("the store cannot be pruned: {error}"));
        }
    };
    let observer = session.observer;
    let unmet = pruning.run(|entry, _, removed| match removed {
        Ok(()) => observer.step(&format!("pruned {}", entry.folder.display())),
        Err(error) => observer.warning(&with_causes(&error)),
    });
    for unmet in unmet {
        observer.warning(&unmet.to_string());
    }
}
