//! A machine that rebooted without a word: no shutdown, no panic.
//!
//! Needs: a console's lines. Gives: where the new boot begins. The log in a kernel's memory is of
//! one boot and cannot show this.

use super::text::has;
use crate::triage::log::RecordLine;

/// How far apart the first lines of one boot may be: firmware's, the decompressor's, the kernel's.
const BOOT_LINES: usize = 200;

/// The line with which the unexpected boot begins.
pub(crate) fn find(lines: &[RecordLine<'_>]) -> Option<usize> {
    let mut last: Option<usize> = None;
    let mut running = false;
    for (index, line) in lines.iter().enumerate() {
        let text = line.text.trim_ascii();
        let firmware = text.starts_with(b"SeaBIOS (version");
        let kernel = text.starts_with(b"Linux version ") || text.starts_with(b"Booting the kernel");
        let one_boot = last.is_some_and(|last| index.saturating_sub(last) < BOOT_LINES);
        if firmware || kernel && !one_boot {
            if running {
                return Some(index);
            }
            last = Some(index);
        }
        // A reboot on purpose is announced.
        let announced =
            has(text, "reboot: ") || has(text, "Restarting system") || has(text, "Power down");
        running = !announced
            && (running
                || !text.is_empty() && !firmware && !text.starts_with(b"Decompressing Linux"));
        if announced {
            last = Some(index);
        }
    }
    None
}
