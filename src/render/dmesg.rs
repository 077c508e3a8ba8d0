//! The kernel's log, for people and for programs.
//!
//! ```text
//! [    3.314310] R13: 00000000054223a0 R14: 0000000000000001
//! [    3.314310][    T1] with the caller, as printk.caller=1 has it on the console
//! [2026-11-24T13:04:12.314Z] with wall-clock time
//! ```
//!
//! Lines are those of `makedumpfile --dump-dmesg`: further lines of a record are indented below
//! its text, and unprintable bytes are escaped, for example `\x1b`. Unlike there, so are carriage
//! returns, form feeds and vertical tabs.

use std::io::{self, Write};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use vmcore_formats::printk::{Caller, LEVELS, Record};

/// The names of facilities, as `dmesg --facility` has them.
const FACILITIES: [&str; 12] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp",
];

/// How records are shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// When the guest booted, to show wall-clock time.
    pub boot: Option<Timestamp>,
    /// Whether to show each record's caller.
    pub caller: bool,
}

/// Prints a record as one line, or as several.
pub fn text(record: &Record, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let mut prefix = match wall_clock(record, style) {
        Some(time) => format!("[{time:.3}]"),
        None => {
            let micros = record.time_ns / 1000;
            format!("[{:>5}.{:06}]", micros / 1_000_000, micros % 1_000_000)
        }
    };
    if let (true, Some(caller)) = (style.caller, record.caller) {
        prefix.push_str(&format!("[{:>6}]", name(caller)));
    }
    prefix.push(' ');
    let mut line = prefix.clone().into_bytes();
    for byte in &record.text {
        match byte {
            b'\n' => {
                line.push(b'\n');
                line.resize(line.len().saturating_add(prefix.len()), b' ');
            }
            b'\t' | b' '..=b'~' => line.push(*byte),
            other => line.extend(format!("\\x{other:02x}").into_bytes()),
        }
    }
    line.push(b'\n');
    out.write_all(&line)
}

/// A record as JSON.
#[derive(Debug, Serialize)]
struct RecordJson<'a> {
    seq: Option<u64>,
    time_ns: u64,
    wall_clock: Option<Timestamp>,
    level: Option<&'static str>,
    facility: Option<&'static str>,
    facility_number: u8,
    caller: Option<String>,
    text: std::borrow::Cow<'a, str>,
    dictionary: serde_json::Map<String, serde_json::Value>,
}

/// Prints a record as one line of JSON. Invalid UTF-8 in its text is replaced.
pub fn json(record: &Record, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let dictionary = record.dictionary.iter();
    let line = RecordJson {
        seq: record.seq,
        time_ns: record.time_ns,
        wall_clock: wall_clock(record, style),
        level: LEVELS.get(usize::from(record.level)).copied(),
        facility: FACILITIES.get(usize::from(record.facility)).copied(),
        facility_number: record.facility,
        caller: record.caller.map(name),
        text: String::from_utf8_lossy(&record.text),
        dictionary: dictionary.map(|(key, value)| (key.clone(), value.as_str().into())).collect(),
    };
    super::json::line(&line, out)
}

fn wall_clock(record: &Record, style: Style) -> Option<Timestamp> {
    let since_boot = SignedDuration::from_nanos(i64::try_from(record.time_ns).ok()?);
    style.boot?.checked_add(since_boot).ok()
}

fn name(caller: Caller) -> String {
    match caller {
        Caller::Thread(id) => format!("T{id}"),
        Caller::Cpu(number) => format!("C{number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(time_ns: u64, text: &[u8]) -> Record {
        Record {
            seq: Some(7),
            time_ns,
            facility: 0,
            level: 3,
            flags: 2,
            caller: Some(Caller::Cpu(1)),
            text: text.to_vec(),
            dictionary: vec![("SUBSYSTEM".to_owned(), "pci".to_owned())],
        }
    }

    fn shown(record: &Record, style: Style) -> String {
        let mut out = Vec::new();
        text(record, style, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_begins_with_seconds_and_microseconds() {
        assert_eq!(
            shown(&record(5_123_456_789, b"text"), Style::default()),
            "[    5.123456] text\n"
        );
        let late = record(123_456_000_001_999, b"");
        assert_eq!(shown(&late, Style::default()), "[123456.000001] \n");
        let style = Style { caller: true, boot: None };
        assert_eq!(shown(&record(1_000, b"text"), style), "[    0.000001][    C1] text\n");
    }

    #[test]
    fn further_lines_stand_below_the_first_ones_text() {
        let shown = shown(&record(0, b"one\ntwo\n"), Style::default());
        assert_eq!(shown, "[    0.000000] one\n               two\n               \n");
    }

    #[test]
    fn nothing_of_a_record_reaches_a_terminal_as_a_command() {
        let shown = shown(&record(0, b"\x1b[31m\r\t\x00b\xc3\xbc"), Style::default());
        assert_eq!(shown, "[    0.000000] \\x1b[31m\\x0d\t\\x00b\\xc3\\xbc\n");
    }

    #[test]
    fn wall_clock_time_is_boot_and_the_records_time() {
        let boot = "2026-11-24T13:00:00Z".parse().ok();
        let style = Style { boot, caller: false };
        assert_eq!(shown(&record(61_500_000_000, b"x"), style), "[2026-11-24T13:01:01.500Z] x\n");
        // A time outside of the calendar is shown since boot.
        let shown = shown(&record(u64::MAX, b"x"), style);
        assert_eq!(shown, "[18446744073.709551] x\n");
    }

    #[test]
    fn json_has_each_field_by_name() {
        let mut out = Vec::new();
        json(&record(5, b"a\nb\xff"), Style::default(), &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"seq\":7,\"time_ns\":5,\"wall_clock\":null,\"level\":\"err\",\"facility\":\"kern\",\
             \"facility_number\":0,\"caller\":\"C1\",\"text\":\"a\\nb\u{fffd}\",\
             \"dictionary\":{\"SUBSYSTEM\":\"pci\"}}\n"
        );
    }
}
