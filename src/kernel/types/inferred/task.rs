//! `struct task_struct`.
//!
//! ```text
//! stack      its first word is STACK_END_MAGIC; no two tasks share one
//! __state    just before it; 0 in init_task, 1 or TASK_IDLE in waiting ones
//! flags      PF_KTHREAD in init_task, kthreadd and its children, and not in init and its own
//! mm         after tasks; null in kernel threads, else equal to active_mm, which follows
//! exit_state two before exit_signal, which is SIGCHLD
//! start_time, start_boottime    grow with the list
//! ```
//!
//! Source: Linux `include/linux/sched.h`, `init/init_task.c`.

use std::collections::HashSet;

use vmcore_formats::addr::VirtAddr;

use super::layouts::{Doubt, Layouts};
use super::reference_tasks::{self, ReferenceTasks, TASK};
use super::samples::{Sample, offsets, only};
use super::{cpus, family, saved, threads};
use crate::kernel::Kernel;

/// At the last word of a stack.
const STACK_END: u64 = 0x57ac_6e9d;
const PF_KTHREAD: u32 = 0x20_0000;
const SIGCHLD: u32 = 17;
/// `TASK_UNINTERRUPTIBLE | TASK_NOLOAD`.
const IDLE: u32 = 0x402;
const NANOS: u64 = 1_000_000_000;

pub(super) fn infer(kernel: &Kernel, layouts: &mut Layouts) {
    let reference = match reference_tasks::find(kernel) {
        Ok(reference) => reference,
        Err(doubt) => return layouts.doubt("task_struct.tasks", doubt),
    };
    layouts.tasks = reference.others.len().saturating_add(1);
    layouts.know_text(TASK, "comm", reference.comm, 16);
    layouts.know(TASK, "tasks", reference.tasks, 16);
    let pid = layouts.take(TASK, "pid", 4, family::pid(&reference));
    let Some(pid) = pid else { return };
    layouts.know(TASK, "tgid", pid.saturating_add(4), 4);
    let parent = layouts.take(TASK, "real_parent", 8, family::real_parent(&reference));
    let stack = layouts.take(TASK, "stack", 8, stack(&reference));
    if let Some(stack) = stack {
        layouts.take(TASK, "__state", 4, state(&reference, stack));
    }
    let flags = parent
        .zip(stack)
        .and_then(|found| layouts.take(TASK, "flags", 4, flags(&reference, pid, found)));
    if let Some(flags) = flags {
        layouts.take(TASK, "mm", 8, mm(&reference, flags));
    }
    layouts.take(TASK, "exit_state", 4, exit_state(&reference));
    let node = threads::infer(&reference, pid, layouts);
    let from = node.unwrap_or(pid);
    layouts.take(TASK, "start_boottime", 8, start_time(&reference, from));
    let on_cpu = flags.and_then(|flags| cpus::infer(&reference, flags, stack, layouts));
    if let Some(stack) = stack {
        saved::infer(&reference, stack, on_cpu, layouts);
    }
}

/// The lowest address of the stack. Those that are gone may have none.
fn stack(reference: &ReferenceTasks<'_>) -> Result<u64, Doubt> {
    let space = &reference.kernel.space;
    let ends = |at| space.read_u64(VirtAddr(at)).ok() == Some(STACK_END);
    let is_stack = |at: u64| at.is_multiple_of(4096) && ends(at);
    let of_all = |offset: u64| {
        let mut seen = HashSet::new();
        let sound = reference.all().all(|task| match task.word(offset) {
            Some(0) => true,
            Some(at) => seen.insert(at) && is_stack(at),
            None => false,
        });
        sound && seen.len().saturating_mul(2) > reference.others.len()
    };
    let first = |offset| reference.init.word(offset).is_some_and(is_stack);
    only(&reference.offsets(8, |offset| first(offset) && of_all(offset)))
}

/// Just before the stack, in all kernels.
fn state(reference: &ReferenceTasks<'_>, stack: u64) -> Result<u64, Doubt> {
    const ALL: u32 = 0x1_ffff;
    let offset = stack.checked_sub(8).ok_or(Doubt::Nothing)?;
    let states: Option<Vec<_>> = reference.others.iter().map(|task| task.half(offset)).collect();
    let states = states.ok_or(Doubt::Nothing)?;
    let wait = states.iter().filter(|state| **state != 0).count();
    let fits = reference.init.half(offset) == Some(0)
        && states.iter().all(|state| state & !ALL == 0)
        && wait.saturating_mul(2) > states.len()
        && states.contains(&1)
        && states.contains(&IDLE);
    fits.then_some(offset).ok_or(Doubt::Nothing)
}

/// Behind the stack and the count of references, in all kernels.
fn flags(
    reference: &ReferenceTasks<'_>,
    pid: u64,
    (parent, stack): (u64, u64),
) -> Result<u64, Doubt> {
    let by_pid = |wanted| reference.others.iter().find(|task| task.half(pid) == Some(wanted));
    let (Some(init), Some(threads)) = (by_pid(1), by_pid(2)) else { return Err(Doubt::Nothing) };
    let children = |of: &Sample| {
        let of = of.at;
        reference.others.iter().filter(move |task| task.pointer(parent) == Some(of))
    };
    let is_kernels =
        |task: &Sample, offset| task.half(offset).is_some_and(|flags| flags & PF_KTHREAD != 0);
    let behind = stack.saturating_add(12);
    only(&offsets(behind..behind.saturating_add(12), 4, |offset| {
        let kernels = |task: &&Sample| is_kernels(task, offset);
        let (all, marked) = (children(threads).count(), children(threads).filter(kernels).count());
        // A helper that the kernel starts is a child of kthreadd, and no thread of the kernel.
        is_kernels(&reference.init, offset)
            && is_kernels(threads, offset)
            && !is_kernels(init, offset)
            && !children(init).any(|task| is_kernels(task, offset))
            && all > 0
            && marked.saturating_mul(8) >= all.saturating_mul(7)
    }))
}

/// Behind `tasks`, and followed by `active_mm`.
fn mm(reference: &ReferenceTasks<'_>, flags: u64) -> Result<u64, Doubt> {
    let of_all = |offset: u64| {
        let mut users = 0_usize;
        let sound = reference.all().all(|task| {
            let (Some(mm), Some(active)) = (task.word(offset), task.word(offset.saturating_add(8)))
            else {
                return false;
            };
            let kernels = task.half(flags).is_some_and(|flags| flags & PF_KTHREAD != 0);
            // A process that is gone has none any more.
            if kernels || mm == 0 {
                return mm == 0;
            }
            users = users.saturating_add(1);
            mm == active && task.pointer(offset).is_some()
        });
        sound && users > 0
    };
    let behind = reference.tasks.saturating_add(16);
    only(&offsets(behind..behind.saturating_add(256), 8, of_all))
}

/// `exit_state`, `exit_code`, `exit_signal`.
fn exit_state(reference: &ReferenceTasks<'_>) -> Result<u64, Doubt> {
    let signal = |offset: u64| {
        let has = |task: &&Sample| task.half(offset) == Some(SIGCHLD);
        let states = |task: &Sample| {
            let state = offset.checked_sub(8).and_then(|state| task.half(state));
            state.is_some_and(|state| matches!(state, 0 | 0x10 | 0x20))
        };
        let most = reference.others.iter().filter(has).count().saturating_mul(8);
        most >= reference.others.len().saturating_mul(7) && reference.all().all(states)
    };
    only(&reference.offsets(4, signal)).map(|offset| offset.saturating_sub(8))
}

/// Two times behind `from`, of which the second counts suspended time, too.
fn start_time(reference: &ReferenceTasks<'_>, from: u64) -> Result<u64, Doubt> {
    const TEN_YEARS: u64 = 10 * 365 * 86_400 * NANOS;
    let grows = |offset: u64| {
        let mut different = HashSet::new();
        let mut before = 0_u64;
        let sound = reference.others.iter().all(|task| {
            let (Some(start), Some(whole)) =
                (task.word(offset), task.word(offset.saturating_add(8)))
            else {
                return false;
            };
            different.insert(start);
            // CPUs that start tasks at once may be in each other's way.
            let ordered = start.saturating_add(NANOS) >= before;
            before = start;
            ordered && start <= whole && whole < TEN_YEARS
        });
        sound && different.len().saturating_mul(4) > reference.others.len() && before > 0
    };
    let found = only(&offsets(from..reference.comm, 8, grows))?;
    Ok(found.saturating_add(8))
}
