//! A domain of a real libvirt, and the watcher.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use vmcorectl::metadata::CaptureResult;

use crate::domain::Domain;
use crate::tool::{finish, metadata_of, start};

const TEST_TIMEOUT: Duration = Duration::from_secs(180);

/// The published entries, the oldest first. Captures may be under way.
fn entries(store: &Path) -> Vec<PathBuf> {
    let found = fs::read_dir(store.join("web-3")).into_iter().flatten();
    let paths = found.filter_map(|entry| Some(entry.ok()?.path()));
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_none()).collect();
    paths.sort();
    paths
}

#[track_caller]
fn await_entries(store: &Path, count: usize) {
    let started = Instant::now();
    while entries(store).len() < count {
        assert!(started.elapsed() < TEST_TIMEOUT, "{:?}", entries(store));
        sleep(Duration::from_millis(100));
    }
}

/// Its `on_crash` would lose each panic, and so would a libvirt that is down.
#[test]
fn a_domain_is_captured_and_restarted_at_each_panic_whatever_libvirt_does() {
    let mut domain = Domain::boot("sysrq", "restart");
    let (config, store) = (domain.space("vmcorectl.toml"), PathBuf::from(domain.store()));
    let text = format!(
        "store = {store:?}\nspool = {:?}\nlibvirt = {:?}\nsockets = []\n\
         [guards]\nkeep-free = \"0\"\n",
        domain.space("spool"),
        domain.uri()
    );
    fs::write(&config, text).unwrap();
    let watcher = start(["watch", "--config", config.to_str().unwrap(), "--json"]);

    await_entries(&store, 1);
    domain.await_console("GUEST-BOOT", 2);
    domain.end_libvirt(Signal::KILL);
    domain.await_console("Kernel panic", 2);
    domain.start_libvirt();
    await_entries(&store, 2);
    domain.await_console("GUEST-BOOT", 3);
    domain.libvirt_answers();

    kill_process(Pid::from_child(&watcher), Signal::TERM).unwrap();
    let ran = finish(watcher).expect(0);
    for entry in entries(&store) {
        let metadata = metadata_of(&entry);
        assert_eq!(metadata.result, CaptureResult::Complete, "{ran:?}");
        let release = metadata.release.expect("a release");
        assert_eq!((release.action.as_str(), release.done), ("reset", true));
        assert_eq!(release.state_after.as_deref(), Some("running"));
    }
}
