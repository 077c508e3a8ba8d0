//! What a guest's memory was used for, as `free` and `/proc/meminfo` show it.
//!
//! ```text
//! _totalram_pages                          MemTotal
//! vm_zone_stat[enum zone_stat_item]        free pages, and more
//! vm_node_stat[enum node_stat_item]        page cache, anonymous pages, slabs, and more
//! total_swap_pages, nr_swap_pages          swap
//! ```
//!
//! The kernel counts in pages, and on each CPU by itself for a while: figures are those
//! that `/proc/meminfo` would have shown. What it computes on demand has
//! modules of its own: `available`, `buffers`.

mod available;
mod buffers;

use vmcore_formats::addr::VirtAddr;

use super::Kernel;

/// Lines of `/proc/meminfo`, and the counters that they are made of. Names that end in
/// `_B` are older ones' without it.
const LINES: [(&str, &[&str]); 19] = [
    ("SwapCached", &["NR_SWAPCACHE"]),
    ("Active(anon)", &["NR_ACTIVE_ANON"]),
    ("Inactive(anon)", &["NR_INACTIVE_ANON"]),
    ("Active(file)", &["NR_ACTIVE_FILE"]),
    ("Inactive(file)", &["NR_INACTIVE_FILE"]),
    ("Unevictable", &["NR_UNEVICTABLE"]),
    ("Mlocked", &["NR_MLOCK"]),
    ("Dirty", &["NR_FILE_DIRTY"]),
    ("Writeback", &["NR_WRITEBACK"]),
    ("AnonPages", &["NR_ANON_MAPPED"]),
    ("Mapped", &["NR_FILE_MAPPED"]),
    ("Shmem", &["NR_SHMEM"]),
    ("KReclaimable", &["NR_SLAB_RECLAIMABLE_B", "NR_KERNEL_MISC_RECLAIMABLE"]),
    ("Slab", &["NR_SLAB_RECLAIMABLE_B", "NR_SLAB_UNRECLAIMABLE_B"]),
    ("SReclaimable", &["NR_SLAB_RECLAIMABLE_B"]),
    ("SUnreclaim", &["NR_SLAB_UNRECLAIMABLE_B"]),
    ("KernelStack", &["NR_KERNEL_STACK_KB"]),
    ("PageTables", &["NR_PAGETABLE"]),
    ("Bounce", &["NR_BOUNCE"]),
];

/// What memory was used for, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryUsage {
    /// All that the kernel has to give.
    pub total: u64,
    /// Free pages.
    pub free: u64,
    /// What programs could still get without swapping; `None` if it is not known.
    pub available: Option<u64>,
    /// Page cache, buffers, and slabs that can be freed: `buff/cache` of `free`.
    pub cache: u64,
    /// Shared memory and tmpfs, which are part of the cache.
    pub shared: Option<u64>,
    /// Swap in all, and what is free of it.
    pub swap: Option<(u64, u64)>,
    /// Lines as `/proc/meminfo` has them, in its order.
    pub lines: Vec<(&'static str, u64)>,
    /// What is missing or wrong, as sentences.
    pub findings: Vec<String>,
}

impl MemoryUsage {
    /// Reads it.
    ///
    /// Returns `None` where the counters or their names are not known.
    pub fn of(kernel: &Kernel) -> Option<Self> {
        let page = kernel.page_size();
        let pages = |symbol| {
            let value = kernel.space.read_u64(kernel.symbol(symbol)?).ok()?;
            // Per-CPU parts that are not added yet can make a sum negative.
            value.cast_signed().max(0).cast_unsigned().checked_mul(page)
        };
        let counted: Vec<_> =
            LINES.iter().filter_map(|(line, names)| Some((*line, bytes(kernel, names)?))).collect();
        let line =
            |name: &str| counted.iter().find(|(line, _)| *line == name).map(|(_, bytes)| *bytes);
        let total = pages("_totalram_pages").or_else(|| pages("totalram_pages"))?;
        let free = bytes(kernel, &["NR_FREE_PAGES"])?;
        let swap = pages("total_swap_pages").zip(pages("nr_swap_pages"));
        let mut findings = Vec::new();
        let available = available::pages(kernel).and_then(|pages| pages.checked_mul(page));
        let buffers =
            buffers::pages(kernel, &mut findings).and_then(|pages| pages.checked_mul(page));
        for (name, value) in [("MemAvailable", available), ("Buffers", buffers)] {
            if value.is_none() {
                findings.push(format!(
                    "{name} is not known: what the kernel computes it from cannot be read"
                ));
            }
        }
        let mut apart = |name: &str, why: &str| {
            line(name).unwrap_or_else(|| {
                findings.push(format!("{name} is not known, so that {why}"));
                0
            })
        };
        let swap_cache = match swap {
            Some((0, _)) => 0,
            _ => apart("SwapCached", "the cache has pages of swap in it"),
        };
        let reclaimable = apart("SReclaimable", "the cache is without slabs that can be freed");
        let cache = bytes(kernel, &["NR_FILE_PAGES"])?.saturating_sub(swap_cache);
        let cached = buffers.map(|buffers| cache.saturating_sub(buffers));
        let mut lines = vec![("MemTotal", total), ("MemFree", free)];
        let more = [("MemAvailable", available), ("Buffers", buffers), ("Cached", cached)];
        lines.extend(more.iter().filter_map(|(name, value)| Some((*name, (*value)?))));
        lines.extend(&counted);
        let of_swap = swap.map(|(total, free)| [("SwapTotal", total), ("SwapFree", free)]);
        lines.extend(of_swap.into_iter().flatten());
        Some(Self {
            total,
            free,
            available,
            cache: cache.saturating_add(reclaimable),
            shared: line("Shmem"),
            swap,
            lines,
            findings,
        })
    }

    /// What is in use: neither free nor cache.
    pub fn used(&self) -> u64 {
        self.total.saturating_sub(self.free).saturating_sub(self.cache)
    }
}

/// What these counters count, together. `None` if one is not known.
fn bytes(kernel: &Kernel, names: &[&str]) -> Option<u64> {
    let page = kernel.page_size();
    let one = |name: &&str| {
        counter(kernel, name)?.checked_mul(if name.ends_with("_KB") { 1024 } else { page })
    };
    let all = names.iter().map(one).collect::<Option<Vec<_>>>()?;
    Some(all.into_iter().fold(0, u64::saturating_add))
}

/// A counter of all zones, or of all nodes, by its name.
fn counter(kernel: &Kernel, name: &str) -> Option<u64> {
    let types = kernel.types().ok()?;
    for (enumeration, table) in
        [("zone_stat_item", "vm_zone_stat"), ("node_stat_item", "vm_node_stat")]
    {
        let older = name.trim_end_matches("_B");
        let found = types.enumerator(enumeration, name);
        let Ok(index) = found.or_else(|_| types.enumerator(enumeration, older)) else { continue };
        let skip = u64::try_from(index).ok()?.checked_mul(8)?;
        let at = VirtAddr(kernel.symbol(table)?.0.checked_add(skip)?);
        let value = kernel.space.read_u64(at).ok()?.cast_signed();
        return Some(value.max(0).cast_unsigned());
    }
    None
}
