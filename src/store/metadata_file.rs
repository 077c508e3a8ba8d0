//! Files of an encrypted entry that are written again: the metadata in the clear, when the report
//! is made; and each one, for further recipients.

use std::ffi::OsString;
use std::fs::{self, File};
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

fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    replace_with(path, |file| {
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        written.map_err(|source| StoreError::io("write", path, source))
    })
}

/// Puts a file that `write` writes in the place of another, so that readers find one of them.
///
/// # Errors
/// Fails if `write` does, or if the system refuses; the old file is then still there.
pub fn replace_with<E: From<StoreError>>(
    path: &Path,
    write: impl FnOnce(&mut File) -> Result<(), E>,
) -> Result<(), E> {
    let staged = with_suffix(path, INCOMPLETE);
    match fs::remove_file(&staged) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            return Err(StoreError::io("remove", &staged, source).into());
        }
        _ => {}
    }
    let mut file = create_file(&staged)?;
    let renamed = write(&mut file).and_then(|()| {
        let renamed = fs::rename(&staged, path);
        renamed.map_err(|source| StoreError::io("publish", path, source).into())
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
