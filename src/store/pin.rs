//! Pins: entries that are kept until somebody takes their pin away.
//!
//! A pin is a file in the entry's directory. It is not in the metadata: the same bytes are
//! inside the core, and a pin comes and goes after the core is written.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::StoreError;
use super::publish::create_file;

/// Name of the pin in an entry.
pub const PIN_FILE: &str = "pinned";

/// Whether the entry in this directory is pinned. Whatever has the name is a pin.
pub fn is_pinned(folder: &Path) -> bool {
    folder.join(PIN_FILE).symlink_metadata().is_ok()
}

/// Pins an entry. Gives whether it was not pinned before.
///
/// # Errors
/// Fails if the system refuses.
pub fn pin(folder: &Path) -> Result<bool, StoreError> {
    match create_file(&folder.join(PIN_FILE)) {
        Ok(_) => Ok(true),
        Err(StoreError::Exists { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Takes the pin of an entry away. Gives whether it had one.
///
/// # Errors
/// Fails if the system refuses.
pub fn unpin(folder: &Path) -> Result<bool, StoreError> {
    let path = folder.join(PIN_FILE);
    match fs::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(source) => Err(StoreError::io("remove", path, source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::CORE_FILE;
    use crate::store::listing::read_entry;
    use crate::store::removal::remove;

    #[test]
    fn a_pinned_entry_is_not_removed_and_an_unpinned_one_is() {
        let store = tempfile::tempdir().unwrap();
        for name in ["20260101T000000Z-aaaa0001", "20260101T000000Z-aaaa0002.incomplete"] {
            let folder = store.path().join("web").join(name);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(CORE_FILE), "core").unwrap();
            let listed = read_entry(&folder).unwrap();
            // It is pinned after it was listed.
            assert_eq!((pin(&folder).unwrap(), pin(&folder).unwrap()), (true, false));
            assert!(matches!(remove(&listed), Err(StoreError::Pinned { .. })));
            assert!(folder.join(CORE_FILE).exists() && is_pinned(&folder));
            assert_eq!((unpin(&folder).unwrap(), unpin(&folder).unwrap()), (true, false));
            remove(&listed).unwrap();
            assert!(!folder.exists());
        }
    }
}
