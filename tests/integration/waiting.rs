//! Waiting for a panic, and what is told of it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use vmcorectl::metadata::{NoticedBy, Panic};

use crate::scripted_qemu::{ENDED, PANICKED, Script};
use crate::setting::{Setting, finish};
use crate::tool::Ran;

fn running() -> Script {
    Script { state: "running", ..Script::default() }
}

/// Waits with `--wait` for a guest that panics with these events.
fn wait_for(setting: &Setting, events: &[(&str, Value)], stops_in: &str) -> Ran {
    let child = setting.start(&["--wait", "--resume"]);
    setting.qemu.await_command("query-status");
    setting.qemu.panic_guest(events, stops_in);
    finish(child)
}

/// Waits, and gives what the metadata of the whole entry tells of the panic.
#[track_caller]
fn captured(script: Script, events: &[(&str, Value)]) -> Panic {
    let stream = script.stream.clone();
    let setting = Setting::new(script);
    wait_for(&setting, events, PANICKED).expect(0);
    assert_eq!(setting.qemu.run_state(), "running");
    assert_eq!(setting.qemu.actions(), ["set-action", "dump-guest-memory", "cont"]);
    assert_eq!(setting.qemu.received("set-action"), [json!({ "panic": "pause" })]);
    let metadata = setting.whole_entry(&stream);
    assert!(metadata.request.wait);
    assert_eq!(metadata.state_found.as_deref(), Some("running"));
    metadata.panic.expect("a panic")
}

#[test]
fn a_panic_that_comes_is_captured() {
    let panic = captured(running(), &[("GUEST_PANICKED", json!({ "action": "pause" }))]);
    assert_eq!((panic.noticed_by, panic.events), (NoticedBy::Event, 1));
    assert_eq!(panic.action.as_deref(), Some("pause"));
    assert_eq!(panic.happened.map(jiff::Timestamp::as_second), Some(1_790_000_000));
    assert_eq!(panic.reporting_cpus, Some(vec![0]));
    assert!(panic.info.is_none() && !panic.crash_loaded);
}

#[test]
fn several_events_of_one_crash_are_one_panic() {
    let panicked = ("GUEST_PANICKED", json!({ "action": "pause" }));
    let loaded = ("GUEST_CRASHLOADED", json!({ "action": "run" }));
    let panic = captured(running(), &[panicked.clone(), panicked, loaded]);
    assert_eq!((panic.noticed_by, panic.events), (NoticedBy::Event, 2));
    assert!(panic.crash_loaded);
}

#[test]
fn what_the_guest_tells_of_its_crash_is_kept() {
    let hyper_v = json!({
        "type": "hyper-v", "arg1": 30, "arg2": 18_446_735_000_000_000_000_u64,
        "arg3": 8, "arg4": 0, "arg5": 1,
    });
    let s390 = json!({
        "type": "s390", "core": 1, "psw-mask": 562_956_395_872_256_u64,
        "psw-addr": 1_146_522, "reason": "disabled-wait",
    });
    for info in [hyper_v, s390] {
        let data = json!({ "action": "pause", "info": info });
        let panic = captured(running(), &[("GUEST_PANICKED", data)]);
        assert_eq!(panic.info, Some(info));
    }
}

#[test]
fn an_earlier_panic_is_found_by_query() {
    for (more, set_actions) in [(&["--resume"][..], 0), (&["--wait", "--resume"], 1)] {
        let information = json!({ "type": "hyper-v", "arg1": 9 });
        let script = Script { crash_information: Some(information.clone()), ..Script::default() };
        let stream = script.stream.clone();
        let setting = Setting::new(script);
        setting.capture(more).expect(0);
        let panic = setting.whole_entry(&stream).panic.unwrap();
        assert_eq!((panic.noticed_by, panic.events), (NoticedBy::Query, 0));
        assert_eq!((panic.happened, panic.action), (None, None));
        assert_eq!(panic.reporting_cpus, Some(vec![0]));
        assert_eq!(panic.info, Some(information));
        assert_eq!(setting.qemu.received("set-action").len(), set_actions);
    }
}

#[test]
fn an_old_qemu_without_set_action_is_warned_of() {
    let script = Script { version: (5, 2, 0), ..running() };
    let stream = script.stream.clone();
    let setting = Setting::new(script);
    let panicked = ("GUEST_PANICKED", json!({ "action": "pause" }));
    wait_for(&setting, &[panicked], PANICKED)
        .expect(0)
        .says("warning: this QEMU cannot be set to stop on a panic")
        .says("-no-shutdown");
    assert_eq!(setting.whole_entry(&stream).warnings.len(), 1);
}

#[test]
fn no_panic_in_the_time_that_was_given_is_nothing_to_do() {
    let setting = Setting::new(running());
    setting
        .capture(&["--wait=1s", "--resume"])
        .expect(4)
        .says("the guest did not panic in the time that was given");
    setting.nothing_is_stored();
    assert_eq!(setting.qemu.run_state(), "running");
    assert_eq!(setting.qemu.actions(), ["set-action"]);
}

#[test]
fn a_guest_that_dumps_itself_is_reported_and_waited_for() {
    let setting = Setting::new(running());
    let child = setting.start(&["--wait", "--verbose"]);
    setting.qemu.await_command("query-status");
    setting.qemu.emit("GUEST_CRASHLOADED", json!({ "action": "run" }));
    setting.qemu.panic_guest(&[("GUEST_PANICKED", json!({ "action": "pause" }))], PANICKED);
    finish(child).expect(0).says("GUEST_CRASHLOADED): it is not held");
}

#[test]
fn a_panic_that_lets_the_guest_run_on_is_none_to_capture() {
    let setting = Setting::new(running());
    let panicked = ("GUEST_PANICKED", json!({ "action": "run" }));
    wait_for(&setting, &[panicked], "running").expect(4).says("panic=none");
    setting.nothing_is_stored();
    assert_eq!(setting.qemu.run_state(), "running");
}

#[test]
fn a_panic_that_shuts_the_guest_down_is_reported() {
    let setting = Setting::new(running());
    let child = setting.start(&["--wait"]);
    setting.qemu.await_command("query-status");
    setting.qemu.panic_guest(
        &[("GUEST_PANICKED", json!({ "action": "poweroff" })), ("SHUTDOWN", json!({}))],
        "shutdown",
    );
    setting.qemu.kill();
    finish(child).expect(4).says("QEMU shut the guest down").says("-action panic=pause");
    setting.nothing_is_stored();
    assert_eq!(setting.qemu.run_state(), ENDED);
}

#[test]
fn a_shutdown_without_a_panic_is_reported() {
    for (reason, says) in [
        (Some("guest-shutdown"), "the guest was shut down (guest-shutdown), and no panic was seen"),
        (Some("host-qmp-quit"), "the guest was shut down (host-qmp-quit), and no panic was seen"),
        (None, "QEMU ended, and no panic was seen"),
    ] {
        let setting = Setting::new(running());
        let child = setting.start(&["--wait"]);
        setting.qemu.await_command("query-status");
        if let Some(reason) = reason {
            setting.qemu.emit("SHUTDOWN", json!({ "guest": true, "reason": reason }));
        }
        setting.qemu.kill();
        let ran = finish(child).expect(4).says(says);
        assert!(!ran.stderr.contains("panic=pause"), "{ran:?}");
        setting.nothing_is_stored();
    }
}

#[test]
fn a_shutdown_because_of_a_panic_is_reported_without_its_event() {
    let setting = Setting::new(running());
    let child = setting.start(&["--wait"]);
    setting.qemu.await_command("query-status");
    setting.qemu.emit("SHUTDOWN", json!({ "guest": true, "reason": "guest-panic" }));
    setting.qemu.kill();
    finish(child).expect(4).says("QEMU shut the guest down").says("-action panic=pause");
}

#[test]
fn a_guest_that_dumped_itself_in_the_time_that_was_given_is_reported() {
    let setting = Setting::new(running());
    let child = setting.start(&["--wait=2s"]);
    setting.qemu.await_command("query-status");
    setting.qemu.emit("GUEST_CRASHLOADED", json!({ "action": "run" }));
    finish(child)
        .expect(4)
        .says("in the time that was given; it crashed and dumps itself (GUEST_CRASHLOADED)");
}

#[test]
fn a_qemu_that_refuses_set_action_is_still_waited_for() {
    let refuse = BTreeMap::from([("set-action", ("GenericError", "not now"))]);
    let setting = Setting::new(Script { refuse, ..running() });
    let panicked = ("GUEST_PANICKED", json!({ "action": "pause" }));
    wait_for(&setting, &[panicked], PANICKED).expect(0).says("(not now)");
}

#[test]
fn the_limit_holds_while_qemu_still_stops_the_guest() {
    let setting = Setting::new(running());
    let child = setting.start(&["--wait", "--max-hold", "1s", "--on-failure", "resume"]);
    setting.qemu.await_command("query-status");
    // Its storage hangs: the event came, the stop does not.
    setting.qemu.panic_guest(&[("GUEST_PANICKED", json!({ "action": "pause" }))], "running");
    finish(child).expect(6).says("the longest hold of 1.0s was reached");
    setting.nothing_is_stored();
    assert_eq!(setting.qemu.actions(), ["set-action", "cont"]);
}
