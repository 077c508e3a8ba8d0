//! What the monitor answers, and what follows an answer.

use std::os::fd::OwnedFd;
use std::sync::MutexGuard;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Answer, ContPlan, PANICKED, Peer, State};

/// The paths of its guest's vCPUs.
pub(super) const CPUS: [&str; 2] =
    ["/machine/unattached/device[0]", "/machine/unattached/device[2]"];

impl Peer {
    /// The second of two panic devices, heard once the guest has run a little.
    pub(super) fn panic_later(&self) {
        std::thread::sleep(Duration::from_millis(30));
        let mut state = self.lock();
        state.emit("GUEST_PANICKED", json!({ "action": "pause" }));
        PANICKED.clone_into(&mut state.run);
        state.emit("STOP", json!({}));
        drop(state);
        self.changed.notify_all();
    }

    /// What QEMU does after it replied.
    pub(super) fn follow_up(&self, mut state: MutexGuard<'_, State>, name: &str) {
        if self.script.refuse.contains_key(name) {
            return;
        }
        match name {
            "system_reset" if self.script.no_reboot => {
                state
                    .emit("SHUTDOWN", json!({ "guest": false, "reason": "host-qmp-system-reset" }));
                drop(state);
                self.end();
            }
            "system_reset" => {
                if state.run != "running" {
                    "prelaunch".clone_into(&mut state.run);
                }
                state.emit("RESET", json!({ "guest": false, "reason": "host-qmp-system-reset" }));
            }
            "quit" => {
                drop(state);
                self.end();
            }
            _ => {}
        }
    }

    pub(super) fn answer(
        &self,
        state: &mut State,
        name: &str,
        arguments: &Value,
        descriptor: &mut Option<OwnedFd>,
    ) -> Answer {
        let refuse = |text: &str| Err(("GenericError", text.to_owned()));
        let fdname = arguments["fdname"].as_str().unwrap_or_default().to_owned();
        match name {
            "getfd" => match descriptor.take() {
                Some(fd) => {
                    state.descriptors.insert(fdname, fd);
                    Ok(json!({}))
                }
                None => refuse("No file descriptor supplied via SCM_RIGHTS"),
            },
            "closefd" => match state.descriptors.remove(&fdname) {
                Some(_) => Ok(json!({})),
                None => refuse(&format!("File descriptor named '{fdname}' not found")),
            },
            "cont" => self.cont(state),
            "stop" => {
                if state.run == "running" {
                    "paused".clone_into(&mut state.run);
                    state.emit("STOP", json!({}));
                }
                Ok(json!({}))
            }
            "query-status" => {
                let running = state.run == "running";
                Ok(json!({ "status": state.run, "running": running, "singlestep": false }))
            }
            "query-dump" => {
                let status = if state.other_dump > 0 { "active" } else { state.dump };
                let total = self.script.stream.memory_bytes();
                state.other_dump_goes_on(total);
                Ok(json!({ "status": status, "completed": 0, "total": total }))
            }
            "query-name" => Ok(match &self.script.name {
                Some(name) => json!({ "name": name }),
                None => json!({}),
            }),
            "human-monitor-command" => self.answer_people(state, arguments),
            "qom-get" => self.property(state, arguments),
            "qom-list" => Ok(match arguments["path"].as_str() {
                Some("/machine/peripheral-anon") => {
                    let device =
                        |name: &&str| json!({ "name": "device", "type": format!("child<{name}>") });
                    self.script.devices.iter().map(device).collect()
                }
                _ => json!([{ "name": "type", "type": "string" }]),
            }),
            "query-sev" if self.script.encrypted => Ok(json!({ "enabled": true })),
            _ => Ok(self.fact(name)),
        }
    }

    fn cont(&self, state: &mut State) -> Answer {
        if state.other_dump > 0 {
            state.other_dump_goes_on(self.script.stream.memory_bytes());
            return Err(("GenericError", "There is a dump in process, please wait.".to_owned()));
        }
        if state.dump == "active" {
            return Err(("GenericError", "There is a dump in process, please wait.".to_owned()));
        }
        let old = state.run == PANICKED && self.script.version < (1, 7, 0);
        if old || ["internal-error", "shutdown"].contains(&state.run.as_str()) {
            let text = "Resetting the Virtual Machine is required";
            return Err(("GenericError", text.to_owned()));
        }
        if self.script.cont == ContPlan::Stays {
            return Ok(json!({}));
        }
        state.emit("RESUME", json!({}));
        if state.panics_again > 0 {
            state.panics_again -= 1;
            state.emit("GUEST_PANICKED", json!({ "action": "pause" }));
            state.emit("STOP", json!({}));
        } else {
            "running".clone_into(&mut state.run);
        }
        Ok(json!({}))
    }

    fn property(&self, state: &State, arguments: &Value) -> Answer {
        let text = |name: &str| arguments[name].as_str().unwrap_or_default().to_owned();
        let crashed = CPUS[state.panicked_cpu];
        match (text("path").as_str(), text("property").as_str()) {
            ("/machine", "type") => Ok(json!("pc-i440fx-7.2-machine")),
            (cpu, "crash-information") if cpu == crashed => match &self.script.crash_information {
                Some(information) => Ok(information.clone()),
                None => Err(("GenericError", "No crash information".to_owned())),
            },
            (_, "crash-information") => Err(("GenericError", "No crash occurred".to_owned())),
            (_, name) => Err(("GenericError", format!("Property '{name}' not found"))),
        }
    }

    /// A QEMU of any version may have encrypted memory.
    pub(super) fn knows_encryption(&self, name: &str) -> bool {
        name == "query-sev" && self.script.encrypted
    }

    fn fact(&self, name: &str) -> Value {
        let memory = self.script.stream.memory_bytes() as u64;
        match name {
            "query-uuid" => json!({ "UUID": "c0ffee00-0000-4000-8000-000000000003" }),
            "query-cpus-fast" => json!([
                { "cpu-index": 0, "qom-path": CPUS[0], "thread-id": 11 },
                { "cpu-index": 1, "qom-path": CPUS[1], "thread-id": 12 },
            ]),
            "query-memory-size-summary" => json!({
                "base-memory": self.script.memory_bytes.unwrap_or(memory), "plugged-memory": 0,
            }),
            "query-kvm" => json!({ "enabled": true, "present": true }),
            "query-target" => json!({ "arch": "x86_64" }),
            "query-migrate" => json!({ "blocked-reasons": [
                "Live migration disabled: dump-guest-memory in progress",
            ] }),
            "query-dump-guest-memory-capability" => json!({ "formats": ["elf", "kdump-zlib"] }),
            _ => json!({}),
        }
    }
}

/// The version of QEMU that a command came with.
pub(super) fn since(command: &str) -> (u32, u32, u32) {
    match command {
        "set-action" => (6, 0, 0),
        "query-sev" => (99, 0, 0),
        "query-cpus-fast" => (2, 12, 0),
        "query-memory-size-summary" => (2, 11, 0),
        "query-target" | "query-dump" => (2, 6, 0),
        "query-dump-guest-memory-capability" => (2, 0, 0),
        _ => (0, 0, 0),
    }
}
