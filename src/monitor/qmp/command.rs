//! QMP's commands behind the [`Monitor`] trait, with typed answers.
//!
//! Where a QEMU does not know a command, the answer is `Ok(None)` if the
//! command only reports, and an error if it should have done something.

use std::os::fd::BorrowedFd;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::client::Client;
use super::gdb_server;
use crate::monitor::dump_pipe::DESCRIPTOR;
use crate::monitor::{
    Answer, CommandId, CpuPath, CrashInformation, DumpPart, DumpReply, DumpStatus, Event,
    GdbServer, GuestEvent, Manager, MemorySize, Monitor, MonitorError, RunState, Version,
    WaitLimits, WaitResult,
};

/// `detach` came with this version.
const DETACH: Version = Version { major: 2, minor: 6, micro: 0 };

impl Client {
    /// What a command that only reports gives. `Ok(None)` if this QEMU refuses it.
    fn ask(
        &mut self,
        command: &str,
        arguments: Value,
        limits: &WaitLimits<'_>,
    ) -> Answer<Option<Value>> {
        match self.execute(command, arguments, limits) {
            Ok(value) => Ok(Some(value)),
            Err(MonitorError::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn ask_for(
        &mut self,
        command: &str,
        key: &str,
        limits: &WaitLimits<'_>,
    ) -> Answer<Option<Value>> {
        let answer = self.ask(command, json!({}), limits)?;
        Ok(answer.and_then(|mut answer| Some(answer.get_mut(key)?.take())))
    }

    fn ask_typed<T: DeserializeOwned>(
        &mut self,
        command: &str,
        limits: &WaitLimits<'_>,
    ) -> Answer<Option<T>> {
        self.ask(command, json!({}), limits)?.map(|answer| typed(command, answer)).transpose()
    }

    fn order(&mut self, command: &str, arguments: Value, limits: &WaitLimits<'_>) -> Answer<()> {
        self.execute(command, arguments, limits).map(|_| ())
    }
}

impl Monitor for Client {
    fn manager(&self) -> Manager {
        Manager::Qemu
    }

    fn version(&self) -> Option<Version> {
        Some(Self::version(self))
    }

    fn dump_reply(&self) -> DumpReply {
        if Self::version(self) >= DETACH { DumpReply::AtStart } else { DumpReply::AtEnd }
    }

    fn process(&self) -> Option<i32> {
        self.peer_process()
    }

    fn reconnect(&mut self, limits: &WaitLimits<'_>) -> Answer<()> {
        *self = Self::connect(self.path(), limits)?;
        Ok(())
    }

    fn run_state(&mut self, limits: &WaitLimits<'_>) -> Answer<RunState> {
        let answer = self.execute("query-status", json!({}), limits)?;
        typed("query-status", answer)
    }

    fn guest_name(&mut self, limits: &WaitLimits<'_>) -> Answer<Option<String>> {
        Ok(self.ask_for("query-name", "name", limits)?.and_then(text))
    }

    // QEMU reports zeros for a guest that has none.
    fn guest_uuid(&mut self, limits: &WaitLimits<'_>) -> Answer<Option<String>> {
        const NO_UUID: &str = "00000000-0000-0000-0000-000000000000";
        let uuid = self.ask_for("query-uuid", "UUID", limits)?.and_then(text);
        Ok(uuid.filter(|uuid| uuid != NO_UUID))
    }

    // QEMU 2.11 and newer.
    fn memory_size(&mut self, limits: &WaitLimits<'_>) -> Answer<Option<MemorySize>> {
        self.ask_typed("query-memory-size-summary", limits)
    }

    fn machine(&mut self, limits: &WaitLimits<'_>) -> Answer<Option<String>> {
        let machine = json!({ "path": "/machine", "property": "type" });
        let machine = self.ask("qom-get", machine, limits)?.and_then(text);
        Ok(machine.map(|name| name.strip_suffix("-machine").unwrap_or(&name).to_owned()))
    }

    fn architecture(&mut self, limits: &WaitLimits<'_>) -> Answer<Option<String>> {
        Ok(self.ask_for("query-target", "arch", limits)?.and_then(text))
    }

    fn uses_kvm(&mut self, limits: &WaitLimits<'_>) -> Answer<Option<bool>> {
        Ok(self.ask_for("query-kvm", "enabled", limits)?.and_then(|enabled| enabled.as_bool()))
    }

    fn dump_formats(&mut self, limits: &WaitLimits<'_>) -> Answer<Option<Vec<String>>> {
        let formats = self.ask_for("query-dump-guest-memory-capability", "formats", limits)?;
        Ok(formats.and_then(texts))
    }

    fn migration_blockers(&mut self, limits: &WaitLimits<'_>) -> Answer<Option<Vec<String>>> {
        Ok(self.ask_for("query-migrate", "blocked-reasons", limits)?.and_then(texts))
    }

    fn memory_encrypted(&mut self, limits: &WaitLimits<'_>) -> Answer<Option<bool>> {
        Ok(self.ask_for("query-sev", "enabled", limits)?.and_then(|enabled| enabled.as_bool()))
    }

    // QEMU 2.12 and newer; `query-cpus` would disturb the guest.
    fn cpus(&mut self, limits: &WaitLimits<'_>) -> Answer<Option<Vec<CpuPath>>> {
        self.ask_typed("query-cpus-fast", limits)
    }

    // QEMU 2.9 and newer, x86 and s390x. Only the text of the error tells whether this
    // vCPU crashed, so the text is compared; one that QEMU changes makes the answer unknown.
    fn crash_information(
        &mut self,
        cpu: &CpuPath,
        limits: &WaitLimits<'_>,
    ) -> Answer<CrashInformation> {
        let arguments = json!({ "path": cpu.path, "property": "crash-information" });
        match self.execute("qom-get", arguments, limits) {
            Ok(details) => Ok(CrashInformation::Details(details)),
            Err(MonitorError::Refused { refusal, .. }) => Ok(match refusal.description.as_str() {
                "No crash information" => CrashInformation::Reported,
                "No crash occurred" | "No crash occured" => CrashInformation::NotHere,
                _ => CrashInformation::Unknown,
            }),
            Err(error) => Err(error),
        }
    }

    fn ask_as_person(&mut self, command: &str, limits: &WaitLimits<'_>) -> Answer<Option<String>> {
        let arguments = json!({ "command-line": command });
        Ok(self.ask("human-monitor-command", arguments, limits)?.and_then(text))
    }

    fn receives_memory(&mut self, limits: &WaitLimits<'_>) -> Answer<bool> {
        let status = self.ask_for("query-migrate", "status", limits)?.and_then(text);
        Ok(status.is_some_and(|status| status.starts_with("postcopy")))
    }

    // QEMU 2.6 and newer.
    fn dump_status(&mut self, limits: &WaitLimits<'_>) -> Answer<Option<DumpStatus>> {
        self.ask_typed("query-dump", limits)
    }

    fn pass_pipe(&mut self, pipe: BorrowedFd<'_>, limits: &WaitLimits<'_>) -> Answer<()> {
        let name = json!({ "fdname": DESCRIPTOR });
        self.execute_with_descriptor("getfd", name, pipe, limits).map(|_| ())
    }

    fn close_stale_pipe(&mut self, limits: &WaitLimits<'_>) -> Answer<()> {
        self.ask("closefd", json!({ "fdname": DESCRIPTOR }), limits).map(|_| ())
    }

    fn take_back_pipe(&mut self, limits: &WaitLimits<'_>) {
        let _ = self.begin("closefd", &json!({ "fdname": DESCRIPTOR }), limits);
    }

    fn begin_dump(&mut self, part: DumpPart, limits: &WaitLimits<'_>) -> Answer<CommandId> {
        let mut arguments = json!({
            "paging": false, "protocol": format!("fd:{DESCRIPTOR}"), "format": "elf",
        });
        if let Some(arguments) = arguments.as_object_mut() {
            match part {
                DumpPart::Whole { detached: false } => {}
                DumpPart::Whole { detached: true } => {
                    arguments.insert("detach".to_owned(), true.into());
                }
                DumpPart::Range(begin, length) => {
                    arguments.insert("begin".to_owned(), begin.into());
                    arguments.insert("length".to_owned(), length.into());
                }
            }
        }
        self.begin("dump-guest-memory", &arguments, limits)
    }

    fn open_gdb_server(
        &mut self,
        connection: BorrowedFd<'_>,
        limits: &WaitLimits<'_>,
    ) -> Answer<GdbServer> {
        gdb_server::open(self, connection, limits)
    }

    fn close_gdb_server(&mut self, limits: &WaitLimits<'_>) -> Answer<()> {
        gdb_server::close(self, limits)
    }

    fn wait(
        &mut self,
        during: &str,
        limits: &WaitLimits<'_>,
        wakers: &[BorrowedFd<'_>],
    ) -> Answer<WaitResult> {
        Self::wait(self, during, limits, wakers)
    }

    fn take_event(&mut self) -> Option<Event> {
        Self::take_event(self)
    }

    fn forget_events(&mut self) {
        Self::forget_events(self);
    }

    fn guest_events(&self) -> &[GuestEvent] {
        Self::guest_events(self)
    }

    fn take_guest_events(&mut self) -> Vec<GuestEvent> {
        Self::take_guest_events(self)
    }

    fn pause_on_panic(&mut self, limits: &WaitLimits<'_>) -> Answer<()> {
        self.order("set-action", json!({ "panic": "pause" }), limits)
    }

    fn stop(&mut self, limits: &WaitLimits<'_>) -> Answer<()> {
        self.order("stop", json!({}), limits)
    }

    fn resume(&mut self, limits: &WaitLimits<'_>) -> Answer<()> {
        self.order("cont", json!({}), limits)
    }

    fn reset(&mut self, limits: &WaitLimits<'_>) -> Answer<()> {
        self.order("system_reset", json!({}), limits)
    }

    fn quit(&mut self, limits: &WaitLimits<'_>) -> Answer<()> {
        self.order("quit", json!({}), limits)
    }
}

fn text(value: Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn texts(value: Value) -> Option<Vec<String>> {
    Some(value.as_array()?.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

fn typed<T: DeserializeOwned>(command: &str, answer: Value) -> Answer<T> {
    T::deserialize(&answer).map_err(|_| MonitorError::Unexpected {
        by: Manager::Qemu,
        command: command.to_owned(),
        found: answer.to_string().chars().take(200).collect(),
    })
}
