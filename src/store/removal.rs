//! Takes entries out of a store.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::listing::{EntryState, Listed};
use super::publish::{rename_new, sync_folder};
use super::{INCOMPLETE, StoreError};

/// Removes an entry and everything in it.
///
/// It loses its published name first: what an interruption leaves does not look whole.
///
/// # Errors
/// Fails if its capture is under way, or if the system refuses.
pub fn remove(entry: &Listed) -> Result<(), StoreError> {
    if entry.state == EntryState::Capturing {
        return Err(StoreError::InUse { path: entry.folder.clone() });
    }
    let error = |path: &PathBuf| {
        let path = path.clone();
        move |source| StoreError::io("remove", path, source)
    };
    let parent = entry.folder.parent().map(PathBuf::from).unwrap_or_default();
    let doomed = if entry.published {
        let hidden = parent.join(entry.id.clone() + INCOMPLETE);
        rename_new(&entry.folder, &hidden)?;
        sync_folder(&parent)?;
        hidden
    } else {
        entry.folder.clone()
    };
    fs::remove_dir_all(&doomed).map_err(error(&doomed))?;
    match fs::remove_dir(&parent) {
        // The guest has other entries.
        Err(source)
            if source.kind() == io::ErrorKind::DirectoryNotEmpty
                || source.kind() == io::ErrorKind::NotFound =>
        {
            Ok(())
        }
        other => other.map_err(error(&parent)),
    }
}
