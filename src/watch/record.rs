//! What the watcher reports while it runs.
//!
//! Needs: nothing. Gives: records with their fields, as the journal, lines of JSON and lines of
//! text have them. Does not write them (`cli` does).

use std::fmt;
use std::path::Path;

/// How urgent a record is: the priorities of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Something failed.
    Error,
    /// Something is not as it should be.
    Warning,
    /// Something happened that matters: a panic, an entry.
    Notice,
    /// Something happened.
    Info,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// How urgent it is.
    pub level: Level,
    /// What it is, in one word that stays the same.
    pub event: &'static str,
    /// The guest: its name, or what it is watched by.
    pub guest: Option<String>,
    /// What happened.
    pub text: String,
    /// More about it, by names that stay the same.
    pub fields: Vec<(&'static str, String)>,
}

/// Who is given records. Never waits.
pub trait Log: fmt::Debug + Send + Sync {
    /// Takes a record.
    fn record(&self, record: Record);
}

impl Record {
    /// A record of the watcher itself.
    pub(super) fn new(level: Level, event: &'static str, text: impl Into<String>) -> Self {
        Self { level, event, guest: None, text: text.into(), fields: Vec::new() }
    }

    /// The same, of a guest.
    pub(super) fn of(self, guest: &str) -> Self {
        Self { guest: Some(guest.to_owned()), ..self }
    }

    /// The same, with one more field.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// The same, with one more field if there is a value.
    pub(super) fn with_some(self, name: &'static str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// The same, with the entry.
    pub(super) fn with_entry(self, entry: Option<&Path>) -> Self {
        self.with_some("entry", entry.map(|entry| entry.display().to_string()))
    }
}

impl Level {
    /// Its number in the journal.
    pub fn priority(self) -> u8 {
        match self {
            Self::Error => 3,
            Self::Warning => 4,
            Self::Notice => 5,
            Self::Info => 6,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
            Self::Info => "info",
        }
    }
}
