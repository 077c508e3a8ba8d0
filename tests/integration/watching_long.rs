//! The watcher for a long time, with panics at random: as many are counted as there were, and
//! neither memory nor descriptors grow.
//!
//! A few seconds; in the full run (`VMCORECTL_TEST_FULL`) an hour, or as many seconds as
//! `VMCORECTL_TEST_WATCH_SECONDS` has.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::scripted_qemu::{PANICKED, Script, ScriptedQemu, TEST_TIMEOUT};
use crate::watcher::{Host, Watcher};

const GUESTS: usize = 8;
/// How long the watcher warms up, as a part of all the time.
const WARM: u32 = 4;
/// By how much its memory may have grown at the end: allocators keep what they had once.
const SLACK_KIB: u64 = 8 << 10;

/// Until then after a release, a capture takes a panic for the report of a second panic device.
const SAME_PANIC: Duration = Duration::from_millis(400);

/// Numbers that look random, and are the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

fn duration() -> Duration {
    let seconds = std::env::var("VMCORECTL_TEST_WATCH_SECONDS").ok();
    let full = std::env::var_os("VMCORECTL_TEST_FULL").map(|_| 3600);
    let seconds = seconds.and_then(|seconds| seconds.parse().ok()).or(full);
    Duration::from_secs(seconds.unwrap_or(6))
}

/// Resident memory in KiB, and open descriptors.
fn used(process: u32) -> (u64, usize) {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("the watcher runs");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("memory");
    let resident = resident.trim().trim_end_matches(" kB").trim().parse().expect("a number");
    (resident, fs::read_dir(format!("/proc/{process}/fd")).expect("descriptors").count())
}

/// How many entries are published. Captures are under way, so that no file is looked at.
fn entries(host: &Host) -> usize {
    let folders = |path| fs::read_dir(path).into_iter().flatten().filter_map(Result::ok);
    let entries = folders(host.store()).flat_map(|guest| folders(guest.path()));
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| !name.starts_with('.') && !name.contains("incomplete")).count()
}

/// One of the captures that run now.
fn a_capture(process: u32) -> Option<Pid> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).ok()?.filter_map(Result::ok);
    let children =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let child = children
        .flat_map(|children| children.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    Pid::from_raw(child.last()?.parse().ok()?)
}

/// Waits until every panic was captured, and all guests run.
#[track_caller]
fn settle(host: &Host, watcher: &mut Watcher, guests: &[ScriptedQemu], panics: usize) {
    let started = Instant::now();
    loop {
        let found = entries(host);
        if found == panics && guests.iter().all(|guest| guest.run_state() == "running") {
            break;
        }
        let states: Vec<_> = guests.iter().map(ScriptedQemu::run_state).collect();
        let late = started.elapsed() > TEST_TIMEOUT;
        assert!(!late, "{found} of {panics} entries: {states:?}: {:#?}", watcher.reported());
        std::thread::sleep(Duration::from_millis(100));
    }
    // Each capture has ended, and the watcher is at each monitor again.
    guests.iter().for_each(ScriptedQemu::await_client);
    std::thread::sleep(Duration::from_millis(500));
}

#[test]
fn as_many_panics_are_counted_as_there_were_and_nothing_grows() {
    let guests: Vec<_> = (0..GUESTS)
        .map(|number| {
            let name = Some(format!("guest-{number}"));
            ScriptedQemu::start(Script { name, state: "running", ..Script::default() })
        })
        .collect();
    let host = Host::new(&guests);
    let policy = "\n[[policy]]\nguests = [\"*\"]\nthen = \"resume\"\non-failure = \"hold\"\n\
                  [guards]\ncrash-loop = { panics = 30, within = \"1h\" }\n";
    let mut watcher: Watcher = host.watch(policy);
    for _ in &guests {
        watcher.expect("watched");
    }
    let lasts = duration();
    let mut random = Random(u64::from(watcher.id()));
    let mut runs = [None; GUESTS];
    let (started, mut panics, mut before) = (Instant::now(), 0, None);
    while started.elapsed() < lasts {
        let index = usize::try_from(random.below(GUESTS as u64)).expect("an index");
        let guest = &guests[index];
        for (guest, runs) in guests.iter().zip(&mut runs) {
            let since = runs.unwrap_or_else(Instant::now);
            *runs = (guest.run_state() == "running").then_some(since);
        }
        if runs[index].is_some_and(|since| since.elapsed() > SAME_PANIC) {
            runs[index] = None;
            let event = ("GUEST_PANICKED", json!({ "action": "pause" }));
            // A second panic device reports the same panic.
            let events = vec![event; 1 + usize::try_from(random.below(2)).expect("a count")];
            guest.panic_guest(&events, PANICKED);
            panics += 1;
        }
        match random.below(40) {
            0 => watcher.signal(Signal::HUP),
            1..4 => {
                if let Some(capture) = a_capture(watcher.id()) {
                    let _ = kill_process(capture, Signal::KILL);
                }
            }
            _ => {}
        }
        std::thread::sleep(Duration::from_millis(random.below(200)));
        watcher.reported();
        if before.is_none() && started.elapsed() > lasts / WARM {
            settle(&host, &mut watcher, &guests, panics);
            before = Some(used(watcher.id()));
        }
    }
    settle(&host, &mut watcher, &guests, panics);
    let after = used(watcher.id());
    let before = before.expect("it was warm");
    assert!(after.0 <= before.0 + SLACK_KIB, "{before:?} became {after:?} after {panics} panics");
    assert!(after.1 <= before.1, "{before:?} became {after:?} after {panics} panics");
    watcher.stop();
    assert_eq!(host.listing().entries.len(), panics);
}
