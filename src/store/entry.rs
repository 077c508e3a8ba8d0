//! What ENTRY means: the one place that decides it, for every command.
//!
//! ```text
//! path                          the entry in a directory, or a core by itself
//! 20260101T000000Z-aaaa0001     the entry of this id, published or not
//! 2026, aaaa                    the published entry whose id, or its random part, begins so
//! latest, latest:GUEST          the newest published entry, or that of a guest
//! ```
//!
//! What removes an entry takes none but its whole id and its directory ([`whole`]): the
//! beginning of an id may be meant for another entry, and `latest` may have changed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::guest_folder::folder_name;
use super::{INCOMPLETE, StoreError, core_in, entry_without_core, is_in_entry};

/// A core to read, in a store or by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The core's file.
    pub core: PathBuf,
}

impl Entry {
    /// The core that `wanted` means to a command that reads.
    ///
    /// # Errors
    /// Fails if it means none, or more than one.
    pub fn find(wanted: &str, store: &Path) -> Result<Self, StoreError> {
        let path = Path::new(wanted);
        if path.exists() {
            return Ok(Self::at(path));
        }
        Ok(Self { core: core_in(&choose(wanted, entries(store)?, store)?) })
    }

    /// The core at a path: that of its file, or of an entry's directory.
    pub fn at(path: &Path) -> Self {
        let core = if path.is_dir() { core_in(path) } else { path.to_owned() };
        Self { core }
    }

    /// The core's file, for a command that reads it.
    ///
    /// # Errors
    /// Fails if the core was left out, or is elsewhere. One that is missing otherwise is not looked
    /// for.
    pub fn with_core(self) -> Result<PathBuf, StoreError> {
        let Some(metadata) = entry_without_core::read(&self.core) else { return Ok(self.core) };
        let folder = self.core.parent().map(PathBuf::from).unwrap_or_default();
        if let Some(left_out) = metadata.core_left_out {
            return Err(StoreError::CoreLeftOut { folder, left_out });
        }
        match entry_without_core::record(&self.core) {
            Some(record) => Err(StoreError::CoreNotHere { folder, reason: record.to_string() }),
            None => Ok(self.core),
        }
    }
}

/// The directory of the entry, published or not, that `wanted` means by its whole id or its
/// path, and cannot mean otherwise.
///
/// # Errors
/// Fails if it means none, or if it is a name that only reading commands take.
pub fn whole(wanted: &str, store: &Path) -> Result<PathBuf, StoreError> {
    let folders = entries(store)?;
    let path = Path::new(wanted).canonicalize().ok();
    let is_meant = |folder: &&PathBuf| {
        name(folder).is_some_and(|name| name == wanted || id(name) == wanted)
            || (path.is_some() && folder.canonicalize().ok() == path)
    };
    let found: Vec<&PathBuf> = folders.iter().filter(is_meant).collect();
    match found.as_slice() {
        [folder] => Ok((*folder).clone()),
        [] => match Entry::find(wanted, store) {
            Ok(entry) if is_in(&entry.core, &folders) => Err(StoreError::NotWhole {
                wanted: wanted.to_owned(),
                found: entry.core.parent().and_then(name).map(id).unwrap_or(wanted).to_owned(),
            }),
            Err(error @ StoreError::Ambiguous { .. }) => Err(error),
            _ => Err(none(wanted, store)),
        },
        many => Err(ambiguous(wanted, store, many)),
    }
}

/// The directory of the entry that `wanted` means by any of its names, for what destroys
/// nothing.
///
/// # Errors
/// Fails if it means none, or a core that is in no entry of the store.
pub fn folder(wanted: &str, store: &Path) -> Result<PathBuf, StoreError> {
    let core = Entry::find(wanted, store)?.core;
    let found = core.parent().filter(|_| is_in_entry(&core));
    let found = found.and_then(|folder| folder.canonicalize().ok());
    let mut folders = entries(store)?.into_iter();
    let is_meant = |folder: &PathBuf| found.is_some() && folder.canonicalize().ok() == found;
    folders.find(is_meant).ok_or_else(|| none(wanted, store))
}

/// The same, of a published entry; its path is below that of the store.
///
/// # Errors
/// Fails if it means none, or one that is not published.
pub fn published_folder(wanted: &str, store: &Path) -> Result<PathBuf, StoreError> {
    let found = folder(wanted, store)?;
    match name(&found).is_some_and(|name| !name.ends_with(INCOMPLETE)) {
        true => Ok(found),
        false => Err(none(wanted, store)),
    }
}

fn is_in(core: &Path, folders: &[PathBuf]) -> bool {
    core.parent().is_some_and(|parent| folders.iter().any(|folder| folder == parent))
}

/// The directory among those of a store's entries that `wanted` means to a command that reads.
///
/// # Errors
/// Fails if it means none, or more than one.
pub fn choose(wanted: &str, entries: Vec<PathBuf>, store: &Path) -> Result<PathBuf, StoreError> {
    let folder = match wanted.strip_prefix("latest") {
        Some("") => latest(None, entries),
        Some(rest) if rest.starts_with(':') => latest(rest.strip_prefix(':'), entries),
        _ => by_id(wanted, &entries, store)?,
    };
    folder.ok_or_else(|| none(wanted, store))
}

/// The newest published entry of a guest, or of all.
fn latest(guest: Option<&str>, mut found: Vec<PathBuf>) -> Option<PathBuf> {
    let guest = guest.map(|guest| folder_name(Some(guest)));
    found.retain(|folder| name(folder).is_some_and(|name| !name.ends_with(INCOMPLETE)));
    found.retain(|folder| {
        guest.as_deref().is_none_or(|guest| folder.parent().is_some_and(|of| of.ends_with(guest)))
    });
    found.into_iter().max_by(|one, other| name(one).cmp(&name(other)))
}

/// The entry of this whole id, else the published one whose id begins so.
fn by_id(wanted: &str, folders: &[PathBuf], store: &Path) -> Result<Option<PathBuf>, StoreError> {
    if let Some(folder) = folders.iter().find(|folder| name(folder).map(id) == Some(wanted)) {
        return Ok(Some(folder.clone()));
    }
    let begins = |folder: &&PathBuf| {
        name(folder).is_some_and(|name| {
            let fits = name.starts_with(wanted) || random_part(name).starts_with(wanted);
            fits && !name.ends_with(INCOMPLETE)
        })
    };
    let found: Vec<&PathBuf> = match wanted {
        "" => Vec::new(),
        _ => folders.iter().filter(begins).collect(),
    };
    match found.as_slice() {
        [] => Ok(None),
        [folder] => Ok(Some((*folder).clone())),
        many => Err(ambiguous(wanted, store, many)),
    }
}

fn none(wanted: &str, store: &Path) -> StoreError {
    StoreError::NoEntry { wanted: wanted.to_owned(), store: store.to_owned() }
}

fn ambiguous(wanted: &str, store: &Path, found: &[&PathBuf]) -> StoreError {
    let mut found: Vec<_> =
        found.iter().filter_map(|folder| name(folder)).map(str::to_owned).collect();
    found.sort();
    StoreError::Ambiguous { wanted: wanted.to_owned(), found, store: store.to_owned() }
}

/// The directories of all entries of a store, those that are not published included. A guest
/// whose directory cannot be read has none.
fn entries(store: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let guests = folders(store, "read the store")?;
    let of_guests = guests.iter().filter_map(|guest| folders(guest, "read the directory").ok());
    Ok(of_guests.flatten().collect())
}

/// The directories in a directory. One that does not exist has none.
pub(super) fn folders(path: &Path, action: &'static str) -> Result<Vec<PathBuf>, StoreError> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|source| StoreError::io(action, path, source))?,
    };
    let folders = entries.filter_map(Result::ok).filter(|entry| {
        // A link into another place is no entry of this store.
        entry.file_type().is_ok_and(|kind| kind.is_dir())
    });
    Ok(folders.map(|entry| entry.path()).collect())
}

fn name(folder: &Path) -> Option<&str> {
    folder.file_name()?.to_str()
}

/// The id in a directory's name.
fn id(name: &str) -> &str {
    name.strip_suffix(INCOMPLETE).unwrap_or(name)
}

/// The random part of an id.
fn random_part(id: &str) -> &str {
    id.rsplit_once('-').map_or(id, |(_, random)| random)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::CORE_FILE;

    fn store() -> tempfile::TempDir {
        let store = tempfile::tempdir().unwrap();
        for entry in [
            "web/20260101T000000Z-aaaa0001",
            "web/20260103T000000Z-aaaa0002",
            "db/20260102T000000Z-bbbb0003",
            "db/20260104T000000Z-bbbb0004.incomplete",
        ] {
            fs::create_dir_all(store.path().join(entry)).unwrap();
        }
        store
    }

    #[test]
    fn an_entry_is_found_by_any_of_its_names() {
        let store = store();
        for (wanted, expected) in [
            ("20260101T000000Z-aaaa0001", "web/20260101T000000Z-aaaa0001"),
            ("aaaa0002", "web/20260103T000000Z-aaaa0002"),
            ("bb", "db/20260102T000000Z-bbbb0003"),
            ("latest", "web/20260103T000000Z-aaaa0002"),
            ("latest:db", "db/20260102T000000Z-bbbb0003"),
            ("20260104T000000Z-bbbb0004", "db/20260104T000000Z-bbbb0004.incomplete"),
        ] {
            let entry = Entry::find(wanted, store.path()).unwrap();
            assert_eq!(entry.core, store.path().join(expected).join(CORE_FILE), "{wanted}");
        }
    }

    #[test]
    fn what_is_missing_incomplete_or_ambiguous_is_an_error() {
        let store = store();
        for wanted in ["bbbb0004", "latest:mail", "latest:..", "nothing", "latestweb", ""] {
            let error = Entry::find(wanted, store.path()).unwrap_err();
            assert!(matches!(error, StoreError::NoEntry { .. }), "{wanted}: {error}");
        }
        let error = Entry::find("aaaa", store.path()).unwrap_err();
        assert!(error.to_string().contains("2 entries in"), "{error}");
        assert!(error.to_string().contains("aaaa0001"), "{error}");
    }

    #[test]
    fn what_destroys_nothing_takes_any_name_of_an_entry() {
        let store = store();
        let expected = store.path().join("web/20260103T000000Z-aaaa0002");
        for wanted in ["latest", "aaaa0002", expected.to_str().unwrap()] {
            assert_eq!(folder(wanted, store.path()).unwrap(), expected, "{wanted}");
        }
        let file = store.path().join("core");
        fs::write(&file, "core").unwrap();
        for wanted in [file.as_path(), store.path(), &store.path().join("web")] {
            let error = folder(wanted.to_str().unwrap(), store.path()).unwrap_err();
            assert!(matches!(error, StoreError::NoEntry { .. }), "{error}");
        }
    }

    #[test]
    fn what_removes_takes_whole_ids_and_directories_alone() {
        let store = store();
        for (wanted, expected) in [
            ("20260101T000000Z-aaaa0001", "web/20260101T000000Z-aaaa0001"),
            ("20260104T000000Z-bbbb0004", "db/20260104T000000Z-bbbb0004.incomplete"),
            ("20260104T000000Z-bbbb0004.incomplete", "db/20260104T000000Z-bbbb0004.incomplete"),
        ] {
            let expected = store.path().join(expected);
            assert_eq!(whole(wanted, store.path()).unwrap(), expected, "{wanted}");
            assert_eq!(whole(expected.to_str().unwrap(), store.path()).unwrap(), expected);
        }
        for wanted in ["bb", "bbbb0003", "20260102", "latest", "latest:db"] {
            let error = whole(wanted, store.path()).unwrap_err();
            assert!(matches!(error, StoreError::NotWhole { .. }), "{wanted}: {error}");
        }
        for wanted in ["", "..", "bbbb0004", "nothing", store.path().to_str().unwrap()] {
            let error = whole(wanted, store.path()).unwrap_err();
            assert!(matches!(error, StoreError::NoEntry { .. }), "{wanted}: {error}");
        }
        let error = whole("2026", store.path()).unwrap_err();
        assert!(matches!(error, StoreError::Ambiguous { .. }), "{error}");
    }
}
