//! The stacks of one CPU: another one reports a hard lockup.
//!
//! ```text
//! Watchdog detected hard LOCKUP on cpu 4      the header
//! CPU: 3 PID: 9 Comm: x …                     the CPU that reports, and its stack
//! NMI backtrace for cpu 4                     the CPU that locked up, if an NMI reached it
//! CPU: 4 PID: 7 Comm: y …
//! ```
//!
//! Needs: an event's stacks. Gives: those of that CPU alone.

use super::stack::Item;
use super::text::{after, number};
use crate::triage::log::RecordLine;

/// The items of this CPU. Old kernels name none: the report is then of the one that printed it.
pub(crate) fn of_cpu(lines: &[RecordLine<'_>], mut items: Vec<Item>, cpu: u32) -> Vec<Item> {
    let names_cpu =
        |item: &Item| lines.get(item.line()).is_some_and(|line| begins_cpu(line.text).is_some());
    if !items.iter().any(names_cpu) {
        return items;
    }
    let mut current = None;
    items.retain(|item| {
        let text = lines.get(item.line()).map_or(b"".as_slice(), |line| line.text);
        current = begins_cpu(text).or(current);
        current == Some(cpu)
    });
    items
}

/// The CPU whose part of the report begins with a line.
fn begins_cpu(text: &[u8]) -> Option<u32> {
    let text = text.trim_ascii_start();
    number(text.strip_prefix(b"CPU: ").or_else(|| after(text, "NMI backtrace for cpu "))?)
}
