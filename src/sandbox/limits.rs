//! Limits of a process on memory, processor time and files.
//!
//! `RLIMIT_NPROC` is not among them: it counts all processes and threads of a user, and
//! the report needs threads. The child cannot start processes (`calls`).

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How much memory a process that reads a core may write to, in bytes: heap, stacks, private
/// mappings.
///
/// The report of the core in `samples` takes 60 MiB at its peak. Chunks of 64 MiB take most.
const MEMORY: u64 = 512 << 20;
/// What each processor adds: a thread for it has a stack and buffers.
const MEMORY_OF_PROCESSOR: u64 = 16 << 20;
/// What debug files of a kernel add: their sections are unpacked in memory.
const MEMORY_OF_DEBUG_FILES: u64 = 8 << 30;
/// What tables of a fleet add: all that is listed is in memory, some hundred bytes for each object and
/// two thousand for each crash.
const MEMORY_OF_TABLES: u64 = 8 << 30;
/// How much processor time a process may use, whatever it reads: one that uses one processor ends
/// after so long.
const TIME: Duration = Duration::from_secs(30);
/// How many bytes of a file on disk add a second to that: where the kernel alone is read, which
/// takes little more of a long file than of a short one, and where all is unpacked, and compressed
/// again.
const KERNEL_BYTES_PER_SECOND: u64 = 16 << 20;
const BYTES_PER_SECOND: u64 = 1 << 20;
/// The highest descriptor of the child, and one.
const CHILD_DESCRIPTORS: u64 = 16;

/// What a process reads of a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// The guest's kernel.
    Kernel,
    /// The guest's kernel, and debug files of it.
    DebugFiles,
    /// No core, but tables of crashes.
    Tables,
    /// All of it.
    All,
    /// As much as it is asked for.
    Unlimited,
}

/// What a process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Memory that it writes to, in bytes.
    memory: u64,
    /// Processor time of all its threads.
    time: Option<Duration>,
}

impl Limits {
    /// What `reads` of a core's file is worth, by what that has on disk. A socket has nothing.
    pub fn of(file: &Metadata, reads: Reads) -> Self {
        /// What `st_blocks` counts in.
        const BLOCK: u64 = 512;
        Self::of_stored(file.blocks().saturating_mul(BLOCK), reads)
    }

    /// The same, for a core of so many bytes on disk.
    pub fn of_stored(stored: u64, reads: Reads) -> Self {
        let processors = processors();
        let seconds = |base: u64, rate: u64| {
            Some(Duration::from_secs(base.saturating_add(stored.checked_div(rate).unwrap_or(0))))
        };
        let time = match reads {
            Reads::Kernel => seconds(TIME.as_secs(), KERNEL_BYTES_PER_SECOND),
            Reads::All => seconds(TIME.as_secs().saturating_mul(processors), BYTES_PER_SECOND),
            Reads::DebugFiles | Reads::Tables | Reads::Unlimited => None,
        };
        let more = match reads {
            Reads::DebugFiles => MEMORY_OF_DEBUG_FILES,
            Reads::Tables => MEMORY_OF_TABLES,
            Reads::Kernel | Reads::All | Reads::Unlimited => 0,
        };
        let memory = processors.saturating_mul(MEMORY_OF_PROCESSOR).saturating_add(more);
        Self { memory: MEMORY.saturating_add(memory), time }
    }

    /// Memory that the process may write to, in bytes.
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// Limits this process.
    pub(super) fn apply(&self) -> rustix::io::Result<()> {
        no_core_file()?;
        limit(Resource::Data, self.memory, 0)?;
        match self.time {
            // SIGXCPU comes first: it says more than SIGKILL.
            Some(time) => limit(Resource::Cpu, time.as_secs(), 5),
            None => Ok(()),
        }
    }
}

/// Has the kernel leave no core file of this process: it would have the guest's memory and keys in
/// it. Handlers such as systemd-coredump go by this limit, too.
pub fn no_core_file() -> rustix::io::Result<()> {
    limit(Resource::Core, 0, 0)
}

/// How much processor time this process may use in all, in seconds, if that is limited.
pub fn processor_time() -> Option<u64> {
    getrlimit(Resource::Cpu).current
}

fn processors() -> u64 {
    thread::available_parallelism().map_or(1, usize::from) as u64
}

/// Takes files from this process, which makes the report of a guest.
pub(super) fn limit_child() -> rustix::io::Result<()> {
    limit(Resource::Fsize, 0, 0)?;
    limit(Resource::Nofile, CHILD_DESCRIPTORS, 0)
}

/// Lowers a limit. One that is lower already stays.
fn limit(resource: Resource, value: u64, hard_more: u64) -> rustix::io::Result<()> {
    let old = getrlimit(resource);
    let at_most = |old: Option<u64>, new: u64| Some(old.map_or(new, |old| old.min(new)));
    let maximum = at_most(old.maximum, value.saturating_add(hard_more));
    setrlimit(resource, Rlimit { current: at_most(old.current, value), maximum })
}
