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

/// `LOG_NEWLINE`: the line that the record is of ends with it.
const NEWLINE: u8 = 2;
/// `LOG_CONT`: the record goes on with a line that another began.
const CONTINUES: u8 = 8;
/// How many records of others may stand between the parts of a line.
const APART: usize = 64;

/// The records of a kernel's log. One that goes on with a line of the same caller's is joined to
/// that, and left empty: the others keep their places.
///
/// A kernel with a ring reopens a record for what continues it, unless somebody else's was written
/// meanwhile (`kernel/printk/printk.c`, `vprintk_store()`); older ones keep the parts apart.
#[must_use]
pub fn of_log(records: &[Record]) -> Vec<LogRecord> {
    let mut all: Vec<LogRecord> = records.iter().map(LogRecord::from).collect();
    // What may be gone on with: whose line, and where it began.
    let mut open: Vec<(Option<Caller>, usize)> = Vec::new();
    for (index, record) in records.iter().enumerate() {
        open.retain(|(_, begun)| index.saturating_sub(*begun) <= APART);
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
        of_log(records).into_iter().map(text).collect()
    }

    #[test]
    fn what_goes_on_with_a_line_is_joined_to_it_whoever_printed_between() {
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
    fn a_line_that_ended_is_not_gone_on_with() {
        let ended = [record(1, NEWLINE, "a"), record(1, CONTINUES | NEWLINE, "b")];
        assert_eq!(texts(&ended), ["a", "b"]);
        // Nor one whose next line is a new one, nor another caller's.
        let new = [record(1, 0, "a"), record(1, NEWLINE, "b"), record(1, CONTINUES, "c")];
        assert_eq!(texts(&new), ["a", "b", "c"]);
        let other = [record(1, 0, "a"), record(2, CONTINUES, "b")];
        assert_eq!(texts(&other), ["a", "b"]);
    }
}
