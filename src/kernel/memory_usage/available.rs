//! `MemAvailable`: what programs could get before the guest would have to swap.
//!
//! ```text
//! free pages - totalreserve_pages
//!   + what of the page cache of files,   each less its half, or the low
//!   + and of slabs that can be freed     watermarks of all zones if that is less
//! node_data[] ──► pglist_data.node_zones[]: _watermark[WMARK_LOW] + watermark_boost
//! ```
//!
//! Source: `si_mem_available` in `mm/show_mem.c` (`mm/page_alloc.c` in older kernels).

use vmcore_formats::addr::VirtAddr;

use super::counter;
use crate::kernel::Kernel;
use crate::kernel::types::Object;

/// The most nodes that are looked at. Linux has room for as many.
const MAX_NODES: u64 = 1024;
/// The most zones of a node. Linux has six.
const MAX_ZONES: u32 = 16;

/// It, in pages. `None` if a part of it cannot be read.
pub(super) fn pages(kernel: &Kernel) -> Option<u64> {
    let low = low_watermarks(kernel)?;
    let reserved = kernel.space.read_u64(kernel.symbol("totalreserve_pages")?).ok()?;
    let files =
        counter(kernel, "NR_ACTIVE_FILE")?.saturating_add(counter(kernel, "NR_INACTIVE_FILE")?);
    let reclaimable = counter(kernel, "NR_SLAB_RECLAIMABLE_B")?
        .saturating_add(counter(kernel, "NR_KERNEL_MISC_RECLAIMABLE")?);
    let wanted = |pages: u64| pages.saturating_sub(low.min(pages / 2));
    let more = wanted(files).saturating_add(wanted(reclaimable));
    // What is reserved may be more than what is free: the sum counts.
    Some(counter(kernel, "NR_FREE_PAGES")?.saturating_add(more).saturating_sub(reserved))
}

/// The low watermarks of all zones together.
fn low_watermarks(kernel: &Kernel) -> Option<u64> {
    let types = kernel.types().ok()?;
    let low = types.enumerator("zone_watermarks", "WMARK_LOW").ok()?;
    let count = types.field("pglist_data", "node_zones").ok()?.elements?.min(MAX_ZONES);
    let mut sum = 0_u64;
    for node in nodes(kernel)? {
        for zone in 0..count {
            let node = Object::at(kernel, "pglist_data", node).ok()?;
            let at = node.address_of(&format!("node_zones[{zone}]")).ok()?;
            let zone = Object::at(kernel, "zone", at).ok()?;
            // Older kernels have them by another name, and no boost.
            let mark = zone.u64(&format!("_watermark[{low}]"));
            let mark = mark.or_else(|_| zone.u64(&format!("watermark[{low}]"))).ok()?;
            let boost =
                if zone.has("watermark_boost") { zone.u64("watermark_boost").ok()? } else { 0 };
            sum = sum.saturating_add(mark).saturating_add(boost);
        }
    }
    Some(sum)
}

/// Where the nodes are: a table of those that there may be, or one alone.
fn nodes(kernel: &Kernel) -> Option<Vec<VirtAddr>> {
    let Some(table) = kernel.symbol("node_data") else {
        return Some(vec![kernel.symbol("contig_page_data")?]);
    };
    let count = u64::from(kernel.space.read_u32(kernel.symbol("nr_node_ids")?).ok()?);
    if count > MAX_NODES {
        return None;
    }
    let mut nodes = Vec::new();
    for index in 0..count {
        let at = table.checked_add(index.checked_mul(8)?)?;
        nodes.push(VirtAddr(kernel.space.read_u64(at).ok()?));
    }
    nodes.retain(|node| node.0 != 0);
    Some(nodes)
}
