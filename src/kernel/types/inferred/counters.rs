//! The enumerations of memory counters, from their names for `/proc/vmstat`.
//!
//! ```text
//! vmstat_text   nr_free_pages ..     [numa_hit ..]   nr_inactive_anon ..
//!               zone_stat_item 0 ..                  node_stat_item 0 ..
//! ```

use vmcore_formats::addr::VirtAddr;

use super::layouts::Layouts;
use super::samples::Sample;
use crate::kernel::Kernel;

/// More than any kernel has.
const MAX_NAMES: u64 = 512;
const MAX_NAME: usize = 64;
/// The first name of a zone's counters, and of a node's.
const FIRST: [&str; 2] = ["nr_free_pages", "nr_inactive_anon"];
/// Counters whose name in the source is not the one that is shown.
const OTHERWISE: [(&str, &str); 6] = [
    ("nr_anon_pages", "NR_ANON_MAPPED"),
    ("nr_mapped", "NR_FILE_MAPPED"),
    ("nr_dirty", "NR_FILE_DIRTY"),
    ("nr_kernel_stack", "NR_KERNEL_STACK_KB"),
    ("nr_page_table_pages", "NR_PAGETABLE"),
    ("nr_swapcached", "NR_SWAPCACHE"),
];

pub(super) fn infer(kernel: &Kernel, layouts: &mut Layouts) {
    let names = names(kernel);
    let node = names.iter().position(|name| name == FIRST[1]);
    let (Some(node), true) = (node, names.first().is_some_and(|name| name == FIRST[0])) else {
        return;
    };
    let (zone, node) = names.split_at(node);
    // What a machine of several nodes counts is in a table of its own.
    let zone = zone.split(|name| name == "numa_hit").next().unwrap_or_default();
    layouts.know_values("zone_stat_item", values(zone));
    layouts.know_values("node_stat_item", values(node));
}

fn names(kernel: &Kernel) -> Vec<String> {
    let Some(at) = kernel.symbol("vmstat_text") else { return Vec::new() };
    let table = Sample::read(&kernel.space, at, MAX_NAMES.saturating_mul(8));
    (0..MAX_NAMES)
        .map_while(|index| table.pointer(index.saturating_mul(8)))
        .map(|at: VirtAddr| kernel.string(at, MAX_NAME))
        .take_while(|name| name.starts_with(|first: char| first.is_ascii_lowercase()))
        .collect()
}

fn values(names: &[String]) -> Vec<(String, i64)> {
    let source = |name: &String| {
        let otherwise = OTHERWISE.iter().find(|(shown, _)| shown == name);
        otherwise.map_or_else(|| name.to_ascii_uppercase(), |(_, source)| (*source).to_owned())
    };
    names.iter().map(source).zip(0..).collect()
}
