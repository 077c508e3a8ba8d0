//! Dumps that QEMU refuses, or that do not come as they should.

use std::collections::BTreeMap;
use std::sync::Arc;

use vmcorectl::metadata::Metadata;

use crate::core_stream::{CoreStream, MIB};
use crate::scripted_qemu::{DumpPlan, Meddling, PANICKED, Script, When};
use crate::setting::{Setting, printed_by};
use crate::tool::Ran;

fn plan(dump: DumpPlan) -> Script {
    Script { dump, ..Script::default() }
}

fn refusal(command: &'static str, text: &'static str) -> Script {
    let refuse = BTreeMap::from([(command, ("GenericError", text))]);
    Script { refuse, ..Script::default() }
}

/// A capture fails, and everything is as it was: the guest held, the store empty.
#[track_caller]
fn fails_and_leaves_all_as_it_was(setting: &Setting, more: &[&str], says: &str) -> Ran {
    let ran = setting.capture(more).expect(1).says(says);
    setting.nothing_is_stored();
    assert_eq!(setting.qemu.run_state(), PANICKED);
    assert!(!setting.qemu.actions().contains(&"cont".to_owned()));
    assert!(!setting.qemu.keeps_descriptors(), "QEMU keeps the pipe");
    ran
}

/// A capture works, and the guest is let go.
#[track_caller]
fn works(script: Script) -> (Ran, Metadata) {
    let stream = script.stream.clone();
    let setting = Setting::new(script);
    let ran = setting.capture(&["--resume", "--timeout", "20s"]).expect(0);
    let metadata = setting.whole_entry(&stream);
    assert_eq!(setting.qemu.run_state(), "running");
    assert_eq!(setting.qemu.actions(), ["dump-guest-memory", "cont"]);
    (ran, metadata)
}

#[test]
fn a_refused_descriptor_is_reported_in_the_words_of_qemu() {
    let setting = Setting::new(refusal("getfd", "No file descriptor supplied via SCM_RIGHTS"));
    let says = "QEMU refused getfd: GenericError: No file descriptor supplied via SCM_RIGHTS";
    fails_and_leaves_all_as_it_was(&setting, &["--resume"], says);
    assert!(setting.qemu.actions().is_empty());
}

#[test]
fn a_refused_dump_leaves_no_descriptor_in_qemu() {
    let text = "dumping guest memory is not supported on this target";
    let setting = Setting::new(refusal("dump-guest-memory", text));
    let says = format!("QEMU refused dump-guest-memory: GenericError: {text}");
    fails_and_leaves_all_as_it_was(&setting, &["--resume"], &says);
    assert_eq!(setting.qemu.received("getfd").len(), 1);
}

#[test]
fn a_failed_dump_is_described_in_json() {
    let setting = Setting::new(plan(DumpPlan::Fails(2 * MIB, "Bad address")));
    let says = "QEMU's dump failed: dump: failed to save memory: Bad address";
    let ran = fails_and_leaves_all_as_it_was(&setting, &["--json"], says);
    let failure = printed_by(&ran).failure.expect("a failure");
    assert_eq!(failure.stage, "dump");
    let qemu = failure.qemu_error.expect("QEMU's words");
    assert_eq!(qemu.description, "dump: failed to save memory: Bad address");
}

#[test]
fn a_short_dump_that_qemu_calls_complete_is_none() {
    for at in [3 * MIB, 100] {
        let setting = Setting::new(plan(DumpPlan::Short(at)));
        let says = format!("the dump ended short: {at} bytes came");
        fails_and_leaves_all_as_it_was(&setting, &["--resume"], &says);
    }
}

#[test]
fn a_dump_of_no_bytes_is_none() {
    let setting = Setting::new(plan(DumpPlan::Short(0)));
    fails_and_leaves_all_as_it_was(&setting, &[], "the dump ended short: 0 bytes came");
}

#[test]
fn a_dump_with_more_than_was_promised_is_none() {
    let setting = Setting::new(plan(DumpPlan::Long(5000)));
    let says = "the dump is longer than it should be";
    fails_and_leaves_all_as_it_was(&setting, &["--resume"], says);
}

#[test]
fn what_is_no_elf_file_is_none() {
    let setting = Setting::new(plan(DumpPlan::Junk(3 * MIB)));
    let says = "the dump cannot be understood: the dump does not begin with an ELF header";
    fails_and_leaves_all_as_it_was(&setting, &["--resume"], says);
}

#[test]
fn an_event_before_the_last_bytes_ends_nothing() {
    works(plan(DumpPlan::CompletedEarly(3 * MIB)));
}

#[test]
fn the_late_report_on_an_earlier_dump_ends_nothing() {
    // A partial dump for a report that took too long ends when the dump has begun.
    for command in ["dump-guest-memory", "query-uuid"] {
        let meddling = vec![(When::Before(command, 1), Meddling::FailsAnEarlierDump)];
        works(Script { meddling, ..Script::default() });
    }
}

#[test]
fn a_lost_event_is_asked_for() {
    works(plan(DumpPlan::EventLost));
}

#[test]
fn a_qemu_without_detach_dumps_while_its_monitor_is_silent() {
    let (_, metadata) = works(Script { version: (2, 5, 0), ..Script::default() });
    // Neither command is known to it.
    assert_eq!((metadata.guest.cpus, metadata.guest.memory_bytes), (None, None));
    assert_eq!(metadata.guest.qemu_version.as_deref(), Some("2.5.0"));
}

#[test]
fn a_failed_dump_without_detach_is_reported() {
    let dump = DumpPlan::Fails(2 * MIB, "Bad address");
    let setting = Setting::new(Script { version: (2, 5, 0), dump, ..Script::default() });
    let says = "dump: failed to save memory: Bad address";
    fails_and_leaves_all_as_it_was(&setting, &["--resume"], says);
}

#[test]
fn another_clients_dump_is_waited_for() {
    works(Script { other_dump: 3, ..Script::default() });
}

#[test]
fn another_clients_dump_that_does_not_end_is_reported() {
    let setting = Setting::new(Script { other_dump: u32::MAX, ..Script::default() });
    let says = "another dump of this guest is under way, and did not end within";
    fails_and_leaves_all_as_it_was(&setting, &["--resume", "--timeout", "1s"], says);
    assert!(setting.qemu.actions().is_empty());
}

#[test]
fn a_dump_that_stops_coming_is_given_up() {
    let setting = Setting::new(plan(DumpPlan::Stalls(2 * MIB)));
    let says = "QEMU sent no more of the dump for";
    fails_and_leaves_all_as_it_was(&setting, &["--resume", "--timeout", "1s"], says);
    setting.qemu.await_dump("failed");
}

#[test]
fn a_dump_that_stops_in_its_head_is_given_up() {
    let setting = Setting::new(plan(DumpPlan::Stalls(40)));
    fails_and_leaves_all_as_it_was(&setting, &["--timeout", "1s"], "after 40 bytes");
}

#[test]
fn a_guest_that_is_reset_by_another_client_meanwhile_gives_no_whole_core() {
    let script = Script { dump: DumpPlan::ResetMeanwhile(3 * MIB), ..Script::default() };
    let stream = script.stream.clone();
    let setting = Setting::new(script);
    setting
        .capture(&["--resume"])
        .expect(3)
        .says("the guest changed during its dump: another client reset it (RESET)")
        .says("is kept in");
    setting.incomplete_entry(&stream);
    assert_eq!(setting.qemu.actions(), ["dump-guest-memory"], "nothing was done to it");
}

#[test]
fn notes_that_contradict_their_headers_are_warned_of() {
    let mut stream = CoreStream::of_guest(6);
    let name = stream.bytes.windows(11).position(|bytes| bytes == b"VMCOREINFO\0").unwrap();
    // The length of its descriptor, behind that of its name.
    stream.bytes[name - 8..name - 4].copy_from_slice(&0xffff_u32.to_le_bytes());
    let (ran, metadata) = works(Script { stream: Arc::new(stream), ..Script::default() });
    ran.says("warning: the sizes of QEMU's notes contradict its headers");
    assert_eq!(metadata.warnings.len(), 1);
    assert_eq!(metadata.core.unwrap().vmcoreinfo, Some(false));
}

#[test]
fn sections_behind_the_memory_are_warned_of() {
    let mut stream = CoreStream::of_guest(6);
    // e_shstrndx: the section behind the memory is no table of strings any more.
    stream.bytes[62..64].copy_from_slice(&[0, 0]);
    let (ran, metadata) = works(Script { stream: Arc::new(stream), ..Script::default() });
    ran.says("warning: QEMU dumped 11 bytes in sections behind the memory");
    assert_eq!(metadata.warnings.len(), 1);
}
