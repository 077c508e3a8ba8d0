//! The list of a process's threads.
//!
//! ```text
//! task_struct.signal ──► signal_struct.thread_head ◄──► task_struct.thread_node
//! ```
//!
//! The list of a process with one thread has one node: both of its neighbours are the head, and the
//! head has the same offset in `signal_struct` in all processes.

use std::collections::HashSet;
use std::ops::Range;

use vmcore_formats::addr::VirtAddr;

use super::layouts::{Doubt, Layouts};
use super::reference_tasks::{ReferenceTasks, TASK};
use super::samples::Sample;
use crate::kernel::types::List;

const SIGNAL: &str = "signal_struct";
/// How far the head can be into `signal_struct`, which begins with counts.
const HEAD: Range<u64> = 8..128;
/// How many processes' threads are looked at, and how many of each.
const MAX_PROCESSES: usize = 64;
const MAX_THREADS: usize = 1024;
/// How many members are tried that could be the node. A second one is one too many.
const MAX_NODES: usize = 16;

/// A link that would lead to threads.
#[derive(Clone, Copy, PartialEq, Eq)]
struct ThreadLinks {
    node: u64,
    signal: u64,
    head: u64,
}

/// Where `thread_node` is, if it is known.
pub(super) fn infer(
    reference: &ReferenceTasks<'_>,
    pid: u64,
    layouts: &mut Layouts,
) -> Option<u64> {
    let links: Vec<ThreadLinks> = nodes(reference)
        .into_iter()
        .take(MAX_NODES)
        .flat_map(|(node, heads)| signals(reference, node, &heads))
        .filter(|link| leads_to_threads(reference, *link, pid))
        .collect();
    let [link] = links[..] else {
        let doubt = if links.is_empty() { Doubt::Nothing } else { Doubt::Several(links.len()) };
        layouts.doubt("task_struct.thread_node", doubt);
        return None;
    };
    layouts.know(TASK, "thread_node", link.node, 16);
    layouts.know(TASK, "signal", link.signal, 8);
    layouts.know(SIGNAL, "thread_head", link.head, 16);
    Some(link.node)
}

/// Nodes that are alone in a list whose head is elsewhere, in most tasks; and those heads.
fn nodes(reference: &ReferenceTasks<'_>) -> Vec<(u64, Vec<Option<VirtAddr>>)> {
    let space = &reference.kernel.space;
    let head = |task: &Sample, offset: u64| {
        let next = task.pointer(offset)?;
        let alone = task.pointer(offset.saturating_add(8))? == next;
        let outside = next.0.wrapping_sub(task.at.0) >= task.length();
        let back =
            |from| space.read_u64(next.wrapping_add(from)).ok() == Some(task.place(offset).0);
        (alone && outside && back(0) && back(8)).then_some(next)
    };
    let is_likely =
        |offset: u64| reference.others.first().is_some_and(|task| task.word(offset).is_some());
    reference
        .offsets(8, is_likely)
        .into_iter()
        .filter_map(|offset| {
            head(&reference.init, offset)?;
            let heads: Vec<_> = reference.all().map(|task| head(task, offset)).collect();
            let alone = heads.iter().flatten().count();
            let each: HashSet<_> = heads.iter().flatten().collect();
            let most = alone.saturating_mul(2) > heads.len() && each.len() == alone;
            most.then_some((offset, heads))
        })
        .collect()
}

/// Members that point to as far before the head in all tasks.
fn signals(
    reference: &ReferenceTasks<'_>,
    node: u64,
    heads: &[Option<VirtAddr>],
) -> Vec<ThreadLinks> {
    let distance = |task: &Sample, offset: u64, head: VirtAddr| {
        let distance = head.0.wrapping_sub(task.pointer(offset)?.0);
        HEAD.contains(&distance).then_some(distance)
    };
    let of_all = |signal: u64| {
        let mut distances = reference
            .all()
            .zip(heads)
            .filter_map(|(task, head)| Some(distance(task, signal, (*head)?)));
        let first = distances.next()??;
        distances.all(|other| other == Some(first)).then_some(ThreadLinks {
            node,
            signal,
            head: first,
        })
    };
    (0..reference.init.length()).step_by(8).filter_map(of_all).collect()
}

/// Whether all tasks in a process's list are of that process.
fn leads_to_threads(reference: &ReferenceTasks<'_>, link: ThreadLinks, pid: u64) -> bool {
    let space = &reference.kernel.space;
    reference.others.iter().take(MAX_PROCESSES).all(|task| {
        let Some(signal) = task.pointer(link.signal) else { return true };
        let head = signal.wrapping_add(link.head);
        let list = List::walk(space, head, "threads", MAX_THREADS, &reference.budget);
        list.nodes.iter().all(|node| {
            let at = VirtAddr(node.0.wrapping_sub(link.node).wrapping_add(pid));
            Sample::read(space, at, 8).half(4) == task.half(pid)
        })
    })
}
