//! What becomes of a capture when the process that makes its report does not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::core_stream::CoreStream;
use crate::scripted_qemu::{PANICKED, Script, TEST_TIMEOUT};
use crate::setting::{Setting, finish, signal};
use crate::tool::{self, Ran};

/// A guest without a note of its kernel, so that its report needs its memory.
fn guest(mebibytes: usize) -> Script {
    let stream = Arc::new(CoreStream::without_vmcoreinfo(mebibytes));
    Script { stream, ..Script::default() }
}

/// A guest whose memory does not come before [`crate::scripted_qemu::ScriptedQemu::answer_all`].
fn slow_guest() -> Script {
    Script { delay: ["part of dump-guest-memory"].into(), ..guest(6) }
}

/// The process that makes the report of a capture, once it is there.
#[track_caller]
fn report_process(capture: &Child) -> Pid {
    let id = capture.id();
    let started = Instant::now();
    while started.elapsed() < TEST_TIMEOUT {
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        for child in children.unwrap_or_default().split_whitespace() {
            let name = fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap_or_default();
            if name.contains("report-child") {
                return Pid::from_raw(child.parse().unwrap()).unwrap();
            }
        }
    }
    panic!("no process makes a report");
}

fn status(of: Pid) -> String {
    fs::read_to_string(format!("/proc/{}/status", of.as_raw_nonzero())).unwrap_or_default()
}

/// Whether a process has ended, even if its parent has not asked how.
fn has_ended(process: Pid) -> bool {
    let status = status(process);
    status.is_empty() || status.contains("State:\tZ")
}

#[track_caller]
pub(crate) fn await_end(process: Pid) {
    let started = Instant::now();
    while !has_ended(process) {
        assert!(started.elapsed() < TEST_TIMEOUT, "{}", status(process));
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Starts a capture, and stops the process that makes its report of the stored core.
fn stopped_after_the_dump() -> (Setting, Child, Pid) {
    let setting = Setting::new(guest(48));
    let capture = setting.start(&["--resume"]);
    let process = report_process(&capture);
    kill_process(process, Signal::STOP).unwrap();
    (setting, capture, process)
}

/// Starts a capture that reports first, and waits until its report needs memory.
fn asked_before_the_dump(more: &[&str]) -> (Setting, Child, Pid) {
    asked_of(&[&["--report-first", "--resume"], more].concat())
}

/// Starts a capture with a report of the held guest, and waits until that needs memory.
pub(crate) fn asked_of(arguments: &[&str]) -> (Setting, Child, Pid) {
    let setting = Setting::new(slow_guest());
    let capture = setting.start(arguments);
    // The head of a whole dump, and a part.
    setting.qemu.await_commands("dump-guest-memory", 2);
    let process = report_process(&capture);
    (setting, capture, process)
}

/// The entry is whole, and its report says why there is none.
#[track_caller]
fn whole_without_a_report(setting: &Setting, ran: Ran, why: &str) {
    ran.expect(0).says(&format!("warning: no report: {why}"));
    let entry = entry(setting);
    let report: Value =
        serde_json::from_slice(&fs::read(entry.join("report.json")).unwrap()).unwrap();
    let finding = report["findings"][0]["text"].as_str().unwrap();
    assert!(finding.contains(why), "{report:#}");
    assert!(report["signature"].is_null());
    assert_eq!(setting.qemu.run_state(), "running");
}

#[track_caller]
fn entry(setting: &Setting) -> PathBuf {
    let mut listing = setting.listing();
    assert_eq!((listing.entries.len(), listing.incomplete.len()), (1, 0), "{listing:?}");
    listing.entries.remove(0)
}

#[test]
fn a_report_that_crashes_after_the_dump_costs_the_report_alone() {
    for (number, name) in [(Signal::ABORT, "SIGABRT"), (Signal::KILL, "SIGKILL")] {
        let (setting, capture, process) = stopped_after_the_dump();
        kill_process(process, number).unwrap();
        kill_process(process, Signal::CONT).unwrap();
        let why = format!("the process that makes the report was ended by {name}");
        whole_without_a_report(&setting, finish(capture), &why);
    }
}

#[test]
fn a_signal_ends_a_report_that_hangs_and_changes_nothing_else() {
    for (number, name) in [(Signal::TERM, "SIGTERM"), (Signal::INT, "SIGINT")] {
        let (setting, capture, process) = stopped_after_the_dump();
        let started = Instant::now();
        signal(&capture, number);
        let why = format!("the report was interrupted by {name}");
        whole_without_a_report(&setting, finish(capture), &why);
        assert!(started.elapsed() < Duration::from_secs(30));
        assert!(has_ended(process));
    }
}

#[test]
fn a_report_ends_with_the_capture_that_wants_it() {
    let (_setting, capture, process) = asked_before_the_dump(&[]);
    signal(&capture, Signal::KILL);
    finish(capture);
    await_end(process);
}

#[test]
fn the_process_that_makes_a_report_has_nothing_but_what_it_reads() {
    let (_setting, capture, process) = asked_before_the_dump(&[]);
    let status = status(process);
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000"] {
        assert!(status.contains(line), "{line}: {status}");
    }
    let folder = format!("/proc/{}", process.as_raw_nonzero());
    let limits = fs::read_to_string(format!("{folder}/limits")).unwrap();
    for limit in [
        "Max cpu time              30",
        "Max file size             0",
        "Max core file size        0",
    ] {
        assert!(limits.contains(limit), "{limit}: {limits}");
    }
    assert_eq!(fs::read_to_string(format!("{folder}/oom_score_adj")).unwrap(), "1000\n");
    for number in 0..3 {
        let target = fs::read_link(format!("{folder}/fd/{number}")).unwrap();
        assert!(target.to_str().unwrap().starts_with("socket:"), "{target:?}");
    }
    // What the test was started with, the capture and its child were started with.
    for descriptor in fs::read_dir(format!("{folder}/fd")).unwrap() {
        let descriptor = descriptor.unwrap();
        let inherited = Path::new("/proc/self/fd").join(descriptor.file_name());
        let target = fs::read_link(descriptor.path()).unwrap();
        let ours = target.to_str().unwrap().starts_with("socket:");
        assert!(ours || fs::read_link(inherited).is_ok_and(|same| same == target), "{target:?}");
    }
    signal(&capture, Signal::KILL);
    finish(capture);
    await_end(process);
}

#[test]
fn a_search_of_all_memory_has_no_limit_on_time() {
    for (more, limit) in [(None, "30"), (Some("--deep"), "unlimited")] {
        let setting = Setting::new(slow_guest());
        let socket = setting.qemu.socket();
        let arguments = ["report", socket.to_str().unwrap()].into_iter().chain(more);
        let report = tool::start(arguments);
        setting.qemu.await_commands("dump-guest-memory", 2);
        let process = report_process(&report);
        let limits = format!("/proc/{}/limits", process.as_raw_nonzero());
        let limits = fs::read_to_string(limits).unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max cpu time")).unwrap();
        assert!(line.split_whitespace().nth(3) == Some(limit), "{line}");
        signal(&report, Signal::KILL);
        finish(report);
        await_end(process);
    }
}

#[test]
fn a_report_that_crashes_before_the_dump_costs_the_report_alone() {
    let (setting, capture, process) = asked_before_the_dump(&[]);
    kill_process(process, Signal::ABORT).unwrap();
    await_end(process);
    setting.qemu.answer_all();
    let ran = finish(capture).expect(0);
    ran.says("warning: no report before the dump: the process that makes the report was ended by SIGABRT");
    let metadata = tool::metadata_of(&entry(&setting));
    let is_it = |warning: &String| warning.contains("was ended by SIGABRT");
    assert!(metadata.warnings.iter().any(is_it), "{metadata:#?}");
    // The one that is made of the core is there all the same.
    assert!(entry(&setting).join("report.json").exists());
}

#[test]
fn the_longest_hold_is_kept_while_the_report_hangs() {
    let (setting, capture, process) = asked_before_the_dump(&["--max-hold", "20s"]);
    kill_process(process, Signal::STOP).unwrap();
    setting.qemu.answer_all();
    let ran = finish(capture).expect(0).says("warning: no report before the dump");
    assert!(!ran.stderr.contains("longest hold"), "{ran:?}");
    assert!(has_ended(process));
    let metadata = tool::metadata_of(&entry(&setting));
    // A quarter of it is for the report.
    let held = metadata.held_seconds.unwrap();
    assert!((5.0..15.0).contains(&held), "{held}");
}

#[test]
fn a_signal_ends_a_report_before_the_dump() {
    let (setting, capture, process) = asked_before_the_dump(&[]);
    kill_process(process, Signal::STOP).unwrap();
    signal(&capture, Signal::TERM);
    setting.qemu.answer_all();
    finish(capture).expect(1).says("interrupted by SIGTERM");
    assert!(has_ended(process));
    setting.nothing_is_stored();
    assert_eq!(setting.qemu.run_state(), PANICKED);
}
