//! The row of an entry, made of its metadata and its report.
//!
//! Both are read leniently: they may be of another version, or have the fields alone that stay
//! in the clear beside an encrypted core. What is missing is unknown. A row has a bounded size,
//! whatever the guest made of its stacks and names.

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use vmcore_formats::text::{MAX_NAME, MAX_RELEASE, MAX_TEXT, MAX_TITLE, bounded};

use super::layout::is_id;
use super::row::{Cpu, Frame, Kernel, Module, Mount, Row, SCHEMA, Tasks};
use crate::store::listing::time_of;
use crate::store::report_head::MAX_ALTERNATES;

/// The most CPUs, frames of one and of all of them, modules, and mounts of a row.
const MAX_CPUS: usize = 1024;
const MAX_FRAMES: usize = 64;
const MAX_ALL_FRAMES: usize = 4096;
const MAX_MODULES: usize = 512;
const MAX_MOUNTS: usize = 256;
/// The most keys that a core is encrypted to.
const MAX_KEYS: usize = 64;
/// The longest text of something that there are many of.
const MAX_WORD: usize = 128;

/// What a row is made of.
#[derive(Clone, Copy, Debug)]
pub struct EntryTexts<'a> {
    /// Where the entry is below its store: `GUEST/ID`.
    pub entry: &'a str,
    /// Its metadata, as stored.
    pub metadata: &'a [u8],
    /// Its report, as stored, if it has one that can be read.
    pub report: Option<&'a [u8]>,
    /// Length of the core's file, if there is one.
    pub core_bytes: Option<u64>,
    /// Length of its triage pack, if there is one.
    pub pack_bytes: Option<u64>,
}

impl EntryTexts<'_> {
    /// The row. Returns `None` if this is no entry: its name is no id, or its metadata cannot
    /// be read.
    pub fn row(&self) -> Option<Row> {
        let id = self.entry.rsplit_once('/').map(|(_, id)| id).filter(|id| is_id(id))?;
        let metadata: Metadata = serde_json::from_slice(self.metadata).ok()?;
        let report: Option<Report> =
            self.report.and_then(|report| serde_json::from_slice(report).ok());
        let has_report = report.is_some();
        let report = report.unwrap_or_default();
        let (core, guest) = (metadata.core.unwrap_or_default(), metadata.guest);
        let panic = metadata.panic.unwrap_or_default();
        let panicked = report.panicked.and_then(|panicked| panicked.vcpu);
        // What was reported before the dump, where that is all there is.
        let early = |text: Option<String>| text.filter(|_| !has_report);
        let (time, time_nanoseconds) = microseconds(metadata.started.or_else(|| time_of(id))?);
        Some(Row {
            schema: SCHEMA.to_owned(),
            id: id.to_owned(),
            entry: self.entry.to_owned(),
            guest: text(guest.name, MAX_TEXT),
            guest_uuid: text(guest.uuid, MAX_WORD),
            host: text(metadata.host.name, MAX_RELEASE),
            time,
            time_nanoseconds,
            panicked: panic.happened.or(panic.noticed).map(|time| microseconds(time).0),
            state: state(
                metadata.result.as_deref(),
                metadata.core_left_out.is_some(),
                self.core_bytes,
            )
            .to_owned(),
            kernel: Kernel {
                release: text(core.kernel_release.or(report.kernel.release), MAX_RELEASE),
                build_id: text(core.kernel_build_id.or(report.kernel.build_id), MAX_WORD),
                arch: text(
                    guest.architecture.or(core.machine).or(report.machine.architecture),
                    MAX_WORD,
                ),
            },
            title: text(report.title.or(early(metadata.title)), MAX_TITLE),
            alt_titles: texts(report.alt_titles, MAX_ALTERNATES, MAX_TITLE),
            kind: text(report.kind, MAX_WORD),
            r#type: text(report.r#type, MAX_WORD),
            signature: text(report.signature.or(early(metadata.signature)), MAX_NAME),
            variant: text(report.variant, MAX_NAME),
            weak: report.weak,
            function: text(report.function, MAX_NAME),
            module: text(report.module, MAX_NAME),
            bugcheck: text(report.bugcheck.map(|bugcheck| bugcheck.code), MAX_WORD),
            taints: report.kernel.taint.map(|taint| letters(&taint.flags)),
            held_seconds: metadata.held_seconds.filter(|seconds| seconds.is_finite()),
            memory_bytes: guest.memory_bytes,
            core_bytes: self.core_bytes,
            pack_bytes: self.pack_bytes,
            chunks_sha256: text(core.chunks_sha256, MAX_WORD),
            tool: metadata
                .tool
                .map(|tool| bounded(&format!("{} {}", tool.name, tool.version), MAX_WORD)),
            report_schema: text(report.schema, MAX_NAME),
            report_tool: text(report.tool, MAX_WORD),
            note: text(metadata.note, MAX_TITLE),
            encrypted_to: metadata.encrypted.map(Encrypted::fingerprints).unwrap_or_default(),
            tasks: report.tasks.map(TaskCounts::row),
            cpus: cpus(report.cpus, panicked),
            modules: report.modules.into_iter().take(MAX_MODULES).map(ModuleIn::row).collect(),
            mounts: report.mounts.into_iter().take(MAX_MOUNTS).map(MountIn::row).collect(),
        })
    }
}

/// What became of the capture, as a listing has it.
fn state(result: Option<&str>, left_out: bool, core_bytes: Option<u64>) -> &'static str {
    match result {
        _ if left_out && core_bytes.is_none() => "no-core",
        Some("incomplete") => "incomplete",
        _ => "complete",
    }
}

/// A time to the microsecond, and its nanoseconds beyond that.
fn microseconds(time: Timestamp) -> (Timestamp, Option<u64>) {
    let whole = Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time);
    let rest = u64::try_from(time.duration_since(whole).as_nanos()).ok();
    (whole, rest.filter(|rest| *rest > 0))
}

fn text(text: Option<String>, max: usize) -> Option<String> {
    text.map(|text| bounded(&text, max))
}

fn texts(texts: Vec<String>, most: usize, max: usize) -> Vec<String> {
    texts.into_iter().take(most).map(|text| bounded(&text, max)).collect()
}

fn letters(flags: &[Flag]) -> String {
    let letters: String = flags.iter().take(MAX_WORD).map(|flag| flag.letter.as_str()).collect();
    bounded(&letters, MAX_WORD)
}

/// The CPUs in their order. Where there are too many frames, that which panicked has its own.
fn cpus(cpus: Vec<CpuIn>, panicked: Option<u64>) -> Vec<Cpu> {
    let own = |cpu: &CpuIn| cpu.stack.frames.len().min(MAX_FRAMES);
    let of_panicked = cpus.iter().find(|cpu| Some(cpu.vcpu) == panicked).map_or(0, own);
    let mut left = MAX_ALL_FRAMES.saturating_sub(of_panicked);
    let with_frames = |cpu: CpuIn| {
        let wanted = own(&cpu);
        let count = if Some(cpu.vcpu) == panicked { wanted } else { wanted.min(left) };
        if Some(cpu.vcpu) != panicked {
            left = left.saturating_sub(count);
        }
        cpu.row(count)
    };
    cpus.into_iter().take(MAX_CPUS).map(with_frames).collect()
}

/// What a row wants of the metadata.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    tool: Option<Tool>,
    host: Host,
    guest: Guest,
    title: Option<String>,
    signature: Option<String>,
    note: Option<String>,
    panic: Option<Panic>,
    result: Option<String>,
    started: Option<Timestamp>,
    held_seconds: Option<f64>,
    core: Option<Core>,
    core_left_out: Option<IgnoredAny>,
    encrypted: Option<Encrypted>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Encrypted {
    to: Vec<Key>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Key {
    fingerprint: String,
}

impl Encrypted {
    fn fingerprints(self) -> Vec<String> {
        texts(self.to.into_iter().map(|key| key.fingerprint).collect(), MAX_KEYS, MAX_NAME)
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tool {
    name: String,
    version: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Host {
    name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Guest {
    name: Option<String>,
    uuid: Option<String>,
    architecture: Option<String>,
    memory_bytes: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Panic {
    noticed: Option<Timestamp>,
    happened: Option<Timestamp>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Core {
    machine: Option<String>,
    kernel_release: Option<String>,
    kernel_build_id: Option<String>,
    chunks_sha256: Option<String>,
}

/// What a row wants of the report.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Report {
    schema: Option<String>,
    tool: Option<String>,
    title: Option<String>,
    alt_titles: Vec<String>,
    kind: Option<String>,
    r#type: Option<String>,
    function: Option<String>,
    module: Option<String>,
    signature: Option<String>,
    variant: Option<String>,
    weak: Option<bool>,
    bugcheck: Option<Bugcheck>,
    panicked: Option<Panicked>,
    cpus: Vec<CpuIn>,
    kernel: KernelIn,
    machine: Machine,
    tasks: Option<TaskCounts>,
    modules: Vec<ModuleIn>,
    mounts: Vec<MountIn>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Bugcheck {
    code: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Panicked {
    vcpu: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct KernelIn {
    release: Option<String>,
    build_id: Option<String>,
    taint: Option<Taint>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Taint {
    flags: Vec<Flag>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Flag {
    letter: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Machine {
    architecture: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TaskCounts {
    processes: Option<u64>,
    threads: Option<u64>,
    kernel_threads: Option<u64>,
    states: Vec<StateCount>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StateCount {
    state: String,
    count: u64,
}

impl TaskCounts {
    fn row(self) -> Tasks {
        let blocked = self.states.iter().find(|state| state.state == "blocked");
        Tasks {
            blocked: self.threads.map(|_| blocked.map_or(0, |state| state.count)),
            processes: self.processes,
            threads: self.threads,
            kernel_threads: self.kernel_threads,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CpuIn {
    vcpu: u64,
    cpu: Option<u64>,
    state: Option<String>,
    task: Option<TaskIn>,
    stack: Stack,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TaskIn {
    pid: Option<i64>,
    comm: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Stack {
    frames: Vec<FrameIn>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FrameIn {
    function: Option<String>,
    module: Option<String>,
    trust: Option<String>,
}

impl CpuIn {
    fn row(self, frames: usize) -> Cpu {
        let task = self.task.unwrap_or_default();
        Cpu {
            vcpu: self.vcpu,
            cpu: self.cpu,
            state: text(self.state, MAX_WORD),
            pid: task.pid,
            comm: text(task.comm, MAX_WORD),
            frames: self.stack.frames.into_iter().take(frames).map(FrameIn::row).collect(),
        }
    }
}

impl FrameIn {
    fn row(self) -> Frame {
        // A mangled name has no plus sign; a demangled one may: `<a as Add<b + c>>::d+0x1/0x2`.
        let split = self.function.as_deref().and_then(|function| function.rsplit_once("+0x"));
        let offset = split.map(|(_, offset)| bounded(&format!("0x{offset}"), MAX_WORD));
        let function = split.map(|(name, _)| name.to_owned()).or(self.function);
        Frame {
            function: text(function, MAX_NAME),
            offset,
            module: text(self.module, MAX_WORD),
            trust: text(self.trust, MAX_WORD),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ModuleIn {
    name: Option<String>,
    size: Option<u64>,
    taints: Option<String>,
    build_id: Option<String>,
}

impl ModuleIn {
    fn row(self) -> Module {
        Module {
            name: text(self.name, MAX_WORD),
            size: self.size,
            taints: text(self.taints, MAX_WORD),
            build_id: text(self.build_id, MAX_WORD),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct MountIn {
    device: Option<String>,
    mount_point: Option<String>,
    r#type: Option<String>,
    total_bytes: Option<u64>,
    used_bytes: Option<u64>,
}

impl MountIn {
    fn row(self) -> Mount {
        Mount {
            device: text(self.device, MAX_RELEASE),
            mount_point: text(self.mount_point, MAX_RELEASE),
            r#type: text(self.r#type, MAX_WORD),
            total_bytes: self.total_bytes,
            used_bytes: self.used_bytes,
        }
    }
}

#[cfg(test)]
#[path = "of_entry_tests.rs"]
mod tests;
