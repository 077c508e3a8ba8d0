//! The dump of the scripted QEMU: whole, or failing as its plan says.

use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::Shutdown;
use serde_json::{Value, json};

use super::answers::CPUS;
use super::{DumpPlan, Peer, State, TEST_TIMEOUT, When};

impl Peer {
    /// Takes the descriptor for a dump, if there can be one.
    pub(super) fn take_dump(
        &self,
        state: &mut State,
        arguments: &Value,
    ) -> Result<OwnedFd, (&'static str, String)> {
        if state.dump == "active" || state.other_dump > 0 {
            return Err(("GenericError", "There is a dump in process, please wait.".to_owned()));
        }
        if arguments["detach"] == true && self.script.version < (2, 6, 0) {
            return Err(("GenericError", "Invalid parameter 'detach'".to_owned()));
        }
        let protocol = arguments["protocol"].as_str().unwrap_or_default();
        let name = protocol.strip_prefix("fd:").unwrap_or_default();
        let pipe = state.descriptors.remove(name).ok_or_else(|| {
            ("GenericError", format!("File descriptor named '{name}' has not been found"))
        })?;
        state.dump = "active";
        Ok(pipe)
    }

    /// Dumps by the plan, and reports how it went.
    pub(super) fn dump(&self, pipe: OwnedFd) -> Result<(), (&'static str, String)> {
        let mut bytes = self.script.stream.bytes.as_slice();
        let others = self.other_notes();
        if let Some(others) = &others {
            bytes = others;
        }
        let plan = if self.lock().mended { DumpPlan::Whole } else { self.script.dump };
        let early = match plan {
            DumpPlan::CompletedEarly(rest) => bytes.len() - rest,
            _ => bytes.len(),
        };
        let sent = match plan {
            DumpPlan::Whole | DumpPlan::EventLost => write_all(&pipe, bytes),
            DumpPlan::Short(at) => write_all(&pipe, &bytes[..at]),
            DumpPlan::Long(more) => {
                write_all(&pipe, bytes).and_then(|()| write_all(&pipe, &vec![1; more]))
            }
            DumpPlan::Junk(count) => write_all(&pipe, &b"KDUMP   ".repeat(count / 8)),
            DumpPlan::Fails(at, text) => write_all(&pipe, &bytes[..at])
                .and(Err(format!("dump: failed to save memory: {text}"))),
            DumpPlan::CompletedEarly(_) => write_all(&pipe, &bytes[..early]),
            DumpPlan::Stalls(at) => write_all(&pipe, &bytes[..at]).and_then(|()| self.stall(&pipe)),
            DumpPlan::HangsForGood(at) => write_all(&pipe, &bytes[..at]).and_then(|()| {
                self.wait_until(|state| state.ended);
                broken_pipe()
            }),
            DumpPlan::ResetMeanwhile(at) => {
                let sent = write_all(&pipe, &bytes[..at]);
                self.wait_until(facts_are_asked);
                let reset = json!({ "guest": false, "reason": "host-qmp-system-reset" });
                self.lock().emit("RESET", reset);
                sent.and_then(|()| write_all(&pipe, &bytes[at..]))
            }
            DumpPlan::Killed(at) => {
                let sent = write_all(&pipe, &bytes[..at]);
                self.end();
                sent
            }
            DumpPlan::ClientLost(at)
            | DumpPlan::ClientLostLate(at)
            | DumpPlan::MonitorLost(at)
            | DumpPlan::MonitorSilent(at) => {
                let sent = write_all(&pipe, &bytes[..at]);
                if matches!(plan, DumpPlan::ClientLostLate(_)) {
                    self.wait_until(facts_are_asked);
                }
                self.lock().silent = matches!(plan, DumpPlan::MonitorSilent(_));
                if matches!(plan, DumpPlan::MonitorLost(_)) {
                    let _ = rustix::net::shutdown(&self.listener, Shutdown::Both);
                }
                {
                    let mut state = self.lock();
                    if let Some(client) = state.client.take() {
                        let _ = client.shutdown(std::net::Shutdown::Both);
                    }
                    state.meddle_when(When::Disconnected);
                }
                sent.and_then(|()| write_all(&pipe, &bytes[at..]))
            }
        };
        self.report(&sent);
        // QEMU, too, closes its end after its report.
        let _ = write_all(&pipe, &bytes[early..]);
        drop(pipe);
        sent.map_err(|text| ("GenericError", text))
    }

    fn report(&self, sent: &Result<(), String>) {
        let mut state = self.lock();
        state.dump = if sent.is_ok() { "completed" } else { "failed" };
        let total = self.script.stream.memory_bytes();
        let completed = if sent.is_ok() { total } else { 0 };
        let result = json!({ "status": state.dump, "completed": completed, "total": total });
        let mut data = json!({ "result": result });
        if let Err(text) = sent {
            data["error"] = text.clone().into();
        }
        if self.script.dump != DumpPlan::EventLost && self.script.version >= (2, 6, 0) {
            state.emit("DUMP_COMPLETED", data);
        }
        state.meddle_when(When::DumpCompletes);
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until the pipe's reader or QEMU is gone.
    fn stall(&self, pipe: &OwnedFd) -> Result<(), String> {
        let started = Instant::now();
        while started.elapsed() < TEST_TIMEOUT && !self.lock().ended {
            if rustix::io::ioctl_fionread(pipe).is_ok_and(|unread| unread == 0) {
                self.lock().stalls = true;
                self.changed.notify_all();
            }
            let mut fds = [PollFd::new(pipe, PollFlags::empty())];
            let tick = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
            if poll(&mut fds, Some(&tick)).is_ok_and(|ready| ready > 0) {
                break;
            }
        }
        broken_pipe()
    }
}

/// The dump began, and QEMU was asked what is asked while it runs.
fn facts_are_asked(state: &State) -> bool {
    let got = state.received.iter().filter(|(name, _)| name == "qom-get");
    got.count() > CPUS.len()
}

pub(super) fn broken_pipe() -> Result<(), String> {
    Err("dump: failed to save memory: Broken pipe".to_owned())
}

/// Writes to the pipe as QEMU does, a page at a time, but waits for its reader.
pub(super) fn write_all(pipe: &OwnedFd, bytes: &[u8]) -> Result<(), String> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match rustix::io::write(pipe, &rest[..rest.len().min(64 << 10)]) {
            Ok(count) => rest = &rest[count..],
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return broken_pipe(),
        }
    }
    Ok(())
}
