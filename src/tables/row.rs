//! The row of a crash: `vmcorectl/crash/1`, as `samples/crash.schema.json` describes it.
//!
//! All columns are always there, and are `null` or empty where nothing is known. Within a version
//! of the schema, columns may be added; none is removed or given another meaning.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The schema that this version writes.
pub const SCHEMA: &str = "vmcorectl/crash/1";

/// A crash.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The entry's id.
    pub id: String,
    /// Where the entry is below its store: `GUEST/ID`.
    pub entry: String,
    /// The guest's name.
    pub guest: Option<String>,
    /// Its UUID.
    pub guest_uuid: Option<String>,
    /// The host that captured it.
    pub host: Option<String>,
    /// When the capture began, to the microsecond, as the tables of other programs have it.
    pub time: Timestamp,
    /// The nanoseconds beyond that, 999 at most.
    #[serde(default)]
    pub time_nanoseconds: Option<u64>,
    /// When the guest panicked, or when that was noticed.
    pub panicked: Option<Timestamp>,
    /// What became of the capture: `complete`, `incomplete` or `no-core`.
    pub state: String,
    /// The guest's kernel.
    #[serde(default)]
    pub kernel: Kernel,
    /// What happened, in one line.
    pub title: Option<String>,
    /// Other titles that the same bug can have.
    #[serde(default)]
    pub alt_titles: Vec<String>,
    /// The kind of event.
    pub kind: Option<String>,
    /// A coarser class of titles.
    pub r#type: Option<String>,
    /// The same for the same crash.
    pub signature: Option<String>,
    /// The same for the same call path to it.
    pub variant: Option<String>,
    /// Whether the signature is too weak to take two crashes with it for the same.
    pub weak: Option<bool>,
    /// The function to blame.
    pub function: Option<String>,
    /// Its module.
    pub module: Option<String>,
    /// The code of a Windows guest's bugcheck.
    pub bugcheck: Option<String>,
    /// The letters of the kernel's taint flags.
    pub taints: Option<String>,
    /// How long the guest was held.
    pub held_seconds: Option<f64>,
    /// The guest's memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// Length of the core's file.
    pub core_bytes: Option<u64>,
    /// Length of the triage pack.
    pub pack_bytes: Option<u64>,
    /// The hash of the core's chunks, as in the metadata.
    pub chunks_sha256: Option<String>,
    /// The program that captured it, and its version.
    pub tool: Option<String>,
    /// The schema of its report.
    pub report_schema: Option<String>,
    /// The program that made the report, and its version.
    pub report_tool: Option<String>,
    /// What was noted when it was captured.
    pub note: Option<String>,
    /// Fingerprints of the keys that its core is encrypted to. Empty: it is not.
    #[serde(default)]
    pub encrypted_to: Vec<String>,
    /// How many tasks there were.
    pub tasks: Option<Tasks>,
    /// The CPUs, and their stacks.
    #[serde(default)]
    pub cpus: Vec<Cpu>,
    /// The modules that were loaded.
    #[serde(default)]
    pub modules: Vec<Module>,
    /// The mounted file systems.
    #[serde(default)]
    pub mounts: Vec<Mount>,
}

/// A guest's kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// Its release.
    pub release: Option<String>,
    /// Its build id.
    pub build_id: Option<String>,
    /// Its architecture.
    pub arch: Option<String>,
}

/// How many tasks there were.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tasks {
    /// Processes and kernel threads.
    pub processes: Option<u64>,
    /// All threads.
    pub threads: Option<u64>,
    /// Kernel threads.
    pub kernel_threads: Option<u64>,
    /// How many were in uninterruptible sleep.
    pub blocked: Option<u64>,
}

/// A CPU.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpu {
    /// Its number in the order of the core's notes.
    pub vcpu: u64,
    /// The kernel's number.
    pub cpu: Option<u64>,
    /// What it was doing: `panicked`, `kernel`, `user`, `idle` or `unknown`.
    pub state: Option<String>,
    /// The id of its task.
    pub pid: Option<i64>,
    /// The name of its task.
    pub comm: Option<String>,
    /// Its stack, the innermost function first.
    #[serde(default)]
    pub frames: Vec<Frame>,
}

/// A function on a stack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// Its name, without the offset; `null` if no symbol is there.
    pub function: Option<String>,
    /// The offset in it, and its size: `0x1a4/0x370`.
    pub offset: Option<String>,
    /// The module that it is in.
    pub module: Option<String>,
    /// How it was found.
    pub trust: Option<String>,
}

/// A module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    /// Its name.
    pub name: Option<String>,
    /// Its size, in bytes.
    pub size: Option<u64>,
    /// The letters of the taint flags that it sets.
    pub taints: Option<String>,
    /// Its build id.
    pub build_id: Option<String>,
}

/// A mounted file system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// The device, or what the file system has instead.
    pub device: Option<String>,
    /// Where it is mounted.
    pub mount_point: Option<String>,
    /// The file system's name.
    pub r#type: Option<String>,
    /// Its size, in bytes.
    pub total_bytes: Option<u64>,
    /// How much of it is in use, in bytes.
    pub used_bytes: Option<u64>,
}

impl Row {
    /// The row in an object; `None` if it is none of this schema.
    pub fn parse(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok().filter(Self::is_one)
    }

    /// Whether it is of this schema, and its id one that an entry may have.
    pub(super) fn is_one(&self) -> bool {
        self.schema == SCHEMA && super::layout::is_id(&self.id)
    }

    /// The row as an object has it: a line of JSON.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = Vec::new();
        // A value made of strings, numbers and lists cannot fail to serialise.
        let _ = crate::printable::json::line(self, &mut json);
        json
    }
}
