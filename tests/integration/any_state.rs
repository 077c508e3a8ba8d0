//! Guests that did not panic.

use serde_json::json;
use vmcorectl::metadata::{Metadata, NoticedBy};

use crate::scripted_qemu::{DumpPlan, Script};
use crate::setting::{Setting, finish};

fn in_state(state: &'static str) -> Script {
    Script { state, ..Script::default() }
}

#[test]
fn a_guest_that_is_not_panicked_is_left_alone() {
    for state in ["running", "paused", "shutdown", "internal-error"] {
        let setting = Setting::new(in_state(state));
        setting
            .capture(&["--then", "quit", "--on-failure", "reset"])
            .expect(4)
            .says(&format!("the guest is not panicked: its state is \"{state}\""))
            .says("--any-state captures it nevertheless");
        setting.nothing_is_stored();
        assert_eq!(setting.qemu.run_state(), state);
        assert!(setting.qemu.actions().is_empty());
    }
}

#[test]
fn a_running_guest_is_stopped_for_its_dump_and_runs_on() {
    for more in [&["--any-state"][..], &["--any-state", "--resume"]] {
        let script = in_state("running");
        let stream = script.stream.clone();
        let setting = Setting::new(script);
        setting.capture(more).expect(0);
        let metadata = setting.whole_entry(&stream);
        assert!(metadata.panic.is_none() && metadata.request.any_state);
        assert_eq!(metadata.request.then, "resume");
        assert_eq!(setting.qemu.run_state(), "running");
        assert_eq!(setting.qemu.actions(), ["stop", "dump-guest-memory", "cont"]);
    }
}

#[test]
fn a_running_guest_stays_stopped_if_asked() {
    let setting = Setting::new(in_state("running"));
    setting.capture(&["--any-state", "--hold"]).expect(0);
    assert_eq!(setting.qemu.run_state(), "paused");
    assert_eq!(setting.qemu.actions(), ["stop", "dump-guest-memory"]);
}

#[test]
fn a_running_guest_runs_on_after_a_failed_dump() {
    let script = Script { dump: DumpPlan::Fails(100, "Bad address"), ..in_state("running") };
    let setting = Setting::new(script);
    setting.capture(&["--any-state"]).expect(1).says("Bad address");
    setting.nothing_is_stored();
    assert_eq!(setting.qemu.run_state(), "running");
    assert_eq!(setting.qemu.actions(), ["stop", "dump-guest-memory", "cont"]);
}

#[test]
fn a_guest_that_somebody_paused_is_not_resumed_and_that_is_reported() {
    for state in ["paused", "prelaunch", "suspended"] {
        for more in [&["--any-state"][..], &["--any-state", "--then", "resume"]] {
            let script = in_state(state);
            let stream = script.stream.clone();
            let setting = Setting::new(script);
            let ran = setting.capture(more).expect(0);
            let metadata = setting.whole_entry(&stream);
            assert_eq!(ran.stderr.contains("the guest was not resumed"), more.len() > 1);
            assert_eq!(metadata.warnings.len(), more.len() / 2);
            let release = metadata.release.unwrap();
            assert_eq!((release.action.as_str(), release.done), ("hold", true));
            assert_eq!(release.state_after.as_deref(), Some(state));
            assert_eq!(metadata.held_seconds, None);
            assert_eq!(setting.qemu.run_state(), state);
            assert_eq!(setting.qemu.actions(), ["dump-guest-memory"]);
        }
    }
}

#[test]
fn a_paused_guest_whose_dump_failed_is_not_called_released() {
    let script = Script { dump: DumpPlan::Fails(100, "Bad address"), ..in_state("paused") };
    let setting = Setting::new(script);
    setting
        .capture(&["--any-state", "--on-failure", "resume"])
        .expect(1)
        .says("the guest was not resumed");
    setting.nothing_is_stored();
    assert_eq!(setting.qemu.run_state(), "paused");
}

#[test]
fn a_paused_guest_that_is_reset_stays_stopped() {
    let setting = Setting::new(in_state("paused"));
    setting.capture(&["--any-state", "--reset"]).expect(0);
    assert_eq!(setting.qemu.run_state(), "prelaunch");
    assert_eq!(setting.qemu.actions(), ["dump-guest-memory", "system_reset"]);
}

#[test]
fn a_guest_that_a_fault_stopped_stays_so_unless_asked() {
    for (state, then, after, actions) in [
        ("io-error", None, "io-error", &["dump-guest-memory"][..]),
        ("shutdown", None, "shutdown", &["dump-guest-memory"]),
        ("io-error", Some("resume"), "running", &["dump-guest-memory", "cont"]),
        ("watchdog", Some("resume"), "running", &["dump-guest-memory", "cont"]),
        (
            "internal-error",
            Some("reset"),
            "running",
            &["dump-guest-memory", "system_reset", "cont"],
        ),
        ("shutdown", Some("reset"), "running", &["dump-guest-memory", "system_reset", "cont"]),
    ] {
        let script = in_state(state);
        let stream = script.stream.clone();
        let setting = Setting::new(script);
        let mut more = vec!["--any-state"];
        more.extend(then.map(|_| "--then"));
        more.extend(then);
        setting.capture(&more).expect(0);
        let release = setting.whole_entry(&stream).release.unwrap();
        assert_eq!(release.action, then.unwrap_or("hold"));
        assert_eq!(release.state_after.as_deref(), Some(after));
        assert_eq!(setting.qemu.run_state(), after);
        assert_eq!(setting.qemu.actions(), actions);
    }
}

#[test]
fn a_guest_that_cannot_leave_its_fault_is_reported() {
    let script = in_state("internal-error");
    let stream = script.stream.clone();
    let setting = Setting::new(script);
    setting
        .capture(&["--any-state", "--resume"])
        .expect(5)
        .says("the VM remained paused")
        .says("hint: reset the guest (--then reset)");
    assert!(!setting.whole_entry(&stream).release.unwrap().done);
    assert_eq!(setting.qemu.run_state(), "internal-error");
}

#[test]
fn a_guest_that_a_fault_stopped_is_let_go_after_a_failed_dump_if_asked() {
    let script = Script { dump: DumpPlan::Fails(100, "Bad address"), ..in_state("io-error") };
    let setting = Setting::new(script);
    setting.capture(&["--any-state", "--on-failure", "resume"]).expect(6);
    assert_eq!(setting.qemu.run_state(), "running");
}

#[test]
fn a_panicked_guest_is_held_as_ever() {
    let setting = Setting::new(Script::default());
    setting.capture(&["--any-state"]).expect(0);
    assert_eq!(setting.qemu.run_state(), "guest-panicked");
    assert_eq!(setting.qemu.actions(), ["dump-guest-memory"]);
}

/// Captures a running guest that panics while it is stopped.
fn panic_at_the_stop(action: &str, more: &[&str]) -> (Setting, Metadata) {
    let script = Script { delay: ["stop"].into(), ..in_state("running") };
    let stream = script.stream.clone();
    let setting = Setting::new(script);
    let child = setting.start(&[&["--any-state"], more].concat());
    setting.qemu.await_command("stop");
    setting.qemu.emit("GUEST_PANICKED", json!({ "action": action }));
    setting.qemu.answer_all();
    finish(child).expect(0);
    let metadata = setting.whole_entry(&stream);
    (setting, metadata)
}

#[test]
fn a_panic_that_comes_while_the_guest_is_stopped_is_one() {
    for (more, action, state) in [(&[][..], "hold", "paused"), (&["--resume"], "resume", "running")]
    {
        let (setting, metadata) = panic_at_the_stop("pause", more);
        let panic = metadata.panic.unwrap();
        assert_eq!((panic.noticed_by, panic.events), (NoticedBy::Event, 1));
        assert_eq!(panic.action.as_deref(), Some("pause"));
        assert_eq!(metadata.request.then, action);
        assert_eq!(setting.qemu.run_state(), state);
    }
}

#[test]
fn a_guest_that_may_run_on_after_its_panic_does() {
    let (setting, metadata) = panic_at_the_stop("run", &[]);
    assert_eq!(metadata.panic.unwrap().action.as_deref(), Some("run"));
    assert_eq!(metadata.request.then, "resume");
    assert_eq!(setting.qemu.run_state(), "running");
}
