//! Takes entries out of a store.
//!
//! A core is locked before it is removed, so that none is removed while it is written.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::listing::Listed;
use super::lock::{self, Attempt};
use super::pin::is_pinned;
use super::publish::{rename_new, sync_folder};
use super::{INCOMPLETE, StoreError, core_in, is_in_entry};
use crate::regular_file;

/// Removes an entry and everything in it.
///
/// It loses its published name first: what an interruption leaves does not look whole.
///
/// # Errors
/// Fails if it is pinned, if its core is being written, if an unpublished core cannot be locked, or if the
/// system refuses.
pub fn remove(entry: &Listed) -> Result<(), StoreError> {
    let pinned = || StoreError::Pinned { path: entry.folder.clone() };
    if is_pinned(&entry.folder) {
        return Err(pinned());
    }
    let core = core_in(&entry.folder);
    // Held until the files are gone.
    let locked = match regular_file::open_own(&core) {
        Ok(file) => Some(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound || !is_file(&core) => None,
        Err(source) => return Err(StoreError::io("lock", &core, source)),
    };
    match locked.as_ref().map(lock::for_removal) {
        Some(Attempt::Held) => return Err(StoreError::InUse { path: entry.folder.clone() }),
        Some(Attempt::Unavailable(source)) if !entry.published => {
            return Err(StoreError::NoLock { path: entry.folder.clone(), source });
        }
        // Nothing writes a published core.
        Some(Attempt::Locked | Attempt::Unavailable(_)) | None => {}
    }
    let parent = entry.folder.parent().map(PathBuf::from).unwrap_or_default();
    if entry.published {
        let hidden = parent.join(entry.id.clone() + INCOMPLETE);
        rename_new(&entry.folder, &hidden)?;
        // It may have been pinned just before. From here on nobody finds it.
        if is_pinned(&hidden) {
            rename_new(&hidden, &entry.folder)?;
            return Err(pinned());
        }
        sync_folder(&parent)?;
        fs::remove_dir_all(&hidden).map_err(cannot_remove(&hidden))?;
    } else if locked.is_some() {
        fs::remove_dir_all(&entry.folder).map_err(cannot_remove(&entry.folder))?;
    } else {
        remove_without_core(&entry.folder)?;
    }
    match fs::remove_dir(&parent) {
        // The guest has other entries.
        Err(source)
            if source.kind() == io::ErrorKind::DirectoryNotEmpty
                || source.kind() == io::ErrorKind::NotFound =>
        {
            Ok(())
        }
        other => other.map_err(cannot_remove(&parent)),
    }
}

/// Removes an unpublished directory in which no core was seen. A capture that is about to
/// create one keeps it: the directory is removed only if it is empty.
fn remove_without_core(folder: &Path) -> Result<(), StoreError> {
    for file in fs::read_dir(folder).map_err(cannot_remove(folder))? {
        let file = file.map_err(cannot_remove(folder))?;
        if is_in_entry(&file.path()) && is_file(&file.path()) {
            return Err(StoreError::InUse { path: folder.to_owned() });
        }
        let path = file.path();
        let is_folder = file.file_type().is_ok_and(|kind| kind.is_dir());
        let removed = if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(cannot_remove(&path))?;
    }
    fs::remove_dir(folder).map_err(|source| match source.kind() {
        io::ErrorKind::DirectoryNotEmpty => StoreError::InUse { path: folder.to_owned() },
        _ => StoreError::io("remove", folder, source),
    })
}

/// Whether a core is there. A link, or a FIFO in its place, is none.
fn is_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|file| file.is_file())
}

fn cannot_remove(path: &Path) -> impl FnOnce(io::Error) -> StoreError + use<> {
    let path = path.to_owned();
    move |source| StoreError::io("remove", path, source)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::store::CORE_FILE;
    use crate::store::listing::read_entry;

    /// An unpublished entry of a store.
    fn unpublished(store: &Path) -> PathBuf {
        let folder = store.join("web/20260101T000000Z-aaaa0001.incomplete");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("metadata.json"), "{}").unwrap();
        folder
    }

    #[test]
    fn a_core_that_was_listed_before_its_writer_came_stays() {
        let store = tempfile::tempdir().unwrap();
        let folder = unpublished(store.path());
        fs::write(folder.join(CORE_FILE), "core").unwrap();
        let listed = read_entry(&folder).unwrap();
        let core = File::options().write(true).open(folder.join(CORE_FILE)).unwrap();
        assert!(matches!(lock::for_writing(&core), Attempt::Locked));
        assert!(matches!(remove(&listed), Err(StoreError::InUse { .. })));
        assert!(folder.join(CORE_FILE).exists() && folder.join("metadata.json").exists());
        drop(core);
        remove(&listed).unwrap();
        assert!(!store.path().join("web").exists());
    }

    #[test]
    fn a_directory_without_a_core_goes_only_if_it_is_empty() {
        let store = tempfile::tempdir().unwrap();
        let folder = unpublished(store.path());
        let listed = read_entry(&folder).unwrap();
        remove(&listed).unwrap();
        assert!(!folder.exists());

        let folder = unpublished(store.path());
        fs::write(folder.join(CORE_FILE), "core").unwrap();
        assert!(matches!(remove_without_core(&folder), Err(StoreError::InUse { .. })));
        assert!(folder.join(CORE_FILE).exists());
    }

    #[test]
    fn a_core_that_its_owner_made_read_only_can_be_removed() {
        use std::os::unix::fs::PermissionsExt;
        let store = tempfile::tempdir().unwrap();
        let folder = store.path().join("web/20260101T000000Z-aaaa0001");
        fs::create_dir_all(&folder).unwrap();
        let core = folder.join(CORE_FILE);
        fs::write(&core, "core").unwrap();
        fs::set_permissions(&core, fs::Permissions::from_mode(0o400)).unwrap();
        remove(&read_entry(&folder).unwrap()).unwrap();
        assert!(!folder.exists());
    }
}
