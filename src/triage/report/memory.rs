//! How the memory was used, as a report has it.

use super::data::{Memory, MemoryPart, Report, Trust};
use crate::kernel::memory_usage::MemoryUsage;

/// Puts the memory into a report.
pub(super) fn take(report: &mut Report, usage: Option<MemoryUsage>) {
    let Some(usage) = usage else { return };
    for finding in &usage.findings {
        report.find("memory", finding.clone(), Trust::Certain);
    }
    report.memory = Some(of(&usage));
}

/// The parts of the memory, from the kernel's own counts, without overlap.
fn of(usage: &MemoryUsage) -> Memory {
    let cache = usage.cache.min(usage.total);
    let free = usage.free.min(usage.total.saturating_sub(cache));
    let rest = usage.total.saturating_sub(cache).saturating_sub(free);
    let part = |name: &str, bytes| MemoryPart { name: name.to_owned(), bytes };
    Memory {
        total_bytes: usage.total,
        available_bytes: usage.available,
        parts: vec![part("programs and kernel", rest), part("caches", cache), part("free", free)],
    }
}
