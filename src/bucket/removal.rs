//! Takes entries, or their cores alone, out of a bucket.
//!
//! ```text
//! entry   metadata.json, then all else           not listed from the first step on
//! core    core.json says so, then the core       no reader takes it from the first step on; lists,
//!                                                which go by names, have `core-removed` at the end
//! ```
//!
//! A pin is looked for before the first step and after it: what was pinned in between is put back.

use std::path::PathBuf;

use super::BucketError;
use super::files::{MAX_WHOLE, encrypted};
use super::push::record;
use crate::metadata::core_record::{CORE_RECORD, CoreRecord, is_core};
use crate::remote::{Channel, RemoteError};
use crate::store::pin::PIN_FILE;
use crate::store::{CORE_FILE, METADATA_FILE, StoreError};

/// The names of what is below an entry (`GUEST/ID`), with the entry's own, and their lengths.
fn files(channel: &Channel, entry: &str) -> Result<Vec<(String, u64)>, RemoteError> {
    let mut files = channel.list_below(entry)?;
    let below = format!("{entry}/");
    files.retain(|(name, _)| name.starts_with(&below));
    Ok(files)
}

fn is_pinned(entry: &str, files: &[(String, u64)]) -> bool {
    files.iter().any(|(name, _)| *name == format!("{entry}/{PIN_FILE}"))
}

fn pinned(channel: &Channel, entry: &str) -> BucketError {
    BucketError::Store(StoreError::Pinned { path: PathBuf::from(channel.shown(entry)) })
}

/// Removes an entry and everything in it.
///
/// # Errors
/// Fails if it is pinned, or something of it cannot be removed. It is not listed then, unless it is
/// pinned or its metadata is what could not be removed; a second try removes the rest.
pub fn remove_entry(channel: &Channel, entry: &str) -> Result<(), BucketError> {
    if is_pinned(entry, &files(channel, entry)?) {
        return Err(pinned(channel, entry));
    }
    let name = format!("{entry}/{METADATA_FILE}");
    let metadata = match channel.get(&name, MAX_WHOLE) {
        Err(RemoteError::NotFound { .. }) => None,
        found => Some(found?),
    };
    channel.delete(&name)?;
    let files = files(channel, entry)?;
    if is_pinned(entry, &files) {
        if let Some(metadata) = metadata {
            channel.put_new(&name, &metadata)?;
        }
        return Err(pinned(channel, entry));
    }
    for (name, _) in files {
        channel.delete(&name)?;
    }
    // By that, a push that runs finds out, and gives up. Without the right to list uploads, they are
    // left to the bucket's rule.
    for upload in channel.idle_uploads(entry, 0).unwrap_or_default() {
        let _ = channel.abort_upload(&upload.name, &upload.id);
    }
    Ok(())
}

/// Removes the core of an entry, and keeps the rest.
///
/// # Errors
/// Fails if the entry is pinned, or its core cannot be removed. If its record says that it was
/// removed already, nothing reads it.
pub fn remove_core(channel: &Channel, entry: &str) -> Result<(), BucketError> {
    let before = files(channel, entry)?;
    if is_pinned(entry, &before) {
        return Err(pinned(channel, entry));
    }
    let plain = [CORE_FILE.to_owned(), encrypted(CORE_FILE)];
    let is_of_core = |name: &str| {
        let name = name.rsplit('/').next().unwrap_or_default();
        is_core(name) || plain.iter().any(|plain| plain == name)
    };
    let old = record(channel, entry)?;
    let bytes = before.iter().filter(|(name, _)| is_of_core(name)).map(|(_, bytes)| *bytes).max();
    let name = format!("{entry}/{CORE_RECORD}");
    let removed = CoreRecord::of_removed(old.clone(), bytes.unwrap_or_default());
    channel.put(&name, &removed.to_json())?;
    let after = files(channel, entry)?;
    if is_pinned(entry, &after) {
        match old {
            Some(old) => channel.put(&name, &old.to_json())?,
            None => channel.delete(&name)?,
        }
        return Err(pinned(channel, entry));
    }
    for (name, _) in after.iter().filter(|(name, _)| is_of_core(name)) {
        channel.delete(name)?;
    }
    Ok(())
}
