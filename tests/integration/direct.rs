//! A guest whose memory is read in QEMU's process, by a QEMU that is the test itself.

use vmcorectl::metadata::{CaptureResult, MemorySource, Metadata, SourceUsed};

use crate::core_stream::MIB;
use crate::leave_out::leave_out;
use crate::script::{DirectPlan, DumpPlan, Meddling, When};
use crate::scripted_qemu::{PANICKED, Script};
use crate::setting::Setting;

fn script(plan: DirectPlan) -> Script {
    Script { direct: Some(plan), ..Script::default() }
}

/// Whether the program may read the memory of its parent.
fn may_read() -> bool {
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope");
    let free = scope.map_or(true, |scope| scope.trim() == "0");
    free || rustix::process::geteuid().is_root()
        || !leave_out("left out: Yama lets no process read its parent's memory")
}

/// The metadata of the guest's only entry, which is whole.
#[track_caller]
fn captured(script: &Script, more: &[&str]) -> Metadata {
    let setting = Setting::new(script.clone());
    setting.capture(more).expect(0);
    setting.whole_entry(&script.stream)
}

#[track_caller]
fn reason_for_stream(plan: DirectPlan) -> String {
    let source = captured(&script(plan), &[]).source.unwrap();
    assert_eq!(source.used, SourceUsed::Stream, "{plan:?}: {source:?}");
    source.reason.unwrap_or_else(|| panic!("{plan:?}: no reason"))
}

#[test]
fn memory_is_read_without_a_whole_dump() {
    if !may_read() {
        return;
    }
    for more in [&[][..], &["--resume"], &["--resume", "--spool", "0"]] {
        let script = script(DirectPlan::Works);
        let setting = Setting::new(script.clone());
        setting.capture(more).expect(0);
        let metadata = setting.whole_entry(&script.stream);
        let direct = MemorySource { used: SourceUsed::Direct, reason: None };
        assert_eq!(metadata.source, Some(direct));
        assert!(!setting.qemu.keeps_descriptors());
        // The head, and pages: nothing that is detached.
        let dumps = setting.qemu.received("dump-guest-memory");
        assert!(dumps.iter().all(|dump| dump["detach"] != true), "{dumps:?}");
        assert_eq!(dumps.iter().filter(|dump| dump["begin"].is_null()).count(), 1);
    }
}

#[test]
fn the_same_core_comes_both_ways() {
    if !may_read() {
        return;
    }
    let script = script(DirectPlan::Works);
    let [direct, stream] = ["direct", "stream"]
        .map(|source| captured(&script, &["--source", source]).core.unwrap().chunks_sha256);
    assert_eq!(direct, stream);
}

#[test]
fn the_stream_is_taken_where_that_was_asked_for() {
    let setting = Setting::new(script(DirectPlan::Works));
    setting.capture(&["--source", "stream"]).expect(0);
    let metadata = setting.whole_entry(&script(DirectPlan::Works).stream);
    let stream = MemorySource { used: SourceUsed::Stream, reason: None };
    assert_eq!(metadata.source, Some(stream));
    assert!(!setting.qemu.commands().contains(&"human-monitor-command".to_owned()));
}

#[test]
fn a_doubt_ends_in_the_stream() {
    let because = |plan, says: &str| {
        let reason = reason_for_stream(plan);
        assert!(reason.contains(says), "{plan:?}: {reason}");
    };
    because(DirectPlan::OtherText, "is not understood");
    because(DirectPlan::NotTranslated, "QEMU translates guest address");
    if !may_read() {
        return;
    }
    because(DirectPlan::Shifted, "is not what QEMU gives");
    because(DirectPlan::Apart, "in one piece");
    because(DirectPlan::Nowhere, "may not be read");
    because(DirectPlan::Lacking, "QEMU's memory map does not");
    because(DirectPlan::Moves, "changed while it was read");
    because(DirectPlan::Changes, "is not what QEMU gives");
}

#[test]
fn a_warning_says_why_what_was_asked_for_is_not_done() {
    let setting = Setting::new(script(DirectPlan::OtherText));
    setting.capture(&["--source", "direct"]).expect(0).says("comes through QEMU's dump");
    assert_eq!(setting.whole_entry(&Script::default().stream).warnings.len(), 1);
}

#[test]
fn a_dump_that_follows_a_doubt_may_fail_as_any_other() {
    let failing =
        Script { dump: DumpPlan::Fails(3 * MIB, "Bad address"), ..script(DirectPlan::OtherText) };
    let setting = Setting::new(failing);
    setting.capture(&[]).expect(1).says("Bad address");
    setting.nothing_is_stored();
}

#[test]
fn a_guest_that_another_client_changes_meanwhile_gives_no_whole_core() {
    if !may_read() {
        return;
    }
    for meddling in
        [Meddling::Resets, Meddling::Resumes, Meddling::PanicsAgain, Meddling::ShutsDown]
    {
        // While it is read, and when its map and pages are compared afterwards.
        for when in [When::Before("query-uuid", 1), When::Before("human-monitor-command", 7)] {
            let script = Script { meddling: vec![(when, meddling)], ..script(DirectPlan::Works) };
            let setting = Setting::new(script);
            let ran = setting.capture(&["--quit"]).says("the guest changed during its dump");
            assert!(setting.listing().entries.is_empty(), "{when:?}: {ran:?}");
            assert!(!setting.qemu.actions().contains(&"quit".to_owned()), "{when:?}: {ran:?}");
        }
    }
}

#[test]
fn a_guest_that_changes_before_it_is_read_is_left_alone() {
    if !may_read() {
        return;
    }
    let when = When::Before("human-monitor-command", 2);
    let script = Script { meddling: vec![(when, Meddling::Resets)], ..script(DirectPlan::Works) };
    let setting = Setting::new(script);
    setting.capture(&["--resume"]).expect(1).says("the guest changed before its dump");
    setting.nothing_is_stored();
    assert_ne!(setting.qemu.run_state(), PANICKED);
}

#[test]
fn a_qemu_that_ends_meanwhile_gives_no_whole_core() {
    if !may_read() {
        return;
    }
    let script = script(DirectPlan::Ends);
    let setting = Setting::new(script.clone());
    setting.capture(&["--resume"]).expect(3).says("QEMU ended during the dump");
    let metadata = setting.incomplete_entry(&script.stream);
    assert_eq!(metadata.result, CaptureResult::Incomplete);
}
