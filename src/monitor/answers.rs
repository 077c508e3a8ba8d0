//! What a monitor answers and reports, in types.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// The version of a QEMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Version {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number.
    pub micro: u32,
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

/// Something that QEMU reports without being asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its name, for example `GUEST_PANICKED`.
    pub name: String,
    /// Its data; `null` where it has none.
    pub data: Value,
    /// When it happened by QEMU's clock. QEMU sends -1 if it has none.
    pub time: Option<Timestamp>,
}

/// An error that QEMU or libvirt answers with.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Refusal {
    /// The class, for example `CommandNotFound` or `VIR_ERR_OPERATION_INVALID`.
    pub class: String,
    /// The text, as it came.
    #[serde(rename = "desc")]
    pub description: String,
    /// libvirt's number of the error, if it came from libvirt.
    #[serde(skip)]
    pub code: Option<i32>,
}

impl Refusal {
    /// Whether this QEMU does not know the command.
    pub fn is_unknown_command(&self) -> bool {
        self.class == "CommandNotFound"
    }
}

/// What a guest is doing, by QEMU's words.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RunState {
    /// QEMU's name of the state, for example `guest-panicked`.
    pub status: String,
    /// Whether the vCPUs run.
    pub running: bool,
}

impl RunState {
    /// Whether a panic stopped the guest.
    pub fn is_panicked(&self) -> bool {
        self.status == "guest-panicked"
    }

    /// Whether something went wrong that stopped the guest: no client chose
    /// this state, as one chooses `paused`, `prelaunch` or `suspended`.
    pub fn is_fault(&self) -> bool {
        const FAULTS: [&str; 5] =
            ["guest-panicked", "internal-error", "io-error", "shutdown", "watchdog"];
        FAULTS.contains(&self.status.as_str())
    }
}

/// What became of a server for gdb.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GdbServer {
    /// It serves.
    Open,
    /// Another client's is there, which would end.
    InUse {
        /// Where it serves, by QEMU's words.
        at: String,
    },
    /// QEMU opened none.
    Refused {
        /// What it said.
        text: String,
    },
    /// This manager opens none.
    Unsupported,
}

/// How much memory a guest has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct MemorySize {
    /// Fixed memory, in bytes.
    #[serde(rename = "base-memory")]
    pub base: u64,
    /// Memory that was plugged in later, in bytes.
    #[serde(rename = "plugged-memory", default)]
    pub plugged: u64,
}

/// How far a dump is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DumpStatus {
    /// `none`, `active`, `completed` or `failed`.
    pub status: String,
    /// Bytes of memory that were written.
    pub completed: u64,
    /// Bytes of memory in all.
    pub total: u64,
}

/// A vCPU's path in QEMU's object tree.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct CpuPath {
    /// Its number.
    #[serde(rename = "cpu-index")]
    pub index: u32,
    /// Its path.
    #[serde(rename = "qom-path")]
    pub path: String,
}

/// What a vCPU object says about a crash.
#[derive(Clone, Debug, PartialEq)]
pub enum CrashInformation {
    /// This vCPU reported a crash, with details.
    Details(Value),
    /// This vCPU reported a crash, without details.
    Reported,
    /// Not this vCPU.
    NotHere,
    /// This QEMU or architecture does not report it.
    Unknown,
}

/// Names a command that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandId(pub(super) u64);

/// What a wait ended with.
#[derive(Debug)]
pub enum WaitResult {
    /// An event came.
    Event(Event),
    /// The reply to a command came.
    Reply(CommandId, Result<Value, Refusal>),
    /// One of the given descriptors is ready.
    Woken,
    /// Nothing of all that in the given time.
    Nothing,
}
