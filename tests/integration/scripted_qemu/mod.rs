//! A QEMU that follows a script: a monitor that answers like QEMU 7.2, and fails
//! where and how the script says.
//!
//! Keeps the run state that its guest would be in and every command that came,
//! so that a test can tell what became of the guest. Like QEMU's, its monitor
//! serves one client at a time, and a detached dump goes on without any.

mod answers;
mod direct;
mod dump;
mod other_client;
mod ranges;
mod serve;

use std::collections::BTreeMap;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::net::Shutdown;
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) use crate::script::{ContPlan, DumpPlan, Meddling, Script, When};

/// How long a test waits for something that must come. Only a failure takes it.
pub(crate) const TEST_TIMEOUT: Duration = Duration::from_secs(120);
/// The run state after the guest's QEMU has ended.
pub(crate) const ENDED: &str = "QEMU has ended";
/// The run state of a guest that its panic stopped.
pub(crate) const PANICKED: &str = "guest-panicked";

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
            const ASKS: [&str; 6] = [
                "closefd",
                "getfd",
                "human-monitor-command",
                "qmp_capabilities",
                "qom-get",
                "qom-list",
            ];
            name.starts_with("query-") || ASKS.contains(&name)
        };
        let state = self.peer.lock();
        let names = state.received.iter().map(|(name, _)| name.clone());
        names.filter(|name| !asks(name)).collect()
    }

    /// The names of all commands, in order.
    pub(crate) fn commands(&self) -> Vec<String> {
        self.peer.lock().received.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The arguments of each command of a name.
    pub(crate) fn received(&self, name: &str) -> Vec<Value> {
        let state = self.peer.lock();
        let of_name = state.received.iter().filter(|(found, _)| found == name);
        of_name.map(|(_, arguments)| arguments.clone()).collect()
    }

    /// Whether QEMU keeps a descriptor that it was passed.
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
        assert!(self.peer.wait_until(|state| state.client.is_some()), "no client came");
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
}
