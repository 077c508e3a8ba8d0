//! The commands that are used, with typed answers.
//!
//! Where a QEMU does not know a command, the answer is `Ok(None)` if the
//! command only tells, and an error if it should have done something.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::client::Client;
use super::error::QmpError;
use super::patience::Patience;

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
    #[must_use]
    pub fn is_panicked(&self) -> bool {
        self.status == "guest-panicked"
    }

    /// Whether something went wrong that stopped the guest: nobody chose this
    /// state, as somebody chose `paused`, `prelaunch` or `suspended`.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        const FAULTS: [&str; 5] =
            ["guest-panicked", "internal-error", "io-error", "shutdown", "watchdog"];
        FAULTS.contains(&self.status.as_str())
    }
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

/// A vCPU's place in QEMU's object tree.
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
    /// This QEMU or architecture does not tell.
    Unknown,
}

impl Client {
    /// `query-status`.
    ///
    /// # Errors
    /// Fails if QEMU does not answer.
    pub fn run_state(&mut self, patience: &Patience<'_>) -> Result<RunState, QmpError> {
        let answer = self.execute("query-status", json!({}), patience)?;
        typed("query-status", answer)
    }

    /// `query-name`: `Ok(None)` if the guest has none.
    ///
    /// # Errors
    /// Fails if QEMU does not answer.
    pub fn guest_name(&mut self, patience: &Patience<'_>) -> Result<Option<String>, QmpError> {
        let answer = self.ask("query-name", json!({}), patience)?;
        Ok(answer.as_ref().and_then(|answer| text(answer, "name")))
    }

    /// `query-uuid`: `Ok(None)` if the guest has none, which QEMU says with zeros.
    ///
    /// # Errors
    /// Fails if QEMU does not answer.
    pub fn guest_uuid(&mut self, patience: &Patience<'_>) -> Result<Option<String>, QmpError> {
        const NO_UUID: &str = "00000000-0000-0000-0000-000000000000";
        let answer = self.ask("query-uuid", json!({}), patience)?;
        Ok(answer.as_ref().and_then(|answer| text(answer, "UUID")).filter(|uuid| uuid != NO_UUID))
    }

    /// `query-memory-size-summary` (QEMU 2.11 and newer).
    ///
    /// # Errors
    /// Fails if QEMU does not answer.
    pub fn memory_size(&mut self, patience: &Patience<'_>) -> Result<Option<MemorySize>, QmpError> {
        const COMMAND: &str = "query-memory-size-summary";
        self.ask(COMMAND, json!({}), patience)?.map(|answer| typed(COMMAND, answer)).transpose()
    }

    /// `query-cpus-fast` (QEMU 2.12 and newer; `query-cpus` would disturb the guest).
    ///
    /// # Errors
    /// Fails if QEMU does not answer.
    pub fn cpus(&mut self, patience: &Patience<'_>) -> Result<Option<Vec<CpuPath>>, QmpError> {
        const COMMAND: &str = "query-cpus-fast";
        self.ask(COMMAND, json!({}), patience)?.map(|answer| typed(COMMAND, answer)).transpose()
    }

    /// `query-dump` (QEMU 2.6 and newer).
    ///
    /// # Errors
    /// Fails if QEMU does not answer.
    pub fn dump_status(&mut self, patience: &Patience<'_>) -> Result<Option<DumpStatus>, QmpError> {
        const COMMAND: &str = "query-dump";
        self.ask(COMMAND, json!({}), patience)?.map(|answer| typed(COMMAND, answer)).transpose()
    }

    /// A vCPU's `crash-information` (QEMU 2.9 and newer, x86 and s390x).
    ///
    /// QEMU tells by its error's text alone whether this vCPU crashed, so the
    /// text is compared; a text that QEMU changes makes the answer unknown.
    ///
    /// # Errors
    /// Fails if QEMU does not answer.
    pub fn crash_information(
        &mut self,
        cpu: &CpuPath,
        patience: &Patience<'_>,
    ) -> Result<CrashInformation, QmpError> {
        let arguments = json!({ "path": cpu.path, "property": "crash-information" });
        match self.execute("qom-get", arguments, patience) {
            Ok(details) => Ok(CrashInformation::Details(details)),
            Err(QmpError::Refused { refusal, .. }) => Ok(match refusal.description.as_str() {
                "No crash information" => CrashInformation::Reported,
                "No crash occurred" | "No crash occured" => CrashInformation::NotHere,
                _ => CrashInformation::Unknown,
            }),
            Err(error) => Err(error),
        }
    }

    /// What a command that only tells gives. `Ok(None)` if this QEMU refuses it.
    ///
    /// # Errors
    /// Fails if QEMU does not answer.
    pub fn ask(
        &mut self,
        command: &str,
        arguments: Value,
        patience: &Patience<'_>,
    ) -> Result<Option<Value>, QmpError> {
        match self.execute(command, arguments, patience) {
            Ok(value) => Ok(Some(value)),
            Err(QmpError::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn text(answer: &Value, key: &str) -> Option<String> {
    answer.get(key)?.as_str().map(str::to_owned)
}

fn typed<T: DeserializeOwned>(command: &str, answer: Value) -> Result<T, QmpError> {
    T::deserialize(&answer).map_err(|_| QmpError::Unexpected {
        command: command.to_owned(),
        found: answer.to_string().chars().take(200).collect(),
    })
}
