//! The metadata of a capture: `metadata.json`.
//!
//! The same bytes travel in a skippable frame of the core. What could not be
//! found out is `null`. The JSON Schema is `samples/metadata.schema.json`.

mod core_left_out;
pub mod core_record;
mod encrypted;
mod pages_left_out;

use std::ffi::CStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use core_left_out::{CoreLeftOut, LeftOutCause};
pub use encrypted::{
    ENCRYPTED, ENCRYPTED_CORE_FILE, ENCRYPTED_METADATA_FILE, Encrypted, Hidden, MetadataFiles,
    RecipientKey, is_core_name,
};
pub use pages_left_out::ClassBytes;

use crate::printable;

/// The schema that this version writes.
pub const SCHEMA: &str = "vmcorectl/metadata/1";
/// Name of the core in an entry.
pub const CORE_FILE: &str = "vmcore.elf.zst";
/// Name of the metadata in an entry.
pub const METADATA_FILE: &str = "metadata.json";
/// Name of the triage pack in an entry.
pub const PACK_FILE: &str = "triage.zst";

/// Everything that is known about a capture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The entry's id.
    pub id: String,
    /// What wrote it.
    pub tool: Tool,
    /// Where it ran.
    pub host: Host,
    /// The guest.
    pub guest: Guest,
    /// What happened, in one line, if a report was made before the dump.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What crashes that are the same have in common, if a report was made before the dump.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// What the user noted of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// QEMU's run state when the tool came.
    pub state_found: Option<String>,
    /// The panic; `null` if the guest had none.
    pub panic: Option<Panic>,
    /// What was asked.
    pub request: Request,
    /// What became of it.
    pub result: CaptureResult,
    /// Why it is not complete.
    pub failure: Option<Failure>,
    /// How the guest was released; `null` as long as nothing was tried.
    pub release: Option<Release>,
    /// When the tool began.
    pub started: Timestamp,
    /// From the first knowledge of the panic, or from stopping the guest, to its
    /// confirmed release. `null` if the guest is still held.
    pub held_seconds: Option<f64>,
    /// Each step, in order.
    pub phases: Vec<Phase>,
    /// The core; `null` as long as there is none.
    pub core: Option<Core>,
    /// Why there is no core, if it was left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub core_left_out: Option<CoreLeftOut>,
    /// Where the core comes from, if another file was imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<Imported>,
    /// Where the memory came from, if it came from a held guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<MemorySource>,
    /// Page classes that were left out. Empty: all memory is there.
    pub pages_dropped: Vec<String>,
    /// How much was left out of each class.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bytes_dropped: Vec<ClassBytes>,
    /// What the reader should know.
    pub warnings: Vec<String>,
    /// That the entry is encrypted: this is then what of it stays in the clear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encrypted: Option<Encrypted>,
}

/// The program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// The machine that QEMU runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Its name.
    pub name: Option<String>,
    /// Release of its kernel.
    pub kernel: Option<String>,
    /// Its architecture.
    pub architecture: Option<String>,
}

impl Host {
    /// The machine that this process runs on.
    pub fn this() -> Self {
        let system = rustix::system::uname();
        let text = |name: &CStr| name.to_str().ok().map(str::to_owned);
        Self {
            name: text(system.nodename()),
            kernel: text(system.release()),
            architecture: text(system.machine()),
        }
    }
}

/// The virtual machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Guest {
    /// The monitor's socket.
    pub monitor: String,
    /// Its name in QEMU.
    pub name: Option<String>,
    /// Its UUID.
    pub uuid: Option<String>,
    /// QEMU's version.
    pub qemu_version: Option<String>,
    /// QEMU's machine type.
    pub machine: Option<String>,
    /// QEMU's target, for example `x86_64`.
    pub architecture: Option<String>,
    /// `kvm`, or `other` where QEMU does not use it.
    pub accelerator: Option<String>,
    /// Memory in bytes, what was plugged in included.
    pub memory_bytes: Option<u64>,
    /// Number of vCPUs.
    pub cpus: Option<usize>,
    /// Formats that this QEMU can dump.
    pub dump_formats: Option<Vec<String>>,
    /// Why this guest cannot be migrated, in QEMU's words.
    pub migration_blocked: Option<Vec<String>>,
    /// Whether the host cannot read the guest's memory (SEV).
    pub memory_encrypted: Option<bool>,
    /// The libvirt that was asked, if it was not QEMU itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub libvirt: Option<Libvirt>,
}

/// The libvirt that a guest belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Libvirt {
    /// Its URI.
    pub uri: String,
    /// Its version.
    pub version: String,
    /// What it does when the guest panics (`on_crash`).
    pub on_crash: String,
}

/// How the panic was noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoticedBy {
    /// The tool was there when it happened.
    Event,
    /// The tool came later and asked.
    Query,
}

/// A panic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Panic {
    /// How the tool noticed it.
    #[serde(rename = "learnt")]
    pub noticed_by: NoticedBy,
    /// When the tool noticed it.
    pub noticed: Timestamp,
    /// When QEMU says it happened. Only an event tells.
    pub happened: Option<Timestamp>,
    /// What QEMU did about it: `pause`, `poweroff` or `run`. Only an event tells.
    pub action: Option<String>,
    /// What the guest reported, as QEMU gave it (hyper-v, s390, tdx, sev).
    pub info: Option<Value>,
    /// The vCPUs that reported it; `null` where QEMU does not tell.
    pub reporting_cpus: Option<Vec<u32>>,
    /// How many panic events came for this one stop.
    pub events: u64,
    /// Whether the guest said that it dumps itself (`GUEST_CRASHLOADED`).
    pub crash_loaded: bool,
}

impl Panic {
    /// A panic that was found by the run state alone: without an event.
    pub fn found(noticed: Timestamp) -> Self {
        Self {
            noticed_by: NoticedBy::Query,
            noticed,
            happened: None,
            action: None,
            info: None,
            reporting_cpus: None,
            events: 0,
            crash_loaded: false,
        }
    }
}

/// What was asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// What to do with the guest after the dump.
    pub then: String,
    /// What to do with it if the dump fails.
    pub on_failure: String,
    /// The longest hold, in seconds.
    pub max_hold_seconds: Option<f64>,
    /// Whether a guest without a panic was wanted.
    pub any_state: bool,
    /// Whether the tool waited for the panic.
    pub wait: bool,
    /// The zstd level.
    pub level: i32,
    /// How many threads compressed: fewer than asked for at a level at which each takes
    /// much memory.
    pub threads: usize,
    /// Which page classes were to be left out, if any: `kernel`, or a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages: Option<String>,
}

impl Request {
    /// Nothing was asked but to read the guest or the file, whatever its state.
    pub fn to_read() -> Self {
        Self {
            then: "hold".to_owned(),
            on_failure: "hold".to_owned(),
            max_hold_seconds: None,
            any_state: true,
            wait: false,
            level: 0,
            threads: 0,
            pages: None,
        }
    }
}

/// What a capture gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CaptureResult {
    /// The dump is under way, or its tool was killed.
    Capturing,
    /// The whole dump is there.
    Complete,
    /// A part of the dump is there, or none.
    Incomplete,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// In which step.
    pub stage: String,
    /// What went wrong.
    pub message: String,
    /// What QEMU said.
    pub qemu_error: Option<QemuError>,
}

/// An error in QEMU's own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QemuError {
    /// Its class; `null` for one that an event carried.
    pub class: Option<String>,
    /// Its text.
    pub description: String,
}

/// How the guest was let go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// `hold`, `resume`, `reset` or `quit`.
    pub action: String,
    /// Whether QEMU confirmed it.
    pub done: bool,
    /// The run state before.
    pub state_before: Option<String>,
    /// The run state after; `null` if QEMU is gone.
    pub state_after: Option<String>,
    /// Why it did not work.
    pub error: Option<String>,
    /// What QEMU said.
    pub qemu_error: Option<QemuError>,
    /// Who let the guest go, if anybody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<ReleasedBy>,
}

/// Who let a guest go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReleasedBy {
    /// This tool.
    Vmcorectl,
    /// Another client of QEMU or libvirt.
    AnotherClient,
}

/// A step and its duration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// How long it took.
    pub seconds: f64,
}

/// Where a core's memory came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemorySource {
    /// By which way.
    pub used: SourceUsed,
    /// Why not by a shorter way, if one was tried.
    pub reason: Option<String>,
}

/// A way to a held guest's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceUsed {
    /// QEMU's dump, through a pipe. With libvirt, libvirt's.
    Stream,
    /// Ranges of it through the monitor, without what is left out of the core: by partial dumps,
    /// with libvirt by peeks.
    Ranges,
    /// It was read in QEMU's process. Head and notes are those of QEMU's dump.
    Direct,
}

/// The core file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Core {
    /// Its name, without directories.
    pub file: String,
    /// Always `elf+zstd-seekable`.
    pub format: String,
    /// `e_machine` by name, for example `x86_64`.
    pub machine: Option<String>,
    /// `little` or `big`.
    pub endianness: Option<String>,
    /// 32 or 64: the width of the ELF file, not of the guest.
    pub elf_class: Option<u8>,
    /// Bytes that came from QEMU.
    pub bytes_read: u64,
    /// Bytes that QEMU's headers promise.
    pub bytes_expected: Option<u64>,
    /// Bytes of the unpacked core.
    pub bytes_core: u64,
    /// Bytes of the compressed chunks.
    pub bytes_written: u64,
    /// Bytes in chunks that are zero from end to end.
    pub zero_bytes: u64,
    /// How many bytes of the core a chunk has; the last one may have less.
    pub chunk_bytes: u64,
    /// How many chunks there are.
    pub chunks: u64,
    /// How many memory segments the core has.
    pub segments: Option<usize>,
    /// How many vCPUs have their registers in it.
    pub cpus: Option<usize>,
    /// Whether the guest's VMCOREINFO is in its notes.
    pub vmcoreinfo: Option<bool>,
    /// Release of the guest's kernel, from its VMCOREINFO.
    #[serde(default)]
    pub kernel_release: Option<String>,
    /// Build id of the guest's kernel, from its VMCOREINFO.
    #[serde(default)]
    pub kernel_build_id: Option<String>,
    /// SHA-256 over the seek table's entries of the chunks, which hold each
    /// chunk's sizes and checksum.
    pub chunks_sha256: String,
}

/// A file that was imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Its name, without directories.
    pub file: String,
    /// How it stores its core, for example `ELF`.
    pub format: String,
    /// Its length, in bytes.
    pub bytes: u64,
    /// When it was imported.
    pub at: Timestamp,
    /// Whether its kernel's VMCOREINFO was found in the memory and added to the notes.
    pub vmcoreinfo_found: bool,
}

impl Metadata {
    /// The metadata of what begins now: everything that is not given is unknown.
    pub fn new(request: Request, started: Timestamp) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            id: String::new(),
            tool: Tool {
                name: env!("CARGO_PKG_NAME").to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            },
            host: Host::default(),
            guest: Guest::default(),
            title: None,
            signature: None,
            note: None,
            state_found: None,
            panic: None,
            request,
            result: CaptureResult::Capturing,
            failure: None,
            release: None,
            started,
            held_seconds: None,
            phases: Vec::new(),
            core: None,
            core_left_out: None,
            imported: None,
            source: None,
            pages_dropped: Vec::new(),
            bytes_dropped: Vec::new(),
            warnings: Vec::new(),
            encrypted: None,
        }
    }

    /// The JSON text, as in the file and in the core.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = Vec::new();
        // A value made of strings, numbers and lists cannot fail to serialise.
        let _ = printable::json::pretty(self, &mut json);
        json
    }
}
