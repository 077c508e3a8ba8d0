//! What a bucket has of each entry: the names of its objects, their lengths, and since when.
//!
//! Of an object 40 bytes are kept, and its name below the entry unless all entries have it: about
//! 600 bytes for an entry of five objects.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::metadata::core_record::CORE_RECORD;
use crate::metadata::{ENCRYPTED_CORE_FILE, ENCRYPTED_METADATA_FILE};
use crate::remote::dated::DatedObject;
use crate::store::pin::PIN_FILE;
use crate::store::{
    CORE_FILE, ENCRYPTED_PACK_FILE, ENCRYPTED_REPORT_FILE, METADATA_FILE, PACK_FILE, REPORT_FILE,
};

/// Names that entries have.
const NAMES: [&str; 10] = [
    PACK_FILE,
    REPORT_FILE,
    METADATA_FILE,
    CORE_FILE,
    CORE_RECORD,
    PIN_FILE,
    ENCRYPTED_PACK_FILE,
    ENCRYPTED_REPORT_FILE,
    ENCRYPTED_METADATA_FILE,
    ENCRYPTED_CORE_FILE,
];

/// The objects of entries, by `GUEST/ID`.
pub type StoredEntries = BTreeMap<String, StoredFiles>;

/// The objects of an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredFiles {
    files: Vec<StoredFile>,
}

/// An object of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFile {
    /// Its name below the entry.
    pub name: Cow<'static, str>,
    /// Its length in bytes.
    pub bytes: u64,
    /// How many seconds ago it was written.
    pub age: u64,
}

impl StoredFiles {
    /// All of them, those in directories of the entry included.
    pub fn all(&self) -> &[StoredFile] {
        &self.files
    }

    /// The files of the entry.
    pub fn files(&self) -> impl Iterator<Item = &StoredFile> {
        self.files.iter().filter(|file| !file.name.contains('/'))
    }

    /// The length of a file, if it is there.
    pub fn length(&self, name: &str) -> Option<u64> {
        self.files.iter().find(|file| file.name == name).map(|file| file.bytes)
    }

    /// Whether a file is there.
    pub fn has(&self, name: &str) -> bool {
        self.length(name).is_some()
    }

    fn add(&mut self, name: &str, bytes: u64, age: u64) {
        let name = match NAMES.into_iter().find(|one| *one == name) {
            Some(name) => Cow::Borrowed(name),
            None => Cow::Owned(name.to_owned()),
        };
        let file = StoredFile { name, bytes, age };
        // An entry that changes while it is listed may have an object twice.
        match self.files.iter_mut().find(|one| one.name == file.name) {
            Some(one) => *one = file,
            None => self.files.push(file),
        }
    }
}

/// Adds an object. What is in no directory of an entry is none of an entry's.
pub fn add(entries: &mut StoredEntries, object: &DatedObject) {
    let Some((entry, file)) = split(&object.name) else { return };
    if let Some(files) = entries.get_mut(entry) {
        files.add(file, object.bytes, object.age);
    } else {
        let mut files = StoredFiles::default();
        files.add(file, object.bytes, object.age);
        entries.insert(entry.to_owned(), files);
    }
}

/// The entry of an object, and the rest of its name.
pub(super) fn split(name: &str) -> Option<(&str, &str)> {
    let (guest, rest) = name.split_once('/')?;
    let (id, file) = rest.split_once('/')?;
    let entry = name.get(..guest.len().checked_add(id.len())?.checked_add(1)?)?;
    Some((entry, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_of_the_entry_whose_directory_it_is_in() {
        let mut entries = StoredEntries::new();
        let object = |name: &str, bytes| DatedObject { name: name.to_owned(), bytes, age: 1 };
        for name in ["x", "web/x", "web/1/core.json", "web/1/annotations/a.json", "web/1/pinned"] {
            add(&mut entries, &object(name, 7));
        }
        add(&mut entries, &object("web/1/pinned", 8));
        let files = entries.get("web/1").unwrap();
        assert_eq!((entries.len(), files.all().len(), files.files().count()), (1, 3, 2));
        assert_eq!((files.length("pinned"), files.has("core")), (Some(8), false));
    }
}
