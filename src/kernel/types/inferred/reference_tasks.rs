//! The tasks that layouts of `struct task_struct` are checked on.
//!
//! ```text
//! comm     "swapper/0" in init_task (or "swapper", where there is one CPU)
//! tasks    a list through objects that all have a name at the same offset
//! ```
//!
//! Without a symbol `init_task`, it is found by its name in the image: it is its own parent and its
//! own group leader.

use std::collections::HashSet;

use vmcore_formats::addr::VirtAddr;

use super::layouts::Doubt;
use super::samples::{Sample, offsets, only};
use super::symbol_size;
use crate::kernel::budget::Budget;
use crate::kernel::types::List;
use crate::kernel::{Kernel, image};

/// Their type.
pub(super) const TASK: &str = "task_struct";
/// The length of `comm`.
const COMM: usize = 16;
/// How much of a task is looked at, if it is not known how much it has.
const LENGTH: u64 = 12 << 10;
/// How much it can have: what is read of it, at most.
const LENGTHS: std::ops::RangeInclusive<u64> = 1024..=16 << 10;
/// The most tasks that a list is followed through, and that are looked at.
const MAX_TASKS: usize = 1 << 14;
const MAX_SAMPLES: usize = 256;
/// The fewest tasks that something is proven on.
const MIN_SAMPLES: usize = 4;

/// The tasks that layouts are checked on.
pub(super) struct ReferenceTasks<'k> {
    pub(super) kernel: &'k Kernel,
    /// Of all lists that are tried.
    pub(super) budget: Budget,
    pub(super) init: Sample,
    /// The other leaders, in the order of their list.
    pub(super) others: Vec<Sample>,
    /// Where all leaders are.
    pub(super) addresses: HashSet<VirtAddr>,
    pub(super) comm: u64,
    pub(super) tasks: u64,
}

impl ReferenceTasks<'_> {
    /// All of them, `init_task` first.
    pub(super) fn all(&self) -> impl Iterator<Item = &Sample> {
        std::iter::once(&self.init).chain(&self.others)
    }

    /// The offsets of eight bytes, or four, in a task.
    pub(super) fn offsets(&self, step: usize, is_so: impl FnMut(u64) -> bool) -> Vec<u64> {
        offsets(0..self.init.length(), step, is_so)
    }

    /// The name of any task.
    pub(super) fn name_of(&self, at: VirtAddr) -> Option<String> {
        let name = Sample::read(&self.kernel.space, at.wrapping_add(self.comm), 16);
        let name = name.text(0, COMM).filter(|name| is_name(name))?;
        Some(String::from_utf8_lossy(name).into_owned())
    }
}

/// `init_task`, the place of `comm`, and the list.
pub(super) fn find(kernel: &Kernel) -> Result<ReferenceTasks<'_>, Doubt> {
    let by_symbol = kernel.symbol("init_task").map(|at| (at, symbol_size(kernel, at)));
    let (at, size) =
        by_symbol.or_else(|| Some((init_in_image(kernel)?, None))).ok_or(Doubt::Nothing)?;
    let length = size.filter(|size| LENGTHS.contains(size)).unwrap_or(LENGTH);
    let init = Sample::read(&kernel.space, at, length);
    let comm = only(&names(&init))?;
    let budget = Budget::of_walk();
    let (tasks, nodes) = list(kernel, &init, comm, &budget)?;
    let addresses = nodes.iter().map(|node| node.wrapping_sub(tasks));
    let addresses: Vec<_> = addresses.collect();
    let sample = |at: &VirtAddr| Sample::read(&kernel.space, *at, length);
    let others = addresses.iter().take(MAX_SAMPLES).map(sample).collect();
    let addresses = addresses.into_iter().chain([at]).collect();
    Ok(ReferenceTasks { kernel, budget, init, others, addresses, comm, tasks })
}

/// Where the first idle task's name is in it.
fn names(init: &Sample) -> Vec<u64> {
    offsets(0..init.length(), 1, |offset| {
        let text = init.text(offset, COMM);
        text == Some(b"swapper/0") || text == Some(b"swapper")
    })
}

/// `init_task` by its name in the image.
fn init_in_image(kernel: &Kernel) -> Option<VirtAddr> {
    let from = image::start(&kernel.info)?;
    image::search(&kernel.space, from, image::MAX_LENGTH, b"swapper", |name| {
        let start = VirtAddr((name.0 & !7).checked_sub(LENGTH)?);
        let before = Sample::read(&kernel.space, start, LENGTH);
        let words = || (0..before.length()).step_by(8).filter_map(|offset| before.pointer(offset));
        let mut within = words().filter(|word| *word >= start && *word < name);
        within.find(|word| {
            let own = words().filter(|other| other == word).count();
            own >= 3 && names(&Sample::read(&kernel.space, *word, LENGTH)).len() == 1
        })
    })
}

/// The one list through tasks, and its nodes.
fn list(
    kernel: &Kernel,
    init: &Sample,
    comm: u64,
    budget: &Budget,
) -> Result<(u64, Vec<VirtAddr>), Doubt> {
    let space = &kernel.space;
    let named = |node: VirtAddr, offset: u64| {
        let at = VirtAddr(node.0.wrapping_sub(offset).wrapping_add(comm));
        let text = Sample::read(space, at, COMM as u64);
        text.text(0, COMM).is_some_and(is_name)
    };
    let walk = |offset: u64| {
        let (next, previous) = (init.pointer(offset)?, init.pointer(offset.saturating_add(8))?);
        let head = init.place(offset);
        if next == head || previous == head || !named(next, offset) || !named(previous, offset) {
            return None;
        }
        let nodes = List::walk(space, head, "tasks", MAX_TASKS, budget).nodes;
        // A process may have given itself a name that is no text.
        let with_names = nodes.iter().filter(|node| named(**node, offset)).count();
        let most = with_names.saturating_mul(4) >= nodes.len().saturating_mul(3);
        (most && nodes.len() >= MIN_SAMPLES).then_some((offset, nodes))
    };
    let mut found: Vec<_> = (0..init.length()).step_by(8).filter_map(walk).collect();
    let places = found.len();
    found.pop().filter(|_| places == 1).ok_or(match places {
        0 => Doubt::Nothing,
        places => Doubt::Several(places),
    })
}

fn is_name(name: &[u8]) -> bool {
    name.iter().all(|byte| (0x20..0x7f).contains(byte))
}
