//! The report of an entry, written beside its core.
//!
//! It can be made again from the core, so nothing is synced; but it is never seen in part.

use std::ffi::OsString;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::publish::{create_file, rename_new};
use super::report_head::ReportHead;
use super::{
    CORE_FILE, ENCRYPTED_REPORT_FILE, INCOMPLETE, METADATA_FILE, REPORT_FILE, StoreError,
    is_in_entry,
};
use crate::metadata::{ENCRYPTED, ENCRYPTED_CORE_FILE};

pub use super::report_head::MAX_FILE as MAX_BYTES;

/// Where the report of a core is: `report.json` in an entry, else the core's own name and
/// `.report.json`. That of an encrypted core has `.age` behind it.
pub fn path(core: &Path) -> PathBuf {
    if is_in_entry(core) {
        let encrypted = is_encrypted(core);
        return core.with_file_name(if encrypted { ENCRYPTED_REPORT_FILE } else { REPORT_FILE });
    }
    let mut name = OsString::from(core);
    name.push(".");
    name.push(if is_encrypted(core) { ENCRYPTED_REPORT_FILE } else { REPORT_FILE });
    name.into()
}

/// Whether what is beside a core is encrypted, as the core is. One in a file of its own has any
/// name; its metadata has theirs.
pub fn is_encrypted(core: &Path) -> bool {
    match core.file_name() {
        Some(name) if name == CORE_FILE => false,
        Some(name) if name == ENCRYPTED_CORE_FILE => true,
        _ => sealed_metadata(core).symlink_metadata().is_ok(),
    }
}

/// Where the encrypted metadata of a core is.
pub fn sealed_metadata(core: &Path) -> PathBuf {
    if is_in_entry(core) {
        return core.with_file_name(METADATA_FILE.to_owned() + ENCRYPTED);
    }
    let mut name = OsString::from(core);
    name.push(".json");
    name.push(ENCRYPTED);
    name.into()
}

/// Writes the first report of a core.
///
/// # Errors
/// Fails if the report's name is taken, or if the system refuses.
pub fn write(core: &Path, json: &[u8]) -> Result<(), StoreError> {
    let path = path(core);
    publish(&path, json, |staged| rename_new(staged, &path))
}

/// Writes the report of a core over an older one.
///
/// # Errors
/// Fails if a file of that name is no report, or if the system refuses; the file is then as it was.
pub fn replace(core: &Path, json: &[u8]) -> Result<(), StoreError> {
    let path = path(core);
    // In an entry the name is the store's. Elsewhere a file of another kind may have it.
    if !is_in_entry(core)
        && !is_encrypted(core)
        && path.symlink_metadata().is_ok()
        && !is_report(&path)
    {
        return Err(StoreError::Exists { path });
    }
    let staged = staged(&path);
    // What an interrupted write left.
    match fs::remove_file(&staged) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            return Err(StoreError::io("remove", &staged, source));
        }
        _ => {}
    }
    publish(&path, json, |staged| {
        fs::rename(staged, &path).map_err(|source| StoreError::io("publish", &path, source))
    })
}

fn publish(
    path: &Path,
    json: &[u8],
    rename: impl FnOnce(&Path) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let staged = staged(path);
    let mut file = create_file(&staged)?;
    let written = file.write_all(json);
    let written = written.map_err(|source| StoreError::io("write", &staged, source));
    let published = written.and_then(|()| rename(&staged));
    if published.is_err() {
        let _ = fs::remove_file(&staged);
    }
    published
}

fn staged(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(INCOMPLETE);
    name.into()
}

fn is_report(path: &Path) -> bool {
    ReportHead::read(path)
        .and_then(|report| report.schema)
        .is_some_and(|schema| schema.starts_with("vmcorectl/report/"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_report_is_written_beside_its_core_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        for (core, report) in
            [("vmcore.elf.zst", "report.json"), ("web.zst", "web.zst.report.json")]
        {
            let core = folder.path().join(core);
            for (text, write) in [
                ("{\"schema\": \"vmcorectl/report/1\"}", write as fn(&Path, &[u8]) -> _),
                ("{\"title\": \"x\"}", replace),
            ] {
                write(&core, text.as_bytes()).unwrap();
                let report = folder.path().join(report);
                assert_eq!(path(&core), report);
                assert_eq!(fs::read_to_string(&report).unwrap(), text);
                assert_eq!(report.metadata().unwrap().permissions().mode() & 0o777, 0o600);
            }
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
    }

    #[test]
    fn no_file_is_overwritten_but_a_report_by_a_report() {
        let folder = tempfile::tempdir().unwrap();
        let core = folder.path().join("web.zst");
        let other = path(&core);
        fs::write(&other, "{}").unwrap();
        for write in [write, replace] {
            assert!(matches!(write(&core, b"[]"), Err(StoreError::Exists { .. })));
        }
        assert_eq!(fs::read(&other).unwrap(), b"{}");
        fs::write(&other, "{\"schema\": \"vmcorectl/report/0\"}").unwrap();
        assert!(write(&core, b"[]").is_err());
        replace(&core, b"[]").unwrap();
        assert_eq!(fs::read(&other).unwrap(), b"[]");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_is_gone_is_an_error_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert!(write(&folder.path().join("gone/vmcore.elf.zst"), b"{}").is_err());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }
}
