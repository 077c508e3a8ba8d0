//! What a report holds. `samples/report.schema.json` describes the same for others.
//!
//! Addresses and registers are strings in hexadecimal: many readers of JSON take numbers
//! for doubles. What could not be had is `null` or empty, and a finding says why.

use serde::{Deserialize, Serialize};

/// The schema that this version writes.
pub const SCHEMA: &str = "vmcorectl/report/1";

/// What happened to a guest, as far as its core tells.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The version of the program that made it.
    pub tool: String,
    /// What happened, in one line. The same for the same bug, whatever the machine.
    pub title: String,
    /// Other titles that the same bug can have.
    pub alt_titles: Vec<String>,
    /// The kind of event, for example `kasan` or `panic`.
    pub kind: Option<String>,
    /// A coarser class of titles.
    pub r#type: Option<String>,
    /// How sure the title is.
    pub trust: Trust,
    /// What tells the title.
    pub told_by: ToldBy,
    /// The function to blame.
    pub function: Option<String>,
    /// The function that the event's instruction was in.
    pub pc_function: Option<String>,
    /// The module of [`Self::function`].
    pub module: Option<String>,
    /// Whether the log has the event only in part.
    pub corrupted: bool,
    /// What crashes that are the same have in common; `null` where nothing tells them apart.
    pub signature: Option<String>,
    /// Tells ways to the same bug apart.
    pub variant: Option<String>,
    /// Whether the signature is too weak to take two crashes for the same.
    pub weak: bool,
    /// What the kernel said when it panicked.
    pub panic_message: Option<String>,
    /// The event in the log that the title tells.
    pub event: Option<Event>,
    /// What else went wrong before.
    pub other_events: Vec<OtherEvent>,
    /// What a guest that is no Linux said when it stopped.
    pub bugcheck: Option<Bugcheck>,
    /// Where it panicked.
    pub panicked: Option<Panicked>,
    /// The CPUs, in the order of the core's notes.
    pub cpus: Vec<Cpu>,
    /// The kernel.
    pub kernel: Kernel,
    /// The machine.
    pub machine: Machine,
    /// The tasks, counted; `null` if they cannot be read.
    pub tasks: Option<TaskCounts>,
    /// Tasks that waited and could not be woken by a signal, by what they waited for.
    pub blocked: Vec<Blocked>,
    /// The modules.
    pub modules: Vec<Module>,
    /// What the memory was used for; `null` if it cannot be told.
    pub memory: Option<Memory>,
    /// The file systems that were mounted.
    #[serde(default)]
    pub mounts: Vec<Mount>,
    /// The end of the log.
    pub log: Log,
    /// What is missing, damaged or doubtful.
    pub findings: Vec<Finding>,
}

/// How sure something is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    /// Nothing speaks for it but that nothing better was found.
    #[default]
    Guess,
    /// It follows from what was read, and a part of that is missing.
    Likely,
    /// It was read, and fits.
    Certain,
}

/// What tells the title.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ToldBy {
    /// The kernel's log.
    Log,
    /// The stack of the task that panicked.
    Stack,
    /// What the guest told QEMU.
    Hypervisor,
    /// What the CPUs were doing.
    Cpus,
    /// Nothing.
    #[default]
    Nothing,
}

/// The event that the title tells.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Nanoseconds since boot.
    pub time_ns: Option<u64>,
    /// Why this one was chosen.
    pub why: String,
    /// What made the title and the signature: records, frames, what was skipped.
    pub evidence: Vec<String>,
}

/// Something else that went wrong.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OtherEvent {
    /// Nanoseconds since boot.
    pub time_ns: Option<u64>,
    /// What it was.
    pub title: String,
    /// Its signature.
    pub signature: Option<String>,
}

/// What Windows, or another guest with Hyper-V's interface, said when it stopped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bugcheck {
    /// Its code.
    pub code: String,
    /// Its name, if it is well known.
    pub name: Option<String>,
    /// Its parameters, and what they mean where that is known.
    pub parameters: Vec<BugcheckParameter>,
}

/// A parameter of a bugcheck.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BugcheckParameter {
    /// Its value.
    pub value: String,
    /// What it means.
    pub meaning: Option<String>,
}

/// Where it panicked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Panicked {
    /// The kernel's number of the CPU.
    pub cpu: Option<u32>,
    /// Its place among the core's notes.
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
    /// Where its `task_struct` is.
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
    /// It was in a program.
    User,
    /// It was idle.
    Idle,
    /// That cannot be told.
    #[default]
    Unknown,
}

/// A CPU.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cpu {
    /// Its place among the core's notes.
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

/// A stack, from where it was to where it came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stack {
    /// Its frames.
    pub frames: Vec<StackFrame>,
    /// How it ends; `null` where there is none.
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
    /// What it was started with.
    pub command_line: Option<String>,
    /// How long it ran, in seconds.
    pub uptime_seconds: Option<f64>,
    /// What it was tainted by; `null` if that cannot be told.
    pub taint: Option<Taint>,
}

/// What made a kernel one that its makers do not support.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Taint {
    /// The bits.
    pub mask: u64,
    /// Each of them.
    pub flags: Vec<TaintFlag>,
}

/// One reason.
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
    /// What the firmware calls it.
    pub hardware: Option<String>,
    /// How the core is stored.
    pub core_format: String,
    /// When the panic was noticed.
    pub noticed: Option<String>,
}

/// Tasks, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskCounts {
    /// Processes and kernel threads.
    pub processes: usize,
    /// All of them, each thread.
    pub threads: usize,
    /// How many are the kernel's own.
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

/// Tasks that waited for the same.
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
    /// Where its code begins.
    pub address: Option<String>,
    /// How long it is, in bytes.
    pub size: Option<u64>,
    /// Letters of what it taints the kernel with.
    pub taints: Option<String>,
    /// The modules that use it.
    pub users: Option<Vec<String>>,
    /// Its build id, by which its debug symbols are found.
    pub build_id: Option<String>,
}

/// What the memory was used for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// How much the kernel manages, in bytes.
    pub total_bytes: u64,
    /// How much of it programs could still get without swapping; `null` if that cannot be told.
    #[serde(default)]
    pub available_bytes: Option<u64>,
    /// Apart from each other, and no more than the total.
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
    /// The device, or whatever the file system takes for it.
    pub device: String,
    /// Where it is mounted; `null` if that cannot be told.
    pub mount_point: Option<String>,
    /// The file system's name.
    pub r#type: String,
    /// Options that every file system has; the first is `ro` or `rw`.
    pub options: Vec<String>,
    /// How much there is, in bytes; `null` if the kernel keeps no count that is known.
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
    pub last: Vec<LogLine>,
}

/// A record of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Nanoseconds since boot.
    pub time_ns: u64,
    /// How grave it is: 0 is the gravest.
    pub level: u8,
    /// What it says.
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
