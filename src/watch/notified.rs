//! Which signatures a notification was sent of. It outlives the watcher.
//!
//! ```text
//! <store>/notified.json    {"schema": "vmcorectl/notified/1", "signatures": [oldest, ..., newest]}
//! ```
//!
//! A signature is in it once the command has succeeded: one that failed is tried again with the next
//! crash. A weak signature, or one of unknown strength, makes no two crashes the same, and is never
//! in it.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::regular_file;

const FILE: &str = "notified.json";
const SCHEMA: &str = "vmcorectl/notified/1";
/// The longest file that is read, in bytes.
const MAX_FILE: u64 = 16 << 20;
/// The most signatures. Of more, the oldest are forgotten.
const MAX_SIGNATURES: usize = 10_000;

/// The signatures.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Notified {
    schema: String,
    signatures: Vec<String>,
}

impl Notified {
    /// What the file has. One that cannot be read has none.
    pub(super) fn read(store: &Path) -> Self {
        let bytes = regular_file::read_own(&store.join(FILE), MAX_FILE).unwrap_or_default();
        let file: Option<Self> = serde_json::from_slice(&bytes).ok();
        file.filter(|file| file.schema == SCHEMA).unwrap_or_default()
    }

    /// Whether a notification was sent of this signature.
    pub(super) fn has(&self, signature: &str) -> bool {
        self.signatures.iter().any(|other| other == signature)
    }

    /// Adds a signature, and writes the file.
    pub(super) fn add(mut self, signature: &str, store: &Path) -> io::Result<()> {
        self.signatures.push(signature.to_owned());
        let more = self.signatures.len().saturating_sub(MAX_SIGNATURES);
        self.signatures.drain(..more);
        SCHEMA.clone_into(&mut self.schema);
        let new = store.join(format!("{FILE}.new"));
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        io::Write::write_all(&mut options.open(&new)?, &serde_json::to_vec_pretty(&self)?)?;
        fs::rename(new, store.join(FILE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_there_after_a_restart_and_the_oldest_are_forgotten() {
        let store = tempfile::tempdir().unwrap();
        assert!(!Notified::read(store.path()).has("v1-0"));
        Notified::read(store.path()).add("v1-0", store.path()).unwrap();
        assert!(Notified::read(store.path()).has("v1-0"));
        let many = (0..MAX_SIGNATURES).map(|number| format!("v2-{number}")).collect();
        let full = Notified { signatures: many, ..Notified::default() };
        full.add("v3-0", store.path()).unwrap();
        let read = Notified::read(store.path());
        assert!(read.has("v3-0") && !read.has("v2-0") && read.has("v2-1"));
        fs::write(store.path().join(FILE), "{").unwrap();
        assert!(!Notified::read(store.path()).has("v3-0"));
    }
}
