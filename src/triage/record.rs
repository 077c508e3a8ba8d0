//! A record of a log, from wherever it comes.
//!
//! Needs: a record of the kernel's ring, or a line of a console. Gives: what the search for a
//! crash goes by.

use vmcore_formats::printk::{Caller, Record};

/// A record of a kernel's log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogRecord {
    /// When, in nanoseconds of the kernel's log clock. A console need not tell.
    pub time_ns: Option<u64>,
    /// 0 (emergency) to 7 (debug), where it is known.
    pub level: Option<u8>,
    /// Who printed it, where it is known.
    pub caller: Option<Caller>,
    /// User space wrote it, through the kernel's log or the console's: it is no event of the
    /// kernel, whatever it says.
    pub from_user: bool,
    /// The text, with the blanks that it begins with. It may have several lines.
    pub text: Vec<u8>,
}

impl From<&Record> for LogRecord {
    fn from(record: &Record) -> Self {
        Self {
            time_ns: Some(record.time_ns),
            level: Some(record.level),
            caller: record.caller,
            from_user: record.facility != 0,
            text: record.text.clone(),
        }
    }
}

/// A line of a record: consoles and rings break records differently.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    /// Index of the record.
    pub(crate) record: usize,
    /// When the record was printed.
    pub(crate) time_ns: Option<u64>,
    /// By whom.
    pub(crate) caller: Option<Caller>,
    /// User space wrote it.
    pub(crate) from_user: bool,
    /// The line's text.
    pub(crate) text: &'a [u8],
}

/// Breaks records into their lines.
pub(crate) fn lines(records: &[LogRecord]) -> Vec<Line<'_>> {
    let mut lines = Vec::with_capacity(records.len());
    for (index, record) in records.iter().enumerate() {
        let line = |text| Line {
            record: index,
            time_ns: record.time_ns,
            caller: record.caller,
            from_user: record.from_user,
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
