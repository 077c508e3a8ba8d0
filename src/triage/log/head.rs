//! What printk puts before a record's text on a console or in pstore.
//!
//! ```text
//! <4>[   12.345678][ T1234] text
//! │  │             └ caller (CONFIG_PRINTK_CALLER; C: a CPU)
//! │  └ time
//! └ level          Each part may be missing.
//! ```
//!
//! Needs: a line. Gives: its parts, and where the text begins.

use memchr::{memchr_iter, memmem};
use vmcore_formats::printk::Caller;

use super::LogRecord;

/// The most bytes of the note about dropped messages.
const MAX_NOTE: usize = 256;

/// What precedes the text.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    pub(super) time_ns: Option<u64>,
    level: Option<u8>,
    caller: Option<Caller>,
    pub(super) from_user: bool,
    /// A log daemon wrote the line, and names the kernel.
    pub(super) collected: bool,
}

impl Head {
    /// Reads it; also returns where the text begins.
    pub(super) fn read(line: &[u8]) -> (Self, usize) {
        let mut head = Self::default();
        let from = |at: usize| line.get(at..).unwrap_or_default();
        let mut at = dropped(line);
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

    /// Takes what another has more: a log daemon may repeat the level before its own prefix.
    pub(super) fn joined(self, later: Self) -> Self {
        Self {
            time_ns: later.time_ns.or(self.time_ns),
            level: later.level.or(self.level),
            caller: later.caller.or(self.caller),
            from_user: self.from_user || later.from_user,
            collected: self.collected || later.collected,
        }
    }

    pub(super) fn record(&self, line: u32, text: &[u8]) -> LogRecord {
        LogRecord {
            time_ns: self.time_ns,
            level: self.level,
            caller: self.caller,
            from_user: self.from_user,
            collected: self.collected,
            line,
            text: text.to_vec(),
        }
    }
}

/// Where in a text another record's time is.
pub(super) fn next_time(text: &[u8]) -> Option<usize> {
    memchr_iter(b'[', text).find(|at| {
        text.get(*at..).is_some_and(|rest| time(rest).is_some_and(|(_, length)| length > 0))
    })
}

/// The length of `** 12 printk messages dropped ** ` or the like.
fn dropped(line: &[u8]) -> usize {
    if !line.starts_with(b"** ") {
        return 0;
    }
    let start = line.get(..line.len().min(MAX_NOTE)).unwrap_or_default();
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
