//! The report of an entry, written beside its core.
//!
//! It can be made again from the core, so nothing is synced; but it is never seen in part.

use std::ffi::OsString;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::publish::create_file;
use super::{CORE_FILE, INCOMPLETE, REPORT_FILE, StoreError};

/// Where the report of a core is: `report.json` in an entry, else the core's own name and
/// `.report.json`.
#[must_use]
pub fn path(core: &Path) -> PathBuf {
    if core.file_name().is_some_and(|name| name == CORE_FILE) {
        return core.with_file_name(REPORT_FILE);
    }
    let mut name = OsString::from(core);
    name.push(".");
    name.push(REPORT_FILE);
    name.into()
}

/// Writes the report of a core, over one that was there.
///
/// # Errors
/// Fails if the system refuses; an old report is then as it was.
pub fn write(core: &Path, json: &[u8]) -> Result<(), StoreError> {
    let path = path(core);
    let mut name = OsString::from(&path);
    name.push(INCOMPLETE);
    let staged = PathBuf::from(name);
    let error = |source| StoreError::io("write", &staged, source);
    match fs::remove_file(&staged) {
        Err(source) if source.kind() != ErrorKind::NotFound => return Err(error(source)),
        _ => {}
    }
    let written = create_file(&staged).and_then(|mut file| file.write_all(json).map_err(error));
    let written = written.and_then(|()| {
        fs::rename(&staged, &path).map_err(|source| StoreError::io("publish", &path, source))
    });
    if written.is_err() {
        let _ = fs::remove_file(&staged);
    }
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_report_stands_beside_its_core_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        for (core, report) in
            [("vmcore.elf.zst", "report.json"), ("web.zst", "web.zst.report.json")]
        {
            let core = folder.path().join(core);
            for text in ["{}", "{\"title\": \"x\"}"] {
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
    fn a_folder_that_is_gone_is_an_error_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert!(write(&folder.path().join("gone/vmcore.elf.zst"), b"{}").is_err());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }
}
