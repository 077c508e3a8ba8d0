//! A log as text: a serial console's, pstore's, a journal's.
//!
//! ```text
//! Nov 24 12:00:01 host kernel: <4>[   12.345678][ T1234] text
//! └ syslog, or an ISO date     │  │             └ caller (CONFIG_PRINTK_CALLER; C: a CPU)
//!                              │  └ time
//!                              └ level          Each part may be missing.
//! ```
//!
//! Needs: bytes. Gives: records, one a line; a line that has another record within it becomes
//! two. Does not join what the kernel printed in several records.

use memchr::{memchr, memchr_iter, memmem};
use vmcore_formats::printk::Caller;

use super::LogRecord;

/// The most bytes of a syslog's prefix.
const MAX_PREFIX: usize = 256;

/// The records of a log that is text.
pub fn records(log: &[u8]) -> Vec<LogRecord> {
    let mut records = Vec::with_capacity(log.len() / 64);
    let mut rest = log;
    while !rest.is_empty() {
        let end = memchr(b'\n', rest).unwrap_or(rest.len());
        let (line, behind) = rest.split_at(end);
        rest = behind.get(1..).unwrap_or_default();
        push(&mut records, line.strip_suffix(b"\r").unwrap_or(line));
    }
    records
}

/// Adds the records of a line.
fn push(records: &mut Vec<LogRecord>, line: &[u8]) {
    let mut rest = line;
    // Each turn takes a record off: a line has as many as it has times.
    loop {
        let (head, at) = Head::read(rest);
        let text = rest.get(at..).unwrap_or_default();
        match next_time(text) {
            Some(next) => {
                let (before, behind) = text.split_at(next);
                if !before.is_empty() || head.time_ns.is_some() {
                    records.push(head.record(before));
                }
                rest = behind;
            }
            None => {
                records.push(head.record(text));
                return;
            }
        }
    }
}

/// Where in a text another record's time is.
fn next_time(text: &[u8]) -> Option<usize> {
    memchr_iter(b'[', text).find(|at| {
        text.get(*at..).is_some_and(|rest| time(rest).is_some_and(|(_, length)| length > 0))
    })
}

/// What precedes the text.
#[derive(Default)]
struct Head {
    time_ns: Option<u64>,
    level: Option<u8>,
    caller: Option<Caller>,
    from_user: bool,
}

impl Head {
    /// Reads it; also returns where the text begins.
    fn read(line: &[u8]) -> (Self, usize) {
        let mut head = Self::default();
        let from = |at: usize| line.get(at..).unwrap_or_default();
        let mut at = syslog(line);
        head.from_user = at == 0 && is_from_program(line);
        at += dropped(from(at));
        if let Some((priority, length)) = priority(from(at)) {
            // Above the three bits of the level is the facility: 0 is the kernel.
            head.level = u8::try_from(priority & 7).ok();
            head.from_user |= priority > 7;
            at += length;
        }
        if let Some((time_ns, length)) = time(from(at)) {
            head.time_ns = Some(time_ns);
            at += length;
            if let Some((caller, length)) = caller(from(at)) {
                head.caller = Some(caller);
                at += length;
            }
            // One blank separates the text.
            at += usize::from(from(at).first() == Some(&b' '));
        }
        (head, at)
    }

    fn record(&self, text: &[u8]) -> LogRecord {
        LogRecord {
            time_ns: self.time_ns,
            level: self.level,
            caller: self.caller,
            from_user: self.from_user,
            text: text.to_vec(),
        }
    }
}

/// The length of `Nov 24 12:00:01 host kernel: `, or the same with an ISO date.
fn syslog(line: &[u8]) -> usize {
    match dated(line).and_then(|start| memmem::find(start, b" kernel: ")) {
        Some(at) => at + b" kernel: ".len(),
        None => 0,
    }
}

/// The start of a line that begins with a date.
fn dated(line: &[u8]) -> Option<&[u8]> {
    let start = line.get(..line.len().min(MAX_PREFIX))?;
    let dated = match start {
        [b'A'..=b'S', b'a'..=b'z', b'a'..=b'z', b' ', _, b'0'..=b'9', b' ', ..] => true,
        [a, b, c, d, b'-', ..] => [a, b, c, d].iter().all(|byte| byte.is_ascii_digit()),
        _ => false,
    };
    dated.then_some(start)
}

/// Whether syslog has the line from a program: `Nov 24 12:00:01 host sshd[12]: `.
fn is_from_program(line: &[u8]) -> bool {
    dated(line).is_some_and(|start| {
        let mut words = start.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        words.by_ref().take(5).any(|word| {
            let pid = word
                .strip_suffix(b"]:")
                .and_then(|word| word.get(memchr(b'[', word)?.checked_add(1)?..));
            !word.starts_with(b"[") && pid.is_some_and(|pid| pid.iter().all(u8::is_ascii_digit))
        })
    })
}

/// The length of `** 12 printk messages dropped ** ` or the like.
fn dropped(line: &[u8]) -> usize {
    if !line.starts_with(b"** ") {
        return 0;
    }
    let start = line.get(..line.len().min(MAX_PREFIX)).unwrap_or_default();
    match memmem::find(start, b" dropped ** ") {
        Some(at) => at + b" dropped ** ".len(),
        None => 0,
    }
}

/// `<4>`, and its length.
fn priority(line: &[u8]) -> Option<(u64, usize)> {
    let digits = line.strip_prefix(b"<")?;
    let end = digits.iter().take(5).position(|byte| *byte == b'>')?;
    let (value, length) = number(digits.get(..end)?)?;
    (length == end && end > 0).then_some((value, end + 2))
}

/// `[   12.345678]`, and its length.
fn time(line: &[u8]) -> Option<(u64, usize)> {
    let inside = line.strip_prefix(b"[")?;
    let blanks = inside.iter().take(8).take_while(|byte| **byte == b' ').count();
    let (seconds, length) = number(inside.get(blanks..)?)?;
    let point = blanks + length;
    let fraction = inside.get(point..)?.strip_prefix(b".")?;
    let (micros, digits) = number(fraction)?;
    let closed = fraction.get(digits) == Some(&b']');
    if !closed || digits != 6 {
        return None;
    }
    let nanos = seconds.checked_mul(1_000_000_000)?.checked_add(micros.checked_mul(1000)?)?;
    Some((nanos, point + digits + 3))
}

/// `[ T1234]` or `[    C3]`, and its length.
fn caller(line: &[u8]) -> Option<(Caller, usize)> {
    let inside = line.strip_prefix(b"[")?;
    let blanks = inside.iter().take(12).take_while(|byte| **byte == b' ').count();
    let kind = inside.get(blanks)?;
    let (id, length) = number(inside.get(blanks + 1..)?)?;
    let id = u32::try_from(id).ok()?;
    let caller = match kind {
        b'T' => Caller::Thread(id),
        b'C' => Caller::Cpu(id),
        _ => return None,
    };
    (inside.get(blanks + 1 + length) == Some(&b']')).then_some((caller, blanks + length + 3))
}

/// The decimal number that a text begins with, and its length.
fn number(text: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    let mut length = 0;
    for byte in text.iter().take(20).take_while(|byte| byte.is_ascii_digit()) {
        value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
        length += 1;
    }
    (length > 0).then_some((value, length))
}

#[cfg(test)]
#[path = "console_tests.rs"]
mod tests;
