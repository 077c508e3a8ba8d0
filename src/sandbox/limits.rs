//! Limits of a process on memory, processor time and files.
//!
//! `RLIMIT_NPROC` is not among them: it counts all processes and threads of a user, and
//! the report needs threads. The child cannot start processes (`calls`).

use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How much memory the child, or a command that reads a kernel, may write to, in bytes: heap,
/// stacks, private mappings.
///
/// The report of the core in `samples` takes 60 MiB at its peak, and that of no file in the tests
/// more than 512 MiB, most of it for chunks of 64 MiB.
const MEMORY: u64 = 1 << 30;
/// What each processor adds: a thread for it has a stack and buffers.
const MEMORY_OF_PROCESSOR: u64 = 16 << 20;
/// How much memory any other command that reads a core may write to: with many threads, or with
/// debug files of a kernel, which are unpacked there.
pub const COMMAND_MEMORY: u64 = 8 << 30;
/// How much processor time the child, or a command that reads a kernel, may use in all its
/// threads.
pub const PROCESSOR_TIME: Duration = Duration::from_mins(2);
/// The highest descriptor of the child, and one.
const CHILD_DESCRIPTORS: u64 = 16;

/// Limits this process for the report of a guest, but for the processor's time.
pub(super) fn limit_child() -> rustix::io::Result<()> {
    limit(Resource::Core, 0, 0)?;
    limit(Resource::Fsize, 0, 0)?;
    limit(Resource::Nofile, CHILD_DESCRIPTORS, 0)?;
    limit(Resource::Data, memory(), 0)
}

/// How much memory the child, or a command that reads a kernel, may write to, in bytes.
pub fn memory() -> u64 {
    let processors = thread::available_parallelism().map_or(1, usize::from) as u64;
    MEMORY.saturating_add(processors.saturating_mul(MEMORY_OF_PROCESSOR))
}

/// Limits this process for a command that reads a kernel, and not all of a core.
pub(super) fn limit_kernel_command() -> rustix::io::Result<()> {
    limit(Resource::Data, memory(), 0)
}

/// Limits the processor time of this process.
pub(super) fn limit_processor_time() -> rustix::io::Result<()> {
    // SIGXCPU comes first: it says more than SIGKILL.
    limit(Resource::Cpu, PROCESSOR_TIME.as_secs(), 5)
}

/// Limits this process for a command that reads a stored core.
pub(super) fn limit_command() -> rustix::io::Result<()> {
    // A core file of this program would have the guest's memory in it.
    limit(Resource::Core, 0, 0)?;
    limit(Resource::Data, COMMAND_MEMORY, 0)
}

/// Lowers a limit. One that is lower already stays.
fn limit(resource: Resource, value: u64, hard_more: u64) -> rustix::io::Result<()> {
    let old = getrlimit(resource);
    let at_most = |old: Option<u64>, new: u64| Some(old.map_or(new, |old| old.min(new)));
    let maximum = at_most(old.maximum, value.saturating_add(hard_more));
    setrlimit(resource, Rlimit { current: at_most(old.current, value), maximum })
}
