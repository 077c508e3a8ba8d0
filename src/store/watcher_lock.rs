//! The lock of a watcher of panics: two of them would capture each panic twice.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::StoreError;
use super::lock::{self, Attempt};

const FILE: &str = "watch.lock";

/// Takes the lock in a store, which is made if it is not there. It is held until the file is
/// closed.
///
/// Returns `None` if another process has it. On a file system without locks, nobody does.
pub fn take(store: &Path) -> Result<Option<File>, StoreError> {
    let mut folder = fs::DirBuilder::new();
    folder.recursive(true).mode(0o700);
    folder.create(store).map_err(|source| StoreError::io("create the store", store, source))?;
    let path = store.join(FILE);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(&path).map_err(|source| StoreError::io("open", path, source))?;
    Ok(match lock::for_writing(&file) {
        Attempt::Locked | Attempt::Unavailable(_) => Some(file),
        Attempt::Held => None,
    })
}

/// Whether a watcher has the lock of a store, without taking it.
pub fn is_held(store: &Path) -> bool {
    lock::writer_of(&store.join(FILE)) == lock::Writer::Present
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_watcher_has_the_lock_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        let first = take(&store).unwrap();
        assert!(first.is_some() && take(&store).unwrap().is_none());
        assert!(is_held(&store));
        drop(first);
        assert!(!is_held(&store));
        assert!(take(&store).unwrap().is_some());
    }
}
