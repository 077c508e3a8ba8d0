//! An entry on its way to an address: how far it is, and when it is tried again.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::files::Stamp;
use crate::metadata::core_record::SentFile;

const SCHEMA: &str = "vmcorectl/push/1";
/// How long after the first failure it is tried again. Each further one doubles that.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// The entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    schema: String,
    /// The entry's directory below the store: `GUEST/ID`.
    pub entry: String,
    /// The address, without secrets.
    pub to: String,
    /// When it was queued.
    pub queued: Timestamp,
    /// How often it has failed since.
    pub attempts: u32,
    /// When it is tried again; `null` for at once.
    pub next: Option<Timestamp>,
    /// Why it failed last.
    pub last_error: Option<String>,
    /// Whether the entry is listed there.
    pub listed: bool,
    /// The small files that this push has created there under their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, SentFile>,
    /// The core that is sent.
    pub upload: Option<Upload>,
    /// What was pushed.
    pub pushed: Option<Pushed>,
}

/// An upload in parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// The name of the core there.
    pub key: String,
    /// What the server calls the upload; `null` if it was not begun.
    pub id: Option<String>,
    /// The core's file.
    pub file: Stamp,
    /// How many bytes a part has.
    pub part_bytes: u64,
    /// The id of each part that the server has.
    pub parts: Vec<Option<String>>,
}

/// What was pushed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pushed {
    /// When that was confirmed.
    pub at: Timestamp,
    /// The name of the core there; `null` if the entry has none.
    pub key: Option<String>,
    /// The core's length in bytes.
    pub bytes: u64,
    /// Whether the core there was read, and its SHA-256 compared.
    #[serde(default)]
    pub read_back: bool,
    /// When the core on this machine was removed.
    pub core_removed: Option<Timestamp>,
}

impl Pushed {
    /// Of an entry whose core was not sent.
    pub fn without_core(at: Timestamp) -> Self {
        Self { at, key: None, bytes: 0, read_back: false, core_removed: None }
    }
}

/// Where an entry is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is there.
    Pushed,
    /// It is to be sent.
    Queued,
    /// It has failed, and is tried again.
    Failed,
}

impl State {
    /// Its name, as it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pushed => "pushed",
            Self::Queued => "queued",
            Self::Failed => "failed",
        }
    }
}

impl Item {
    /// An entry that is to be pushed.
    pub fn new(entry: &str, to: &str) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            entry: entry.to_owned(),
            to: to.to_owned(),
            queued: Timestamp::now(),
            attempts: 0,
            next: None,
            last_error: None,
            listed: false,
            files: BTreeMap::new(),
            upload: None,
            pushed: None,
        }
    }

    /// Whether a file of this schema has it.
    pub(super) fn is_of_this_schema(&self) -> bool {
        self.schema == SCHEMA
    }

    /// Where it is.
    pub fn state(&self) -> State {
        match (&self.pushed, &self.last_error) {
            (Some(_), _) => State::Pushed,
            (None, None) => State::Queued,
            (None, Some(_)) => State::Failed,
        }
    }

    /// Whether it is to be tried now.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.pushed.is_none() && self.next.is_none_or(|next| next <= now)
    }

    /// It failed: it is tried again later, and later each time. Hosts that failed at the same time
    /// do not come back at the same time.
    pub fn fail(&mut self, error: String, now: Timestamp) {
        self.attempts = self.attempts.saturating_add(1);
        let doublings = self.attempts.saturating_sub(1).min(16);
        let pause = FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
        let spread = self
            .entry
            .bytes()
            .fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        let pause = pause + pause / 400 * (spread % 100);
        let pause = SignedDuration::try_from(pause).unwrap_or_default();
        self.next = now.checked_add(pause).ok();
        self.last_error = Some(error);
    }

    /// It is there.
    pub fn succeed(&mut self, pushed: Pushed) {
        self.pushed = Some(pushed);
        (self.next, self.last_error, self.upload) = (None, None, None);
    }

    /// How much of the core the server has, and all of it; `None` before any of it is sent.
    pub fn progress(&self) -> Option<(u64, u64)> {
        let upload = self.upload.as_ref()?;
        let done = upload.parts.iter().flatten().count() as u64;
        Some((done.saturating_mul(upload.part_bytes).min(upload.file.bytes), upload.file.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour_and_a_quarter() {
        let mut item = Item::new("web/20260101T000000Z-aaaa0001", "s3://b/a");
        let now = Timestamp::now();
        let mut last = SignedDuration::ZERO;
        assert!(item.is_due(now));
        for attempt in 1..100 {
            item.fail("x".to_owned(), now);
            assert!(!item.is_due(now) && item.attempts == attempt);
            let pause = item.next.unwrap().duration_since(now);
            assert!(pause >= last && pause <= SignedDuration::from_mins(75), "{pause}");
            last = pause;
        }
        assert!(last >= SignedDuration::from_hours(1));
        assert_eq!(item.state(), State::Failed);
        assert!(item.is_due(now + SignedDuration::from_hours(2)));
        item.succeed(Pushed::without_core(now));
        assert_eq!((item.state(), item.is_due(Timestamp::MAX)), (State::Pushed, false));
    }
}
