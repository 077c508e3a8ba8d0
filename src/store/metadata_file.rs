//! The metadata in the clear beside an encrypted core, written again when the report is made.

use std::ffi::OsString;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::publish::create_file;
use super::{INCOMPLETE, METADATA_FILE, StoreError, is_in_entry};

/// Where the metadata of a core is.
pub fn path(core: &Path) -> PathBuf {
    match is_in_entry(core) {
        true => core.with_file_name(METADATA_FILE),
        false => with_suffix(core, ".json"),
    }
}

/// Puts this metadata in the place of that which is there.
///
/// # Errors
/// Fails if the system refuses; the old one is then still there.
pub fn replace(core: &Path, json: &[u8]) -> Result<(), StoreError> {
    replace_file(&path(core), json)
}

/// Puts a file in the place of another, so that readers find one of them.
pub fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let staged = with_suffix(path, INCOMPLETE);
    match fs::remove_file(&staged) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            return Err(StoreError::io("remove", &staged, source));
        }
        _ => {}
    }
    let mut file = create_file(&staged)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    let written = written.map_err(|source| StoreError::io("write", &staged, source));
    let renamed = written.and_then(|()| {
        fs::rename(&staged, path).map_err(|source| StoreError::io("publish", path, source))
    });
    if renamed.is_err() {
        let _ = fs::remove_file(&staged);
    }
    renamed
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
