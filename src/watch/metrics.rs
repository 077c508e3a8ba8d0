//! Counters and gauges, as a Prometheus text file.
//!
//! Needs: what the supervisor counts. Gives: the text, and a file that is replaced by rename, as
//! `node_exporter`'s textfile collector needs it. Counters begin at 0 with each start.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use jiff::Timestamp;

/// The most guests that have lines of their own.
const MAX_GUESTS: usize = 10_000;

/// What is counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Metrics {
    /// Panics by guest, and the last one.
    guests: BTreeMap<String, (u64, Timestamp)>,
    /// Panics of guests that have no line.
    other_panics: u64,
    /// Captures by result.
    captures: BTreeMap<&'static str, u64>,
    /// Panics whose memory was lost.
    pub(super) lost: u64,
    /// The same, where the store had to be looked at.
    pub(super) lost_on_disk: u64,
    /// How long guests were held for their captures.
    pub(super) held_seconds: f64,
    /// What was written of cores.
    pub(super) bytes: u64,
    /// How many guests are watched.
    pub(super) watched: usize,
    /// How many wait for their capture.
    pub(super) queued: usize,
    /// How many are captured.
    pub(super) capturing: usize,
    /// How many stay held after their capture.
    pub(super) held: usize,
    /// Commands to notify that failed.
    pub(super) notify_failed: u64,
    /// Entries that were pushed.
    pub(super) pushed: u64,
    /// Tries to push one that failed.
    pub(super) push_failed: u64,
}

impl Metrics {
    pub(super) fn count_panic(&mut self, guest: &str, at: Timestamp) {
        let has_room = self.guests.len() < MAX_GUESTS;
        match self.guests.get_mut(guest) {
            Some((count, last)) => (*count, *last) = (count.saturating_add(1), at),
            None if has_room => {
                self.guests.insert(guest.to_owned(), (1, at));
            }
            None => self.other_panics = self.other_panics.saturating_add(1),
        }
    }

    pub(super) fn count_capture(&mut self, result: &'static str) {
        let count = self.captures.entry(result).or_default();
        *count = count.saturating_add(1);
    }

    /// The text of the file.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        let mut family = |name: &str, kind: &str, help: &str, lines: Vec<(String, f64)>| {
            let _ = writeln!(out, "# HELP vmcorectl_{name} {help}\n# TYPE vmcorectl_{name} {kind}");
            for (labels, value) in lines {
                let _ = writeln!(out, "vmcorectl_{name}{labels} {value}");
            }
        };
        #[expect(clippy::cast_precision_loss, reason = "Prometheus has no other numbers")]
        let number = |count: u64| count as f64;
        let one = |value: f64| vec![(String::new(), value)];
        let size = |count: usize| one(number(count as u64));
        let guest = |guest: &String| format!("{{guest=\"{}\"}}", escaped(guest));
        let mut panics: Vec<_> =
            self.guests.iter().map(|(name, (count, _))| (guest(name), number(*count))).collect();
        if self.other_panics > 0 {
            panics.push((String::new(), number(self.other_panics)));
        }
        let last =
            self.guests.iter().map(|(name, (_, at))| (guest(name), at.as_duration().as_secs_f64()));
        let results = self.captures.iter();
        let results =
            results.map(|(result, count)| (format!("{{result=\"{result}\"}}"), number(*count)));
        family("panics_total", "counter", "Panics that were noticed.", panics);
        family(
            "last_panic_timestamp_seconds",
            "gauge",
            "When a guest panicked last.",
            last.collect(),
        );
        family("captures_total", "counter", "Captures that ended, by result.", results.collect());
        family(
            "lost_panics_total",
            "counter",
            "Panics whose memory was lost.",
            one(number(self.lost.saturating_add(self.lost_on_disk))),
        );
        family(
            "held_seconds_total",
            "counter",
            "How long guests were held for captures.",
            one(self.held_seconds),
        );
        family(
            "written_bytes_total",
            "counter",
            "Bytes of cores that were written.",
            one(number(self.bytes)),
        );
        family(
            "notify_failures_total",
            "counter",
            "Notifications that failed.",
            one(number(self.notify_failed)),
        );
        family("pushed_total", "counter", "Entries that were pushed.", one(number(self.pushed)));
        family(
            "push_failures_total",
            "counter",
            "Tries to push an entry that failed.",
            one(number(self.push_failed)),
        );
        family("watched_guests", "gauge", "Guests that are watched.", size(self.watched));
        family(
            "queued_guests",
            "gauge",
            "Panicked guests that wait for their capture.",
            size(self.queued),
        );
        family("captures", "gauge", "Captures under way.", size(self.capturing));
        family(
            "held_guests",
            "gauge",
            "Guests that stay held after their capture.",
            size(self.held),
        );
        out
    }
}

/// Replaces the file.
pub(super) fn write(file: &Path, text: &str) -> io::Result<()> {
    let mut new = file.as_os_str().to_owned();
    new.push(".new");
    fs::write(&new, text)?;
    fs::rename(&new, file)
}

/// A value of a label.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_each_family_and_names_of_guests_are_escaped() {
        let mut metrics = Metrics { queued: 2, bytes: 4096, ..Metrics::default() };
        metrics.count_panic("a\"b\nc", Timestamp::from_second(1_790_000_000).unwrap());
        metrics.count_panic("a\"b\nc", Timestamp::from_second(1_790_000_001).unwrap());
        metrics.count_capture("complete");
        let text = metrics.text();
        for line in [
            "vmcorectl_panics_total{guest=\"a\\\"b\\nc\"} 2",
            "vmcorectl_last_panic_timestamp_seconds{guest=\"a\\\"b\\nc\"} 1790000001",
            "vmcorectl_captures_total{result=\"complete\"} 1",
            "vmcorectl_written_bytes_total 4096",
            "vmcorectl_queued_guests 2",
            "# TYPE vmcorectl_held_seconds_total counter",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
        }
    }

    #[test]
    fn the_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("vmcorectl.prom");
        write(&file, "a").unwrap();
        write(&file, "b").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "b");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
