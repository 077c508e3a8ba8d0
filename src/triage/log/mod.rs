//! Records of a kernel's log, from its memory or from text ([`console`]), and their lines.
//!
//! Needs: records of the printk ring, or a log as text. Gives: records and lines with their time
//! and caller, as the search for a crash uses them.

mod anchors;
pub mod console;
mod encoding;
mod head;
mod json;
mod layout;
mod markup;
mod order;
mod pattern;
mod program;
mod slot;

use vmcore_formats::printk::{Caller, Record};

/// A record of a kernel's log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogRecord {
    /// When, in nanoseconds of the kernel's log clock; a console may not have it.
    pub time_ns: Option<u64>,
    /// 0 (emergency) to 7 (debug), if it is known.
    pub level: Option<u8>,
    /// The thread or CPU that printed it, if it is known.
    pub caller: Option<Caller>,
    /// User space wrote it, to `/dev/kmsg` or the console: it is no event of the kernel.
    pub from_user: bool,
    /// A log daemon wrote it to its file: the kernel's last lines are not in such files.
    pub collected: bool,
    /// The line of the text file that it is on, as editors count; 0 if it is from no file.
    pub line: u32,
    /// The text, with its leading blanks. It may have several lines.
    pub text: Vec<u8>,
}

impl From<&Record> for LogRecord {
    fn from(record: &Record) -> Self {
        Self {
            time_ns: Some(record.time_ns),
            level: Some(record.level),
            caller: record.caller,
            from_user: record.facility != 0,
            collected: false,
            line: 0,
            text: record.text.clone(),
        }
    }
}

/// `LOG_NEWLINE`: the record ends its line.
const NEWLINE: u8 = 2;
/// `LOG_CONT`: the record continues a line.
const CONTINUES: u8 = 8;
/// How many records of other callers may be between the parts of a line.
const MAX_APART: usize = 64;

/// The records of a kernel's log. A record that continues a line of the same caller is appended
/// to it and left empty, so that the others keep their indexes.
///
/// Since the lockless ring, printk reopens a record to continue it, unless another caller wrote
/// meanwhile (`kernel/printk/printk.c`, `vprintk_store()`); older kernels keep the parts apart.
pub fn of_kernel(records: &[Record]) -> Vec<LogRecord> {
    let mut all: Vec<LogRecord> = records.iter().map(LogRecord::from).collect();
    // Lines without an end: the caller, and the index of the first record.
    let mut open: Vec<(Option<Caller>, usize)> = Vec::new();
    for (index, record) in records.iter().enumerate() {
        open.retain(|(_, begun)| index.saturating_sub(*begun) <= MAX_APART);
        let own = open.iter().position(|(caller, _)| *caller == record.caller);
        let begun = own.map(|at| open.swap_remove(at).1).filter(|_| record.flags & CONTINUES != 0);
        if let Some(begun) = begun {
            let more = all.get_mut(index).map(|own| std::mem::take(&mut own.text));
            if let (Some(line), Some(more)) = (all.get_mut(begun), more) {
                line.text.extend(more);
            }
        }
        if record.flags & NEWLINE == 0 {
            open.push((record.caller, begun.unwrap_or(index)));
        }
    }
    all
}

/// A line of a record. A record of the ring may have several, a console's has one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordLine<'a> {
    /// Index of the record.
    pub(crate) record: usize,
    /// When the record was printed.
    pub(crate) time_ns: Option<u64>,
    /// The thread or CPU that printed it.
    pub(crate) caller: Option<Caller>,
    /// User space wrote it.
    pub(crate) from_user: bool,
    /// A log daemon wrote it to its file.
    pub(crate) collected: bool,
    /// The line of the text file, from 1; 0 without one.
    pub(crate) file_line: u32,
    /// The line's text.
    pub(crate) text: &'a [u8],
}

impl RecordLine<'_> {
    /// The line of the text file, from 1.
    pub(crate) fn number(&self) -> Option<u32> {
        (self.file_line > 0).then_some(self.file_line)
    }
}

/// Lines with nothing but their text.
#[cfg(test)]
pub(crate) fn lines_of_text(text: &str) -> Vec<RecordLine<'_>> {
    text.lines()
        .map(|text| RecordLine {
            record: 0,
            time_ns: None,
            caller: None,
            from_user: false,
            collected: false,
            file_line: 0,
            text: text.as_bytes(),
        })
        .collect()
}

/// Breaks records into their lines.
pub(crate) fn lines(records: &[LogRecord]) -> Vec<RecordLine<'_>> {
    let mut lines = Vec::with_capacity(records.len());
    for (index, record) in records.iter().enumerate() {
        let line = |text| RecordLine {
            record: index,
            time_ns: record.time_ns,
            caller: record.caller,
            from_user: record.from_user,
            collected: record.collected,
            file_line: record.line,
            text,
        };
        if memchr::memchr(b'\n', &record.text).is_none() {
            lines.push(line(&record.text));
        } else {
            lines.extend(record.text.split(|byte| *byte == b'\n').map(line));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(caller: u32, flags: u8, text: &str) -> Record {
        Record {
            seq: None,
            time_ns: 0,
            facility: 0,
            level: 4,
            flags,
            caller: Some(Caller::Thread(caller)),
            text: text.into(),
            dictionary: Vec::new(),
        }
    }

    fn texts(records: &[Record]) -> Vec<String> {
        let text = |record: LogRecord| String::from_utf8(record.text).unwrap();
        of_kernel(records).into_iter().map(text).collect()
    }

    #[test]
    fn a_continued_line_is_joined_across_other_callers() {
        let parts = [
            record(1, 0, "BUG: unable to handle "),
            record(2, NEWLINE, "another"),
            record(1, CONTINUES, "kernel NULL pointer "),
            record(1, CONTINUES | NEWLINE, "dereference"),
            record(1, NEWLINE, "the next"),
        ];
        assert_eq!(
            texts(&parts),
            [
                "BUG: unable to handle kernel NULL pointer dereference",
                "another",
                "",
                "",
                "the next"
            ]
        );
    }

    #[test]
    fn a_line_that_ended_is_not_continued() {
        let ended = [record(1, NEWLINE, "a"), record(1, CONTINUES | NEWLINE, "b")];
        assert_eq!(texts(&ended), ["a", "b"]);
        // Nor a line after which the caller began another one, nor another caller's line.
        let new = [record(1, 0, "a"), record(1, NEWLINE, "b"), record(1, CONTINUES, "c")];
        assert_eq!(texts(&new), ["a", "b", "c"]);
        let other = [record(1, 0, "a"), record(2, CONTINUES, "b")];
        assert_eq!(texts(&other), ["a", "b"]);
    }
}
