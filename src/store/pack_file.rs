//! The triage pack of an entry, written beside its core.
//!
//! It can be made again from the core, so nothing is synced; but it is never seen in part.

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::publish::create_file;
use super::report_file::is_encrypted;
use super::space::Space;
use super::{ENCRYPTED_PACK_FILE, INCOMPLETE, PACK_FILE, StoreError, is_in_entry};

/// Where the triage pack of a core is. `None` for a core in a file of its own, which has none.
pub fn path(core: &Path) -> Option<PathBuf> {
    is_in_entry(core).then(|| match is_encrypted(core) {
        true => core.with_file_name(ENCRYPTED_PACK_FILE),
        false => core.with_file_name(PACK_FILE),
    })
}

/// Writes the pack of a core, of so many bytes, over an older one.
///
/// # Errors
/// Fails if the space that is to stay free would be used for it, if `write` fails, or if the
/// system refuses. What was there stays then.
pub fn replace(
    core: &Path,
    length: u64,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), StoreError> {
    let Some(path) = path(core) else { return Ok(()) };
    let error = |source| StoreError::io("write", &path, source);
    let space = Space::of(core).map_err(error)?;
    if space.available.saturating_sub(space.default_reserve()) < length {
        return Err(error(ErrorKind::StorageFull.into()));
    }
    let mut staged = OsString::from(&path);
    staged.push(INCOMPLETE);
    let staged = PathBuf::from(staged);
    // What an interrupted write left.
    match fs::remove_file(&staged) {
        Err(source) if source.kind() != ErrorKind::NotFound => return Err(error(source)),
        _ => {}
    }
    let file = create_file(&staged)?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let written = write(&mut out).and_then(|()| out.flush());
    let published = written.and_then(|()| fs::rename(&staged, &path));
    if published.is_err() {
        let _ = fs::remove_file(&staged);
    }
    published.map_err(error)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::store::CORE_FILE;

    #[test]
    fn a_pack_is_seen_when_it_is_whole_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let core = folder.path().join(CORE_FILE);
        fs::write(folder.path().join("triage.zst.incomplete"), "left over").unwrap();
        for text in ["one", "two"] {
            replace(&core, 3, |out| out.write_all(text.as_bytes())).unwrap();
            let path = path(&core).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        let failed = replace(&core, 3, |out| {
            out.write_all(b"thr")?;
            Err(ErrorKind::StorageFull.into())
        });
        assert!(failed.unwrap_err().hint().is_some());
        assert!(replace(&core, u64::MAX, |_| Ok(())).is_err(), "there is no such space");
        assert_eq!(fs::read_to_string(path(&core).unwrap()).unwrap(), "two");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn a_core_in_a_file_of_its_own_has_none() {
        let folder = tempfile::tempdir().unwrap();
        replace(&folder.path().join("web.zst"), 1, |out| out.write_all(b"x")).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }
}
