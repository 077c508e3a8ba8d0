//! `core.json`: where the core of a pushed entry is, and what it and the entry's other files are to be.
//!
//! It is created last, under its fixed name: of several hosts that push the same entry, one wins.
//! The core has a name that no other push uses, so that nobody overwrites what is published. A small
//! file has its plain name, or, if another host has created another one under that, a name of its
//! own as the core has. An entry without a core has a record, too.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::printable;

/// Name of the record in an entry.
pub const CORE_RECORD: &str = "core.json";
/// The longest record, in bytes.
pub const MAX_RECORD: u64 = 64 << 10;
/// What the name of a pushed core begins with.
pub const CORE_PREFIX: &str = "core-";
/// What the name of a small file begins with whose plain name another host has taken.
pub const OTHER_PREFIX: &str = "other-";
/// The schema that this version writes.
const SCHEMA: &str = "vmcorectl/core/1";

/// The record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoreRecord {
    /// Always `vmcorectl/core/1`.
    pub schema: String,
    /// Name of the core, beside the record. `null` once the core was removed, and if the entry has
    /// none.
    pub key: Option<String>,
    /// Its length in bytes.
    pub bytes: u64,
    /// SHA-256 of its file; `null` if it was copied there by other tools.
    pub sha256: Option<String>,
    /// When it was there as a whole.
    pub pushed: Timestamp,
    /// The host that pushed it.
    pub host: Option<String>,
    /// The small files that were pushed with the core, by their names: the pack, the report, the
    /// metadata.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, SentFile>,
    /// In an entry on another machine: the address of the entry that has the core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// When the core was removed, by `prune`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Timestamp>,
}

/// A file that was pushed as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentFile {
    /// Its length in bytes.
    pub bytes: u64,
    /// SHA-256 of it.
    pub sha256: String,
    /// The name of its object, where that is not the file's: another host's file has that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl SentFile {
    /// That of a file with these bytes, under its own name.
    pub fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.len() as u64, sha256: hex(&Sha256::digest(bytes)), key: None }
    }

    /// Whether these are its bytes.
    pub fn has(&self, bytes: &[u8]) -> bool {
        let Self { bytes: length, sha256, .. } = Self::of(bytes);
        (length, sha256) == (self.bytes, self.sha256.clone())
    }
}

/// Bytes as a text of hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl CoreRecord {
    /// The record of a core that was just uploaded.
    pub fn new(key: String, bytes: u64, sha256: String, host: Option<String>) -> Self {
        let schema = SCHEMA.to_owned();
        let (pushed, at, removed) = (Timestamp::now(), None, None);
        let (key, sha256, files) = (Some(key), Some(sha256), BTreeMap::new());
        Self { schema, key, bytes, sha256, pushed, host, files, at, removed }
    }

    /// The record of an entry that has no core: none was written, or it was lost.
    pub fn without_core(host: Option<String>) -> Self {
        Self { key: None, sha256: None, ..Self::new(String::new(), 0, String::new(), host) }
    }

    /// Whether the entry never has a core.
    pub fn has_no_core(&self) -> bool {
        self.key.is_none() && self.removed.is_none() && self.at.is_none()
    }

    /// The name of the object of a small file; `None` if the entry has none of this name.
    pub fn object_of<'a>(&'a self, file: &'a str) -> Option<&'a str> {
        match self.files.get(file) {
            Some(sent) => Some(sent.key.as_deref().unwrap_or(file)),
            // A record without them has no hashes: every file in the directory is the entry's.
            None => self.files.is_empty().then_some(file),
        }
    }

    /// Whether it names this object.
    pub fn names(&self, object: &str) -> bool {
        let others = self.files.values().map(|file| &file.key);
        others.chain([&self.key]).any(|key| key.as_deref() == Some(object))
    }

    /// The record of a core that is to be removed; `None` for one that has none, as other tools
    /// copied it.
    pub fn of_removed(record: Option<Self>, bytes: u64) -> Self {
        let without =
            || Self { sha256: None, ..Self::new(String::new(), bytes, String::new(), None) };
        let record = record.unwrap_or_else(without);
        Self { key: None, removed: Some(Timestamp::now()), ..record }
    }

    /// Reads a record; the names in it lead to no other entry.
    ///
    /// # Errors
    /// Fails with what a message says.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let record: Self = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if record.schema != SCHEMA {
            return Err(format!("it is of the schema {:?}", record.schema));
        }
        if let Some(key) = record.key.as_ref().filter(|key| !is_core(key)) {
            return Err(format!("{key:?} is no name of a core"));
        }
        let mut others = record.files.values().filter_map(|file| file.key.as_ref());
        match others.find(|key| !is_other(key)) {
            Some(key) => Err(format!("{key:?} is no name of a file")),
            None => Ok(record),
        }
    }

    /// The JSON text.
    pub fn to_json(&self) -> Vec<u8> {
        // A value made of strings and numbers cannot fail to serialise.
        let mut json = Vec::new();
        let _ = printable::json::pretty(self, &mut json);
        json
    }
}

impl fmt::Display for CoreRecord {
    /// Where the core is, or why it is nowhere.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.removed, &self.at) {
            (Some(removed), _) => write!(f, "it was removed on {}", removed.strftime("%Y-%m-%d")),
            (None, Some(at)) => write!(f, "it is in {at}"),
            (None, None) if self.has_no_core() => f.write_str("there is none"),
            (None, None) => f.write_str("it is in object storage"),
        }
    }
}

/// Whether a name may be that of a pushed core.
pub fn is_core(name: &str) -> bool {
    name.starts_with(CORE_PREFIX) && name != CORE_RECORD && is_plain(name)
}

/// Whether a name may be that of a small file whose plain name another host has taken.
pub fn is_other(name: &str) -> bool {
    name.starts_with(OTHER_PREFIX) && is_plain(name)
}

fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_names_a_core_beside_it() {
        let record = CoreRecord::new("core-1.elf.zst".to_owned(), 1, "a".to_owned(), None);
        assert_eq!(CoreRecord::parse(&record.to_json()), Ok(record.clone()));
        for key in ["../core-1.elf.zst", "core-/../x", "report.json", "core.json", ""] {
            let record = CoreRecord { key: Some(key.to_owned()), ..record.clone() };
            assert!(CoreRecord::parse(&record.to_json()).is_err(), "{key}");
        }
        for key in ["../other-1-report.json", "other-/../x", "report.json", "core-1", ""] {
            let file = SentFile { key: Some(key.to_owned()), ..SentFile::of(b"x") };
            let files = BTreeMap::from([("report.json".to_owned(), file)]);
            let record = CoreRecord { files, ..record.clone() };
            assert!(CoreRecord::parse(&record.to_json()).is_err(), "{key}");
        }
        let removed = CoreRecord { key: None, removed: Some(Timestamp::now()), ..record };
        assert_eq!(CoreRecord::parse(&removed.to_json()), Ok(removed));
    }

    #[test]
    fn a_record_with_files_names_all_that_the_entry_has() {
        let mut record = CoreRecord::without_core(None);
        assert_eq!(record.object_of("triage.zst"), Some("triage.zst"));
        let other = SentFile { key: Some("other-1-a".to_owned()), ..SentFile::of(b"x") };
        record.files.insert("a".to_owned(), other);
        record.files.insert("b".to_owned(), SentFile::of(b"y"));
        let names = ["a", "b", "triage.zst"].map(|name| record.object_of(name));
        assert_eq!(names, [Some("other-1-a"), Some("b"), None]);
        assert_eq!(CoreRecord::parse(&record.to_json()), Ok(record.clone()));
        assert_eq!(record.to_string(), "there is none");
    }
}
