//! A store on a disk that hangs. The program itself may have to wait for it, but
//! the guest has not.

use std::time::Duration;

use rustix::process::Signal;
use vmcorectl::metadata::CaptureResult;

use crate::frozen_disk::FreezableDisk;
use crate::scripted_qemu::{PANICKED, Script};
use crate::setting::{Setting, finish, signal};
use crate::tool::metadata_of;

#[test]
fn the_hold_ends_in_time_if_the_store_hangs_from_the_beginning() {
    let Some(disk) = FreezableDisk::new() else { return };
    let setting = Setting::with_store(Script::default(), &disk.path().join("store"));
    disk.freeze();
    let capture = setting.start(&["--max-hold", "1s", "--on-failure", "resume"]);
    setting.qemu.await_command("cont");
    assert_eq!(setting.qemu.actions(), ["cont"], "no dump was begun");
    disk.thaw();
    finish(capture).expect(6).says("the longest hold of 1.0s was reached");
    assert_eq!(setting.qemu.run_state(), "running");
    assert!(setting.listing().entries.is_empty());
}

#[test]
fn the_hold_ends_in_time_if_the_store_hangs_during_the_dump() {
    let Some(disk) = FreezableDisk::new() else { return };
    let script = Script { delay: ["getfd"].into(), ..Script::default() };
    let stream = script.stream.clone();
    let setting = Setting::with_store(script, &disk.path().join("store"));
    let capture = setting.start(&["--max-hold", "2s", "--then", "resume"]);
    setting.qemu.await_command("getfd");
    disk.freeze();
    setting.qemu.answer_all();
    setting.qemu.await_command("cont");
    disk.thaw();
    // All of it was in memory when the hold was up, and could be written later.
    finish(capture).expect(0);
    setting.whole_entry(&stream);
    assert_eq!(setting.qemu.run_state(), "running");
}

#[test]
fn a_guest_that_would_stay_after_a_good_dump_goes_when_the_limit_comes_before_the_disk() {
    let Some(disk) = FreezableDisk::new() else { return };
    let script = Script { delay: ["getfd"].into(), ..Script::default() };
    let setting = Setting::with_store(script, &disk.path().join("store"));
    let capture = setting.start(&["--max-hold", "2s", "--on-failure", "resume"]);
    setting.qemu.await_command("getfd");
    disk.freeze();
    setting.qemu.answer_all();
    setting.qemu.await_command("cont");
    disk.thaw();
    finish(capture).expect(3).says("the longest hold of 2.0s was reached");
    assert_eq!(setting.qemu.run_state(), "running");
    assert!(setting.listing().entries.is_empty());
}

#[test]
fn a_store_that_hangs_fails_the_dump_and_the_guest_stays_held() {
    let Some(disk) = FreezableDisk::new() else { return };
    let script = Script { delay: ["getfd"].into(), ..Script::default() };
    let setting = Setting::with_store(script, &disk.path().join("store"));
    let capture = setting.start(&["--timeout", "500ms"]);
    setting.qemu.await_command("getfd");
    disk.freeze();
    setting.qemu.answer_all();
    // The state is asked for when the program is done with the dump.
    setting.qemu.await_commands("query-status", 3);
    disk.thaw();
    finish(capture).expect(1).says("did nothing for");
    setting.nothing_is_stored();
    assert_eq!(setting.qemu.run_state(), PANICKED);
}

#[test]
fn a_signal_while_waiting_for_the_disk_is_reported_and_recorded() {
    let Some(disk) = FreezableDisk::new() else { return };
    let script = Script { delay: ["getfd"].into(), ..Script::default() };
    let setting = Setting::with_store(script, &disk.path().join("store"));
    let capture = setting.start(&["--max-hold", "2s", "--then", "resume"]);
    setting.qemu.await_command("getfd");
    disk.freeze();
    setting.qemu.answer_all();
    setting.qemu.await_run_state("running");
    signal(&capture, Signal::TERM);
    // The program looks for it each millisecond once the guest was watched.
    std::thread::sleep(Duration::from_secs(1));
    disk.thaw();
    finish(capture).expect(3).says("error: interrupted by SIGTERM before").says("is kept in");
    let listing = setting.listing();
    assert_eq!((listing.entries.len(), listing.incomplete.len()), (0, 1), "{listing:?}");
    let metadata = metadata_of(&listing.incomplete[0]);
    assert_eq!(metadata.result, CaptureResult::Incomplete);
    assert!(metadata.failure.unwrap().message.contains("SIGTERM"));
    assert!(metadata.release.unwrap().done && metadata.core.is_none());
}

#[test]
fn a_disk_that_never_comes_back_is_not_waited_for_without_end_and_the_part_is_reported() {
    let Some(disk) = FreezableDisk::new() else { return };
    let script = Script { delay: ["getfd"].into(), ..Script::default() };
    let setting = Setting::with_store(script, &disk.path().join("store"));
    let more = ["--timeout", "500ms", "--then", "resume", "--on-failure", "resume"];
    let capture = setting.start(&more);
    setting.qemu.await_command("getfd");
    disk.freeze();
    setting.qemu.answer_all();
    setting.qemu.await_run_state("running");
    std::thread::sleep(Duration::from_secs(8));
    disk.thaw();
    finish(capture).expect(6).says("did nothing for").says("is kept in");
    let listing = setting.listing();
    assert_eq!((listing.entries.len(), listing.incomplete.len()), (0, 1), "{listing:?}");
}
