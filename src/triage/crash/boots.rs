//! The boots that a log is of. Consoles are appended to, and journals go on: a file may have many.
//!
//! Needs: a log's lines. Gives: which lines each boot wrote, and whether a machine rebooted
//! without a word. The log in a kernel's memory is of one boot.
//!
//! What precedes the first boot is no earlier boot's: firmware, boot loaders, prompts, and what
//! people write. An earlier one shows by its own first line, or by times of the kernel's that are
//! followed by firmware.

use std::ops::Range;

use super::text::has;
use crate::triage::log::RecordLine;

/// Within how many lines of a boot's first line there may be another one of the same boot.
const FIRST_LINES: usize = 200;
/// How many lines before a boot are searched for what announced it.
const ANNOUNCED_WITHIN: usize = 2000;
/// How many lines of an early console are compared with what the console prints again.
const COMPARED: usize = 3;
/// Times of one boot are not further out of order than this.
const OUT_OF_ORDER_NS: u64 = 10_000_000_000;
/// A boot whose first line is lost begins before this time.
const EARLY_NS: u64 = 5_000_000_000;

/// The lines of one boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Boot {
    pub(crate) lines: Range<usize>,
    /// Its first line is the kernel's own.
    from_start: bool,
}

/// How a boot's first lines begin.
const FIRST: [&[u8]; 2] = [b"Linux version ", b"Booting Linux on physical CPU"];

/// What firmware, boot loaders and the kernel's decompressor print.
const FIRMWARE: [&str; 16] = [
    "SeaBIOS (version",
    "Booting the kernel",
    "Decompressing Linux",
    "Uncompressing Linux",
    "early console in ",
    "EFI stub:",
    "BdsDxe:",
    "UEFI",
    "U-Boot ",
    "Starting kernel ...",
    "GNU GRUB",
    "Loading Linux ",
    "iPXE",
    "OpenSBI",
    "coreboot",
    "Trusted Firmware",
];

/// What is printed before a restart that a user or a program asks for.
const ANNOUNCEMENTS: [&str; 22] = [
    "reboot: ",
    "Restarting system",
    "Power down",
    "System halted",
    "Starting new kernel",
    "systemd-shutdown",
    "Journal stopped",
    "exiting on signal 15",
    "-- Boot ",
    "-- Reboot --",
    "Reached target Reboot",
    "Reached target System Reboot",
    "Reached target reboot.target",
    "Reached target shutdown.target",
    "Reached target Shutdown",
    "Reached target Power-Off",
    "Sending SIGTERM to ",
    "Sending all processes the TERM signal",
    "The system is going down",
    "The system will reboot",
    "Requesting system reboot",
    "going down for reboot",
];

/// The boots of a log, oldest first: at least one.
pub(crate) fn of(lines: &[RecordLine<'_>]) -> Vec<Boot> {
    let mut boots = vec![Boot { lines: 0..lines.len(), from_start: false }];
    // The latest time of the boot so far.
    let mut latest = 0;
    for (index, line) in lines.iter().enumerate() {
        let first = is_first(line);
        let time = line.time_ns.filter(|_| !line.from_user);
        let again = time
            .is_some_and(|time| time < EARLY_NS && latest > time.saturating_add(OUT_OF_ORDER_NS));
        if (first || again) && begins(lines, index, boots.last(), first) {
            if let Some(last) = boots.last_mut() {
                last.lines.end = index;
            }
            boots.push(Boot { lines: index..lines.len(), from_start: first });
            latest = 0;
        }
        latest = latest.max(time.unwrap_or(0));
    }
    // What precedes the first boot is none, unless the kernel wrote it.
    let before = boots.first().map(|first| first.lines.clone()).unwrap_or_default();
    let of_kernel =
        lines.get(before.clone()).unwrap_or_default().iter().any(|line| is_running(line));
    if boots.len() > 1 && !of_kernel {
        boots.remove(0);
        if let Some(first) = boots.first_mut() {
            first.lines.start = before.start;
        }
    }
    boots
}

/// Whether a line is one of a boot's first.
fn is_first(line: &RecordLine<'_>) -> bool {
    let text = line.text.trim_ascii_start();
    !line.from_user && FIRST.iter().any(|first| text.starts_with(first))
}

/// Whether a kernel that has booted wrote a line.
fn is_running(line: &RecordLine<'_>) -> bool {
    line.collected || line.time_ns.is_some_and(|time| time > 0) && !line.from_user
}

/// Whether a boot begins with a line, and it is no other line of the last boot.
fn begins(lines: &[RecordLine<'_>], index: usize, last: Option<&Boot>, first: bool) -> bool {
    let Some(last) = last.filter(|last| last.from_start) else { return true };
    let own = lines.get(last.lines.start..index).unwrap_or_default();
    let (Some(begun), Some(line)) = (own.first(), lines.get(index)) else { return true };
    // arm prints two of them, in either case directly.
    let word = |line: &RecordLine<'_>| line.text.trim_ascii_start().first().copied();
    if first && own.len() < FIRST_LINES && word(begun) != word(line) {
        return false;
    }
    // A console prints again what an early console has already printed.
    let behind = lines.get(index..).unwrap_or_default().iter();
    let timed = behind.filter(|line| line.time_ns.is_some_and(|time| time > 0));
    let mut printed = timed.take(COMPARED).map(|line| {
        own.iter().any(|before| before.time_ns == line.time_ns && before.text == line.text)
    });
    let again = first && printed.next() == Some(true) && printed.all(|printed| printed);
    // Nothing is printed again after a panic: the same guest crashed so at the same time once more.
    !again || own.iter().any(|line| has(line.text, "Kernel panic - not syncing"))
}

/// The line with which a boot begins that nothing announced.
pub(crate) fn unexpected(lines: &[RecordLine<'_>], boots: &[Boot]) -> Option<usize> {
    boots.iter().enumerate().find_map(|(number, boot)| {
        let start = if number == 0 { first_of(lines, boot)? } else { boot.lines.start };
        let line = lines.get(start)?;
        // A log daemon stops before the kernel's last lines, so a journal cannot show this.
        let silent = !line.collected && !is_announced(lines, start);
        let restarted = if number == 0 {
            ran_before(lines, start)
        } else {
            boots.get(number.checked_sub(1)?)?.from_start || ran_before(lines, start)
        };
        (silent && boot.from_start && restarted).then_some(start)
    })
}

/// The kernel's first line of a boot.
fn first_of(lines: &[RecordLine<'_>], boot: &Boot) -> Option<usize> {
    let own = lines.get(boot.lines.clone())?.iter();
    own.enumerate().find(|(_, line)| is_first(line)).map(|(at, _)| boot.lines.start + at)
}

fn is_announced(lines: &[RecordLine<'_>], start: usize) -> bool {
    let before = lines.get(start.saturating_sub(ANNOUNCED_WITHIN)..start).unwrap_or_default();
    let mut own = before.iter().rev().take_while(|line| !is_first(line));
    own.any(|line| ANNOUNCEMENTS.iter().any(|words| has(line.text, words)))
}

/// Whether a machine ran before its firmware began.
fn ran_before(lines: &[RecordLine<'_>], start: usize) -> bool {
    let from = start.saturating_sub(FIRST_LINES);
    let before = lines.get(from..start).unwrap_or_default();
    let firmware =
        before.iter().position(|line| FIRMWARE.iter().any(|words| has(line.text, words)));
    let Some(firmware) = firmware else { return false };
    let earlier = before.get(..firmware).unwrap_or_default();
    earlier.iter().any(|line| is_running(line) || is_call(line.text))
}

/// A line of a fuzzer's program: `r0 = openat(0x0, …)`.
fn is_call(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    let call = text.strip_suffix(b")").and_then(|call| {
        let open = memchr::memchr(b'(', call)?;
        call.get(..open)?.rsplit(|byte| *byte == b' ').next()
    });
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$');
    let named = call.is_some_and(|name| !name.is_empty() && name.iter().all(is_name));
    named && has(text, "0x") || has(text, "executing program")
}

#[cfg(test)]
#[path = "boots_tests.rs"]
mod tests;
