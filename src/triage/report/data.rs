//! The data of a report: `vmcorectl/report/1`, as `samples/report.schema.json` describes it.
//!
//! Addresses and registers are strings in hexadecimal: many JSON parsers take numbers for doubles.
//! What could not be read is `null` or empty, and a finding says why.

use serde::{Deserialize, Serialize};

/// The schema that this version writes.
pub const SCHEMA: &str = "vmcorectl/report/1";

/// What happened to a guest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The version of the program that made it.
    pub tool: String,
    /// What happened, in one line: the same for the same bug on any machine.
    pub title: String,
    /// Other titles that the same bug can have.
    pub alt_titles: Vec<String>,
    /// The kind of event, for example `kasan` or `panic`.
    pub kind: Option<String>,
    /// A coarser class of titles.
    pub r#type: Option<String>,
    /// How sure the title is.
    pub trust: Trust,
    /// Where the title is from.
    #[serde(rename = "told_by")]
    pub title_source: TitleSource,
    /// The function to blame.
    pub function: Option<String>,
    /// The function that the event's instruction was in.
    pub pc_function: Option<String>,
    /// The module of [`Self::function`].
    pub module: Option<String>,
    /// Whether the log has only a part of the event.
    pub corrupted: bool,
    /// The same for the same crash; `null` if nothing distinguishes it.
    pub signature: Option<String>,
    /// The same for the same call path to a bug.
    pub variant: Option<String>,
    /// Whether the signature is too weak to take two crashes with it for the same.
    pub weak: bool,
    /// The panic's reason.
    pub panic_message: Option<String>,
    /// The event in the log that the title names.
    pub event: Option<Event>,
    /// Other events in the log.
    pub other_events: Vec<OtherEvent>,
    /// The bugcheck of a guest that is not Linux.
    pub bugcheck: Option<Bugcheck>,
    /// The CPU and the task that panicked.
    pub panicked: Option<Panicked>,
    /// The CPUs, in the order of the core's notes.
    pub cpus: Vec<Cpu>,
    /// The kernel.
    pub kernel: Kernel,
    /// The machine.
    pub machine: Machine,
    /// How many tasks there are; `null` if they cannot be read.
    pub tasks: Option<TaskCounts>,
    /// Tasks in uninterruptible sleep, in groups with the same stack.
    pub blocked: Vec<Blocked>,
    /// The modules.
    pub modules: Vec<Module>,
    /// How the memory was used; `null` if that is not known.
    pub memory: Option<Memory>,
    /// The mounted file systems.
    #[serde(default)]
    pub mounts: Vec<Mount>,
    /// The end of the log.
    pub log: Log,
    /// What is missing, damaged or doubtful.
    pub findings: Vec<Finding>,
}

/// How far something can be trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    /// There is no evidence for anything better.
    #[default]
    Guess,
    /// A part of the evidence is missing.
    Likely,
    /// It was read and is consistent.
    Certain,
}

/// Where a title is from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TitleSource {
    /// The kernel's log.
    Log,
    /// The stack of the task that panicked.
    Stack,
    /// QEMU's panic event.
    Hypervisor,
    /// The stacks of the CPUs.
    Cpus,
    /// There is no evidence.
    #[default]
    Nothing,
}

/// The event that the title names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Nanoseconds since boot.
    pub time_ns: Option<u64>,
    /// Why this one was chosen.
    pub why: String,
    /// The evidence for title and signature: records, frames, skipped functions.
    pub evidence: Vec<String>,
}

/// Another event in the log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OtherEvent {
    /// Nanoseconds since boot.
    pub time_ns: Option<u64>,
    /// Its title.
    pub title: String,
    /// Its signature.
    pub signature: Option<String>,
}

/// The bugcheck of Windows, or of another guest with Hyper-V's interface.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bugcheck {
    /// Its code.
    pub code: String,
    /// Its name, if the code is known.
    pub name: Option<String>,
    /// Its parameters.
    pub parameters: Vec<BugcheckParameter>,
}

/// A parameter of a bugcheck.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BugcheckParameter {
    /// Its value.
    pub value: String,
    /// What it means, if that is known.
    pub meaning: Option<String>,
}

/// The CPU and the task that panicked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Panicked {
    /// The kernel's number of the CPU.
    pub cpu: Option<u32>,
    /// Its number in the order of the core's notes.
    pub vcpu: Option<usize>,
    /// The task.
    pub task: Option<Task>,
}

/// A task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its id.
    pub pid: Option<i32>,
    /// Its name.
    pub comm: Option<String>,
    /// The address of its `task_struct`.
    pub address: Option<String>,
}

/// What a CPU was doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CpuState {
    /// It panicked.
    Panicked,
    /// It was in the kernel.
    Kernel,
    /// It was in user space.
    User,
    /// It was idle.
    Idle,
    /// That is not known.
    #[default]
    Unknown,
}

/// A CPU.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cpu {
    /// Its number in the order of the core's notes.
    pub vcpu: usize,
    /// The kernel's number.
    pub cpu: Option<u32>,
    /// What it was doing.
    pub state: CpuState,
    /// Its task.
    pub task: Option<Task>,
    /// Its registers.
    pub registers: Vec<Register>,
    /// Its stack.
    pub stack: Stack,
}

/// A register.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A stack, innermost frame first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stack {
    /// Its frames.
    pub frames: Vec<StackFrame>,
    /// How it ends; `null` at the bottom.
    pub end: Option<String>,
}

/// A frame of a stack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StackFrame {
    /// Its address.
    pub address: String,
    /// `function+offset/size`; `null` if no symbol is there.
    pub function: Option<String>,
    /// The module that the function is in.
    pub module: Option<String>,
    /// How it was found: `registers`, `orc`, `frame pointer`, `scan?`.
    pub trust: String,
    /// The registers that were saved at the entry into the kernel above it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
}

/// The kernel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Kernel {
    /// Its release, for example `6.1.0-31-amd64`.
    pub release: Option<String>,
    /// Its version: when and by whom it was built.
    pub version: Option<String>,
    /// Its build id.
    pub build_id: Option<String>,
    /// Its command line.
    pub command_line: Option<String>,
    /// Its uptime, in seconds.
    pub uptime_seconds: Option<f64>,
    /// Its taint flags; `null` if they are not known.
    pub taint: Option<Taint>,
}

/// Taint flags.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Taint {
    /// The bits.
    pub mask: u64,
    /// Each of them.
    pub flags: Vec<TaintFlag>,
}

/// A taint flag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaintFlag {
    /// Its letter.
    pub letter: String,
    /// What it means.
    pub meaning: String,
}

/// The machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The guest's name.
    pub guest: Option<String>,
    /// Its architecture.
    pub architecture: Option<String>,
    /// How many vCPUs have their registers in the core.
    pub vcpus: usize,
    /// How much memory the core describes, in bytes.
    pub memory_bytes: u64,
    /// QEMU's version.
    pub qemu: Option<String>,
    /// QEMU's machine type.
    pub machine_type: Option<String>,
    /// The firmware's name for it.
    pub hardware: Option<String>,
    /// The format of the core's file.
    pub core_format: String,
    /// When the panic was noticed, or when it happened if the event says that.
    pub noticed: Option<String>,
}

/// How many tasks there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskCounts {
    /// Processes and kernel threads.
    pub processes: usize,
    /// All threads.
    pub threads: usize,
    /// Kernel threads.
    pub kernel_threads: usize,
    /// How many by state.
    pub states: Vec<StateCount>,
}

/// How many tasks were in a state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateCount {
    /// The state's name.
    pub state: String,
    /// How many.
    pub count: usize,
}

/// Blocked tasks with the same stack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocked {
    /// The tasks; not all of them, if there are many.
    pub tasks: Vec<Task>,
    /// How many there are.
    pub count: usize,
    /// The stack that they share.
    pub stack: Stack,
}

/// A module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    /// Its name.
    pub name: String,
    /// The start of its code.
    pub address: Option<String>,
    /// Its size, in bytes.
    pub size: Option<u64>,
    /// The letters of the taint flags that it sets.
    pub taints: Option<String>,
    /// The modules that use it.
    pub users: Option<Vec<String>>,
    /// Its build id.
    pub build_id: Option<String>,
}

/// How the memory was used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// How much the kernel manages, in bytes.
    pub total_bytes: u64,
    /// `MemAvailable`, in bytes; `null` if that is not known.
    #[serde(default)]
    pub available_bytes: Option<u64>,
    /// Its parts, without overlap, together no more than the total.
    pub parts: Vec<MemoryPart>,
}

/// A part of the memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPart {
    /// What it was used for.
    pub name: String,
    /// How much, in bytes.
    pub bytes: u64,
}

/// A mounted file system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// The device, or what the file system has instead.
    pub device: String,
    /// Where it is mounted; `null` if that is not known.
    pub mount_point: Option<String>,
    /// The file system's name.
    pub r#type: String,
    /// Options that every file system has; the first is `ro` or `rw`.
    pub options: Vec<String>,
    /// Its size, in bytes; `null` if the kernel keeps no count in a known place.
    pub total_bytes: Option<u64>,
    /// How much of it is in use, in bytes.
    pub used_bytes: Option<u64>,
    /// How much is left for users other than root, in bytes.
    pub available_bytes: Option<u64>,
}

/// The end of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// How many records there are.
    pub records: usize,
    /// The last ones.
    pub last: Vec<ReportedRecord>,
}

/// A record of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedRecord {
    /// Nanoseconds since boot.
    pub time_ns: u64,
    /// Its level, from 0 (emergency) to 7 (debug).
    pub level: u8,
    /// Its text.
    pub text: String,
}

/// What is missing, damaged or doubtful.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is about: `core`, `kernel`, `log`, `stacks`, `tasks`, `modules`, ...
    pub about: String,
    /// What was found.
    pub text: String,
    /// How sure that is.
    pub trust: Trust,
}
