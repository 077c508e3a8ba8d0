//! What the memory was used for, as a report has it.

use super::data::{Memory, MemoryPart};
use crate::kernel::memory_usage::MemoryUsage;

/// The parts of the kernel's own counts that are apart from each other.
pub(super) fn of(usage: &MemoryUsage) -> Memory {
    let cache = usage.cache.min(usage.total);
    let free = usage.free.min(usage.total.saturating_sub(cache));
    let rest = usage.total.saturating_sub(cache).saturating_sub(free);
    let part = |name: &str, bytes| MemoryPart { name: name.to_owned(), bytes };
    Memory {
        total_bytes: usage.total,
        parts: vec![part("programs and kernel", rest), part("caches", cache), part("free", free)],
    }
}
