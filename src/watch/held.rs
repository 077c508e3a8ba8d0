//! Which guests stay held after their capture: the same panic is not captured twice.
//!
//! ```text
//! <store>/watch.json    {"schema": "vmcorectl/watch/1", "held": [{"guest", "incarnation", "entry"}]}
//! ```
//!
//! A watcher that is started again finds these guests panicked, as it finds one whose panic nobody
//! has seen. The file distinguishes them. It has the QEMU, too: another QEMU at the same socket is
//! another guest.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::guest::Guest;
use crate::regular_file;

const FILE: &str = "watch.json";
const SCHEMA: &str = "vmcorectl/watch/1";
/// The longest file that is read, in bytes.
const MAX_FILE: u64 = 16 << 20;
/// The most guests that are marked.
const MAX_MARKS: usize = 10_000;

/// The guests that stay held.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    guests: BTreeMap<String, Mark>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Mark {
    guest: String,
    incarnation: String,
    entry: Option<PathBuf>,
}

#[derive(Debug, Serialize, Deserialize)]
struct File {
    schema: String,
    held: Vec<Mark>,
}

impl Held {
    /// Reads the file of a store. Without one that can be read, no guest is marked.
    pub(super) fn read(store: &Path) -> Self {
        let bytes = regular_file::read_own(&store.join(FILE), MAX_FILE).unwrap_or_default();
        let file: Option<File> = serde_json::from_slice(&bytes).ok();
        let marks = file.filter(|file| file.schema == SCHEMA).map(|file| file.held);
        let marks = marks.unwrap_or_default().into_iter();
        Self { guests: marks.map(|mark| (mark.guest.clone(), mark)).collect() }
    }

    /// Writes the file.
    pub(super) fn write(&self, store: &Path) -> io::Result<()> {
        let held = self.guests.values().cloned().collect();
        let text = serde_json::to_vec_pretty(&File { schema: SCHEMA.to_owned(), held })?;
        fs::create_dir_all(store)?;
        let new = store.join(format!("{FILE}.new"));
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        io::Write::write_all(&mut options.open(&new)?, &text)?;
        fs::rename(new, store.join(FILE))
    }

    /// The guest stays held after this entry.
    pub(super) fn mark(&mut self, guest: &Guest, entry: Option<&Path>) {
        let mark = Mark {
            guest: guest.key.clone(),
            incarnation: guest.incarnation.clone(),
            entry: entry.map(Path::to_owned),
        };
        // Guests that are gone for good keep their mark.
        if self.guests.len() >= MAX_MARKS {
            self.guests.pop_first();
        }
        self.guests.insert(guest.key.clone(), mark);
    }

    /// Whether this guest, in this QEMU, stays held.
    pub(super) fn has(&self, guest: &Guest) -> bool {
        let mark = self.guests.get(&guest.key);
        mark.is_some_and(|mark| mark.incarnation == guest.incarnation)
    }

    /// The guest is no longer held. Says whether it was marked.
    pub(super) fn forget(&mut self, key: &str) -> bool {
        self.guests.remove(key).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_outlive_the_process_and_are_of_one_qemu() {
        let store = tempfile::tempdir().unwrap();
        let guest = |incarnation: &str| Guest {
            key: "/run/web.qmp".to_owned(),
            name: Some("web".to_owned()),
            uuid: None,
            on_crash: None,
            incarnation: incarnation.to_owned(),
        };
        let mut held = Held::read(store.path());
        assert!(!held.has(&guest("a")));
        held.mark(&guest("a"), Some(Path::new("/store/web/1")));
        held.write(store.path()).unwrap();
        let mut held = Held::read(store.path());
        assert!(held.has(&guest("a")) && !held.has(&guest("b")));
        assert!(held.forget("/run/web.qmp") && !held.has(&guest("a")));
        fs::write(store.path().join(FILE), "{").unwrap();
        assert!(Held::read(store.path()).guests.is_empty());
    }
}
