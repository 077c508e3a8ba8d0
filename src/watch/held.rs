//! What outlives the watcher: which guests stay held after their capture, so that the same panic is
//! not captured twice, and the `on_crash` of domains before it was set.
//!
//! ```text
//! <store>/watch.json    {"schema": "vmcorectl/watch/1",
//!                        "held": [{"guest", "incarnation", "entry"}],
//!                        "set": [{"guest", "incarnation", "on_crash"}]}
//! ```
//!
//! A watcher that is started again finds these guests panicked, as it finds one whose panic no
//! watcher has seen. The file distinguishes them. It has the QEMU, too: another QEMU at the same socket is
//! another guest.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::config::OnCrash;
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
    /// Domains whose `on_crash` was set live, and what it was before.
    set: BTreeMap<String, Set>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Set {
    guest: String,
    incarnation: String,
    on_crash: OnCrash,
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
    #[serde(default)]
    set: Vec<Set>,
}

impl Held {
    /// Reads the file of a store. Without one that can be read, no guest is marked.
    pub(super) fn read(store: &Path) -> Self {
        let bytes = regular_file::read_own(&store.join(FILE), MAX_FILE).unwrap_or_default();
        let file: Option<File> = serde_json::from_slice(&bytes).ok();
        let Some(file) = file.filter(|file| file.schema == SCHEMA) else { return Self::default() };
        Self {
            guests: file.held.into_iter().map(|mark| (mark.guest.clone(), mark)).collect(),
            set: file.set.into_iter().map(|set| (set.guest.clone(), set)).collect(),
        }
    }

    /// Writes the file.
    pub(super) fn write(&self, store: &Path) -> io::Result<()> {
        let held = self.guests.values().cloned().collect();
        let set = self.set.values().cloned().collect();
        let text = serde_json::to_vec_pretty(&File { schema: SCHEMA.to_owned(), held, set })?;
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

    /// What the domain's `on_crash` was before it was set, if it was.
    pub(super) fn on_crash_before(&self, key: &str, incarnation: &str) -> Option<OnCrash> {
        let set = self.set.get(key)?;
        (set.incarnation == incarnation).then_some(set.on_crash)
    }

    /// The domain's `on_crash` is to be set. Says whether that is news.
    pub(super) fn note_on_crash(&mut self, guest: &Guest) -> bool {
        let Some(on_crash) = guest.on_crash else { return false };
        if self.on_crash_before(&guest.key, &guest.incarnation) == Some(on_crash) {
            return false;
        }
        if self.set.len() >= MAX_MARKS {
            self.set.pop_first();
        }
        let (key, incarnation) = (guest.key.clone(), guest.incarnation.clone());
        self.set.insert(key.clone(), Set { guest: key, incarnation, on_crash });
        true
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
        let domain = |run: &str| Guest { on_crash: Some(OnCrash::Restart), ..guest(run) };
        assert!(held.note_on_crash(&domain("a")) && !held.note_on_crash(&domain("a")));
        held.write(store.path()).unwrap();
        let mut held = Held::read(store.path());
        let before = |run| held.on_crash_before("/run/web.qmp", run);
        assert_eq!((before("a"), before("b")), (Some(OnCrash::Restart), None));
        assert!(held.has(&guest("a")) && !held.has(&guest("b")));
        assert!(held.forget("/run/web.qmp") && !held.has(&guest("a")));
        fs::write(store.path().join(FILE), "{").unwrap();
        assert!(Held::read(store.path()).guests.is_empty());
    }
}
