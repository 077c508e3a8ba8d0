//! What people and programs note of a crash: a ticket, an owner.
//!
//! ```text
//! <entry>/annotations/<random>.json      one for each `annotate`, written once
//! ```
//!
//! They are not in the metadata, which is inside the core, too, and never changes. Of each key the
//! newest value counts, and an empty one takes the key away: so any number of hosts may write at
//! the same time, and nothing is overwritten.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use vmcore_formats::text::bounded;

use super::StoreError;
use super::publish::put_new;
use crate::printable::json;
use crate::regular_file;

/// The schema that this version writes.
const SCHEMA: &str = "vmcorectl/annotation/1";
/// The directory in an entry.
pub const FOLDER: &str = "annotations";
/// The longest annotation that is read, in bytes.
pub const MAX_ANNOTATION: u64 = 64 << 10;
/// The most annotations of an entry that are read.
pub const MAX_FILES: usize = 1024;
/// The most keys of an entry, and of one annotation.
const MAX_KEYS: usize = 64;
/// The longest key and the longest value, in bytes.
const MAX_KEY: usize = 64;
const MAX_VALUE: usize = 512;

/// What was noted at one time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Annotation {
    schema: String,
    /// When.
    pub time: Timestamp,
    /// Values by their keys. An empty one takes the key away.
    values: BTreeMap<String, String>,
}

/// Why a text is no annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnnotationError {
    /// It is not `key=value`.
    #[error("it is not key=value")]
    NoValue,
    /// The key has other characters, or too many.
    #[error("a key has 1 to {MAX_KEY} letters, digits and ._-")]
    Key,
    /// The value is too long, or has control characters.
    #[error("a value has no control characters, and {MAX_VALUE} bytes at most")]
    Value,
    /// There are too many.
    #[error("there are more than {MAX_KEYS} keys")]
    Many,
}

impl Annotation {
    /// What is noted now by these texts: `key=value`.
    ///
    /// # Errors
    /// Fails with the text that is none.
    pub fn new(texts: &[String], time: Timestamp) -> Result<Self, (&str, AnnotationError)> {
        let mut values = BTreeMap::new();
        for text in texts {
            let error = |error| (text.as_str(), error);
            let (key, value) =
                text.split_once('=').ok_or_else(|| error(AnnotationError::NoValue))?;
            if !is_key(key) {
                return Err(error(AnnotationError::Key));
            }
            if value.len() > MAX_VALUE || value.chars().any(char::is_control) {
                return Err(error(AnnotationError::Value));
            }
            values.insert(key.to_owned(), value.to_owned());
            if values.len() > MAX_KEYS {
                return Err(error(AnnotationError::Many));
            }
        }
        Ok(Self { schema: SCHEMA.to_owned(), time, values })
    }

    /// The annotation in an object; `None` if it is none of this schema. What is too long in it is
    /// cut, and what is no key is left out.
    pub fn parse(json: &[u8]) -> Option<Self> {
        let mut found: Self = serde_json::from_slice(json).ok()?;
        let own = found.schema == SCHEMA;
        found.values.retain(|key, _| is_key(key));
        for value in found.values.values_mut() {
            *value = bounded(value, MAX_VALUE);
        }
        own.then_some(found)
    }

    /// The annotation as an object has it.
    pub fn to_json(&self) -> Vec<u8> {
        let mut text = Vec::new();
        // A value made of strings cannot fail to serialise.
        let _ = json::line(self, &mut text);
        text
    }

    /// Writes it into an entry's directory.
    ///
    /// # Errors
    /// Fails if the system refuses.
    pub fn write(&self, folder: &Path, random: &str) -> Result<(), StoreError> {
        let path = folder.join(FOLDER).join(format!("{random}.json"));
        match put_new(&path, |file| file.write_all(&self.to_json()))? {
            true => Ok(()),
            false => Err(StoreError::Exists { path }),
        }
    }
}

/// A key, whose characters are those of file names everywhere.
fn is_key(key: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(plain)
}

/// All that was noted of an entry: of each key, the newest value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotations {
    values: BTreeMap<String, (Timestamp, String)>,
}

impl Annotations {
    /// Those in an entry's directory. What cannot be read is left out.
    pub fn read(folder: &Path) -> Self {
        let mut found = Self::default();
        let Ok(files) = fs::read_dir(folder.join(FOLDER)) else { return found };
        for file in files.filter_map(Result::ok).take(MAX_FILES) {
            let is_json = file
                .file_name()
                .to_str()
                .is_some_and(|name| name.ends_with(".json") && !name.starts_with('.'));
            let text = is_json.then(|| regular_file::read_own(&file.path(), MAX_ANNOTATION));
            if let Some(annotation) = text.and_then(|text| Annotation::parse(&text.ok()?)) {
                found.add(annotation);
            }
        }
        found
    }

    /// Adds what was noted at another time: earlier or later.
    pub fn add(&mut self, annotation: Annotation) {
        for (key, value) in annotation.values {
            let new = (annotation.time, value);
            let has_room = self.values.len() < MAX_KEYS;
            match self.values.get_mut(&key) {
                // Of two of the same time, any order will do that all readers have.
                Some(newest) if *newest < new => *newest = new,
                None if has_room => drop(self.values.insert(key, new)),
                Some(_) | None => {}
            }
        }
    }

    /// The values, by their keys.
    pub fn values(&self) -> BTreeMap<&str, &str> {
        let values = self.values.iter().map(|(key, (_, value))| (key.as_str(), value.as_str()));
        values.filter(|(_, value)| !value.is_empty()).collect()
    }
}

impl Serialize for Annotations {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.values().serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotation(second: i64, texts: &[&str]) -> Annotation {
        let texts: Vec<_> = texts.iter().map(|text| (*text).to_owned()).collect();
        Annotation::new(&texts, Timestamp::from_second(second).unwrap()).unwrap()
    }

    #[test]
    fn the_newest_value_of_a_key_counts_and_an_empty_one_takes_it_away() {
        let entry = tempfile::tempdir().unwrap();
        for (second, random, texts) in [
            (3, "a", vec!["ticket=B", "owner="]),
            (1, "b", vec!["ticket=A", "owner=me", "seen=1"]),
            (2, "c", vec!["ticket=C=d"]),
        ] {
            annotation(second, &texts).write(entry.path(), random).unwrap();
        }
        let again = annotation(4, &["ticket=X"]).write(entry.path(), "a");
        assert!(matches!(again, Err(StoreError::Exists { .. })));
        let read = Annotations::read(entry.path());
        assert_eq!(read.values(), BTreeMap::from([("ticket", "B"), ("seen", "1")]));
    }

    #[test]
    fn what_is_typed_is_checked_and_what_is_read_is_bounded() {
        let long = format!("k={}", "v".repeat(MAX_VALUE + 1));
        for (text, error) in [
            ("ticket", AnnotationError::NoValue),
            ("=x", AnnotationError::Key),
            ("a b=x", AnnotationError::Key),
            ("../a=x", AnnotationError::Key),
            ("a=\u{1b}[31m", AnnotationError::Value),
            (&long, AnnotationError::Value),
        ] {
            let texts = [text.to_owned()];
            assert_eq!(Annotation::new(&texts, Timestamp::UNIX_EPOCH), Err((text, error)));
        }
        let json = format!(
            r#"{{"schema": "vmcorectl/annotation/1", "time": "2026-01-01T00:00:00Z",
            "values": {{"../x": "1", "a": "{}"}}}}"#,
            "v".repeat(9999)
        );
        let mut read = Annotations::default();
        read.add(Annotation::parse(json.as_bytes()).unwrap());
        assert_eq!(read.values().keys().collect::<Vec<_>>(), [&"a"]);
        assert!(read.values()["a"].len() <= MAX_VALUE);
        assert_eq!(Annotation::parse(b"{}"), None);
    }
}
