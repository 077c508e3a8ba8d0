//! Which lines of the log belong to an event.
//!
//! Needs: the log's lines and its headers. Gives: the indexes of an event's lines. Other callers
//! print in between: where the log has callers, their lines are left out.

use memchr::memmem;
use vmcore_formats::printk::Caller;

use super::kinds::{BlameSource, Header};
use crate::triage::log::RecordLine;

/// The most lines of an event.
const MAX_LINES: usize = 3000;
/// How many lines are searched for them.
const MAX_SCAN: usize = 20_000;
/// A panic ends an event that has this many lines; in a shorter one the panic's stack is the
/// event's own.
const FEW_LINES: usize = 20;

/// The indexes of an event's lines, its header's first.
pub(crate) fn of(lines: &[RecordLine<'_>], headers: &[Header], which: usize) -> Vec<usize> {
    let Some(header) = headers.get(which) else { return Vec::new() };
    let caller = lines.get(header.line).and_then(|line| line.caller);
    let mut others = headers.iter().skip(which + 1).peekable();
    let mut indexes = vec![header.line];
    let (mut every_cpu, mut has_stack) = (false, false);
    let most = if header.kind.blame == BlameSource::None { FEW_LINES * 10 } else { MAX_SCAN };
    let behind = lines.iter().enumerate().skip(header.line.saturating_add(1)).take(most);
    for (index, line) in behind {
        if indexes.len() >= MAX_LINES {
            break;
        }
        let other = others.next_if(|other| other.line == index);
        if line.from_user || !is_events_own(caller, line.caller, every_cpu) {
            continue;
        }
        if let Some(other) = other {
            let panic_ends = is_panic(line.text) && indexes.len() >= FEW_LINES && has_stack;
            if panic_ends || !other.kind.within_another {
                break;
            }
        }
        if interrupts(line.text) && caller.is_none() {
            break;
        }
        indexes.push(index);
        has_stack |= starts_stack(line.text);
        every_cpu |= memmem::find(line.text, b"Sending NMI from CPU").is_some()
            || memmem::find(line.text, b"Sending NMI to").is_some();
        if ends(line.text) {
            break;
        }
    }
    indexes
}

/// Whether a line's caller is the event's. Without callers every line may be.
fn is_events_own(caller: Option<Caller>, printed_by: Option<Caller>, every_cpu: bool) -> bool {
    match (caller, printed_by) {
        (None, _) => true,
        // A line without a header in a log that has them: the rest of a longer line.
        (Some(_), None) => false,
        (Some(caller), Some(by)) => caller == by || every_cpu && matches!(by, Caller::Cpu(_)),
    }
}

fn is_panic(text: &[u8]) -> bool {
    memmem::find(text, b"Kernel panic - not syncing").is_some()
}

fn starts_stack(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    text.starts_with(b"Call ") || text.starts_with(b"Backtrace:")
}

/// Whether an event ends with a line.
fn ends(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    text.starts_with(b"---[ end trace") || text.starts_with(b"---[ end Kernel panic")
}

/// Whether a message begins that has a stack of its own and is no event.
fn interrupts(text: &[u8]) -> bool {
    let starts: [&[u8]; 5] = [
        b"FAULT_INJECTION: forcing",
        b": vmalloc: allocation failure",
        b": vmalloc error",
        b": page allocation failure",
        b"FAULT_FLAG_ALLOW_RETRY missing",
    ];
    starts.iter().any(|start| memmem::find(text, start).is_some())
}
