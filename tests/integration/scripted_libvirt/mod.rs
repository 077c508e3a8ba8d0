//! A libvirtd that follows a script: answers as the real one does, and fails where and how the
//! script says.
//!
//! Serves any number of connections, each in threads of its own, as the real one does. Keeps the
//! domain's state and every call that came.

mod dump;
mod serve;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rustix::net::Shutdown;
use tempfile::TempDir;
use vmcore_formats::libvirt::xdr::Writer;

use crate::core_stream::CoreStream;
use crate::scripted_qemu::TEST_TIMEOUT;

/// Numbers of calls, as libvirt has them.
pub(crate) mod procedure {
    pub(crate) const OPEN: u32 = 1;
    pub(crate) const DESTROY: u32 = 12;
    pub(crate) const XML: u32 = 14;
    pub(crate) const BY_NAME: u32 = 23;
    pub(crate) const BY_UUID: u32 = 24;
    pub(crate) const RESUME: u32 = 28;
    pub(crate) const SUSPEND: u32 = 34;
    pub(crate) const AUTH_LIST: u32 = 66;
    pub(crate) const SASL_INIT: u32 = 67;
    pub(crate) const SASL_START: u32 = 68;
    pub(crate) const AUTH_POLKIT: u32 = 70;
    pub(crate) const PEEK: u32 = 104;
    pub(crate) const LIB_VERSION: u32 = 157;
    pub(crate) const JOB_INFO: u32 = 163;
    pub(crate) const STATE: u32 = 212;
    pub(crate) const RESET: u32 = 245;
    pub(crate) const LIST: u32 = 273;
    pub(crate) const REGISTER: u32 = 316;
    pub(crate) const DUMP: u32 = 334;
    pub(crate) const LIFECYCLE_ACTION: u32 = 390;
}
use procedure::{AUTH_LIST, OPEN};

/// `crashed (panicked)`.
pub(crate) const PANICKED: (i32, i32) = (6, 1);
/// `running (unpaused)`.
pub(crate) const RUNNING: (i32, i32) = (1, 5);
/// `paused (crashed)`: a reset after a panic.
pub(crate) const RESET: (i32, i32) = (3, 10);
/// `shut off (destroyed)`.
pub(crate) const SHUT_OFF: (i32, i32) = (5, 2);
/// The domain's UUID, which is also that of the scripted QEMU's guest.
pub(crate) const UUID: [u8; 16] = [0xc0, 0xff, 0xee, 0, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, 3];

/// What libvirt is, and what goes wrong with it.
#[derive(Clone, Debug)]
pub(crate) struct LibvirtScript {
    /// libvirt's version, as a number.
    pub(crate) version: u64,
    /// The domain's name.
    pub(crate) name: &'static str,
    /// Its state and reason at the start.
    pub(crate) state: (i32, i32),
    /// Its XML's `on_crash`.
    pub(crate) on_crash: &'static str,
    /// Calls that are answered with an error: its number and text.
    pub(crate) fail: BTreeMap<u32, (i32, &'static str)>,
    /// Calls that are never answered.
    pub(crate) silent: BTreeSet<u32>,
    /// Calls that are answered with a message that claims to be this long.
    pub(crate) claims: BTreeMap<u32, u32>,
    /// Calls that are answered with this number of bytes, which are not what was asked for.
    pub(crate) junk: BTreeMap<u32, usize>,
    /// Calls whose replies come after the next call's.
    pub(crate) late: BTreeSet<u32>,
    /// Whether each byte is sent alone.
    pub(crate) in_pieces: bool,
    /// How many events precede each reply.
    pub(crate) events: u32,
    /// The authentications that it wants.
    pub(crate) authentications: &'static [i32],
    /// The mechanisms of SASL that it offers. PLAIN takes the user `web` with `p=1`.
    pub(crate) sasl: &'static str,
    /// What the dump sends.
    pub(crate) stream: Arc<CoreStream>,
    /// How the dump goes.
    pub(crate) dump: LibvirtDump,
    /// Another client resumes the guest before this call is answered for the first time.
    pub(crate) resumed_at: Option<u32>,
    /// Whether paths of other processes' descriptors are refused.
    pub(crate) no_proc: bool,
}

/// How a dump goes. A part is its length in bytes, from the stream's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LibvirtDump {
    /// As it should.
    Whole,
    /// Sends this part, and says that it was well.
    Short(usize),
    /// Sends this part, then fails.
    Fails(usize),
    /// Sends this part, and no more until its pipe is closed.
    Stalls(usize),
    /// The daemon closes all connections after this part, and the dump ends.
    DaemonDies(usize),
    /// The same, and it is started again at once; another dump is whole. The domain is found in
    /// this state then.
    DaemonRestarts(usize, (i32, i32)),
    /// Sends all, and never replies.
    NoReply,
    /// Another client resets the guest when the dump has ended.
    ResetAfter,
}

impl Default for LibvirtScript {
    /// A guest of 6 MiB that panicked, in a libvirt where nothing goes wrong.
    fn default() -> Self {
        Self {
            version: 9_000_000,
            name: "web-3",
            state: PANICKED,
            on_crash: "preserve",
            fail: BTreeMap::new(),
            silent: BTreeSet::new(),
            claims: BTreeMap::new(),
            junk: BTreeMap::new(),
            late: BTreeSet::new(),
            in_pieces: false,
            events: 0,
            authentications: &[],
            sasl: "",
            stream: Arc::new(CoreStream::of_guest(6)),
            dump: LibvirtDump::Whole,
            resumed_at: None,
            no_proc: false,
        }
    }
}

/// The running daemon. It ends when dropped.
#[derive(Debug)]
pub(crate) struct ScriptedLibvirt {
    peer: Arc<Peer>,
    folder: TempDir,
}

#[derive(Debug)]
struct Peer {
    script: LibvirtScript,
    listener: UnixListener,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    domain: (i32, i32),
    received: Vec<u32>,
    /// Those of them that were answered.
    answered: Vec<u32>,
    paths: Vec<String>,
    /// Connections, and which events each wants.
    connections: Vec<(UnixStream, BTreeSet<u32>)>,
    dumping: bool,
    stalls: bool,
    /// Whether it hangs: calls are answered once it does not any more.
    hangs: bool,
    ended: bool,
}

impl ScriptedLibvirt {
    /// Starts a daemon.
    pub(crate) fn start(script: LibvirtScript) -> Self {
        let folder = tempfile::Builder::new().prefix("lv").tempdir_in("/tmp").expect("a folder");
        let listener = UnixListener::bind(folder.path().join("s")).expect("a listener");
        let state = State {
            domain: script.state,
            received: Vec::new(),
            answered: Vec::new(),
            paths: Vec::new(),
            connections: Vec::new(),
            dumping: false,
            stalls: false,
            hangs: false,
            ended: false,
        };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        let peer = Arc::new(Peer { script, listener, state, changed });
        let serving = Arc::clone(&peer);
        std::thread::spawn(move || serving.serve());
        Self { peer, folder }
    }

    /// What is given to `--connect`.
    pub(crate) fn uri(&self) -> String {
        format!("qemu:///system?socket={}", self.folder.path().join("s").display())
    }

    /// The state and reason that the domain is in.
    pub(crate) fn state(&self) -> (i32, i32) {
        self.peer.lock().domain
    }

    /// How often a call came.
    pub(crate) fn calls(&self, procedure: u32) -> usize {
        self.peer.lock().received.iter().filter(|found| **found == procedure).count()
    }

    /// The calls that change the domain, in order.
    pub(crate) fn actions(&self) -> Vec<u32> {
        use procedure::{DESTROY, DUMP, LIFECYCLE_ACTION, RESUME, SUSPEND};
        let changes = [DESTROY, DUMP, LIFECYCLE_ACTION, RESUME, SUSPEND, procedure::RESET];
        let state = self.peer.lock();
        state.received.iter().copied().filter(|found| changes.contains(found)).collect()
    }

    /// The paths that dumps were to go to.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.peer.lock().paths.clone()
    }

    /// Waits until a call came so often.
    #[track_caller]
    pub(crate) fn await_calls(&self, procedure: u32, times: usize) {
        let came = |state: &State| {
            state.received.iter().filter(|found| **found == procedure).count() >= times
        };
        assert!(self.peer.wait_until(came), "call {procedure} never came");
    }

    /// Waits until a call was answered so often: what changes then comes after the answer.
    #[track_caller]
    pub(crate) fn await_answers(&self, procedure: u32, times: usize) {
        let answered = |state: &State| {
            state.answered.iter().filter(|found| **found == procedure).count() >= times
        };
        assert!(self.peer.wait_until(answered), "call {procedure} was never answered");
    }

    /// Waits until the dump stalls.
    #[track_caller]
    pub(crate) fn await_stall(&self) {
        assert!(self.peer.wait_until(|state| state.stalls), "the dump never stalled");
    }

    /// Waits until no dump is under way.
    #[track_caller]
    pub(crate) fn await_no_dump(&self) {
        assert!(self.peer.wait_until(|state| !state.dumping), "the dump never ended");
    }

    /// The guest panics: its vCPUs are stopped, then the panic is reported.
    pub(crate) fn panic_guest(&self) {
        let mut state = self.peer.lock();
        state.domain = PANICKED;
        state.emit(self.peer.script.name, 3, 0);
        state.emit(self.peer.script.name, 8, 0);
    }

    /// Another client changes the domain, and an event says so.
    pub(crate) fn change(&self, domain: (i32, i32), event: i32) {
        let mut state = self.peer.lock();
        state.domain = domain;
        state.emit(self.peer.script.name, event, 0);
    }

    /// The daemon hangs, or goes on.
    pub(crate) fn hang(&self, hangs: bool) {
        self.peer.lock().hangs = hangs;
        self.peer.changed.notify_all();
    }

    /// The daemon is ended and started again, and finds the domain in this state.
    pub(crate) fn restart(&self, domain: (i32, i32)) {
        let mut state = self.peer.lock();
        state.domain = domain;
        state.close_connections();
    }

    /// The daemon ends.
    pub(crate) fn kill(&self) {
        self.peer.end();
    }
}

impl Drop for ScriptedLibvirt {
    fn drop(&mut self) {
        self.peer.end();
    }
}

impl State {
    fn close_connections(&mut self) {
        for (connection, _) in &mut self.connections {
            let _ = connection.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Sends a lifecycle event to all connections that want it.
    fn emit(&mut self, name: &str, event: i32, detail: i32) {
        let payload = serve::domain(Writer::default().i32(0), name).i32(event).i32(detail);
        self.send_event(0, 318, payload);
    }

    /// Sends that the domain was reset.
    fn emit_reset(&mut self, name: &str) {
        self.send_event(1, 319, serve::domain(Writer::default().i32(1), name));
    }

    fn send_event(&mut self, wanted: u32, procedure: u32, payload: Writer) {
        let message = serve::event(procedure, &payload.into_bytes());
        for (connection, events) in &self.connections {
            if events.contains(&wanted) {
                serve::send(connection, &message);
            }
        }
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

    fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        state.close_connections();
        let _ = rustix::net::shutdown(&self.listener, Shutdown::Both);
        drop(state);
        self.changed.notify_all();
    }
}

impl LibvirtScript {
    /// One in which a call is answered with an error.
    pub(crate) fn failing(procedure: u32, code: i32, text: &'static str) -> Self {
        Self { fail: BTreeMap::from([(procedure, (code, text))]), ..Self::default() }
    }
}

/// The calls that each connection begins with.
pub(crate) const CONNECTING: [u32; 3] = [AUTH_LIST, OPEN, procedure::LIB_VERSION];
