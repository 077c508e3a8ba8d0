//! A guest under QEMU, its monitors and its console.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use vmcorectl::monitor::qmp::Client;
use vmcorectl::monitor::{Monitor, WaitLimits};

use crate::leave_out::leave_out;
use crate::turn::Turn;

/// How long a guest in software emulation may take for anything, on a busy machine.
const TEST_TIMEOUT: Duration = Duration::from_secs(180);

/// Ends all tests with guests, unless they are asked for: they take minutes, and want guests
/// and judges that `tests/run` gets.
pub(crate) fn wanted() {
    let left_out = leave_out(
        "tests with guests are left out: tests/run gets what they need, and runs them; after it, \
        one alone: VMCORECTL_TEST_ALL=1 cargo test --test guest NAME",
    );
    if left_out {
        process::exit(0);
    }
}

/// A running guest. Its QEMU ends with it.
pub(crate) struct Machine {
    /// For sockets, whose paths must be short.
    folder: TempDir,
    /// For cores.
    space: TempDir,
    qemu: Child,
    _turn: Turn,
}

impl Machine {
    /// Boots a guest that panics by itself.
    pub(crate) fn boot(arguments: &[&str]) -> Self {
        wanted();
        let turn = Turn::take();
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = TempDir::with_prefix("vmcorectl").expect("a directory");
        let space = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let qemu = Command::new(project.join("samples/guest/boot"))
            .arg(folder.path())
            .arg("--exec")
            .args(arguments)
            .spawn()
            .expect("samples/guest/boot starts");
        let mut machine = Self { folder, space, qemu, _turn: turn };
        let started = Instant::now();
        // Its file is there a moment before QEMU listens.
        while UnixStream::connect(machine.path("qmp2.sock")).is_err() {
            if let Some(status) = machine.qemu.try_wait().unwrap() {
                panic!("no guest ({status}); tests/run prepares one\n{}", machine.log());
            }
            assert!(started.elapsed() < TEST_TIMEOUT, "QEMU gives no monitor");
            sleep(Duration::from_millis(50));
        }
        machine
    }

    /// Boots a guest, and waits until its panic holds it.
    pub(crate) fn panicked(arguments: &[&str]) -> Self {
        let machine = Self::boot(arguments);
        machine.await_state("guest-panicked");
        machine
    }

    /// The monitor for the program under test.
    pub(crate) fn monitor(&self) -> String {
        self.path("qmp.sock").into_os_string().into_string().unwrap()
    }

    /// A path for something large.
    pub(crate) fn space(&self, name: &str) -> PathBuf {
        self.space.path().join(name)
    }

    /// A store for this guest's captures.
    pub(crate) fn store(&self) -> String {
        self.space("store").into_os_string().into_string().unwrap()
    }

    /// QEMU's run state, asked through the second monitor.
    pub(crate) fn state(&self) -> String {
        let limits = limits();
        self.second_monitor().run_state(&limits).expect("a run state").status
    }

    /// Waits for a run state.
    #[track_caller]
    pub(crate) fn await_state(&self, wanted: &str) {
        let started = Instant::now();
        loop {
            let state = self.state();
            if state == wanted {
                return;
            }
            assert!(started.elapsed() < TEST_TIMEOUT, "{state}, not {wanted}\n{}", self.log());
            sleep(Duration::from_millis(100));
        }
    }

    /// Runs a command through the second monitor.
    pub(crate) fn execute(&self, command: &str) {
        self.ask(command, json!({}));
    }

    /// What QEMU answers to a command through the second monitor.
    pub(crate) fn ask(&self, command: &str, arguments: Value) -> Value {
        self.second_monitor().execute(command, arguments, &limits()).expect(command)
    }

    /// Asks through the second monitor until the answer is as wanted.
    #[track_caller]
    pub(crate) fn await_answer(&self, command: &str, wanted: impl Fn(&Value) -> bool) {
        let started = Instant::now();
        loop {
            let answer = self.ask(command, json!({}));
            if wanted(&answer) {
                return;
            }
            assert!(started.elapsed() < TEST_TIMEOUT, "{command}: {answer}\n{}", self.log());
            sleep(Duration::from_millis(100));
        }
    }

    /// Has QEMU itself write a core of the held guest into a file.
    pub(crate) fn dump_by_qemu(&self) -> PathBuf {
        let path = self.space("qemu.elf");
        let arguments = json!({ "paging": false, "protocol": format!("file:{}", path.display()) });
        self.second_monitor()
            .execute("dump-guest-memory", arguments, &limits())
            .expect("QEMU's own dump");
        path
    }

    /// What QEMU's monitor for people answers, with a vCPU as its default.
    pub(crate) fn human_monitor(&self, line: &str, cpu: u32) -> String {
        let arguments = json!({ "command-line": line, "cpu-index": cpu });
        let answer = self
            .second_monitor()
            .execute("human-monitor-command", arguments, &limits())
            .expect("an answer of the monitor");
        answer.as_str().expect("a text").to_owned()
    }

    /// Has QEMU itself write a kdump-compressed file of the held guest.
    pub(crate) fn kdump_by_qemu(&self) -> PathBuf {
        let path = self.space("qemu.kdump");
        let protocol = format!("file:{}", path.display());
        let arguments = json!({ "paging": false, "protocol": protocol, "format": "kdump-zlib" });
        self.second_monitor()
            .execute("dump-guest-memory", arguments, &limits())
            .expect("QEMU's own kdump-compressed file");
        path
    }

    /// Waits until the console has shown a text this often.
    #[track_caller]
    pub(crate) fn await_console(&self, text: &str, times: usize) {
        let started = Instant::now();
        while self.console().matches(text).count() < times {
            assert!(started.elapsed() < TEST_TIMEOUT, "no {text:?}\n{}", self.log());
            sleep(Duration::from_millis(100));
        }
    }

    /// What the guest printed.
    pub(crate) fn console(&self) -> String {
        let bytes = fs::read(self.path("serial.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until QEMU has ended by itself.
    #[track_caller]
    pub(crate) fn await_end(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.qemu.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < TEST_TIMEOUT, "QEMU runs on");
            sleep(Duration::from_millis(50));
        }
    }

    /// Kills QEMU.
    pub(crate) fn kill(&mut self) {
        self.qemu.kill().expect("QEMU is killed");
        self.qemu.wait().expect("QEMU has ended");
    }

    fn second_monitor(&self) -> Client {
        Client::connect(&self.path("qmp2.sock"), &limits()).expect("the second monitor")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self) -> String {
        let said = fs::read_to_string(self.path("qemu.log")).unwrap_or_default();
        let console = self.console();
        let start = console.len().saturating_sub(2000);
        format!("QEMU said: {said}\nconsole: {}", console.get(start..).unwrap_or(&console))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

fn limits() -> WaitLimits<'static> {
    WaitLimits { timeout: TEST_TIMEOUT, until: None, interrupt: None }
}
