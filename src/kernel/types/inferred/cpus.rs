//! `struct rq`, and the members of tasks that refer to CPUs.
//!
//! ```text
//! rq.idle        "swapper/N" on CPU N, for all of them
//! rq.curr        before it; a task on all of them
//! on_cpu         1 in each rq.curr, and 0 in all others
//! cpu            N in "ksoftirqd/N", and in rq.curr of CPU N
//! cpumask        the size of the symbol __cpu_possible_mask
//! ```
//!
//! Other members have the same values as `cpu` (`wake_cpu`, `recent_used_cpu`) and `on_cpu`
//! (`on_rq`). The first that fits is taken: `cpu` and `on_cpu` are declared before them in all
//! kernels.

use vmcore_formats::addr::VirtAddr;

use super::layouts::{Doubt, Layouts};
use super::reference_tasks::{ReferenceTasks, TASK};
use super::samples::{Sample, offsets, only};
use super::symbol_size;
use crate::kernel::per_cpu::PerCpu;

const QUEUE: &str = "rq";
/// How much of a run queue is looked at.
const QUEUE_LENGTH: u64 = 6 << 10;
/// The longest mask: of 8192 CPUs.
const MAX_MASK: u64 = 1024;
/// How far `curr` may be before `idle`.
const MAX_BETWEEN: u64 = 24;
/// How far behind the flags `on_cpu` and `cpu` may be.
const BEHIND_FLAGS: u64 = 96;
/// Threads of the kernel that stay on the CPU of their name.
const BOUND: [&str; 4] = ["ksoftirqd/", "migration/", "cpuhp/", "rcuc/"];

/// What a CPU does.
struct Seen {
    number: u32,
    queue: Sample,
}

/// Where `on_cpu` is, if it is known.
pub(super) fn infer(
    reference: &ReferenceTasks<'_>,
    flags: u64,
    stack: Option<u64>,
    layouts: &mut Layouts,
) -> Option<u64> {
    let kernel = reference.kernel;
    let mask = kernel.symbol("__cpu_possible_mask").and_then(|at| symbol_size(kernel, at));
    let mask = mask.filter(|size| *size <= MAX_MASK && size % 8 == 0)?;
    layouts.know_size("cpumask", mask);
    let areas = PerCpu::read(kernel, mask)?;
    let queues = kernel.symbol("runqueues")?;
    let seen = areas.possible.iter().filter_map(|&number| {
        let skip = areas.offsets.get(usize::try_from(number).ok()?)?;
        let at = queues.wrapping_add(*skip);
        Some(Seen { number, queue: Sample::read(&kernel.space, at, QUEUE_LENGTH) })
    });
    let seen: Vec<Seen> = seen.collect();
    let tasks = tasks(reference, &seen);
    let idle = match idle(reference, &seen, &tasks) {
        Ok(idle) => idle,
        Err(doubt) => {
            layouts.doubt("rq.idle", doubt);
            return None;
        }
    };
    layouts.know(QUEUE, "idle", idle, 8);
    let before =
        tasks.into_iter().filter(|at| *at < idle && idle.saturating_sub(*at) <= MAX_BETWEEN);
    let ways: Vec<(u64, (u64, u64))> = before
        .filter_map(|curr| Some((curr, on_cpu(reference, &seen, idle, curr, flags)?)))
        .collect();
    // With proxy execution, `rq.donor` precedes `rq.curr`: what runs is the last of the two.
    let Some((curr, on_cpu)) = ways.last().copied() else {
        layouts.doubt("rq.curr", Doubt::Nothing);
        layouts.doubt("task_struct.on_cpu", Doubt::Nothing);
        return None;
    };
    layouts.know(QUEUE, "curr", curr, 8);
    let (on_cpu, size) = on_cpu;
    layouts.know(TASK, "on_cpu", on_cpu, size);
    if seen.len() > 1 {
        match cpu(reference, &seen, idle, curr, flags, on_cpu) {
            Some(offset) => {
                let inside = stack.is_some_and(|stack| offset < stack);
                layouts.know(TASK, if inside { "thread_info.cpu" } else { "cpu" }, offset, 4);
            }
            None => layouts.doubt("task_struct.cpu", Doubt::Nothing),
        }
    }
    Some(on_cpu)
}

/// Where all run queues have a task.
fn tasks(reference: &ReferenceTasks<'_>, seen: &[Seen]) -> Vec<u64> {
    let is_task =
        |at: VirtAddr| reference.addresses.contains(&at) || reference.name_of(at).is_some();
    offsets(0..QUEUE_LENGTH, 8, |offset| {
        !seen.is_empty() && seen.iter().all(|cpu| cpu.queue.pointer(offset).is_some_and(is_task))
    })
}

/// Where all of them have the idle task. What runs may be it, too, and is before it.
fn idle(reference: &ReferenceTasks<'_>, seen: &[Seen], tasks: &[u64]) -> Result<u64, Doubt> {
    let of_all = |offset: &u64| {
        seen.iter().all(|cpu| {
            let name = cpu.queue.pointer(*offset).and_then(|at| reference.name_of(at));
            name.is_some_and(|name| {
                name.strip_prefix("swapper/")
                    .map_or(name == "swapper", |number| number.parse() == Ok(cpu.number))
            })
        })
    };
    let found: Vec<u64> = tasks.iter().copied().filter(of_all).collect();
    let (first, last) = (found.first().copied(), found.last().copied());
    let near =
        first.zip(last).is_some_and(|(first, last)| last.saturating_sub(first) <= MAX_BETWEEN);
    last.filter(|_| near).ok_or_else(|| only(&found).err().unwrap_or(Doubt::Nothing))
}

/// What is on the CPUs, and what is not: other leaders, and idle tasks. The offset, and how many
/// bytes it has: four, or one where it is a bool.
fn on_cpu(
    reference: &ReferenceTasks<'_>,
    seen: &[Seen],
    idle: u64,
    curr: u64,
    flags: u64,
) -> Option<(u64, u64)> {
    let end = flags.saturating_add(BEHIND_FLAGS);
    let read = |at: &VirtAddr| Sample::read(&reference.kernel.space, *at, end.saturating_add(8));
    let queued = |offset: u64| seen.iter().filter_map(move |cpu| cpu.queue.pointer(offset));
    let running: Vec<VirtAddr> = queued(curr).collect();
    let runs: Vec<Sample> = running.iter().map(read).collect();
    let idles: Vec<VirtAddr> = queued(idle).filter(|at| !running.contains(at)).collect();
    let idles: Vec<Sample> = idles.iter().map(read).collect();
    let is_so = |is: &dyn Fn(&Sample, u8) -> bool| {
        let others = reference.others.iter().filter(|task| !running.contains(&task.at));
        runs.iter().all(|task| is(task, 1)) && others.chain(&idles).all(|task| is(task, 0))
    };
    let byte = |offset: &u64| is_so(&|task, value| task.byte(*offset) == Some(value));
    let offset = (flags.saturating_add(4)..end).find(byte)?;
    let whole = is_so(&|task, value| task.half(offset) == Some(value.into()));
    Some((offset, if whole && offset % 4 == 0 { 4 } else { 1 }))
}

/// Where tasks have the number of their CPU.
fn cpu(
    reference: &ReferenceTasks<'_>,
    seen: &[Seen],
    idle: u64,
    curr: u64,
    flags: u64,
    on_cpu: u64,
) -> Option<u64> {
    let length = flags.saturating_add(BEHIND_FLAGS).saturating_add(8);
    let read = |at| Sample::read(&reference.kernel.space, at, length);
    let of_queues: Vec<(Sample, u32)> = seen
        .iter()
        .flat_map(|cpu| [idle, curr].map(|offset| (cpu.queue.pointer(offset), cpu.number)))
        .filter_map(|(at, number)| Some((read(at?), number)))
        .collect();
    let bound = |task: &Sample| {
        let name = String::from_utf8_lossy(task.text(reference.comm, 16)?).into_owned();
        BOUND.iter().find_map(|start| name.strip_prefix(start)?.parse::<u32>().ok())
    };
    let highest = seen.iter().map(|cpu| cpu.number).max()?;
    let places = (0..flags.saturating_add(BEHIND_FLAGS)).step_by(4);
    places.filter(|offset| *offset != on_cpu).find(|offset| {
        let queued = of_queues.iter().all(|(task, number)| task.half(*offset) == Some(*number));
        let others = reference.others.iter().all(|task| {
            let found = task.half(*offset);
            match bound(task) {
                Some(number) => found == Some(number),
                None => found.is_some_and(|found| found <= highest),
            }
        });
        queued && others
    })
}
