//! `capture --report-only`, and what the entry without a core is to each command.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Signal, kill_process};
use serde_json::Value;
use vmcorectl::metadata::{CaptureResult, LeftOutCause, NoticedBy};
use vmcorectl::store::entry_without_core::LostPanic;

use crate::report_child::{asked_of, await_end};
use crate::script::{Meddling, When};
use crate::scripted_qemu::{PANICKED, Script};
use crate::setting::{Setting, finish, printed_by, signal};
use crate::tool::{Ran, metadata_of, run};

const ONLY: &[&str] = &["--report-only", "--reason", "crash loop: 5 in 10m", "--then", "resume"];

fn stored(setting: &Setting) -> PathBuf {
    let listing = setting.listing();
    assert_eq!((listing.entries.len(), listing.incomplete.len()), (1, 0), "{listing:?}");
    listing.entries[0].clone()
}

fn with_store(store: &Path, arguments: &[&str]) -> Ran {
    run(arguments.iter().copied().chain(["--store", store.to_str().unwrap()]))
}

fn files(entry: &Path) -> Vec<String> {
    let files = fs::read_dir(entry).unwrap();
    let mut names: Vec<_> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_guest_is_reported_on_and_released_without_a_dump() {
    let setting = Setting::new(Script::default());
    let ran = setting.capture(&[ONLY, &["--json"]].concat()).expect(0);
    let entry = stored(&setting);
    assert_eq!(files(&entry), ["metadata.json", "report.json"]);
    let metadata = metadata_of(&entry);
    assert_eq!(printed_by(&ran), metadata);
    assert_eq!(metadata.id, entry.file_name().unwrap().to_str().unwrap());
    assert_eq!((metadata.result, &metadata.core), (CaptureResult::Incomplete, &None));
    assert_eq!(metadata.failure, None);
    let left_out = metadata.core_left_out.unwrap();
    assert_eq!(left_out.cause, LeftOutCause::ReportOnly);
    assert_eq!(left_out.reason.as_deref(), Some("crash loop: 5 in 10m"));
    assert_eq!(metadata.title.as_deref(), Some("guest panicked (no log)"));
    assert_eq!(metadata.guest.uuid.as_deref(), Some("c0ffee00-0000-4000-8000-000000000003"));
    assert!(metadata.held_seconds.is_some());
    let steps: Vec<_> = metadata.phases.iter().map(|phase| phase.name.as_str()).collect();
    assert_eq!(steps, ["connect", "learn", "prepare", "report", "release", "watch"]);

    assert_eq!(setting.qemu.run_state(), "running");
    // Its notes and pages are read by partial dumps, and no dump is taken to its end.
    assert!(!setting.qemu.keeps_descriptors());
    let report: Value =
        serde_json::from_slice(&fs::read(entry.join("report.json")).unwrap()).unwrap();
    assert_eq!(report["title"], "guest panicked (no log)");
}

#[test]
fn each_policy_is_kept() {
    for (then, state, action) in [
        ("hold", PANICKED, None),
        ("reset", "running", Some("system_reset")),
        ("quit", "", Some("quit")),
    ] {
        let setting = Setting::new(Script::default());
        setting.capture(&["--report-only", "--then", then]).expect(0);
        stored(&setting);
        let actions = setting.qemu.actions();
        let released: Vec<_> = actions.iter().filter(|act| *act != "dump-guest-memory").collect();
        assert_eq!(released.first().map(|act| act.as_str()), action, "{then}: {actions:?}");
        if !state.is_empty() {
            assert_eq!(setting.qemu.run_state(), state, "{then}");
        }
    }
}

#[test]
fn an_entry_without_a_core_is_listed_counted_and_shown() {
    let setting = Setting::new(Script::default());
    setting.capture(&["--resume"]).expect(0);
    let other = Setting::with_store(Script::default(), &setting.store);
    let entry = other.capture(ONLY).expect(0).entry();
    let id = entry.file_name().unwrap().to_str().unwrap();
    let store = &setting.store;

    let table = with_store(store, &["list"]).expect(0).stdout;
    let row = table.lines().find(|line| line.contains(id)).unwrap();
    assert!(row.contains("no-core") && row.contains("guest panicked (no log)"), "{table}");
    let one = with_store(store, &["list", "--json", "--state", "no-core"]).expect(0).stdout;
    let one: Value = serde_json::from_str(&one).expect("one line");
    assert_eq!((&one["id"], &one["state"]), (&Value::from(id), &Value::from("no-core")));
    assert!(one["core_bytes"].is_null());
    assert_eq!(with_store(store, &["list", "--incomplete"]).expect(0).stdout, "");

    let group = with_store(store, &["group", "--json"]).expect(0).stdout;
    let group: Value = serde_json::from_str(&group).expect("one line");
    assert_eq!((&group["count"], &group["without_core"]), (&Value::from(2), &Value::from(1)));
    let groups = with_store(store, &["group"]).expect(0).stdout;
    assert!(groups.contains("       1 of them without a core"), "{groups}");

    let info = with_store(store, &["info", id]).expect(0).stdout;
    assert!(info.contains("no core") && info.contains("crash loop: 5 in 10m"), "{info}");
    let info = with_store(store, &["info", "--json", id]).expect(0).stdout;
    assert_eq!(info.as_bytes(), fs::read(entry.join("metadata.json")).unwrap());
    let report = with_store(store, &["report", id]).expect(0).stdout;
    assert!(report.contains("guest panicked (no log)"), "{report}");
    let report = with_store(store, &["report", "--json", id]).expect(0).stdout;
    assert_eq!(report.as_bytes(), fs::read(entry.join("report.json")).unwrap());
    with_store(store, &["rm", "--yes", id]).expect(0);
    assert!(!entry.exists());
}

#[test]
fn what_needs_the_core_fails_with_the_reason() {
    let setting = Setting::new(Script::default());
    let entry = setting.capture(ONLY).expect(0).entry();
    let id = entry.file_name().unwrap().to_str().unwrap();
    for arguments in [
        &["dmesg"][..],
        &["bt"],
        &["ps"],
        &["mods"],
        &["regs"],
        &["verify"],
        &["explain"],
        &["info", "--kernel"],
        &["report", "--save"],
        &["debug"],
    ] {
        with_store(&setting.store, &[arguments, &["latest"]].concat())
            .expect(1)
            .says(&format!(
                "entry {id} has no core: only its report was made: crash loop: 5 in 10m"
            ))
            .says("hint: `info` and `report` print what the entry has");
    }
}

#[test]
fn a_panic_that_was_lost_is_an_entry_with_metadata_alone() {
    let folder = tempfile::tempdir().unwrap();
    let lost = LostPanic {
        guest: Some("web-3".to_owned()),
        uuid: None,
        monitor: "libvirt:web-3".to_owned(),
        when: "2026-01-01T00:00:00Z".parse().unwrap(),
        noticed_by: NoticedBy::Event,
        reason: "on_crash is destroy".to_owned(),
    };
    let entry = lost.store(folder.path()).unwrap();
    let left_out = metadata_of(&entry).core_left_out.unwrap();
    assert_eq!(left_out.cause, LeftOutCause::PanicLost);
    let group = with_store(folder.path(), &["group", "--json"]).expect(0).stdout;
    let group: Value = serde_json::from_str(&group).expect("one line");
    assert_eq!((&group["count"], &group["without_core"]), (&Value::from(1), &Value::from(1)));
    let info = with_store(folder.path(), &["info", "latest:web-3"]).expect(0).stdout;
    assert!(info.contains("on_crash is destroy"), "{info}");
    for command in ["report", "dmesg"] {
        with_store(folder.path(), &[command, "latest"])
            .expect(1)
            .says("its memory was lost before it could be captured: on_crash is destroy");
    }
}

#[test]
fn a_report_that_crashes_costs_the_report_and_not_the_entry() {
    let (setting, capture, process) = asked_of(ONLY);
    kill_process(process, Signal::ABORT).unwrap();
    await_end(process);
    setting.qemu.answer_all();
    finish(capture).expect(3).says("warning: no report of the held guest");
    let entry = stored(&setting);
    let metadata = metadata_of(&entry);
    assert!(metadata.title.is_none() && metadata.core_left_out.is_some());
    let report = fs::read_to_string(entry.join("report.json")).unwrap();
    assert!(report.contains("was ended by SIGABRT"), "{report}");
    assert_eq!(setting.qemu.run_state(), "running");
}

#[test]
fn a_signal_before_the_report_leaves_the_guest_as_it_was() {
    let (setting, capture, process) = asked_of(ONLY);
    kill_process(process, Signal::STOP).unwrap();
    signal(&capture, Signal::TERM);
    setting.qemu.answer_all();
    finish(capture).expect(1).says("interrupted by SIGTERM");
    await_end(process);
    setting.nothing_is_stored();
    assert_eq!(setting.qemu.run_state(), PANICKED);
}

#[test]
fn the_longest_hold_ends_a_report_that_hangs_and_its_entry_is_stored() {
    let more = ["--max-hold", "2s", "--on-failure", "reset"];
    let (setting, capture, process) = asked_of(&[ONLY, &more].concat());
    kill_process(process, Signal::STOP).unwrap();
    setting.qemu.answer_all();
    finish(capture).expect(3).says("the longest hold of 2.0s was reached");
    await_end(process);
    assert!(metadata_of(&stored(&setting)).core_left_out.is_some());
    assert!(setting.qemu.actions().contains(&"system_reset".to_owned()));
}

#[test]
fn a_store_that_takes_no_entry_leaves_the_guest_as_it_was() {
    let setting = Setting::new(Script::default());
    fs::create_dir_all(&setting.store).unwrap();
    fs::write(setting.store.join("web-3"), "in the way").unwrap();
    setting.capture(ONLY).expect(1).says("cannot create the directory");
    assert_eq!(setting.qemu.run_state(), PANICKED);
}

#[test]
fn a_guest_that_changes_meanwhile_is_not_reported_on() {
    let meddling = vec![(When::Before("query-dump", 1), Meddling::Resumes)];
    let setting = Setting::new(Script { meddling, ..Script::default() });
    setting.capture(ONLY).expect(1).says("the guest changed before its dump");
    setting.nothing_is_stored();
}

#[test]
fn a_reason_is_for_what_is_left_out() {
    run(["capture", "/nowhere", "--reason", "x"]).expect(2).says("--report-only");
    run(["capture", "/nowhere", "--report-only", "--output", "/x"]).expect(2);
}
