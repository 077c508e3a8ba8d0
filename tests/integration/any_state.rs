//! Guests that did not panic.

use crate::scripted_qemu::{DumpPlan, Script};
use crate::setting::Setting;

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
fn a_paused_guest_stays_paused_whatever_is_asked() {
    for more in [&["--any-state"][..], &["--any-state", "--then", "resume"]] {
        let script = in_state("paused");
        let stream = script.stream.clone();
        let setting = Setting::new(script);
        setting.capture(more).expect(0);
        let metadata = setting.whole_entry(&stream);
        assert_eq!(metadata.release.unwrap().state_after.as_deref(), Some("paused"));
        assert_eq!(setting.qemu.run_state(), "paused");
        assert_eq!(setting.qemu.actions(), ["dump-guest-memory"]);
    }
}

#[test]
fn a_panicked_guest_is_held_as_ever() {
    let setting = Setting::new(Script::default());
    setting.capture(&["--any-state"]).expect(0);
    assert_eq!(setting.qemu.run_state(), "guest-panicked");
    assert_eq!(setting.qemu.actions(), ["dump-guest-memory"]);
}
