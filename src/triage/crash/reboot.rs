//! A machine that booted while its kernel ran, and said nothing of it.
//!
//! Needs: a console's lines. Gives: where the new boot begins. A log out of memory has one boot
//! and never tells this.

use super::header::has;
use crate::triage::record::Line;

/// How far apart lines of one boot's beginning may be.
const BOOT_LINES: usize = 200;

/// The line with which the unexpected boot begins.
pub(crate) fn find(lines: &[Line<'_>]) -> Option<usize> {
    let mut last: Option<usize> = None;
    let mut said = false;
    for (index, line) in lines.iter().enumerate() {
        let text = line.text.trim_ascii();
        let firmware = text.starts_with(b"SeaBIOS (version");
        let kernel = text.starts_with(b"Linux version ") || text.starts_with(b"Booting the kernel");
        // Firmware, decompressor and kernel are one boot.
        let one_boot = last.is_some_and(|last| index.saturating_sub(last) < BOOT_LINES);
        if firmware || kernel && !one_boot {
            if said {
                return Some(index);
            }
            last = Some(index);
        }
        // Who reboots on purpose says so.
        let announced =
            has(text, "reboot: ") || has(text, "Restarting system") || has(text, "Power down");
        said = !announced
            && (said || !text.is_empty() && !firmware && !text.starts_with(b"Decompressing Linux"));
        if announced {
            last = Some(index);
        }
    }
    None
}
