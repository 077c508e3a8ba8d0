//! What a report says of one processor: that which locked up is not the one that tells of it.
//!
//! ```text
//! Watchdog detected hard LOCKUP on cpu 4      the header
//! CPU: 3 PID: 9 Comm: x …                     who tells, and its stack
//! NMI backtrace for cpu 4                     the processor itself, if it could be asked
//! CPU: 4 PID: 7 Comm: y …
//! ```
//!
//! Needs: an event's stacks. Gives: those of the processor alone, and of no other.

use super::header::behind;
use super::stack::Item;
use crate::triage::record::Line;

/// The items that are said of this processor.
pub(crate) fn of_cpu(lines: &[Line<'_>], items: Vec<Item>, cpu: u32) -> Vec<Item> {
    let mut current = None;
    let mut own = items;
    own.retain(|item| {
        let text = lines.get(item.line()).map_or(b"".as_slice(), |line| line.text);
        current = speaks_of(text).or(current);
        current == Some(cpu)
    });
    own
}

/// The processor that a line begins to tell of.
fn speaks_of(text: &[u8]) -> Option<u32> {
    let text = text.trim_ascii_start();
    let told = text.strip_prefix(b"CPU: ").or_else(|| behind(text, "NMI backtrace for cpu "))?;
    let digits = told.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(told.get(..digits)?).ok()?.parse().ok()
}
