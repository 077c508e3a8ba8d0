//! The queue on disk: one file for each entry and address, in a directory of the store.
//!
//! ```text
//! <store>/.push/<id>-<hash of entry and address>.json     replaced by rename, on disk before
//! <store>/.push/<id>-<hash of entry and address>.lock     locked by the process that pushes
//! ```
//!
//! It is not the entry's: what is sent can be found out again, and costs no more than to send it
//! anew. A file that cannot be read is that of an entry that was never tried.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};

use super::BucketError;
use super::item::Item;
use crate::regular_file;

/// Where the queue is, below the store. A directory without directories is that of no guest.
const FOLDER: &str = ".push";
/// The longest file, in bytes: that of an upload of 10,000 parts.
const MAX_FILE: u64 = 8 << 20;

/// The queue of a store.
#[derive(Debug)]
pub struct Queue {
    folder: PathBuf,
}

/// An item that no other process pushes as long as this is there.
#[derive(Debug)]
pub struct Held {
    /// The item. What is changed is kept by [`Self::save`].
    pub item: Item,
    path: PathBuf,
    _lock: File,
}

impl Queue {
    /// That of a store's directory. It need not exist.
    pub fn of(store: &Path) -> Self {
        Self { folder: store.join(FOLDER) }
    }

    /// All items, by their entries. Files that cannot be read are left out.
    ///
    /// # Errors
    /// Fails if the directory is there and cannot be read.
    pub fn items(&self) -> Result<Vec<Item>, BucketError> {
        let files = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            found => found.map_err(|source| BucketError::io("read", &self.folder, source))?,
        };
        let paths = files.filter_map(Result::ok).map(|file| file.path());
        let paths = paths.filter(|path| path.extension().is_some_and(|end| end == "json"));
        let mut items: Vec<Item> = paths.filter_map(|path| read(&path)).collect();
        items.sort_by(|one, other| (&one.entry, &one.to).cmp(&(&other.entry, &other.to)));
        Ok(items)
    }

    /// Takes an entry of this name (`GUEST/ID`) for an address; `None` while another process
    /// pushes it there.
    ///
    /// # Errors
    /// Fails if the system refuses.
    pub fn hold(&self, entry: &str, to: &str) -> Result<Option<Held>, BucketError> {
        let mut made = DirBuilder::new();
        let made = made.recursive(true).mode(0o700).create(&self.folder);
        made.map_err(|source| BucketError::io("create the directory", &self.folder, source))?;
        let path = self.folder.join(file_name(entry, to));
        let lock_path = path.with_extension("lock");
        let mut options = File::options();
        let lock = options.create(true).truncate(false).write(true).mode(0o600).open(&lock_path);
        let lock = lock.map_err(|source| BucketError::io("create", &lock_path, source))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(BucketError::io("lock", lock_path, error.into())),
        }
        let item = read(&path).filter(|item| item.entry == entry && item.to == to);
        Ok(Some(Held { item: item.unwrap_or_else(|| Item::new(entry, to)), path, _lock: lock }))
    }

    /// Forgets items whose entries are gone from the store. What is sent of them is left to the
    /// bucket's rule for uploads that were not finished.
    pub fn forget(&self, is_gone: impl Fn(&Item) -> bool) {
        for item in self.items().unwrap_or_default() {
            if is_gone(&item)
                && let Ok(Some(held)) = self.hold(&item.entry, &item.to)
            {
                let _ = fs::remove_file(&held.path);
                let _ = fs::remove_file(held.path.with_extension("lock"));
            }
        }
    }
}

impl Held {
    /// Writes what has changed to disk.
    ///
    /// # Errors
    /// Fails if the system refuses. The file is then as it was.
    pub fn save(&self) -> Result<(), BucketError> {
        let mut json = Vec::new();
        let _ = crate::printable::json::pretty(&self.item, &mut json);
        let new = self.path.with_extension("new");
        let write = || {
            let mut options = File::options();
            let options = options.create(true).truncate(true).write(true).mode(0o600);
            let mut file = options.open(&new)?;
            file.write_all(&json)?;
            file.sync_data()?;
            fs::rename(&new, &self.path)
        };
        write().map_err(|source| BucketError::io("write", &self.path, source))
    }
}

fn read(path: &Path) -> Option<Item> {
    let item: Item = serde_json::from_slice(&regular_file::read_own(path, MAX_FILE).ok()?).ok()?;
    item.is_of_this_schema().then_some(item)
}

fn file_name(entry: &str, to: &str) -> String {
    let id = entry.rsplit_once('/').map_or(entry, |(_, id)| id);
    let mut name = format!("{id}-");
    for byte in Sha256::digest(format!("{to}\0{entry}")).iter().take(8) {
        let _ = write!(name, "{byte:02x}");
    }
    name.push_str(".json");
    name
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::store::listing::list;

    const ENTRY: &str = "web/20260101T000000Z-aaaa0001";

    #[test]
    fn an_item_is_kept_for_its_owner_and_is_no_entry_of_the_store() {
        let store = tempfile::tempdir().unwrap();
        let queue = Queue::of(store.path());
        assert_eq!(queue.items().unwrap(), []);
        let mut held = queue.hold(ENTRY, "s3://b").unwrap().unwrap();
        held.item.listed = true;
        held.save().unwrap();
        let item = held.item.clone();
        assert!(queue.hold(ENTRY, "s3://b").unwrap().is_none(), "it is held twice");
        assert!(!queue.hold(ENTRY, "s3://c").unwrap().unwrap().item.listed);
        drop(held);
        assert_eq!(queue.hold(ENTRY, "s3://b").unwrap().unwrap().item, item);
        assert_eq!(queue.items().unwrap(), [item]);
        assert!(list(store.path()).unwrap().0.is_empty());
        for file in fs::read_dir(store.path().join(FOLDER)).unwrap() {
            assert_eq!(file.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        queue.forget(|_| true);
        assert_eq!(queue.items().unwrap(), []);
    }

    #[test]
    fn a_file_that_was_cut_off_is_an_entry_that_was_never_tried() {
        let store = tempfile::tempdir().unwrap();
        let queue = Queue::of(store.path());
        let held = queue.hold(ENTRY, "s3://b").unwrap().unwrap();
        held.save().unwrap();
        let path = held.path.clone();
        drop(held);
        for text in ["", "{\"schema\": \"vmcorectl/push/1\"", "{}"] {
            fs::write(&path, text).unwrap();
            assert_eq!(queue.items().unwrap(), []);
            assert_eq!(queue.hold(ENTRY, "s3://b").unwrap().unwrap().item.attempts, 0);
        }
    }
}
