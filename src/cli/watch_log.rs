//! Where the records of the watcher go: the journal, lines on stderr, or JSON on stdout.
//!
//! A thread writes them. Its queue drops what does not fit, and the number is reported: a
//! terminal that is stopped, or a journal that hangs, stops no capture.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::printable::{json, shown};
use crate::watch::record::{Level, Log, Record};

const JOURNAL: &str = "/run/systemd/journal/socket";
/// How many records may wait.
const QUEUE: usize = 4096;
/// How long the end waits for the last records.
const END_LIMIT: Duration = Duration::from_secs(2);

/// The queue of records.
#[derive(Debug)]
pub(super) struct WatchLog {
    records: Sender<(Timestamp, Record)>,
    dropped: Arc<AtomicU64>,
}

/// The end of the thread that writes.
pub(super) struct LogEnd(Receiver<()>);

impl LogEnd {
    /// Waits until all is written, but not for long. Every [`WatchLog`] has to be dropped before,
    /// or its threads be idle.
    pub(super) fn wait(self) {
        let _ = self.0.recv_deadline(Instant::now() + END_LIMIT);
    }
}

impl WatchLog {
    /// Starts to write: JSON on stdout, or else to the journal if stderr is connected to it, or
    /// else lines on stderr.
    pub(super) fn start(json: bool, in_journal: bool) -> io::Result<(Self, LogEnd)> {
        let (records, queue) = bounded(QUEUE);
        let (writing, ended) = bounded(0);
        let dropped: Arc<AtomicU64> = Arc::default();
        let missing = Arc::clone(&dropped);
        let mut target = match (json, in_journal) {
            (true, _) => Target::Json,
            (_, true) => journal().map_or(Target::Lines, Target::Journal),
            _ => Target::Lines,
        };
        thread::Builder::new().name("log".to_owned()).spawn(move || {
            write_all(&queue, &missing, &mut target);
            drop(writing);
        })?;
        Ok((Self { records, dropped }, LogEnd(ended)))
    }
}

impl Log for WatchLog {
    fn record(&self, record: Record) {
        if self.records.try_send((Timestamp::now(), record)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

enum Target {
    Json,
    Lines,
    Journal(UnixDatagram),
}

fn journal() -> Option<UnixDatagram> {
    let socket = UnixDatagram::unbound().ok()?;
    socket.connect(JOURNAL).ok()?;
    Some(socket)
}

fn write_all(queue: &Receiver<(Timestamp, Record)>, dropped: &AtomicU64, target: &mut Target) {
    for (at, record) in queue {
        target.write(at, &record);
        let count = dropped.swap(0, Ordering::Relaxed);
        if count > 0 {
            let text = format!("{count} records are missing here");
            let (level, event) = (Level::Warning, "dropped");
            let missing = Record { level, event, guest: None, text, fields: Vec::new() };
            target.write(Timestamp::now(), &missing);
        }
    }
}

impl Target {
    /// Writes a record. What cannot be written has nowhere else to go.
    fn write(&self, at: Timestamp, record: &Record) {
        match self {
            Self::Json => {
                let mut line = Vec::new();
                let _ = json::line(&as_json(at, record), &mut line);
                let mut out = io::stdout();
                let _ = out.write_all(&line).and_then(|()| out.flush());
            }
            Self::Lines => {
                let _ = writeln!(io::stderr(), "{}", as_line(at, record));
            }
            Self::Journal(socket) => {
                if socket.send(&as_datagram(record)).is_err() {
                    let _ = writeln!(io::stderr(), "{}", as_line(at, record));
                }
            }
        }
    }
}

fn as_json(at: Timestamp, record: &Record) -> Value {
    let mut line = json!({
        "time": at,
        "level": record.level.name(),
        "event": record.event,
        "guest": record.guest,
        "message": record.text,
    });
    if let Some(line) = line.as_object_mut() {
        let fields = record.fields.iter();
        line.extend(fields.map(|(name, value)| ((*name).to_owned(), value.clone().into())));
    }
    line
}

/// The text, with the guest before it.
fn message(record: &Record) -> String {
    match &record.guest {
        Some(guest) => shown(&format!("{guest}: {}", record.text)),
        None => shown(&record.text),
    }
}

fn as_line(at: Timestamp, record: &Record) -> String {
    let mut line = format!("{at:.3} ");
    if matches!(record.level, Level::Error | Level::Warning) {
        let _ = write!(line, "{}: ", record.level.name());
    }
    line.push_str(&message(record));
    for (name, value) in &record.fields {
        if matches!(*name, "title" | "entry") {
            let _ = write!(line, " {name}={}", shown(value));
        }
    }
    line
}

/// In the journal's native protocol. No value has a line end: all are [`shown`].
fn as_datagram(record: &Record) -> Vec<u8> {
    let mut datagram = format!(
        "MESSAGE={}\nPRIORITY={}\nSYSLOG_IDENTIFIER=vmcorectl\nVMCORECTL_EVENT={}\n",
        message(record),
        record.level.priority(),
        record.event
    );
    let guest = record.guest.as_ref().map(|guest| ("guest", guest.clone()));
    for (name, value) in guest.iter().chain(&record.fields) {
        let _ = writeln!(datagram, "VMCORECTL_{}={}", name.to_ascii_uppercase(), shown(value));
    }
    datagram.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            level: Level::Warning,
            event: "captured",
            guest: Some("web\n\u{1b}[31m".to_owned()),
            text: "captured and released".to_owned(),
            fields: vec![("entry", "/s/web/1".to_owned()), ("result", "complete".to_owned())],
        }
    }

    #[test]
    fn the_journal_has_each_field_on_a_line_of_its_own() {
        let datagram = String::from_utf8(as_datagram(&record())).unwrap();
        let lines: Vec<_> = datagram.lines().collect();
        assert_eq!(
            lines,
            [
                "MESSAGE=web\u{fffd}\u{fffd}[31m: captured and released",
                "PRIORITY=4",
                "SYSLOG_IDENTIFIER=vmcorectl",
                "VMCORECTL_EVENT=captured",
                "VMCORECTL_GUEST=web\u{fffd}\u{fffd}[31m",
                "VMCORECTL_ENTRY=/s/web/1",
                "VMCORECTL_RESULT=complete",
            ]
        );
    }

    #[test]
    fn a_line_has_the_level_the_guest_and_the_entry() {
        let line = as_line(Timestamp::UNIX_EPOCH, &record());
        assert_eq!(
            line,
            "1970-01-01T00:00:00.000Z warning: web\u{fffd}\u{fffd}[31m: captured and released \
             entry=/s/web/1"
        );
        let json = as_json(Timestamp::UNIX_EPOCH, &record());
        assert_eq!(
            (json["event"].as_str(), json["result"].as_str()),
            (Some("captured"), Some("complete"))
        );
    }
}
