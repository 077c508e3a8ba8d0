//! A table in a store's directory.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::layout::{self, INDEX};
use super::objects::{Objects, TableError};
use crate::regular_file;
use crate::store::publish::put_new;

/// The table.
#[derive(Clone, Debug)]
pub struct Folder {
    store: PathBuf,
}

impl Folder {
    /// The table of this store. It need not exist.
    pub fn new(store: &Path) -> Self {
        Self { store: store.to_owned() }
    }
}

impl Objects for Folder {
    fn list(&self, kind: &str) -> Result<Vec<(String, u64)>, TableError> {
        let mut found = Vec::new();
        for day in names(&self.store.join(INDEX).join(kind))? {
            let folder = format!("{INDEX}/{kind}/{day}");
            for file in names(&self.store.join(&folder))? {
                let name = format!("{folder}/{file}");
                let length = fs::symlink_metadata(self.store.join(&name));
                // It may be gone meanwhile.
                if let (Some(_), Ok(file)) = (layout::parse(&name), length) {
                    found.push((name, file.len()));
                }
            }
        }
        Ok(found)
    }

    fn get(&self, name: &str, most: u64) -> Result<Option<Vec<u8>>, TableError> {
        let path = self.store.join(name);
        match regular_file::read_own(&path, most) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(TableError::Io { action: "read", path, source }),
            Ok(bytes) => Ok(Some(bytes)),
        }
    }

    fn put_new(&self, name: &str, bytes: Vec<u8>) -> Result<bool, TableError> {
        Ok(put_new(&self.store.join(name), |file| file.write_all(&bytes))?)
    }

    fn delete(&self, name: &str) -> Result<(), TableError> {
        let path = self.store.join(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != ErrorKind::NotFound => {
                Err(TableError::Io { action: "remove", path, source })
            }
            _ => Ok(()),
        }
    }
}

/// The names in a directory. One that does not exist has none.
fn names(path: &Path) -> Result<Vec<String>, TableError> {
    let entries = match fs::read_dir(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        other => other.map_err(|source| TableError::Io {
            action: "read the directory",
            path: path.to_owned(),
            source,
        })?,
    };
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}
