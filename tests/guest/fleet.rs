//! Ten guests that panic again and again, and one watcher: as many panics are counted as there
//! were. In the full run alone: ten guests take minutes.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use vmcorectl::metadata::CaptureResult;
use vmcorectl::monitor::qmp::Client;
use vmcorectl::monitor::{Monitor, WaitLimits};

use crate::machine::wanted;
use crate::tool::{finish, listing, metadata_of, start};
use crate::turn::Turn;

const GUESTS: usize = 10;
const PANICS: usize = 30;
/// How long all of it may take on a busy machine.
const TEST_TIMEOUT: Duration = Duration::from_secs(3600);

struct Guest {
    folder: PathBuf,
    qemu: Child,
}

impl Guest {
    fn boot(folder: PathBuf, number: usize) -> Self {
        let boot = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/guest/boot");
        let qemu = Command::new(boot)
            .arg(&folder)
            .args(["--exec", "--memory", "160M", "--cpus", "1"])
            // Or a kernel whose timer is late on a busy host panics before its panic device is there.
            .args(["--append", "no_timer_check", "--name", &format!("guest-{number}")])
            .spawn()
            .expect("samples/guest/boot starts");
        Self { folder, qemu }
    }

    /// How often its kernel has panicked with its panic device at work, as its console shows.
    fn panics(&self) -> usize {
        let console = fs::read(self.folder.join("serial.log")).unwrap_or_default();
        let text = "] Kernel panic - not syncing: sysrq triggered crash";
        String::from_utf8_lossy(&console).matches(text).count()
    }

    fn is_panicked(&self) -> bool {
        let limits = WaitLimits { timeout: Duration::from_secs(60), until: None, interrupt: None };
        let mut client = Client::connect(&self.folder.join("qmp2.sock"), &limits).expect("QEMU");
        client.run_state(&limits).expect("a run state").is_panicked()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

#[track_caller]
fn await_that(is_so: impl Fn() -> bool, what: &str) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < TEST_TIMEOUT, "not {what}");
        sleep(Duration::from_millis(500));
    }
}

#[test]
fn as_many_panics_of_ten_guests_are_counted_as_there_were() {
    wanted();
    if env::var_os("VMCORECTL_TEST_FULL").is_none() {
        return;
    }
    let _turn = Turn::take();
    let sockets = TempDir::with_prefix("fleet").unwrap();
    let space = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let store = space.path().join("store");
    let config = space.path().join("vmcorectl.toml");
    // The consoles count: a crash loop's guard would keep cores out.
    let text = format!(
        "store = {store:?}\nspool = {:?}\nlibvirt = \"off\"\n\
         [[sockets]]\npaths = [\"{}/*/qmp.sock\"]\n\
         [[policy]]\nguests = [\"*\"]\nthen = \"reset\"\n\
         [guards]\nkeep-free = \"0\"\ncrash-loop = {{ panics = 1000, within = \"1h\" }}\n",
        space.path().join("spool"),
        sockets.path().display()
    );
    fs::write(&config, text).unwrap();
    let watcher = start(["watch", "--config", config.to_str().unwrap(), "--json"]);
    let guests: Vec<_> = (0..GUESTS)
        .map(|number| Guest::boot(sockets.path().join(number.to_string()), number))
        .collect();
    let panics = || guests.iter().map(Guest::panics).sum::<usize>();
    await_that(|| panics() >= PANICS, "all panics");
    kill_process(Pid::from_child(&watcher), Signal::TERM).unwrap();
    let ran = finish(watcher).expect(0);

    // Without a watcher, each guest's next panic holds it, and is the one that is no entry.
    await_that(|| guests.iter().all(Guest::is_panicked), "held without a watcher");
    let entries = listing(&store).entries;
    let counts: Vec<_> = guests.iter().map(Guest::panics).collect();
    assert_eq!(entries.len(), panics() - GUESTS, "{counts:?} {ran:?}");
    let complete = entries.iter().filter(|entry| {
        let metadata = metadata_of(entry);
        assert_eq!(metadata.release.as_ref().map(|release| release.done), Some(true));
        metadata.result == CaptureResult::Complete
    });
    // Those that were handed back at the end have a report and no core.
    assert!(complete.count() >= PANICS - GUESTS, "{ran:?}");
}
