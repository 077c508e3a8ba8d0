//! Signals that end the program, in each of its steps.

use rustix::process::Signal;
use serde_json::json;
use vmcorectl::metadata::CaptureResult;

use crate::core_stream::MIB;
use crate::scripted_qemu::{DumpPlan, PANICKED, Script, ScriptedQemu};
use crate::setting::{Setting, check_whole, finish, printed_by, signal};
use crate::tool::{Ran, metadata_of, start_through};

/// A dump that no test finds whole because its signal came late.
const UNDER_WAY: DumpPlan = DumpPlan::Stalls(3 * MIB);

/// A step in which the program can be caught.
struct Step {
    script: Script,
    more: &'static [&'static str],
    /// Waits until the program is there.
    reached: fn(&ScriptedQemu),
}

fn connecting() -> Step {
    let script = Script { greets: false, ..Script::default() };
    Step { script, more: &[], reached: ScriptedQemu::await_client }
}

fn waiting() -> Step {
    let script = Script { state: "running", ..Script::default() };
    Step { script, more: &["--wait"], reached: |qemu| qemu.await_command("query-status") }
}

fn preparing() -> Step {
    let script = Script { delay: ["query-name"].into(), dump: UNDER_WAY, ..Script::default() };
    Step { script, more: &["--resume"], reached: |qemu| qemu.await_command("query-name") }
}

fn passing_the_pipe() -> Step {
    let script = Script { delay: ["getfd"].into(), dump: UNDER_WAY, ..Script::default() };
    Step { script, more: &["--resume"], reached: |qemu| qemu.await_command("getfd") }
}

fn beginning() -> Step {
    let delay = ["dump-guest-memory"].into();
    let script = Script { delay, dump: UNDER_WAY, ..Script::default() };
    let reached = |qemu: &ScriptedQemu| qemu.await_command("dump-guest-memory");
    Step { script, more: &["--resume"], reached }
}

fn dumping() -> Step {
    let script = Script { dump: UNDER_WAY, ..Script::default() };
    Step { script, more: &["--resume"], reached: ScriptedQemu::await_stall }
}

fn releasing() -> Step {
    let script = Script { delay: ["cont"].into(), ..Script::default() };
    Step { script, more: &["--resume"], reached: |qemu| qemu.await_command("cont") }
}

/// Sends a signal in a step, lets QEMU answer again, and waits for the program.
fn send(step: Step, more: &[&str], number: Signal) -> (Setting, Ran) {
    let setting = Setting::new(step.script);
    let child = setting.start(&[step.more, more].concat());
    (step.reached)(&setting.qemu);
    signal(&child, number);
    setting.qemu.answer_all();
    let ran = finish(child);
    (setting, ran)
}

const ASKING: [(Signal, &str); 3] =
    [(Signal::TERM, "SIGTERM"), (Signal::INT, "SIGINT"), (Signal::HUP, "SIGHUP")];

#[test]
fn a_signal_before_the_dump_leaves_all_as_it_was() {
    for (number, name) in ASKING {
        for (step, state) in [
            (connecting(), PANICKED),
            (waiting(), "running"),
            (preparing(), PANICKED),
            (passing_the_pipe(), PANICKED),
            (beginning(), PANICKED),
        ] {
            let (setting, ran) = send(step, &[], number);
            ran.expect(1).says(&format!("interrupted by {name}"));
            setting.nothing_is_stored();
            assert_eq!(setting.qemu.run_state(), state);
            assert!(!setting.qemu.actions().contains(&"cont".to_owned()));
            assert!(!setting.qemu.keeps_descriptors());
        }
    }
}

#[test]
fn a_signal_in_the_dump_ends_it_and_leaves_the_guest_held() {
    for (number, name) in ASKING {
        let (setting, ran) = send(dumping(), &[], number);
        ran.expect(1).says(&format!("interrupted by {name} before the core was whole"));
        setting.nothing_is_stored();
        assert_eq!(setting.qemu.run_state(), PANICKED);
        assert_eq!(setting.qemu.actions(), ["dump-guest-memory"]);
        setting.qemu.await_dump("failed");
    }
}

#[test]
fn a_signal_while_the_guest_is_asked_for_facts_is_reported_once() {
    let script = Script { delay: ["query-uuid"].into(), dump: UNDER_WAY, ..Script::default() };
    let reached = |qemu: &ScriptedQemu| qemu.await_command("query-uuid");
    let (_, ran) = send(Step { script, more: &[], reached }, &[], Signal::TERM);
    let ran = ran.expect(1).says("interrupted by SIGTERM");
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
}

#[test]
fn a_dump_that_is_given_up_as_it_begins_has_its_time() {
    let (_, ran) = send(beginning(), &["--json"], Signal::TERM);
    let metadata = printed_by(&ran.expect(1));
    let phases: Vec<_> = metadata.phases.iter().map(|phase| phase.name.as_str()).collect();
    assert_eq!(phases, ["connect", "learn", "prepare", "dump", "release"]);
}

#[test]
fn a_signal_between_a_panic_and_its_stop_leaves_the_guest_to_its_panic() {
    let script = Script { state: "running", ..Script::default() };
    let setting = Setting::new(script);
    let child = setting.start(&["--wait", "--resume"]);
    setting.qemu.await_command("query-status");
    setting.qemu.panic_guest(&[("GUEST_PANICKED", json!({ "action": "pause" }))], "running");
    // It asks again and again whether the guest stands still.
    setting.qemu.await_commands("query-status", 3);
    signal(&child, Signal::TERM);
    finish(child).expect(1).says("interrupted by SIGTERM");
    setting.nothing_is_stored();
    assert_eq!(setting.qemu.actions(), ["set-action"]);
}

#[test]
fn a_signal_in_the_dump_lets_the_guest_go_if_failures_do() {
    for number in [Signal::TERM, Signal::INT] {
        let step = dumping();
        let stream = step.script.stream.clone();
        let (setting, ran) = send(step, &["--on-failure", "resume"], number);
        ran.expect(6).says("interrupted by").says("is kept in");
        assert!(setting.incomplete_entry(&stream).release.unwrap().done);
        assert_eq!(setting.qemu.run_state(), "running");
        assert_eq!(setting.qemu.actions(), ["dump-guest-memory", "cont"]);
    }
}

#[test]
fn a_signal_while_the_dump_begins_does_not_leave_the_guest_in_it() {
    let (setting, ran) = send(beginning(), &["--on-failure", "resume"], Signal::TERM);
    ran.expect(6).says("interrupted by SIGTERM");
    assert!(setting.listing().entries.is_empty());
    assert_eq!(setting.qemu.run_state(), "running");
}

#[test]
fn a_signal_after_the_dump_stops_nothing() {
    for number in [Signal::TERM, Signal::INT] {
        let step = releasing();
        let stream = step.script.stream.clone();
        let (setting, ran) = send(step, &[], number);
        ran.expect(0);
        assert!(setting.whole_entry(&stream).release.unwrap().done);
        assert_eq!(setting.qemu.run_state(), "running");
    }
}

#[test]
fn a_signal_after_the_release_stops_nothing() {
    let script = Script::default();
    let stream = script.stream.clone();
    let setting = Setting::new(script);
    let child = setting.start(&["--resume"]);
    setting.qemu.await_run_state("running");
    signal(&child, Signal::TERM);
    finish(child).expect(0);
    setting.whole_entry(&stream);
}

#[test]
fn what_a_killed_capture_leaves_looks_incomplete_and_hinders_no_other() {
    for (step, incomplete) in [
        (connecting(), 0),
        (waiting(), 0),
        (preparing(), 0),
        (passing_the_pipe(), 1),
        (beginning(), 1),
        (dumping(), 1),
        (releasing(), 1),
    ] {
        let stream = step.script.stream.clone();
        let (setting, ran) = send(step, &[], Signal::KILL);
        assert_eq!(ran.code, None, "{ran:?}");
        let left = setting.listing();
        assert_eq!((left.entries.len(), left.incomplete.len()), (0, incomplete), "{left:?}");
        for entry in &left.incomplete {
            assert_eq!(metadata_of(entry).result, CaptureResult::Capturing);
        }
        setting.qemu.await_no_client();

        // The same guest and the same store, in a QEMU where nothing goes wrong
        // any more, but for what the killed capture left in it.
        setting.qemu.mend();
        setting.capture(&["--any-state"]).expect(0);
        let listing = setting.listing();
        assert_eq!(listing.incomplete, left.incomplete, "what was left stays as it is");
        assert_eq!(listing.entries.len(), 1);
        check_whole(&listing.entries[0], &stream);
        assert!(!setting.qemu.keeps_descriptors());
    }
}

#[test]
fn a_capture_that_is_killed_while_it_publishes_leaves_all_or_nothing() {
    for _ in 0..8 {
        let script = Script::default();
        let stream = script.stream.clone();
        let setting = Setting::new(script);
        let child = setting.start(&["--resume"]);
        setting.qemu.await_run_state("running");
        signal(&child, Signal::KILL);
        finish(child);
        let left = setting.listing();
        assert_eq!(left.entries.len() + left.incomplete.len(), 1, "{left:?}");
        for entry in &left.entries {
            check_whole(entry, &stream);
        }
    }
}

#[test]
fn a_second_signal_does_not_cut_a_release_short() {
    let step = releasing();
    let stream = step.script.stream.clone();
    let setting = Setting::new(step.script);
    let child = setting.start(step.more);
    (step.reached)(&setting.qemu);
    for number in [Signal::INT, Signal::INT, Signal::TERM] {
        signal(&child, number);
    }
    setting.qemu.answer_all();
    finish(child).expect(0);
    setting.whole_entry(&stream);
    assert_eq!(setting.qemu.run_state(), "running");
}

#[test]
fn a_signal_ends_the_program_even_if_qemu_never_answers_again() {
    let script = Script { delay: ["query-name"].into(), ..Script::default() };
    let setting = Setting::new(script);
    let child = setting.start(&["--on-failure", "resume", "--timeout", "1s"]);
    setting.qemu.await_command("query-name");
    signal(&child, Signal::TERM);
    finish(child)
        .expect(5)
        .says("interrupted by SIGTERM")
        .says("the guest could not be released (resume): QEMU did not answer cont");
    setting.nothing_is_stored();
    assert_eq!(setting.qemu.run_state(), PANICKED);
}

#[test]
fn a_hold_whose_state_cannot_be_asked_is_not_called_a_failed_release() {
    let script = Script { delay: ["query-name"].into(), ..Script::default() };
    let setting = Setting::new(script);
    setting
        .capture(&["--timeout", "1s"])
        .expect(1)
        .says("QEMU did not answer query-name within")
        .says("nothing was done to the guest, and its state is unknown");
}

/// A hang-up of `nohup vmcorectl capture --wait` ended it.
#[test]
fn a_signal_that_was_ignored_from_the_start_stays_so() {
    for (trap, number) in [("HUP", Signal::HUP), ("INT", Signal::INT)] {
        let setting = Setting::new(Script { state: "running", ..Script::default() });
        let ignoring = ["sh", "-c", &format!("trap '' {trap}; exec \"$@\""), "sh"];
        let child = start_through(&ignoring, setting.arguments(&["--wait", "--resume"]));
        setting.qemu.await_command("query-status");
        signal(&child, number);
        setting.qemu.panic_guest(&[("GUEST_PANICKED", json!({ "action": "pause" }))], PANICKED);
        finish(child).expect(0);
        assert_eq!(setting.listing().entries.len(), 1);
    }
}
