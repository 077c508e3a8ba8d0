//! What follows a capture: records, counts, notifications and files. Nothing here is waited for.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::background::Background;
use super::config::{Hide, NotifyOnce};
use super::guest::{Guest, Panic};
use super::held::Held;
use super::metrics::{self, Metrics};
use super::news::{Ended, Fate, News};
use super::notified::Notified;
use super::notify::Notification;
use super::record::{Level, Record};
use super::shared::Shared;
use super::uploads::Uploads;
use jiff::Timestamp;

use crate::metadata::ENCRYPTED_CORE_FILE;
use crate::metadata::NoticedBy;
use crate::printable::json;
use crate::regular_file;
use crate::spool::{self, Spooled};
use crate::store::entry_without_core::LostPanic;
use crate::store::listing::{read_entry, time_of};
use crate::store::prune::{Limits, Pruning};
use crate::store::{CORE_FILE, ENCRYPTED_REPORT_FILE, INCOMPLETE, METADATA_FILE, REPORT_FILE};

/// How often the metrics file is written at most.
const METRICS_INTERVAL: Duration = Duration::from_secs(1);
/// The longest metadata that is passed on, in bytes.
const MAX_METADATA: u64 = 16 << 20;
/// How often the store is pruned for entries without a core.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);
/// How long before a guest's end its capture may have begun, in seconds.
const CAPTURE_SECONDS: i64 = 900;
/// How long the last notifications and files may take.
const END_LIMIT: Duration = Duration::from_secs(10);

/// The threads that do it, and what was counted.
pub(super) struct Aftermath {
    pub(super) metrics: Metrics,
    shared: Arc<Shared>,
    store: PathBuf,
    disk: Background,
    notifier: Background,
    uploads: Option<Uploads>,
    notify_failed: Arc<AtomicU64>,
    lost_on_disk: Arc<AtomicU64>,
    written: Option<(Instant, Metrics)>,
    pruned: Option<Instant>,
}

impl Aftermath {
    pub(super) fn start(
        shared: &Arc<Shared>,
        store: &Path,
        uploads: bool,
    ) -> std::io::Result<Self> {
        let uploads = uploads.then(|| Uploads::start(shared, store)).transpose()?;
        Ok(Self {
            uploads,
            metrics: Metrics::default(),
            shared: Arc::clone(shared),
            store: store.to_owned(),
            disk: Background::start("disk")?,
            notifier: Background::start("notify")?,
            notify_failed: Arc::default(),
            lost_on_disk: Arc::default(),
            written: None,
            pruned: None,
        })
    }

    /// A capture ended.
    pub(super) fn ended(&mut self, guest: &Guest, panic: &Panic, ended: &Ended) {
        self.metrics.count_capture(ended.result);
        self.metrics.held_seconds += ended.held_seconds();
        self.metrics.bytes = self.metrics.bytes.saturating_add(ended.bytes_written());
        let level = match ended.fate {
            Fate::Held | Fate::Released if ended.problem.is_none() => Level::Notice,
            Fate::NotPanicked => Level::Warning,
            _ => Level::Error,
        };
        let what = match ended.fate {
            Fate::Held if ended.left_out.is_some() => "reported, and stays held",
            Fate::Held => "captured, and stays held",
            Fate::Released if ended.left_out.is_some() => "reported and released",
            Fate::Released if ended.result == "released-without-dump" => "released without a dump",
            Fate::Released => "captured and released",
            Fate::NotReleased => "captured, but not released",
            Fate::NotPanicked => "no longer panicked",
            Fate::Failed => "not captured",
        };
        let text =
            ended.problem.as_ref().map_or(what.to_owned(), |problem| format!("{what}: {problem}"));
        let signature = ended.metadata.as_ref().and_then(|metadata| metadata.signature.clone());
        let record = Record::new(level, "captured", text)
            .of(guest.label())
            .with("result", ended.result)
            .with_entry(ended.entry.as_deref())
            .with_some("title", ended.title.clone())
            .with_some("signature", signature)
            .with_some("left_out", ended.left_out.clone());
        self.shared.record(record);
        let lost = match ended.fate {
            Fate::NotPanicked => true,
            Fate::Released => ended.entry.is_none(),
            _ => false,
        };
        if lost {
            let problem = ended.problem.as_deref().unwrap_or("the capture stored nothing");
            self.lost_unless_stored(guest, panic, problem);
        }
        self.notify(ended);
        if ended.left_out.is_some() {
            self.prune();
        }
    }

    /// Keeps the store within its size. A capture does so after a dump; entries without a core
    /// are small, and can be many.
    fn prune(&mut self) {
        let Some(bytes) = self.shared.config().guards.store_size else { return };
        if self.pruned.is_some_and(|at| at.elapsed() < PRUNE_INTERVAL) {
            return;
        }
        self.pruned = Some(Instant::now());
        let (store, shared) = (self.store.clone(), Arc::clone(&self.shared));
        self.disk.queue(move || {
            let limits = Limits { total_bytes: Some(bytes), ..Limits::default() };
            let unmet = Pruning::of(&store, limits).map(|mut pruning| pruning.run(|_, _, _| {}));
            let problem = match unmet {
                Ok(unmet) => unmet.first().map(ToString::to_string),
                Err(error) => Some(format!("the store cannot be pruned: {error}")),
            };
            if let Some(problem) = problem {
                shared.record(Record::new(Level::Warning, "store", problem));
            }
        });
    }

    /// A panic was lost: an entry says so.
    pub(super) fn lost(&mut self, guest: &Guest, panic: &Panic, why: &str) {
        self.prune();
        self.metrics.lost = self.metrics.lost.saturating_add(1);
        let text = format!("a panic was lost: {why}");
        self.shared.record(Record::new(Level::Error, "lost", text).of(guest.label()));
        let (lost, store) = (lost_panic(guest, panic, why), self.store.clone());
        let shared = Arc::clone(&self.shared);
        self.disk.queue(move || store_lost(&lost, &store, &shared));
    }

    /// The same, unless an entry of the guest was published since the panic was noticed: by this
    /// capture, before it crashed, or by one that an earlier watcher had started.
    pub(super) fn lost_unless_stored(&self, guest: &Guest, panic: &Panic, why: &str) {
        let config = self.shared.config();
        let (lost, store) = (lost_panic(guest, panic, why), self.store.clone());
        let folder = config.guest_folder(&store, guest.name.as_deref());
        let (since, label) = (panic.at, guest.label().to_owned());
        let (shared, count) = (Arc::clone(&self.shared), Arc::clone(&self.lost_on_disk));
        self.disk.queue(move || {
            if !has_entry_since(&folder, since) {
                count.fetch_add(1, Ordering::Relaxed);
                let text = format!("a panic was lost: {}", lost.reason);
                shared.record(Record::new(Level::Error, "lost", text).of(&label));
                store_lost(&lost, &store, &shared);
            }
        });
    }

    /// A hook has reported that a panicked guest ended. The panic is lost, unless an entry of the
    /// guest is as new as the panic.
    pub(super) fn lost_by_hook(&mut self, spooled: Spooled) {
        let (store, shared) = (self.store.clone(), Arc::clone(&self.shared));
        let count = Arc::clone(&self.lost_on_disk);
        self.disk.queue(move || {
            let event = &spooled.event;
            let folder = shared.config().guest_folder(&store, Some(&event.guest));
            if !has_entry_before(&folder, event.time) {
                count.fetch_add(1, Ordering::Relaxed);
                let on_crash = event.on_crash.as_deref().unwrap_or("unknown");
                let reason = event.reason.as_deref().unwrap_or("unknown");
                let why = format!(
                    "{:?} ended the guest at its panic (on_crash {on_crash}, reason {reason})",
                    event.from
                );
                let text = format!("a panic was lost: {why}");
                shared.record(Record::new(Level::Error, "lost", text).of(&event.guest));
                let lost = LostPanic {
                    guest: Some(event.guest.clone()),
                    uuid: event.uuid.clone(),
                    monitor: format!("libvirt:{}", event.guest),
                    when: event.time,
                    noticed_by: NoticedBy::Event,
                    reason: why,
                };
                store_lost(&lost, &store, &shared);
            }
            spool::done(&spooled);
        });
    }

    /// An event has had its effect.
    pub(super) fn spool_done(&self, spooled: Spooled) {
        self.disk.queue(move || spool::done(&spooled));
    }

    /// Has the command of the configuration run for a capture.
    fn notify(&self, ended: &Ended) {
        let Some(metadata) = &ended.metadata else { return };
        let mut json = Vec::new();
        let _ = json::line(metadata, &mut json);
        let title = ended.title.clone().unwrap_or_default();
        self.run_notification(ended.entry.clone(), title, move || Some(json));
    }

    /// Has the command of the configuration run for a panic that was lost.
    pub(super) fn notify_of_lost(&self, entry: PathBuf) {
        let file = entry.join(METADATA_FILE);
        let title = "a panic was lost".to_owned();
        self.run_notification(Some(entry), title, move || {
            regular_file::read_own(&file, MAX_METADATA).ok()
        });
    }

    /// Has the command of the configuration run, with JSON that may have to be read.
    fn run_notification(
        &self,
        entry: Option<PathBuf>,
        title: String,
        json: impl FnOnce() -> Option<Vec<u8>> + Send + 'static,
    ) {
        if let Some(uploads) = &self.uploads {
            uploads.wake();
        }
        let config = self.shared.config();
        if config.notify.is_empty() {
            return;
        }
        let (command, limit) = (config.notify.clone(), config.notify_timeout);
        let (once, upload) = (config.notify_once, config.upload.clone());
        let (shared, failed) = (Arc::clone(&self.shared), Arc::clone(&self.notify_failed));
        let store = self.store.clone();
        self.notifier.queue(move || {
            let report = entry.as_deref().and_then(read_entry).and_then(|entry| entry.report);
            let report = report.unwrap_or_default();
            let signature = report.signature.unwrap_or_default();
            let is_strong = report.weak == Some(false) && !signature.is_empty();
            let only_once = once == NotifyOnce::Signature && is_strong;
            let notified = Notified::read(&store);
            if only_once && notified.has(&signature) {
                return;
            }
            let url = upload.and_then(|upload| url(&upload, &store, entry.as_deref()?));
            let entry = entry.map(|entry| entry.display().to_string()).unwrap_or_default();
            let notification = Notification {
                command,
                limit,
                json: json().unwrap_or_default(),
                entry,
                title,
                signature: signature.clone(),
                url: url.unwrap_or_default(),
            };
            let ran = notification.run().and_then(|()| match only_once {
                true => notified.add(&signature, &store).map_err(|error| {
                    format!("cannot write which signatures were notified of: {error}")
                }),
                false => Ok(()),
            });
            if let Err(problem) = ran {
                failed.fetch_add(1, Ordering::Relaxed);
                shared.record(Record::new(Level::Warning, "notify", problem));
            }
        });
    }

    /// Writes which guests stay held.
    pub(super) fn write_held(&self, held: &Held) {
        let (held, store, shared) = (held.clone(), self.store.clone(), Arc::clone(&self.shared));
        self.disk.queue(move || {
            if let Err(error) = held.write(&store) {
                let text = format!("cannot write which guests stay held: {error}");
                shared.record(Record::new(Level::Warning, "store", text));
            }
        });
    }

    /// Writes the metrics, if they have changed.
    pub(super) fn write_metrics(&mut self, file: Option<&Path>) {
        let Some(file) = file else { return };
        self.metrics.notify_failed =
            self.notify_failed.load(Ordering::Relaxed).saturating_add(self.notifier.dropped());
        if let Some(uploads) = &self.uploads {
            (self.metrics.pushed, self.metrics.push_failed) = uploads.counts();
        }
        self.metrics.lost_on_disk = self.lost_on_disk.load(Ordering::Relaxed);
        let is_written = self.written.as_ref().is_some_and(|(at, written)| {
            *written == self.metrics || at.elapsed() < METRICS_INTERVAL
        });
        if !is_written {
            self.written = Some((Instant::now(), self.metrics.clone()));
            self.queue_metrics(file);
        }
    }

    fn queue_metrics(&self, file: &Path) {
        let (file, text, shared) = (file.to_owned(), self.metrics.text(), Arc::clone(&self.shared));
        self.disk.queue(move || {
            if let Err(error) = metrics::write(&file, &text) {
                let text = format!("cannot write {}: {error}", file.display());
                shared.record(Record::new(Level::Warning, "metrics", text));
            }
        });
    }

    /// Does what is queued, and ends.
    pub(super) fn end(self) {
        if let Some(file) = &self.shared.config().metrics {
            self.queue_metrics(file);
        }
        if let Some(uploads) = self.uploads {
            uploads.end();
        }
        self.disk.end(END_LIMIT);
        self.notifier.end(END_LIMIT);
    }
}

/// Where an entry of the store is pushed to; `None` for what is not published.
fn url(upload: &str, store: &Path, entry: &Path) -> Option<String> {
    let name = entry.strip_prefix(store).ok()?.to_str()?;
    (!name.ends_with(INCOMPLETE)).then(|| format!("{}/{name}", upload.trim_end_matches('/')))
}

fn lost_panic(guest: &Guest, panic: &Panic, why: &str) -> LostPanic {
    LostPanic {
        guest: guest.name.clone(),
        uuid: guest.uuid.clone(),
        monitor: guest.key.clone(),
        when: panic.at,
        noticed_by: if panic.by_event { NoticedBy::Event } else { NoticedBy::Query },
        reason: why.to_owned(),
    }
}

fn store_lost(lost: &LostPanic, store: &Path, shared: &Shared) {
    let config = shared.config();
    // Nothing of such an entry is encrypted.
    let clear = match config.hide.contains(&Hide::Names) {
        false => lost.clone(),
        true => LostPanic {
            guest: config.guest_name(lost.guest.as_deref()),
            uuid: None,
            monitor: String::new(),
            ..lost.clone()
        },
    };
    match clear.store(store) {
        Ok(entry) => shared.report(News::LostStored(entry)),
        Err(error) => {
            let text = format!("cannot store that a panic was lost: {error}");
            let record = Record::new(Level::Error, "store", text);
            shared.record(record.of(lost.guest.as_deref().unwrap_or(&lost.monitor)));
        }
    }
}

/// Whether a directory of entries has one of the last minutes before `time`: the guest was
/// captured, and then ended.
fn has_entry_before(folder: &Path, time: Timestamp) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.filter_map(Result::ok).any(|entry| {
        let begun = entry.file_name().to_str().and_then(time_of);
        let since = begun.map(|begun| time.duration_since(begun).as_secs());
        since.is_some_and(|seconds| (-2..CAPTURE_SECONDS).contains(&seconds))
    })
}

/// What an entry of a capture has: one of a lost panic has none of it.
const OF_CAPTURE: [&str; 4] = [CORE_FILE, REPORT_FILE, ENCRYPTED_CORE_FILE, ENCRYPTED_REPORT_FILE];

/// Whether a directory of entries has one of a capture that was published since then. That a panic
/// was lost is an entry, too: that of the guest's last panic may be stored only now.
fn has_entry_since(folder: &Path, since: Timestamp) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.filter_map(Result::ok).any(|entry| {
        let name = entry.file_name();
        let is_published = name
            .to_str()
            .is_some_and(|name| time_of(name).is_some() && !name.ends_with(INCOMPLETE));
        let changed = entry.metadata().and_then(|entry| entry.modified());
        let changed = changed.ok().and_then(|at| Timestamp::try_from(at).ok());
        let is_of_capture = || OF_CAPTURE.iter().any(|file| entry.path().join(file).exists());
        is_published && changed.is_some_and(|at| at >= since) && is_of_capture()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A panic was not counted: the entry of the one before was taken for its capture.
    #[test]
    fn an_entry_of_a_lost_panic_is_none_of_a_capture() {
        let folder = tempfile::tempdir().unwrap();
        let since = Timestamp::now() - jiff::SignedDuration::from_secs(1);
        for (name, file, is_of_capture) in [
            ("20260101T000000Z-aaaa0001", METADATA_FILE, false),
            ("20260101T000000Z-aaaa0002.incomplete", CORE_FILE, false),
            ("20260101T000000Z-aaaa0003", REPORT_FILE, true),
        ] {
            let entry = folder.path().join(name);
            std::fs::create_dir(&entry).unwrap();
            std::fs::write(entry.join(file), "").unwrap();
            assert_eq!(has_entry_since(folder.path(), since), is_of_capture, "{name}");
        }
        let later = Timestamp::now() + jiff::SignedDuration::from_secs(60);
        assert!(!has_entry_since(folder.path(), later));
    }
}
