//! A QEMU that follows a script: a monitor that answers like QEMU 7.2, and fails
//! where and how the script says.
//!
//! Keeps the run state that its guest would be in and every command that came,
//! so that a test can tell what became of the guest. Like QEMU's, its monitor
//! serves one client at a time, and a detached dump goes on without any.

use std::collections::BTreeMap;
use std::io::{IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, Shutdown, recvmsg};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) use crate::script::{ContPlan, DumpPlan, Meddling, Script, When};

/// How long a test waits for something that must come. Only a failure takes it.
pub(crate) const TEST_TIMEOUT: Duration = Duration::from_secs(120);
/// The run state after the guest's QEMU has ended.
pub(crate) const ENDED: &str = "QEMU has ended";
/// The run state of a guest that its panic stopped.
pub(crate) const PANICKED: &str = "guest-panicked";

/// The paths of its guest's vCPUs.
const CPUS: [&str; 2] = ["/machine/unattached/device[0]", "/machine/unattached/device[2]"];

/// The running peer. It ends when dropped.
#[derive(Debug)]
pub(crate) struct ScriptedQemu {
    peer: Arc<Peer>,
    folder: TempDir,
}

#[derive(Debug)]
struct Peer {
    script: Script,
    listener: UnixListener,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    run: String,
    received: Vec<(String, Value)>,
    client: Option<UnixStream>,
    descriptors: BTreeMap<String, OwnedFd>,
    dump: &'static str,
    other_dump: u32,
    meddling: Vec<(When, Meddling)>,
    /// The vCPU that reported the panic.
    panicked_cpu: usize,
    panics_again: u32,
    panics_later: bool,
    answers_all: bool,
    stalls: bool,
    mended: bool,
    silent: bool,
    ended: bool,
}

type Answer = Result<Value, (&'static str, String)>;

impl ScriptedQemu {
    /// Starts a QEMU.
    pub(crate) fn start(script: Script) -> Self {
        // The path of a socket has a short limit, and the default folder may be deep.
        let folder = tempfile::Builder::new().prefix("qmp").tempdir_in("/tmp").expect("a folder");
        let listener = UnixListener::bind(folder.path().join("m")).expect("a listener");
        let state = State {
            run: script.state.to_owned(),
            received: Vec::new(),
            client: None,
            descriptors: BTreeMap::new(),
            dump: "none",
            other_dump: script.other_dump,
            meddling: script.meddling.clone(),
            panicked_cpu: 0,
            panics_again: match script.cont {
                ContPlan::PanicsAgain(count) => count,
                _ => 0,
            },
            panics_later: script.cont == ContPlan::PanicsLater,
            answers_all: false,
            stalls: false,
            mended: false,
            silent: false,
            ended: false,
        };
        let state = Mutex::new(state);
        let peer = Arc::new(Peer { script, listener, state, changed: Condvar::new() });
        let serving = Arc::clone(&peer);
        std::thread::spawn(move || serving.serve());
        Self { peer, folder }
    }

    /// The path of its monitor.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("m")
    }

    /// What its guest is doing.
    pub(crate) fn run_state(&self) -> String {
        let state = self.peer.lock();
        if state.ended { ENDED.to_owned() } else { state.run.clone() }
    }

    /// The commands that did something to the guest or its QEMU, in order.
    pub(crate) fn actions(&self) -> Vec<String> {
        let asks = |name: &str| {
            name.starts_with("query-")
                || ["qmp_capabilities", "qom-get", "getfd", "closefd"].contains(&name)
        };
        let state = self.peer.lock();
        let names = state.received.iter().map(|(name, _)| name.clone());
        names.filter(|name| !asks(name)).collect()
    }

    /// The arguments of each command of a name.
    pub(crate) fn received(&self, name: &str) -> Vec<Value> {
        let state = self.peer.lock();
        let of_name = state.received.iter().filter(|(found, _)| found == name);
        of_name.map(|(_, arguments)| arguments.clone()).collect()
    }

    /// Whether QEMU keeps a descriptor that nobody closed.
    pub(crate) fn keeps_descriptors(&self) -> bool {
        !self.peer.lock().descriptors.is_empty()
    }

    /// Waits until a command of a name came.
    #[track_caller]
    pub(crate) fn await_command(&self, name: &str) {
        self.await_commands(name, 1);
    }

    /// Waits until a command came so often.
    #[track_caller]
    pub(crate) fn await_commands(&self, name: &str, times: usize) {
        let came = |state: &State| {
            state.received.iter().filter(|(found, _)| found == name).count() >= times
        };
        assert!(self.peer.wait_until(came), "{name} never came");
    }

    /// Waits until the dump is under way, or is what the script makes of it.
    #[track_caller]
    pub(crate) fn await_dump(&self, status: &str) {
        assert!(self.peer.wait_until(|state| state.dump == status), "no dump is {status}");
    }

    /// Waits until the dump stalls, and all that it sent was read.
    #[track_caller]
    pub(crate) fn await_stall(&self) {
        assert!(self.peer.wait_until(|state| state.stalls), "the dump never stalled");
    }

    /// Waits until the guest is in a run state.
    #[track_caller]
    pub(crate) fn await_run_state(&self, run: &str) {
        assert!(self.peer.wait_until(|state| state.run == run), "the guest is not {run}");
    }

    /// Waits until a client is there.
    #[track_caller]
    pub(crate) fn await_client(&self) {
        assert!(self.peer.wait_until(|state| state.client.is_some()), "nobody came");
    }

    /// Waits until no client is there.
    #[track_caller]
    pub(crate) fn await_no_client(&self) {
        assert!(self.peer.wait_until(|state| state.client.is_none()), "the client stayed");
    }

    /// Answers whatever the script delayed, and delays nothing any more.
    pub(crate) fn answer_all(&self) {
        self.peer.lock().answers_all = true;
        self.peer.changed.notify_all();
    }

    /// From now on, clients are greeted and dumps go as they should.
    pub(crate) fn mend(&self) {
        self.peer.lock().mended = true;
    }

    /// The guest panics: these events are sent, then it stops in `state`.
    pub(crate) fn panic_guest(&self, events: &[(&str, Value)], stops_in: &str) {
        let mut state = self.peer.lock();
        for (name, data) in events {
            state.emit(name, data.clone());
        }
        stops_in.clone_into(&mut state.run);
        if stops_in != "running" {
            state.emit("STOP", json!({}));
        }
    }

    /// Sends an event that changes nothing.
    pub(crate) fn emit(&self, name: &str, data: Value) {
        self.peer.lock().emit(name, data);
    }

    /// Kills QEMU.
    pub(crate) fn kill(&self) {
        self.peer.end();
    }
}

impl Drop for ScriptedQemu {
    fn drop(&mut self) {
        self.peer.end();
    }
}

impl State {
    fn send(&mut self, message: &Value) {
        if let Some(client) = &mut self.client {
            // Whoever went away misses it.
            let _ = client.write_all(format!("{message}\r\n").as_bytes());
        }
    }

    /// Another client's dump is a step further, and maybe at its end.
    fn other_dump_goes_on(&mut self, total: usize) {
        if self.other_dump == 1 {
            let result = json!({ "status": "completed", "completed": 0, "total": total });
            self.emit("DUMP_COMPLETED", json!({ "result": result }));
            self.meddle_when(When::OtherDumpCompletes);
        }
        self.other_dump = self.other_dump.saturating_sub(1);
    }

    /// Another client acts, if its time has come.
    fn meddle_when(&mut self, now: When) {
        while let Some(at) = self.meddling.iter().position(|(when, _)| *when == now) {
            let (_, meddling) = self.meddling.remove(at);
            self.meddle(meddling);
        }
    }

    fn meddle(&mut self, meddling: Meddling) {
        let reset = json!({ "guest": false, "reason": "host-qmp-system-reset" });
        let panicked = json!({ "action": "pause" });
        let shutdown = json!({ "guest": false, "reason": "host-signal" });
        let nothing = json!({});
        let run = self.run.clone();
        let (events, run) = match meddling {
            Meddling::Resets => (vec![("RESET", reset)], "prelaunch"),
            Meddling::Restarts => (vec![("RESET", reset), ("RESUME", nothing)], "running"),
            Meddling::Resumes => (vec![("RESUME", nothing)], "running"),
            Meddling::PanicsAgain => {
                let resumed = ("RESUME", nothing.clone());
                (vec![resumed, ("GUEST_PANICKED", panicked), ("STOP", nothing)], PANICKED)
            }
            Meddling::ResumesAndPauses => {
                (vec![("RESUME", nothing.clone()), ("STOP", nothing)], "paused")
            }
            Meddling::ShutsDown => (vec![("SHUTDOWN", shutdown)], "shutdown"),
            Meddling::Dumps(times) => {
                self.other_dump = times;
                (Vec::new(), run.as_str())
            }
            Meddling::PowersDown => (vec![("POWERDOWN", nothing)], run.as_str()),
            Meddling::FailsAnEarlierDump => {
                let result = json!({ "status": "failed", "completed": 4096, "total": 4096 });
                let error = "dump: failed to save memory: Broken pipe";
                let failed = json!({ "result": result, "error": error });
                (vec![("DUMP_COMPLETED", failed)], run.as_str())
            }
        };
        self.panicked_cpu = usize::from(meddling == Meddling::PanicsAgain);
        run.clone_into(&mut self.run);
        for (name, data) in events {
            self.emit(name, data);
        }
    }

    fn emit(&mut self, name: &str, data: Value) {
        let mut event = json!({
            "timestamp": { "seconds": 1_790_000_000, "microseconds": 250_000 }, "event": name,
        });
        if data != json!({}) {
            event["data"] = data;
        }
        self.send(&event);
    }
}

impl Peer {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_until(&self, wanted: impl Fn(&State) -> bool) -> bool {
        let (state, _) = self
            .changed
            .wait_timeout_while(self.lock(), TEST_TIMEOUT, |state| !wanted(state))
            .unwrap_or_else(PoisonError::into_inner);
        wanted(&state)
    }

    /// Nothing of QEMU is left: no listener, no client, no descriptor.
    fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        state.descriptors.clear();
        if let Some(client) = state.client.take() {
            let _ = client.shutdown(std::net::Shutdown::Both);
        }
        let _ = rustix::net::shutdown(&self.listener, Shutdown::Both);
        drop(state);
        self.changed.notify_all();
    }

    fn serve(self: Arc<Self>) {
        while let Ok((client, _)) = self.listener.accept() {
            let Ok(writer) = client.try_clone() else { return };
            {
                let mut state = self.lock();
                if state.ended {
                    return;
                }
                state.client = Some(writer);
                if (self.script.greets && !state.silent) || state.mended {
                    let (major, minor, micro) = self.script.version;
                    let qemu = json!({ "micro": micro, "minor": minor, "major": major });
                    let version = json!({ "qemu": qemu, "package": "scripted" });
                    state.send(&json!({ "QMP": { "version": version, "capabilities": ["oob"] } }));
                }
            }
            self.changed.notify_all();
            self.talk(&client);
            self.lock().client = None;
            self.changed.notify_all();
        }
    }

    /// Answers a client until it goes.
    fn talk(self: &Arc<Self>, client: &UnixStream) {
        let mut pending = Vec::new();
        let mut descriptor = None;
        loop {
            let mut bytes = [0; 4096];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            // Another test's program must not inherit the pipe.
            let flags = RecvFlags::CMSG_CLOEXEC;
            let mut into = [IoSliceMut::new(&mut bytes)];
            let count = match recvmsg(client, &mut into, &mut control, flags) {
                Ok(message) if message.bytes > 0 => message.bytes,
                _ => return,
            };
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(mut descriptors) = message {
                    descriptor = descriptors.next();
                }
            }
            pending.extend(&bytes[..count]);
            while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).collect();
                let command: Value = serde_json::from_slice(&line).expect("a command in JSON");
                self.run(&command, &mut descriptor);
            }
        }
    }

    /// Runs a command. Its effects and its reply are one step for who looks.
    fn run(self: &Arc<Self>, command: &Value, descriptor: &mut Option<OwnedFd>) {
        let name = command["execute"].as_str().expect("a command's name");
        let arguments = command.get("arguments").cloned().unwrap_or_else(|| json!({}));
        let mut state = self.lock();
        state.received.push((name.to_owned(), arguments.clone()));
        let times = state.received.iter().filter(|(received, _)| received == name).count();
        let before = |when: &When| matches!(when, When::Before(wanted, at) if (*wanted, *at) == (name, times));
        if let Some(when) = state.meddling.iter().map(|(when, _)| *when).find(before) {
            state.meddle_when(when);
        }
        self.changed.notify_all();
        let part = name == "dump-guest-memory" && arguments["begin"].is_u64();
        if self.script.delay.contains(name)
            || (part && self.script.delay.contains("part of dump-guest-memory"))
        {
            let waits = |state: &mut State| !state.answers_all && !state.ended;
            state = self.changed.wait_while(state, waits).unwrap_or_else(PoisonError::into_inner);
        }
        let mut dump = None;
        let answer = match self.script.refuse.get(name) {
            Some((class, text)) => Err((*class, (*text).to_owned())),
            None if self.script.version < since(name) => {
                Err(("CommandNotFound", format!("The command {name} has not been found")))
            }
            None if name == "dump-guest-memory" => {
                self.take_dump(&mut state, &arguments).map(|fd| {
                    dump = Some(fd);
                    json!({})
                })
            }
            None => self.answer(&mut state, name, &arguments, descriptor),
        };
        let reply = |answer: Answer| match answer {
            Ok(value) => json!({ "return": value, "id": command["id"] }),
            Err((class, text)) => {
                json!({ "error": { "class": class, "desc": text }, "id": command["id"] })
            }
        };
        match dump {
            Some(pipe) if arguments["detach"] == true => {
                state.send(&reply(answer));
                let peer = Arc::clone(self);
                std::thread::spawn(move || peer.dump(pipe));
            }
            Some(pipe) => {
                drop(state);
                let outcome = self.dump(pipe);
                self.lock().send(&reply(outcome.map(|()| json!({}))));
            }
            None => {
                state.send(&reply(answer));
                if name == "cont" && std::mem::take(&mut state.panics_later) {
                    let peer = Arc::clone(self);
                    std::thread::spawn(move || peer.panic_later());
                }
                self.follow_up(state, name);
                self.changed.notify_all();
            }
        }
    }

    /// The second of two panic devices, heard once the guest has run a little.
    fn panic_later(&self) {
        std::thread::sleep(Duration::from_millis(30));
        let mut state = self.lock();
        state.emit("GUEST_PANICKED", json!({ "action": "pause" }));
        PANICKED.clone_into(&mut state.run);
        state.emit("STOP", json!({}));
        drop(state);
        self.changed.notify_all();
    }

    /// What QEMU does after it replied.
    fn follow_up(&self, mut state: MutexGuard<'_, State>, name: &str) {
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

    fn answer(
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
            "qom-get" => self.property(state, arguments),
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

    /// Takes the descriptor for a dump, if there can be one.
    fn take_dump(
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

    /// Dumps by the plan, and tells how it went.
    fn dump(&self, pipe: OwnedFd) -> Result<(), (&'static str, String)> {
        let bytes = &self.script.stream.bytes;
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
                    let asked = |state: &State| {
                        let got = state.received.iter().filter(|(name, _)| name == "qom-get");
                        got.count() > CPUS.len()
                    };
                    self.wait_until(asked);
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
        self.tell(&sent);
        // QEMU, too, closes its end after it told.
        let _ = write_all(&pipe, &bytes[early..]);
        drop(pipe);
        sent.map_err(|text| ("GenericError", text))
    }

    fn tell(&self, sent: &Result<(), String>) {
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

fn broken_pipe() -> Result<(), String> {
    Err("dump: failed to save memory: Broken pipe".to_owned())
}

/// Writes to the pipe as QEMU does, a page at a time, but for its patience.
fn write_all(pipe: &OwnedFd, bytes: &[u8]) -> Result<(), String> {
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

/// The version of QEMU that a command came with.
fn since(command: &str) -> (u32, u32, u32) {
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
