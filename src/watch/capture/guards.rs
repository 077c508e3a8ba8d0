//! Guards that look at the store: what it has of this guest, and of this signature.
//!
//! The store is what is counted, and not what this process remembers: a watcher that was started
//! again decides as before.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::super::config::CrashLoop;
use crate::store::listing;
use crate::units;

/// How long the store's disk may take. A guest waits; without an answer, its core is captured.
const DISK_LIMIT: Duration = Duration::from_secs(5);

/// What a report has of a crash's identity.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Signature {
    #[serde(default)]
    signature: Option<String>,
    #[serde(default)]
    weak: Option<bool>,
}

impl Signature {
    /// The signature, if crashes that have it are the same.
    pub(super) fn strong(self) -> Option<String> {
        self.signature.filter(|_| self.weak == Some(false))
    }
}

/// Whether a guest that panics now is in a crash loop.
pub(super) fn by_crash_loop(limit: CrashLoop, folder: PathBuf) -> Option<String> {
    in_time(move || crash_loop(limit, &folder))
}

/// Why no more cores of a signature are stored.
pub(super) fn by_signature(most: usize, store: &Path, signature: &str) -> Option<String> {
    let (store, wanted) = (store.to_owned(), signature.to_owned());
    let count = in_time(move || {
        let (entries, _) = listing::list(&store).ok()?;
        let same = entries.iter().filter(|entry| {
            let report = entry.report.as_ref();
            entry.published
                && entry.core_bytes.is_some()
                && report.and_then(|report| report.signature.as_deref()) == Some(wanted.as_str())
        });
        Some(same.count())
    })?;
    let cores = if count == 1 { "core" } else { "cores" };
    (count >= most).then(|| format!("the store has {count} {cores} of its signature {signature}"))
}

/// Whether a guest has panicked too often, this time included.
fn crash_loop(limit: CrashLoop, folder: &Path) -> Option<String> {
    let since = Timestamp::now().checked_sub(SignedDuration::try_from(limit.within).ok()?).ok()?;
    let entries = std::fs::read_dir(folder).ok()?.filter_map(Result::ok);
    let recent = entries.filter(|entry| {
        let name = entry.file_name();
        let time = name.to_str().and_then(listing::time_of);
        time.is_some_and(|time| time >= since)
    });
    let count = recent.take(limit.panics).count().saturating_add(1);
    let within = units::span(limit.within.as_secs_f64());
    (count >= limit.panics.max(2))
        .then(|| format!("the guest is in a crash loop: {count} panics or more in {within}"))
}

/// Does `work` on a thread, and gives up when the disk does.
fn in_time<T: Send + 'static>(work: impl FnOnce() -> Option<T> + Send + 'static) -> Option<T> {
    let (sender, result) = mpsc::channel();
    let thread = thread::Builder::new().name("guards".to_owned());
    let started = thread.spawn(move || drop(sender.send(work())));
    started.ok()?;
    result.recv_timeout(DISK_LIMIT).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recent_entries_of_a_guest_count_as_its_panics() {
        let store = tempfile::tempdir().unwrap();
        let limit = CrashLoop { panics: 3, within: Duration::from_hours(1) };
        let now = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        assert_eq!(crash_loop(limit, &store.path().join("none")), None);
        for (name, loops) in [
            (format!("{now}-aaaa0001"), false),
            ("20200101T000000Z-aaaa0002".to_owned(), false),
            ("notes".to_owned(), false),
            (format!("{now}-aaaa0003"), true),
        ] {
            std::fs::create_dir(store.path().join(&name)).unwrap();
            assert_eq!(crash_loop(limit, store.path()).is_some(), loops, "{name}");
        }
    }

    #[test]
    fn a_weak_signature_makes_no_crashes_the_same() {
        for (json, strong) in [
            (r#"{"signature": "v1-a", "weak": false}"#, Some("v1-a")),
            (r#"{"signature": "v1-a", "weak": true}"#, None),
            (r#"{"signature": "v1-a"}"#, None),
            (r#"{"signature": null, "weak": false}"#, None),
        ] {
            let signature: Signature = serde_json::from_str(json).unwrap();
            assert_eq!(signature.strong().as_deref(), strong, "{json}");
        }
    }
}
