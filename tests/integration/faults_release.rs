//! Guests that do not go when they are let go.

use std::collections::BTreeMap;

use vmcorectl::metadata::{Metadata, Release};

use crate::core_stream::MIB;
use crate::scripted_qemu::{ContPlan, DumpPlan, ENDED, PANICKED, Script};
use crate::setting::Setting;

fn release(metadata: &Metadata) -> &Release {
    metadata.release.as_ref().expect("a release was tried")
}

#[test]
fn a_qemu_that_cannot_leave_the_panic_is_reported_with_what_to_do() {
    let script = Script { version: (1, 6, 2), ..Script::default() };
    let stream = script.stream.clone();
    let setting = Setting::new(script);
    setting
        .capture(&["--resume"])
        .expect(5)
        .says("the VM remained paused")
        .says("Resetting the Virtual Machine is required")
        .says("update QEMU, or reset the guest");
    let metadata = setting.whole_entry(&stream);
    let release = release(&metadata);
    assert!(!release.done);
    assert_eq!(release.action, "resume");
    assert_eq!(release.state_after.as_deref(), Some(PANICKED));
    let said = release.error.as_deref().unwrap();
    assert!(said.contains("the VM remained paused"), "{said}");
    let qemu = release.qemu_error.as_ref().unwrap();
    assert_eq!(qemu.class.as_deref(), Some("GenericError"));
    assert_eq!(qemu.description, "Resetting the Virtual Machine is required");
    assert_eq!(metadata.held_seconds, None);
    assert_eq!(setting.qemu.run_state(), PANICKED);
    assert_eq!(setting.qemu.actions(), ["dump-guest-memory", "cont"]);
}

#[test]
fn a_guest_that_stays_where_it_is_is_reported() {
    let script = Script { cont: ContPlan::Stays, ..Script::default() };
    let stream = script.stream.clone();
    let setting = Setting::new(script);
    setting
        .capture(&["--resume", "--timeout", "1s"])
        .expect(5)
        .says("the guest could not be released (resume)");
    let metadata = setting.whole_entry(&stream);
    assert!(!release(&metadata).done);
    assert_eq!(release(&metadata).state_after.as_deref(), Some(PANICKED));
    assert_eq!(setting.qemu.run_state(), PANICKED);
}

#[test]
fn a_qemu_that_does_not_answer_the_release_is_reported() {
    let script = Script { delay: ["cont"].into(), ..Script::default() };
    let stream = script.stream.clone();
    let setting = Setting::new(script);
    setting
        .capture(&["--resume", "--timeout", "1s"])
        .expect(5)
        .says("the guest could not be released (resume): QEMU did not answer cont within");
    assert!(!release(&setting.whole_entry(&stream)).done);
    assert_eq!(setting.qemu.actions(), ["dump-guest-memory", "cont"]);
}

#[test]
fn a_guest_with_two_panic_devices_is_resumed_twice() {
    let script = Script { cont: ContPlan::PanicsAgain(1), ..Script::default() };
    let stream = script.stream.clone();
    let setting = Setting::new(script);
    setting.capture(&["--resume"]).expect(0).says("reported the panic once more");
    let metadata = setting.whole_entry(&stream);
    assert!(release(&metadata).done);
    assert_eq!(metadata.warnings.len(), 1);
    assert_eq!(setting.qemu.run_state(), "running");
    assert_eq!(setting.qemu.actions(), ["dump-guest-memory", "cont", "cont"]);
}

#[test]
fn a_guest_that_panics_without_end_is_left_held() {
    let script = Script { cont: ContPlan::PanicsAgain(u32::MAX), ..Script::default() };
    let stream = script.stream.clone();
    let setting = Setting::new(script);
    setting.capture(&["--resume"]).expect(5).says("its state is still \"guest-panicked\"");
    assert!(!release(&setting.whole_entry(&stream)).done);
    assert_eq!(setting.qemu.run_state(), PANICKED);
}

#[test]
fn a_reset_guest_starts_anew() {
    let script = Script::default();
    let stream = script.stream.clone();
    let setting = Setting::new(script);
    setting.capture(&["--then", "reset"]).expect(0);
    let metadata = setting.whole_entry(&stream);
    assert_eq!(release(&metadata).state_after.as_deref(), Some("running"));
    assert_eq!(setting.qemu.run_state(), "running");
    assert_eq!(setting.qemu.actions(), ["dump-guest-memory", "system_reset", "cont"]);
}

#[test]
fn a_qemu_that_ends_instead_of_the_reset_is_reported() {
    let script = Script { no_reboot: true, ..Script::default() };
    let stream = script.stream.clone();
    let setting = Setting::new(script);
    setting.capture(&["--reset"]).expect(5).says("QEMU ended instead (-no-reboot");
    let metadata = setting.whole_entry(&stream);
    assert!(!release(&metadata).done);
    assert_eq!(release(&metadata).state_after, None);
    assert_eq!(setting.qemu.run_state(), ENDED);
}

#[test]
fn a_guest_whose_qemu_should_end_ends() {
    let script = Script::default();
    let stream = script.stream.clone();
    let setting = Setting::new(script);
    setting.capture(&["--quit"]).expect(0);
    let metadata = setting.whole_entry(&stream);
    assert!(release(&metadata).done && release(&metadata).state_after.is_none());
    assert_eq!(setting.qemu.run_state(), ENDED);
    assert_eq!(setting.qemu.actions(), ["dump-guest-memory", "quit"]);
}

#[test]
fn a_guest_that_should_stay_stays() {
    for more in [&["--hold"][..], &["--then", "hold"], &[]] {
        let script = Script::default();
        let stream = script.stream.clone();
        let setting = Setting::new(script);
        setting.capture(more).expect(0);
        let metadata = setting.whole_entry(&stream);
        assert_eq!(release(&metadata).action, "hold");
        assert_eq!(metadata.held_seconds, None);
        assert_eq!(setting.qemu.run_state(), PANICKED);
        assert_eq!(setting.qemu.actions(), ["dump-guest-memory"]);
    }
}

#[test]
fn a_guest_whose_dump_failed_is_let_go_if_asked() {
    for (action, actions, state) in [
        ("resume", &["dump-guest-memory", "cont"][..], "running"),
        ("reset", &["dump-guest-memory", "system_reset", "cont"], "running"),
        ("quit", &["dump-guest-memory", "quit"], ENDED),
    ] {
        let dump = DumpPlan::Fails(2 * MIB, "Bad address");
        let script = Script { dump, ..Script::default() };
        let stream = script.stream.clone();
        let setting = Setting::new(script);
        setting.capture(&["--on-failure", action]).expect(6).says("Bad address");
        // The part that came is all that there will ever be.
        let metadata = setting.incomplete_entry(&stream);
        assert!(release(&metadata).done);
        assert_eq!(metadata.request.on_failure, action);
        assert_eq!(setting.qemu.run_state(), state);
        assert_eq!(setting.qemu.actions(), actions);
    }
}

#[test]
fn a_failed_dump_destroys_no_evidence_unless_asked() {
    let refuse = BTreeMap::from([("dump-guest-memory", ("GenericError", "no"))]);
    let setting = Setting::new(Script { refuse, ..Script::default() });
    setting.capture(&["--then", "quit"]).expect(1);
    setting.nothing_is_stored();
    assert_eq!(setting.qemu.run_state(), PANICKED);
    assert_eq!(setting.qemu.actions(), ["dump-guest-memory"]);
}

#[test]
fn a_guest_whose_dump_failed_before_it_began_is_let_go_if_asked() {
    let refuse = BTreeMap::from([("getfd", ("GenericError", "no"))]);
    let setting = Setting::new(Script { refuse, ..Script::default() });
    setting.capture(&["--on-failure", "resume"]).expect(6);
    setting.nothing_is_stored();
    assert_eq!(setting.qemu.run_state(), "running");
}

#[test]
fn a_guest_that_was_held_long_enough_is_let_go_with_a_part_of_its_core() {
    for more in
        [&["--max-hold", "1s", "--on-failure", "resume"][..], &["--max-hold", "1s", "--resume"]]
    {
        let script = Script { dump: DumpPlan::Stalls(3 * MIB), ..Script::default() };
        let stream = script.stream.clone();
        let setting = Setting::new(script);
        setting.capture(more).expect(3).says("the longest hold of 1.0s was reached");
        let metadata = setting.incomplete_entry(&stream);
        assert_eq!(metadata.core.as_ref().unwrap().bytes_read, 3 * MIB as u64);
        assert!(release(&metadata).done);
        assert!(metadata.held_seconds.is_some_and(|held| held >= 1.0));
        assert_eq!(setting.qemu.run_state(), "running");
        assert_eq!(setting.qemu.actions(), ["dump-guest-memory", "cont"]);
    }
}

#[test]
fn a_dump_that_cannot_be_stopped_holds_the_guest_and_that_is_reported() {
    let script = Script { dump: DumpPlan::HangsForGood(3 * MIB), ..Script::default() };
    let stream = script.stream.clone();
    let setting = Setting::new(script);
    setting
        .capture(&["--timeout", "1s", "--max-hold", "1s", "--resume"])
        .expect(5)
        .says("the VM remained paused")
        .says("There is a dump in process, please wait.")
        .says("hint: QEMU still dumps the guest");
    let metadata = setting.incomplete_entry(&stream);
    assert!(!release(&metadata).done);
    assert_eq!(setting.qemu.run_state(), PANICKED);
}

#[test]
fn a_limited_hold_ends_with_a_dump_that_fails_before_the_limit() {
    let dump = DumpPlan::Fails(2 * MIB, "Bad address");
    let script = Script { dump, ..Script::default() };
    let stream = script.stream.clone();
    let setting = Setting::new(script);
    setting.capture(&["--max-hold", "1h", "--then", "resume"]).expect(6).says("Bad address");
    assert!(release(&setting.incomplete_entry(&stream)).done);
    assert_eq!(setting.qemu.run_state(), "running");
}

#[test]
fn a_part_is_kept_if_the_guest_is_gone_though_its_release_did_not_work() {
    let dump = DumpPlan::Fails(2 * MIB, "Bad address");
    let script = Script { dump, no_reboot: true, ..Script::default() };
    let stream = script.stream.clone();
    let setting = Setting::new(script);
    setting
        .capture(&["--on-failure", "reset"])
        .expect(5)
        .says("Bad address")
        .says("QEMU ended instead")
        .says("is kept in");
    assert!(!release(&setting.incomplete_entry(&stream)).done);
    assert_eq!(setting.qemu.run_state(), ENDED);
}

#[test]
fn the_release_is_sent_to_a_silent_qemu_nevertheless() {
    let delay = ["stop"].into();
    let setting = Setting::new(Script { state: "running", delay, ..Script::default() });
    setting.capture(&["--any-state", "--timeout", "500ms"]).expect(5).says("did not answer stop");
    setting.nothing_is_stored();
    setting.qemu.answer_all();
    setting.qemu.await_command("cont");
    setting.qemu.await_run_state("running");
    assert_eq!(setting.qemu.actions(), ["stop", "cont"]);
}

#[test]
fn a_panic_that_is_reported_again_when_the_guest_runs_does_not_hold_it() {
    let script = Script { cont: ContPlan::PanicsLater, ..Script::default() };
    let stream = script.stream.clone();
    let setting = Setting::new(script);
    setting.capture(&["--resume"]).expect(0).says("reported the panic once more");
    assert!(release(&setting.whole_entry(&stream)).done);
    assert_eq!(setting.qemu.run_state(), "running");
    assert_eq!(setting.qemu.actions(), ["dump-guest-memory", "cont", "cont"]);
}
