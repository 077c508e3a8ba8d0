//! Guests that another client resumes, resets or ends while they are captured.

use vmcorectl::metadata::CaptureResult;

use crate::core_stream::MIB;
use crate::scripted_qemu::{DumpPlan, Meddling, PANICKED, Script, When};
use crate::setting::{Setting, finish, printed_by};

const ALL: [Meddling; 6] = [
    Meddling::Resets,
    Meddling::Restarts,
    Meddling::Resumes,
    Meddling::PanicsAgain,
    Meddling::ResumesAndPauses,
    Meddling::ShutsDown,
];

fn meddled(when: When, meddling: Meddling) -> Script {
    Script { meddling: vec![(when, meddling)], ..Script::default() }
}

/// Nothing of the guest is stored, and nothing was done to it but `actions`.
#[track_caller]
fn nothing_is_captured(setting: &Setting, more: &[&str], actions: &[&str]) {
    let ran = setting.capture(more).expect(1).says("the guest changed before its dump");
    setting.nothing_is_stored();
    assert_eq!(setting.qemu.actions(), actions, "{ran:?}");
}

/// What was read is kept, and not as a core of the panic.
#[track_caller]
fn a_part_is_kept(script: Script, more: &[&str]) {
    let stream = script.stream.clone();
    let setting = Setting::new(script);
    setting.capture(more).says("the guest changed during its dump").says("is kept in");
    let metadata = setting.incomplete_entry(&stream);
    assert_eq!(metadata.failure.unwrap().stage, "dump");
    assert_eq!(setting.qemu.actions(), ["dump-guest-memory"]);
}

/// The number of `query-status` that a capture asks, the last of them before the release.
fn questions(more: &[&str]) -> usize {
    let setting = Setting::new(Script::default());
    setting.capture(more).expect(0);
    setting.qemu.received("query-status").len()
}

#[test]
fn a_guest_that_another_client_resets_after_its_own_dump_is_not_dumped() {
    // libvirt's coredump-restart does this.
    for meddling in ALL {
        let script = Script { other_dump: 3, ..meddled(When::OtherDumpCompletes, meddling) };
        nothing_is_captured(&Setting::new(script), &["--resume"], &[]);
    }
}

#[test]
fn a_guest_that_changes_between_its_discovery_and_its_dump_is_not_dumped() {
    for meddling in ALL {
        for (command, actions) in
            [("query-name", &[][..]), ("getfd", &[]), ("dump-guest-memory", &["dump-guest-memory"])]
        {
            for action in ["resume", "quit", "reset"] {
                let setting = Setting::new(meddled(When::Before(command, 1), meddling));
                nothing_is_captured(&setting, &["--on-failure", action], actions);
            }
        }
    }
}

#[test]
fn a_guest_that_changes_while_it_is_asked_about_gives_no_whole_core() {
    for meddling in ALL {
        let setting = Setting::new(meddled(When::Before("query-uuid", 1), meddling));
        let ran = setting.capture(&["--quit"]).says("the guest changed during its dump");
        assert!(setting.listing().entries.is_empty(), "{ran:?}");
        // The dump may have been ended before anything of it was in the file.
        assert!(matches!(ran.code, Some(1 | 3)), "{ran:?}");
        assert_eq!(setting.qemu.actions(), ["dump-guest-memory"]);
    }
}

#[test]
fn a_guest_that_changes_as_its_dump_completes_gives_no_whole_core() {
    // The memory may be overwritten before QEMU reports the reset.
    for meddling in ALL {
        for more in [&["--resume"][..], &["--then", "quit", "--on-failure", "reset"]] {
            a_part_is_kept(meddled(When::DumpCompletes, meddling), more);
        }
    }
}

#[test]
fn a_guest_that_changes_while_the_monitor_is_lost_gives_no_whole_core() {
    for meddling in [
        Meddling::Resets,
        Meddling::Restarts,
        Meddling::Resumes,
        Meddling::ResumesAndPauses,
        Meddling::ShutsDown,
    ] {
        let script = meddled(When::Disconnected, meddling);
        a_part_is_kept(Script { dump: DumpPlan::ClientLost(2 * MIB), ..script }, &["--resume"]);
    }
}

#[test]
fn another_panic_while_the_monitor_is_lost_is_recognised_by_its_vcpu() {
    let script = meddled(When::Disconnected, Meddling::PanicsAgain);
    a_part_is_kept(Script { dump: DumpPlan::ClientLostLate(2 * MIB), ..script }, &["--resume"]);
}

#[test]
fn a_guest_that_changes_while_it_is_reported_on_is_not_dumped() {
    for meddling in ALL {
        // Between the last partial dump and the whole one.
        let setting = Setting::new(meddled(When::Before("query-dump", 2), meddling));
        let ran = setting.capture(&["--report-first", "--resume"]).expect(1);
        ran.says("the guest changed before its dump");
        setting.nothing_is_stored();
        assert!(!setting.qemu.actions().contains(&"cont".to_owned()));
    }
}

#[test]
fn a_guest_that_is_not_as_it_was_captured_is_neither_reset_nor_ended() {
    let last = questions(&["--quit"]);
    for (meddling, state) in [
        (Meddling::Resumes, "running"),
        (Meddling::Restarts, "running"),
        (Meddling::Resets, "prelaunch"),
        (Meddling::PanicsAgain, PANICKED),
        (Meddling::ResumesAndPauses, "paused"),
        (Meddling::ShutsDown, "shutdown"),
    ] {
        for action in ["quit", "reset"] {
            let script = meddled(When::Before("query-status", last), meddling);
            let stream = script.stream.clone();
            let setting = Setting::new(script);
            setting
                .capture(&["--then", action])
                .expect(5)
                .says("the guest is not as it was captured")
                .says(&format!("{action} was not ordered"));
            let metadata = setting.whole_entry(&stream);
            let release = metadata.release.unwrap();
            assert_eq!((release.action.as_str(), release.done), (action, false));
            assert_eq!(release.state_before.as_deref(), Some(state));
            assert!(release.error.is_some() && metadata.held_seconds.is_none());
            assert_eq!(setting.qemu.run_state(), state);
            assert_eq!(setting.qemu.actions(), ["dump-guest-memory"]);
        }
    }
}

#[test]
fn a_guest_that_already_runs_is_not_resumed_and_that_is_recorded() {
    let last = questions(&["--hold"]);
    for meddling in [Meddling::Resumes, Meddling::Restarts] {
        let script = meddled(When::Before("query-status", last), meddling);
        let stream = script.stream.clone();
        let setting = Setting::new(script);
        setting.capture(&["--resume"]).expect(0).says("the guest already runs");
        let metadata = setting.whole_entry(&stream);
        assert_eq!(metadata.warnings.len(), 1);
        let release = metadata.release.unwrap();
        assert_eq!((release.action.as_str(), release.done), ("hold", true));
        assert_eq!(release.state_before.as_deref(), Some("running"));
        assert_eq!(metadata.held_seconds, None);
        assert_eq!(setting.qemu.actions(), ["dump-guest-memory"]);
    }
}

#[test]
fn a_guest_that_another_client_left_stopped_is_not_resumed() {
    let last = questions(&["--hold"]);
    for meddling in [Meddling::Resets, Meddling::PanicsAgain, Meddling::ResumesAndPauses] {
        let script = meddled(When::Before("query-status", last), meddling);
        let stream = script.stream.clone();
        let setting = Setting::new(script);
        setting.capture(&["--resume"]).expect(5).says("resume was not ordered");
        setting.whole_entry(&stream);
        assert_eq!(setting.qemu.actions(), ["dump-guest-memory"]);
    }
}

#[test]
fn a_guest_that_changes_while_its_release_waits_for_another_dump_is_left_alone() {
    let last = questions(&["--hold"]);
    for (meddling, code, state) in
        [(Meddling::Resets, 5, "prelaunch"), (Meddling::Restarts, 0, "running")]
    {
        let dumps = (When::Before("query-status", last), Meddling::Dumps(3));
        let meddling = vec![dumps, (When::OtherDumpCompletes, meddling)];
        let script = Script { meddling, ..Script::default() };
        let stream = script.stream.clone();
        let setting = Setting::new(script);
        setting.capture(&["--resume"]).expect(code);
        setting.whole_entry(&stream);
        assert_eq!(setting.qemu.run_state(), state);
    }
}

#[test]
fn a_press_of_the_power_button_changes_no_stopped_guest() {
    for command in ["query-name", "query-uuid"] {
        let script = meddled(When::Before(command, 1), Meddling::PowersDown);
        let stream = script.stream.clone();
        let setting = Setting::new(script);
        setting.capture(&["--resume"]).expect(0).says("warning: ").says("(POWERDOWN)");
        assert_eq!(setting.whole_entry(&stream).warnings.len(), 1);
        assert_eq!(setting.qemu.actions(), ["dump-guest-memory", "cont"]);
    }
}

#[test]
fn a_guest_that_was_stopped_for_its_dump_and_is_resumed_by_another_client_is_not_dumped() {
    let script = meddled(When::Before("query-name", 1), Meddling::Resumes);
    let setting = Setting::new(Script { state: "running", ..script });
    nothing_is_captured(&setting, &["--any-state"], &["stop"]);
    assert_eq!(setting.qemu.run_state(), "running");
}

#[test]
fn a_guest_that_was_stopped_for_its_dump_and_is_reset_by_another_client_runs_on() {
    let script = meddled(When::Before("query-name", 1), Meddling::Resets);
    let setting = Setting::new(Script { state: "running", ..script });
    nothing_is_captured(&setting, &["--any-state"], &["stop", "cont"]);
    assert_eq!(setting.qemu.run_state(), "running");
}

#[test]
fn a_paused_guest_that_is_resumed_by_another_client_is_not_dumped() {
    for state in ["paused", "io-error", "inmigrate", "suspended"] {
        for more in [&["--any-state"][..], &["--any-state", "--on-failure", "quit"]] {
            let script = meddled(When::Before("query-name", 1), Meddling::Resumes);
            let setting = Setting::new(Script { state, ..script });
            nothing_is_captured(&setting, more, &[]);
            assert_eq!(setting.qemu.run_state(), "running");
        }
    }
}

#[test]
fn a_guest_that_another_clients_dump_stopped_is_stopped_once_that_has_ended() {
    let script = meddled(When::OtherDumpCompletes, Meddling::Resumes);
    let script = Script { state: "save-vm", other_dump: 3, ..script };
    let stream = script.stream.clone();
    let setting = Setting::new(script);
    setting.capture(&["--any-state"]).expect(0);
    let metadata = setting.whole_entry(&stream);
    assert_eq!(metadata.state_found.as_deref(), Some("save-vm"));
    assert_eq!(metadata.request.then, "resume");
    assert_eq!(setting.qemu.run_state(), "running");
    assert_eq!(setting.qemu.actions(), ["stop", "dump-guest-memory", "cont"]);
}

#[test]
fn a_panic_that_another_client_ends_before_it_is_captured_is_nothing_to_capture() {
    for meddling in [Meddling::Resets, Meddling::Restarts, Meddling::Resumes] {
        let script = meddled(When::Before("query-status", 2), meddling);
        let setting = Setting::new(Script { state: "running", ..script });
        let child = setting.start(&["--wait", "--quit"]);
        setting.qemu.await_command("query-status");
        setting
            .qemu
            .panic_guest(&[("GUEST_PANICKED", serde_json::json!({ "action": "pause" }))], PANICKED);
        finish(child)
            .expect(4)
            .says("the guest panicked, and is not held any more: another client");
        setting.nothing_is_stored();
        assert_eq!(setting.qemu.actions(), ["set-action"]);
    }
}

#[test]
fn a_guest_of_which_the_state_is_not_known_is_neither_reset_nor_ended() {
    for action in ["quit", "reset"] {
        let delay = ["stop"].into();
        let setting = Setting::new(Script { state: "running", delay, ..Script::default() });
        setting
            .capture(&["--any-state", "--timeout", "500ms", "--on-failure", action])
            .expect(5)
            .says(&format!("{action} was not ordered"))
            .says("its state is unknown");
        setting.qemu.answer_all();
        setting.qemu.await_no_client();
        assert_eq!(setting.qemu.actions(), ["stop"]);
    }
}

#[test]
fn a_change_is_part_of_the_printed_metadata() {
    let setting = Setting::new(meddled(When::Before("getfd", 1), Meddling::Restarts));
    let metadata = printed_by(&setting.capture(&["--json"]).expect(1));
    assert_eq!(metadata.result, CaptureResult::Incomplete);
    let failure = metadata.failure.unwrap();
    assert!(failure.message.contains("(RESET)"), "{failure:?}");
}

#[test]
fn a_report_waits_for_another_clients_dump_within_its_own_limit() {
    // A quarter of the longest hold: 35 looks at another dump, each 100 ms after the one before,
    // take longer.
    let script = Script { other_dump: 35, ..Script::default() };
    let stream = script.stream.clone();
    let setting = Setting::new(script);
    let ran = setting.capture(&[
        "--report-first",
        "--max-hold",
        "9s",
        "--on-failure",
        "resume",
        "--resume",
        "--verbose",
    ]);
    let ran = ran.expect(0).says("no report before the dump: another dump of this guest");
    assert!(!ran.stderr.contains("within 0.0ns") && !ran.stderr.contains("getfd"), "{ran:?}");
    setting.whole_entry(&stream);
    // The report gives up, and the capture goes on waiting for the other dump.
    let commands = setting.qemu.commands();
    let begins = commands.iter().position(|name| name == "closefd").unwrap();
    let (report, capture) = commands.split_at(begins);
    for part in [report, capture] {
        assert!(part.iter().any(|name| name == "query-dump"), "{commands:?}");
    }
}
