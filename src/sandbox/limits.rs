//! Limits of a process on memory, processor time and files.
//!
//! `RLIMIT_NPROC` is not among them: it counts all processes and threads of a user, and
//! the report needs threads. The child cannot start processes (`calls`).

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How much memory the child may write to, in bytes: heap, stacks, private mappings.
///
/// The report of the core in `samples` takes 60 MiB at its peak.
pub const CHILD_MEMORY: u64 = 2 << 30;
/// How much memory a command that reads a core may write to. Debug files of a kernel
/// are unpacked there.
pub const COMMAND_MEMORY: u64 = 8 << 30;
/// How much processor time the child may use, in all its threads.
pub const CHILD_PROCESSOR_TIME: Duration = Duration::from_mins(2);
/// The highest descriptor of the child, and one.
const CHILD_DESCRIPTORS: u64 = 16;

/// Limits this process for the report of a guest.
pub(super) fn limit_child() -> rustix::io::Result<()> {
    limit(Resource::Core, 0, 0)?;
    limit(Resource::Fsize, 0, 0)?;
    limit(Resource::Nofile, CHILD_DESCRIPTORS, 0)?;
    limit(Resource::Data, CHILD_MEMORY, 0)?;
    // SIGXCPU comes first: it says more than SIGKILL.
    limit(Resource::Cpu, CHILD_PROCESSOR_TIME.as_secs(), 5)
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
