//! The resident sets of processes.
//!
//! ```text
//! mm_struct.rss_stat[kind]        a sum, with a part on each CPU
//!   or rss_stat.count[kind]       a number, and with SPLIT_RSS_COUNTING
//! task_struct.rss_stat.count[]    what each thread has not added to it yet
//! ```
//!
//! A sum with a part for each CPU since Linux commit f1a7941243c1 "mm: convert mm's rss stats
//! into `percpu_counter`" (in v6.2). Threads share an `mm_struct`, which is read once.

use std::collections::{BTreeMap, HashMap};

use vmcore_formats::addr::VirtAddr;

use super::read::{RESIDENT, Task};
use crate::kernel::Kernel;
use crate::kernel::budget::{Budget, NODE, Spent};
use crate::kernel::per_cpu_objects::{PerCpuCounter, per_cpu_counter};
use crate::kernel::types::Object;

/// How many processes' parts are read together.
const TOGETHER: usize = 1024;

/// Reads how much memory each task's process has.
///
/// Returns how many processes were left out because there were too many parts, and why.
pub(super) fn complete(
    kernel: &Kernel,
    tasks: &mut [Task],
    budget: &Budget,
) -> Option<(usize, Spent)> {
    let mut pages: BTreeMap<VirtAddr, Option<u64>> =
        tasks.iter().filter_map(|task| Some((task.mm?, None))).collect();
    let spent = read(kernel, &mut pages, budget).err();
    let missing =
        spent.map(|spent| (pages.values().filter(|pages| pages.is_none()).count(), spent));
    let of_threads = counted_by_threads(tasks);
    let size = kernel.page_size();
    for task in tasks {
        let Some(pages) = task.mm.and_then(|mm| *pages.get(&mm)?) else { continue };
        let of_threads = of_threads.get(&task.tgid).copied().unwrap_or_default();
        task.rss_bytes = pages.saturating_add_signed(of_threads).checked_mul(size);
    }
    missing
}

/// Reads the pages of each `mm_struct`, in the order of their addresses.
fn read(
    kernel: &Kernel,
    pages: &mut BTreeMap<VirtAddr, Option<u64>>,
    budget: &Budget,
) -> Result<(), Spent> {
    let mut all = pages.iter_mut().peekable();
    while all.peek().is_some() {
        let (mut counters, mut owners) = (Vec::new(), Vec::new());
        for (mm, pages) in all.by_ref().take(TOGETHER) {
            budget.take(NODE)?;
            match counted(kernel, *mm) {
                Some(Counted::Plain(sum)) => *pages = Some(sum),
                Some(Counted::PerCpu(of_kinds)) => {
                    counters.extend(of_kinds);
                    owners.push(pages);
                }
                None => {}
            }
        }
        kernel.add_parts(&mut counters, budget)?;
        for (of_kinds, pages) in counters.chunks(RESIDENT.len()).zip(owners) {
            let values = of_kinds.iter().map(|counter| counter.value());
            *pages = Some(values.fold(0, u64::saturating_add));
        }
    }
    Ok(())
}

/// The pages of a process, in one of two ways.
enum Counted {
    Plain(u64),
    PerCpu([PerCpuCounter; RESIDENT.len()]),
}

fn counted(kernel: &Kernel, mm: VirtAddr) -> Option<Counted> {
    let mm = Object::at(kernel, "mm_struct", mm).ok()?;
    if mm.has("rss_stat[0].count") {
        let counter = |kind: u32| per_cpu_counter(&mm, &format!("rss_stat[{kind}]")).ok();
        let [file, anonymous, shared] = RESIDENT.map(counter);
        return Some(Counted::PerCpu([file?, anonymous?, shared?]));
    }
    let mut sum = 0_u64;
    for kind in RESIDENT {
        let count = mm.i64(&format!("rss_stat.count[{kind}].counter")).ok()?;
        // Threads count by themselves for a while: a small negative number is none.
        sum = sum.saturating_add(count.max(0).cast_unsigned());
    }
    Some(Counted::Plain(sum))
}

/// What threads have counted by themselves, by process.
fn counted_by_threads(tasks: &[Task]) -> HashMap<i32, i64> {
    let mut counted: HashMap<i32, i64> = HashMap::new();
    for task in tasks.iter().filter(|task| task.counted_here != 0) {
        let sum = counted.entry(task.tgid).or_default();
        *sum = sum.saturating_add(task.counted_here);
    }
    counted
}
