//! Ids of tasks, and their parents.
//!
//! ```text
//! pid, tgid      0 and 0 in init_task; in leaders equal, and unique
//! real_parent, parent, children, sibling, group_leader     in this order in all kernels
//! ```
//!
//! A leader's `group_leader` is itself. The list `children` of `real_parent` has the task, by its
//! `sibling`.

use std::collections::HashSet;

use vmcore_formats::addr::VirtAddr;

use super::layouts::Doubt;
use super::reference_tasks::ReferenceTasks;
use super::samples::{Sample, only};
use crate::kernel::types::List;

/// `PID_MAX_LIMIT`.
const MAX_PID: u32 = 1 << 22;
/// How many parents' children are looked at, and how many of each.
const MAX_PARENTS: usize = 32;
const MAX_CHILDREN: usize = 4096;
/// From `real_parent` on.
const CHILDREN: u64 = 16;
const SIBLING: u64 = 32;
const GROUP_LEADER: u64 = 48;

/// Where `pid` is, with `tgid` behind it.
pub(super) fn pid(reference: &ReferenceTasks<'_>) -> Result<u64, Doubt> {
    let pair = |task: &Sample, offset: u64| {
        Some((task.half(offset)?, task.half(offset.saturating_add(4))?))
    };
    only(&reference.offsets(4, |offset| {
        let mut seen = HashSet::new();
        pair(&reference.init, offset) == Some((0, 0))
            && reference.others.iter().all(|task| {
                let Some((pid, tgid)) = pair(task, offset) else { return false };
                pid == tgid && (1..=MAX_PID).contains(&pid) && seen.insert(pid)
            })
            && seen.contains(&1)
    }))
}

/// Where `real_parent` is.
pub(super) fn real_parent(reference: &ReferenceTasks<'_>) -> Result<u64, Doubt> {
    let own = |offset: u64| reference.all().all(|task| task.pointer(offset) == Some(task.at));
    let parents = reference.offsets(8, own).into_iter().filter_map(|leader| {
        let parent = leader.checked_sub(GROUP_LEADER)?;
        leads_to_children(reference, parent).then_some(parent)
    });
    only(&parents.collect::<Vec<_>>())
}

fn leads_to_children(reference: &ReferenceTasks<'_>, parent: u64) -> bool {
    let (mut right, mut wrong) = (0_usize, 0_usize);
    for task in reference.all().take(MAX_PARENTS) {
        let head = task.place(parent.saturating_add(CHILDREN));
        let (space, budget) = (&reference.kernel.space, &reference.budget);
        let children = List::walk(space, head, "children", MAX_CHILDREN, budget);
        for node in children.nodes {
            let at = node.0.wrapping_sub(parent.saturating_add(SIBLING));
            let length = parent.saturating_add(8);
            let child = Sample::read(&reference.kernel.space, VirtAddr(at), length);
            let fits =
                reference.addresses.contains(&child.at) && child.pointer(parent) == Some(task.at);
            let count = if fits { &mut right } else { &mut wrong };
            *count = count.saturating_add(1);
        }
    }
    right >= 2 && wrong.saturating_mul(8) <= right
}
