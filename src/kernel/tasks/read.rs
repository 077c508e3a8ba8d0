//! One task, out of its `task_struct`.

use vmcore_formats::addr::VirtAddr;

use super::state::TaskState;
use crate::kernel::Kernel;
use crate::kernel::types::{Object, ObjectError};

/// The longest name, with its NUL.
const MAX_COMM: usize = 16;
/// `PF_KTHREAD`.
const KERNEL_THREAD: u64 = 0x20_0000;
/// File, anonymous and shared pages. Swap entries (2) are not in memory.
pub(super) const RESIDENT: [u32; 3] = [0, 1, 3];

/// A task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Where its `task_struct` is.
    pub at: VirtAddr,
    /// Its pid.
    pub pid: i32,
    /// The pid of its process.
    pub tgid: i32,
    /// The pid of its parent's process.
    pub ppid: Option<i32>,
    /// Its name.
    pub comm: String,
    /// What it is doing.
    pub state: TaskState,
    /// The CPU that it is on, or was on last.
    pub cpu: Option<u32>,
    /// Whether it is on that CPU: its registers are the vCPU's, and none are saved on its stack.
    pub on_cpu: bool,
    /// Whether it is a kernel thread.
    pub kernel_thread: bool,
    /// Where its kernel stack begins, at its lowest address.
    pub stack: VirtAddr,
    /// Where its `mm_struct` is. Kernel threads have none, and neither have zombies.
    pub mm: Option<VirtAddr>,
    /// Its resident set, in bytes; threads share it.
    pub rss_bytes: Option<u64>,
    /// When it started, in nanoseconds since boot.
    pub start_ns: Option<u64>,
    /// How long it ran its own code, in nanoseconds. Not that of other threads.
    pub user_ns: Option<u64>,
    /// How long the kernel ran for it, in nanoseconds.
    pub system_ns: Option<u64>,
    /// How long threads of its process ran that are gone, in nanoseconds. Of a process's first
    /// thread alone: the others have none to add.
    pub exited_ns: Option<u64>,
    /// Pages of its process that are still counted in the thread (`task_struct.rss_stat`).
    pub(super) counted_here: i64,
    /// Where its `signal_struct` is.
    pub(super) signal: Option<VirtAddr>,
}

impl Task {
    /// How long it ran, in nanoseconds: its own code, and the kernel for it.
    pub fn run_ns(&self) -> Option<u64> {
        Some(self.user_ns?.saturating_add(self.system_ns?))
    }

    /// Whether it is its process's first thread.
    pub fn is_leader(&self) -> bool {
        self.pid == self.tgid
    }
}

/// Reads a task, but for how much memory its process has.
pub(super) fn task(kernel: &Kernel, at: VirtAddr) -> Result<Task, ObjectError> {
    let task = Object::at(kernel, "task_struct", at)?;
    let state = if task.has("__state") { task.u64("__state")? } else { task.u64("state")? };
    let parent = Object::at(kernel, "task_struct", task.pointer("real_parent")?)?;
    let mm = task.pointer("mm").ok().filter(|at| at.0 != 0);
    let signal = task.pointer("signal").ok().filter(|at| at.0 != 0);
    let (pid, tgid) = (task.i32("pid")?, task.i32("tgid")?);
    let first = ["start_boottime", "real_start_time", "start_time"];
    Ok(Task {
        at,
        pid,
        tgid,
        // An idle task keeps who started its CPU for its parent.
        ppid: if pid == 0 { Some(0) } else { process(kernel, &parent) },
        comm: task.text("comm", MAX_COMM)?,
        state: TaskState::of(state, task.u64("exit_state")?),
        cpu: task
            .u32("thread_info.cpu")
            .or_else(|_| task.u32("cpu"))
            .ok()
            .or_else(|| only_cpu(kernel)),
        on_cpu: task.u32("on_cpu").is_ok_and(|on_cpu| on_cpu != 0),
        kernel_thread: task.u64("flags")? & KERNEL_THREAD != 0,
        stack: task.pointer("stack")?,
        mm,
        rss_bytes: None,
        start_ns: first.iter().find_map(|name| task.u64(name).ok()),
        user_ns: task.u64("utime").ok(),
        system_ns: task.u64("stime").ok(),
        exited_ns: match signal {
            Some(signal) if pid == tgid => exited(kernel, signal),
            None if !task.has("signal") => None,
            _ => Some(0),
        },
        counted_here: counted_here(&task),
        signal,
    })
}

/// The CPU of a kernel that has one.
fn only_cpu(kernel: &Kernel) -> Option<u32> {
    if let [one] = kernel.possible_cpus() { Some(*one) } else { None }
}

/// The pid of a parent's process. Nothing else of it is read.
fn process(kernel: &Kernel, task: &Object<'_>) -> Option<i32> {
    Some(kernel.space.read_u32(task.address_of("tgid").ok()?).ok()?.cast_signed())
}

fn exited(kernel: &Kernel, signal: VirtAddr) -> Option<u64> {
    let signal = Object::at(kernel, "signal_struct", signal).ok()?;
    Some(signal.u64("utime").ok()?.saturating_add(signal.u64("stime").ok()?))
}

fn counted_here(task: &Object<'_>) -> i64 {
    // Kernels without these counters have none to add.
    let count = |kind| task.i64(&format!("rss_stat.count[{kind}]")).unwrap_or_default();
    RESIDENT.into_iter().map(count).fold(0, i64::saturating_add)
}
