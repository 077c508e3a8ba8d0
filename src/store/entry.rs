//! Finds published entries by what people call them.
//!
//! An entry is named by its path, by its id or the beginning of it, or as
//! `latest` and `latest:GUEST`. What is incomplete is never found.

use std::fs;
use std::path::{Path, PathBuf};

use super::guest_folder::folder_name;
use super::{CORE_FILE, INCOMPLETE, StoreError};

/// A published core, in a store or by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The core's file.
    pub core: PathBuf,
}

impl Entry {
    /// The entry that `wanted` means.
    ///
    /// # Errors
    /// Fails if there is none, or more than one.
    pub fn find(wanted: &str, store: &Path) -> Result<Self, StoreError> {
        let path = Path::new(wanted);
        if path.is_dir() {
            return Ok(Self { core: path.join(CORE_FILE) });
        }
        if path.exists() {
            return Ok(Self { core: path.to_owned() });
        }
        let none = || StoreError::NoEntry { wanted: wanted.to_owned(), store: store.to_owned() };
        let (guest, newest) = match wanted.strip_prefix("latest") {
            Some("") => (None, true),
            Some(rest) => (Some(folder_name(Some(rest.strip_prefix(':').ok_or_else(none)?))), true),
            None => (None, false),
        };
        let mut found: Vec<_> = folders(store, "read the store")?
            .into_iter()
            .filter(|folder| guest.as_deref().is_none_or(|guest| folder.ends_with(guest)))
            .filter_map(|folder| folders(&folder, "read the directory").ok())
            .flatten()
            .filter(|entry| {
                newest
                    || id(entry)
                        .is_some_and(|id| id.starts_with(wanted) || tail(id).starts_with(wanted))
            })
            .collect();
        if newest {
            found.sort_by(|one, other| id(one).cmp(&id(other)));
            found = found.pop().into_iter().collect();
        }
        match found.as_slice() {
            [] => Err(none()),
            [entry] => Ok(Self { core: entry.join(CORE_FILE) }),
            many => Err(StoreError::Ambiguous {
                wanted: wanted.to_owned(),
                found: many.iter().filter_map(|entry| id(entry)).map(str::to_owned).collect(),
                store: store.to_owned(),
            }),
        }
    }
}

/// The directories in `path` that are published.
fn folders(path: &Path, action: &'static str) -> Result<Vec<PathBuf>, StoreError> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|source| StoreError::io(action, path, source))?,
    };
    let names = entries.filter_map(|entry| Some(entry.ok()?.path()));
    Ok(names
        .filter(|path| path.is_dir() && id(path).is_some_and(|id| !id.ends_with(INCOMPLETE)))
        .collect())
}

fn id(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

/// The random part of an id.
fn tail(id: &str) -> &str {
    id.rsplit_once('-').map_or(id, |(_, tail)| tail)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        ] {
            let entry = Entry::find(wanted, store.path()).unwrap();
            assert_eq!(entry.core, store.path().join(expected).join(CORE_FILE), "{wanted}");
        }
    }

    #[test]
    fn what_is_missing_incomplete_or_ambiguous_is_an_error() {
        let store = store();
        for wanted in ["bbbb0004", "latest:mail", "latest:..", "nothing", "latestweb"] {
            let error = Entry::find(wanted, store.path()).unwrap_err();
            assert!(matches!(error, StoreError::NoEntry { .. }), "{wanted}: {error}");
        }
        let error = Entry::find("aaaa", store.path()).unwrap_err();
        assert!(error.to_string().contains("2 entries in"), "{error}");
        assert!(error.to_string().contains("aaaa0001"), "{error}");
    }
}
