//! A core that takes the place of the same core, with its metadata.
//!
//! Needs: a published entry, or a core in a file of its own. Gives: a file for the new core.
//! Until it is complete, the old one is what readers find. Core and metadata of an entry are
//! exchanged by one rename of its directory, so that they always belong together; whatever
//! ends the process, what is left beside it is an incomplete entry.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::publish::{create_folders, sync_folder};
use super::staging::Staging;
use super::{ENCRYPTED_PACK_FILE, METADATA_FILE, PACK_FILE, StoreError, annotations, is_in_entry};
use crate::metadata::{ENCRYPTED_METADATA_FILE, MetadataFiles};

/// A core that is written anew.
#[derive(Debug)]
pub struct Rewrite {
    entry: PathBuf,
    /// Whether it is an entry, and not a file of its own.
    in_store: bool,
    staging: Staging,
}

impl Rewrite {
    /// Opens a file for the new core.
    ///
    /// # Errors
    /// Fails if the system refuses.
    pub fn begin(entry: &Path) -> Result<(Self, File), StoreError> {
        let in_store = entry.is_dir();
        let (staging, file) = Staging::in_place_of(entry, Timestamp::now())?;
        Ok((Self { entry: entry.to_owned(), in_store, staging }, file))
    }

    /// Where the new core is as long as it is not published.
    pub fn staged(&self) -> &Path {
        self.staging.staged()
    }

    /// How long the new core's file is now.
    pub fn staged_bytes(&self) -> Option<u64> {
        self.staging.core_bytes()
    }

    /// Puts the core, which must be on disk, and this metadata in the place of the old ones.
    ///
    /// # Errors
    /// Fails if the system refuses; the old ones are then still there.
    pub fn publish(self, metadata: &MetadataFiles) -> Result<(), StoreError> {
        let published = self
            .staging
            .write_metadata(metadata, true)
            .and_then(|()| if self.in_store { self.exchange() } else { self.replace_file() });
        if published.is_err() {
            self.staging.discard();
        }
        published
    }

    /// Gives the new core up.
    pub fn discard(self) {
        self.staging.discard();
    }

    fn exchange(&self) -> Result<(), StoreError> {
        let (new, old) = (self.staging.staged(), self.entry.as_path());
        let linked = others(old).into_iter().try_for_each(|name| {
            let (from, to) = (old.join(&name), new.join(&name));
            fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(drop))
        });
        let linked = linked.and_then(|()| carry_annotations(old, new));
        let exchanged = linked.and_then(|()| {
            sync_folder(new).map_err(io::Error::other)?;
            Ok(renameat_with(CWD, new, CWD, old, RenameFlags::EXCHANGE)?)
        });
        match exchanged {
            Ok(()) => {}
            // Network file systems do not know the flag: they get one rename after the other.
            Err(error) if is_unsupported(&error) => return self.replace_in(old, new),
            Err(source) => {
                others(new).iter().for_each(|name| drop(fs::remove_file(new.join(name))));
                let _ = fs::remove_dir_all(new.join(annotations::FOLDER));
                return Err(StoreError::io("publish", old, source));
            }
        }
        // The names have changed sides.
        let (new, old) = (old, new);
        follow(old, new);
        let _ = carry_annotations(old, new);
        let _ = old.parent().map(sync_folder);
        let _ = fs::remove_dir_all(old);
        Ok(())
    }

    fn replace_in(&self, old: &Path, new: &Path) -> Result<(), StoreError> {
        for name in files(new).into_iter().filter(|name| is_replaced(name)) {
            let (from, to) = (new.join(&name), old.join(&name));
            fs::rename(from, &to).map_err(|source| StoreError::io("publish", to, source))?;
        }
        for pack in [PACK_FILE, ENCRYPTED_PACK_FILE] {
            let _ = fs::remove_file(old.join(pack));
        }
        let _ = fs::remove_dir_all(new);
        sync_folder(old)
    }

    /// A core is whole without the file beside it, and not with one of another core.
    fn replace_file(&self) -> Result<(), StoreError> {
        let beside = self.staging.published_metadata();
        let error = |source| StoreError::io("publish", &self.entry, source);
        match fs::remove_file(beside) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(error(source)),
            _ => {}
        }
        fs::rename(self.staging.staged_core(), &self.entry).map_err(error)?;
        fs::rename(self.staging.staged_metadata(), beside).map_err(error)?;
        self.staging.replace_sealed()?;
        self.entry.parent().map_or(Ok(()), sync_folder)
    }
}

/// Names of all files of an entry but core, metadata, and the triage pack, which is of the old core.
fn others(entry: &Path) -> Vec<OsString> {
    files(entry).into_iter().filter(|name| !is_replaced(name)).collect()
}

/// Names of all files of an entry.
fn files(entry: &Path) -> Vec<OsString> {
    let files = fs::read_dir(entry).into_iter().flatten().filter_map(Result::ok);
    let files = files.filter(|file| file.file_type().is_ok_and(|kind| kind.is_file()));
    files.map(|file| file.file_name()).collect()
}

/// Whether a file of this name is the core, its metadata, or a pack of its frames.
fn is_replaced(name: &OsStr) -> bool {
    let beside =
        [METADATA_FILE, ENCRYPTED_METADATA_FILE, PACK_FILE, ENCRYPTED_PACK_FILE].map(OsStr::new);
    is_in_entry(Path::new(name)) || beside.contains(&name)
}

/// Has one directory have the annotations of the other one, too.
fn carry_annotations(from: &Path, to: &Path) -> io::Result<()> {
    let Ok(files) = fs::read_dir(from.join(annotations::FOLDER)) else { return Ok(()) };
    let to = to.join(annotations::FOLDER);
    create_folders(&to).map_err(io::Error::other)?;
    for file in files.filter_map(Result::ok) {
        match fs::hard_link(file.path(), to.join(file.file_name())) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                fs::copy(file.path(), to.join(file.file_name()))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Has the new directory have what became of the other files of the old one meanwhile: a pin
/// may have come or gone.
fn follow(old: &Path, new: &Path) {
    let file = |path: PathBuf| path.symlink_metadata().ok().map(|file| (file.dev(), file.ino()));
    let kept = others(old);
    for name in others(new).iter().filter(|name| !kept.contains(name)) {
        let _ = fs::remove_file(new.join(name));
    }
    for name in kept {
        if file(old.join(&name)) != file(new.join(&name)) {
            let _ = fs::rename(old.join(&name), new.join(&name));
        }
    }
}

fn is_unsupported(error: &io::Error) -> bool {
    let unsupported = [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP];
    unsupported.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::store::CORE_FILE;

    fn metadata() -> MetadataFiles {
        MetadataFiles::plain(b"{}".to_vec())
    }

    /// An entry with these files, each with its name as contents.
    fn entry(store: &Path, names: &[&str]) -> PathBuf {
        let entry = store.join("web/20260101T000000Z-aaaa0001");
        fs::create_dir_all(&entry).unwrap();
        for name in names {
            fs::write(entry.join(name), name).unwrap();
        }
        entry
    }

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn an_entry_gets_its_new_core_and_keeps_what_else_it_has() {
        let store = tempfile::tempdir().unwrap();
        let files = [CORE_FILE, METADATA_FILE, "report.json", "unpinned", PACK_FILE];
        let entry = entry(store.path(), &files);
        let (rewrite, mut file) = Rewrite::begin(&entry).unwrap();
        file.write_all(b"new").unwrap();
        assert_eq!(read(&entry.join(CORE_FILE)), CORE_FILE);
        assert!(rewrite.staged().to_str().unwrap().ends_with(".incomplete"));
        // It is pinned meanwhile.
        fs::write(entry.join("pinned"), "").unwrap();
        fs::create_dir(entry.join("annotations")).unwrap();
        fs::write(entry.join("annotations/0.json"), "{}").unwrap();
        rewrite.publish(&metadata()).unwrap();
        assert_eq!(
            (read(&entry.join(CORE_FILE)), read(&entry.join(METADATA_FILE))),
            ("new".into(), "{}".into())
        );
        let mut names = others(&entry);
        names.sort();
        assert_eq!(names, ["pinned", "report.json", "unpinned"]);
        assert_eq!(read(&entry.join("annotations/0.json")), "{}");
        assert!(!entry.join(PACK_FILE).exists(), "it is of the old core");
        assert_eq!(fs::read_dir(store.path().join("web")).unwrap().count(), 1);
    }

    #[test]
    fn what_became_of_other_files_during_the_exchange_is_followed() {
        let store = tempfile::tempdir().unwrap();
        let [old, new] = ["old", "new"].map(|name| entry(&store.path().join(name), &[CORE_FILE]));
        for (folder, name) in [(&old, "pinned"), (&new, "unpinned"), (&old, "note"), (&new, "note")]
        {
            fs::write(folder.join(name), folder.to_str().unwrap()).unwrap();
        }
        follow(&old, &new);
        let mut names = others(&new);
        names.sort();
        assert_eq!(names, ["note", "pinned"]);
        assert!(read(&new.join("note")).contains("/old/"));
    }

    #[test]
    fn an_entry_that_was_removed_meanwhile_is_not_made_again() {
        let store = tempfile::tempdir().unwrap();
        let entry = entry(store.path(), &[CORE_FILE, METADATA_FILE]);
        let (rewrite, _file) = Rewrite::begin(&entry).unwrap();
        fs::remove_dir_all(&entry).unwrap();
        assert!(rewrite.publish(&metadata()).is_err());
        assert!(!entry.exists());
        assert!(!store.path().join("web").exists(), "nothing is left");
    }

    #[test]
    fn what_is_given_up_leaves_the_entry_as_it_was() {
        let store = tempfile::tempdir().unwrap();
        let entry = entry(store.path(), &[CORE_FILE, METADATA_FILE]);
        let (rewrite, _file) = Rewrite::begin(&entry).unwrap();
        rewrite.discard();
        assert_eq!(read(&entry.join(CORE_FILE)), CORE_FILE);
        assert_eq!(fs::read_dir(store.path().join("web")).unwrap().count(), 1);
    }

    #[test]
    fn a_file_of_its_own_and_its_metadata_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let core = folder.path().join("core.zst");
        fs::write(&core, "old").unwrap();
        fs::write(folder.path().join("core.zst.json"), "old").unwrap();
        let (rewrite, mut file) = Rewrite::begin(&core).unwrap();
        file.write_all(b"new").unwrap();
        rewrite.publish(&metadata()).unwrap();
        assert_eq!(
            (read(&core), read(&folder.path().join("core.zst.json"))),
            ("new".into(), "{}".into())
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
