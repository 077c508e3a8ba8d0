//! Text logs as they come in: whole files, or one JSON object for each line. Bounded, whatever
//! their writers send.

use std::io::{self, BufRead, Read};

use memchr::{memchr, memchr_iter, memrchr};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};

/// How much of a log is kept: its end, where a crash is.
pub(super) const KEPT: Kept = Kept { bytes: 64 << 20, lines: 1 << 20 };
/// The longest log that is read to find its end.
const MAX_READ: u64 = 16 << 30;
/// The longest line of a file of JSON objects.
const MAX_LINE: u64 = 64 << 20;
/// How much is read at a time.
const PIECE: usize = 1 << 20;

/// How much of a log is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    bytes: usize,
    lines: usize,
}

/// The text of a log, or its end.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct TextLog {
    /// The text that was kept. It begins with a line.
    pub(super) text: Vec<u8>,
    /// How many lines came before.
    pub(super) skipped: u64,
}

impl TextLog {
    /// Reads a log to its end.
    pub(super) fn read(input: impl Read, kept: Kept) -> io::Result<Self> {
        let mut log = Self::default();
        let mut input = input.take(MAX_READ);
        // Twice as much is collected, so that each byte is moved once.
        let most = kept.bytes.saturating_mul(2);
        while (&mut input).take(PIECE as u64).read_to_end(&mut log.text)? > 0 {
            if log.text.len() > most {
                log.keep_end(kept.bytes);
            }
        }
        if input.limit() == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        if log.text.len() > kept.bytes {
            log.keep_end(kept.bytes);
        }
        let mut ends =
            memchr::memrchr_iter(b'\n', log.text.strip_suffix(b"\n").unwrap_or(&log.text));
        if let Some(end) = kept.lines.checked_sub(1).and_then(|lines| ends.nth(lines)) {
            log.keep_from(end.saturating_add(1));
        }
        Ok(log)
    }

    /// Keeps this many bytes at the end, from the beginning of a line on if there is one.
    fn keep_end(&mut self, bytes: usize) {
        let start = self.text.len().saturating_sub(bytes);
        let line = self.text.get(start..).and_then(|rest| memchr(b'\n', rest));
        self.keep_from(line.map_or(start, |line| start.saturating_add(line).saturating_add(1)));
    }

    fn keep_from(&mut self, start: usize) {
        // The mark of UTF-16, whose characters have two bytes each, is kept, too.
        let mark = self.text.first_chunk().copied().filter(|mark| UTF_16.contains(mark));
        let start = if mark.is_some() { start.next_multiple_of(2) } else { start };
        let skipped = self.text.get(..start).unwrap_or_default();
        let lines = memchr_iter(b'\n', skipped).count() as u64;
        self.skipped = self.skipped.saturating_add(lines);
        self.text.splice(..start.min(self.text.len()), mark.into_iter().flatten());
    }
}

/// The byte order marks of UTF-16.
const UTF_16: [[u8; 2]; 2] = [[0xff, 0xfe], [0xfe, 0xff]];

/// Reads a line with its end. Returns `None` behind the last one.
pub(super) fn line(input: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    input.take(MAX_LINE).read_until(b'\n', &mut line)?;
    match line.len() as u64 {
        0 => Ok(None),
        MAX_LINE if memrchr(b'\n', &line).is_none() => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {} MiB", MAX_LINE >> 20),
        )),
        _ => Ok(Some(line)),
    }
}

/// What tells logs apart in a file of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(super) struct LogId(pub(super) serde_json::Value);

impl<'de> Deserialize<'de> for LogId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LogIdVisitor)
    }
}

/// A list of a million numbers would take far more memory than its text.
struct LogIdVisitor;

impl Visitor<'_> for LogIdVisitor {
    type Value = LogId;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a text, a number, true, false or null")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<LogId, E> {
        Ok(LogId(value.into()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<LogId, E> {
        Ok(LogId(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<LogId, E> {
        Ok(LogId(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<LogId, E> {
        Ok(LogId(value.into()))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<LogId, E> {
        Ok(LogId(value.into()))
    }

    fn visit_unit<E: de::Error>(self) -> Result<LogId, E> {
        Ok(LogId(serde_json::Value::Null))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(log: &[u8], bytes: usize, lines: usize) -> (String, u64) {
        let log = TextLog::read(log, Kept { bytes, lines }).unwrap();
        (String::from_utf8_lossy(&log.text).into_owned(), log.skipped)
    }

    #[test]
    fn a_log_is_whole_or_its_end_with_the_number_of_lines_before() {
        let log = b"one\ntwo\nthree\nfour\n";
        assert_eq!(read(log, 100, 100), ("one\ntwo\nthree\nfour\n".to_owned(), 0));
        assert_eq!(read(log, 100, 2), ("three\nfour\n".to_owned(), 2));
        assert_eq!(read(log, 100, 4), ("one\ntwo\nthree\nfour\n".to_owned(), 0));
        assert_eq!(read(log, 8, 100), ("four\n".to_owned(), 3));
        assert_eq!(read(b"one\ntwo", 100, 1), ("two".to_owned(), 1));
        assert_eq!(read(b"", 100, 1), (String::new(), 0));
        // A line that is longer than what is kept is cut.
        assert_eq!(read(b"0123456789", 4, 100), ("6789".to_owned(), 0));
    }

    #[test]
    fn lines_are_counted_over_any_length() {
        let log: Vec<u8> =
            (0..3_000_000).flat_map(|line| format!("{line}\n").into_bytes()).collect();
        let (text, skipped) = read(&log, 1 << 20, 1 << 30);
        let first: u64 = text.lines().next().unwrap().parse().unwrap();
        assert_eq!((first, text.lines().last()), (skipped, Some("2999999")));
        assert!(text.len() <= 1 << 20 && text.len() > 1 << 19);
    }

    #[test]
    fn the_end_of_utf_16_is_utf_16() {
        let text = "one\ntwo\nthree\n";
        let units = std::iter::once(0xfeff).chain(text.encode_utf16());
        let log: Vec<u8> = units.flat_map(u16::to_le_bytes).collect();
        let (kept, skipped) = {
            let log = TextLog::read(log.as_slice(), Kept { bytes: 16, lines: 100 }).unwrap();
            (log.text, log.skipped)
        };
        let end: Vec<u8> = [0xfeff]
            .into_iter()
            .chain("three\n".encode_utf16())
            .flat_map(u16::to_le_bytes)
            .collect();
        assert_eq!((kept, skipped), (end, 2));
    }

    #[test]
    fn a_line_without_end_is_an_error() {
        let mut input = io::BufReader::new(io::repeat(b'a').take(MAX_LINE + 1));
        assert_eq!(line(&mut input).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        let mut input = io::BufReader::new(&b"a\nb"[..]);
        assert_eq!(line(&mut input).unwrap().as_deref(), Some(&b"a\n"[..]));
        assert_eq!(line(&mut input).unwrap().as_deref(), Some(&b"b"[..]));
        assert_eq!(line(&mut input).unwrap(), None);
    }

    #[test]
    fn an_id_is_one_value() {
        let id = |json: &str| serde_json::from_str::<LogId>(json);
        for json in ["7", "-7", "7.5", "\"seven\"", "true", "null"] {
            assert_eq!(serde_json::to_string(&id(json).unwrap()).unwrap(), json);
        }
        assert!(id("[7]").is_err() && id("{}").is_err());
    }
}
