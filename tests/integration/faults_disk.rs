//! Stores that are full, become full, or cannot be written.

use std::path::Path;
use std::sync::Arc;

use crate::core_stream::{CoreStream, MIB};
use crate::scripted_qemu::{PANICKED, Script, ScriptedQemu};
use crate::setting::{Setting, finish, unpack};
use crate::tmpfs::Tmpfs;

/// A guest with 6 MiB that do not compress.
fn large() -> Script {
    Script { stream: Arc::new(CoreStream::of_guest(22)), ..Script::default() }
}

/// The guest is held, and nothing was done to it but a dump, if that.
#[track_caller]
fn is_as_it_was(qemu: &ScriptedQemu, actions: &[&str]) {
    assert_eq!(qemu.run_state(), PANICKED);
    assert_eq!(qemu.actions(), actions);
    assert!(!qemu.keeps_descriptors());
}

#[test]
fn a_disk_that_becomes_full_fails_the_capture_and_is_left_empty() {
    let Some(disk) = Tmpfs::of_size(4 * MIB) else { return };
    let setting = Setting::with_store(large(), disk.path());
    setting
        .capture(&["--resume"])
        .expect(1)
        .says("cannot write the core: No space left on device")
        .says("free some space, or choose another place");
    setting.nothing_is_stored();
    is_as_it_was(&setting.qemu, &["dump-guest-memory"]);
}

#[test]
fn a_disk_that_becomes_full_keeps_what_fits_if_the_guest_goes() {
    let Some(disk) = Tmpfs::of_size(4 * MIB) else { return };
    let script = large();
    let stream = script.stream.clone();
    let setting = Setting::with_store(script, disk.path());
    setting
        .capture(&["--on-failure", "resume"])
        .expect(6)
        .says("No space left on device")
        .says("is kept in");
    let metadata = setting.incomplete_entry(&stream);
    assert!(metadata.failure.unwrap().message.contains("No space left on device"));
    // The room for its end was taken from the newest chunks.
    let core = setting.listing().incomplete[0].join("vmcore.elf.zst");
    let memory = stream.check_memory_of(&unpack(&core));
    assert!((MIB..stream.memory_bytes()).contains(&memory), "{memory} bytes of memory");
    assert_eq!(setting.qemu.run_state(), "running");
    assert_eq!(setting.qemu.actions(), ["dump-guest-memory", "cont"]);
}

#[test]
fn a_disk_with_exactly_no_room_for_the_end_is_not_found_out_after_the_release() {
    // The frames of the default guest take 2 MiB and a little.
    let Some(disk) = Tmpfs::of_size(2 * MIB + (160 << 10)) else { return };
    let setting = Setting::with_store(Script::default(), disk.path());
    setting.capture(&["--resume"]).expect(1).says("cannot write the core");
    setting.nothing_is_stored();
    is_as_it_was(&setting.qemu, &["dump-guest-memory"]);
}

#[test]
fn a_core_that_will_not_fit_is_refused_before_the_dump() {
    let Some(disk) = Tmpfs::of_size(8 * MIB) else { return };
    let script = Script { memory_bytes: Some(64 << 30), ..Script::default() };
    let setting = Setting::with_store(script, disk.path());
    setting
        .capture(&["--resume"])
        .expect(1)
        .says("about 10.67 GiB are needed in")
        .says("8.00 MiB are free")
        .says("--keep-free SIZE");
    setting.nothing_is_stored();
    is_as_it_was(&setting.qemu, &[]);
}

#[test]
fn space_that_is_to_stay_free_is_not_used() {
    let Some(disk) = Tmpfs::of_size(8 * MIB) else { return };
    let setting = Setting::with_store(Script::default(), disk.path());
    setting
        .capture(&["--resume", "--keep-free", "1T"])
        .expect(1)
        .says("1.00 TiB of them are to be kept free");
    setting.nothing_is_stored();
    is_as_it_was(&setting.qemu, &[]);
}

#[test]
fn what_was_to_stay_free_is_free_after_a_capture_that_needed_more() {
    let Some(disk) = Tmpfs::of_size(9 * MIB) else { return };
    let setting = Setting::with_store(large(), disk.path());
    setting
        .capture(&["--resume", "--keep-free", "4MiB"])
        .expect(1)
        .says("and 4.00 MiB are to be kept free");
    setting.nothing_is_stored();
    is_as_it_was(&setting.qemu, &["dump-guest-memory"]);
}

#[test]
fn a_guest_that_may_not_fit_is_captured_with_a_warning() {
    let Some(disk) = Tmpfs::of_size(8 * MIB) else { return };
    let script = Script { memory_bytes: Some(16 * MIB as u64), ..Script::default() };
    let stream = script.stream.clone();
    let setting = Setting::with_store(script, disk.path());
    setting.capture(&["--resume"]).expect(0).says("warning: space may not suffice");
    assert_eq!(setting.whole_entry(&stream).warnings.len(), 1);
    assert_eq!(setting.qemu.run_state(), "running");
}

#[test]
fn a_store_that_cannot_be_written_is_reported_before_the_dump() {
    let Some(disk) = Tmpfs::of_size(8 * MIB) else { return };
    disk.make_read_only();
    let setting = Setting::with_store(Script::default(), disk.path());
    setting.capture(&["--resume"]).expect(1).says("Read-only file system");
    setting.nothing_is_stored();
    is_as_it_was(&setting.qemu, &[]);
}

#[test]
fn a_store_below_a_file_is_reported_before_the_dump() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let setting = Setting::with_store(Script::default(), &file.path().join("store"));
    setting
        .capture(&["--resume"])
        .expect(1)
        .says("cannot create the directory")
        .says("Not a directory");
    is_as_it_was(&setting.qemu, &[]);
    assert!(file.path().is_file());
}

#[test]
fn a_file_in_no_directory_is_reported_before_the_dump() {
    let setting = Setting::new(Script::default());
    let path = Path::new("/nonexistent/core.zst");
    setting
        .capture(&["--resume", "--output", path.to_str().unwrap()])
        .expect(1)
        .says("cannot create /nonexistent/core.zst");
    is_as_it_was(&setting.qemu, &[]);
}

#[test]
fn a_disk_that_is_filled_during_the_release_takes_no_core() {
    let Some(disk) = Tmpfs::of_size(8 * MIB) else { return };
    let script = Script { delay: ["cont"].into(), ..Script::default() };
    let stream = script.stream.clone();
    let setting = Setting::with_store(script, disk.path());
    let capture = setting.start(&["--resume"]);
    setting.qemu.await_command("cont");
    // All is in the file, and the room for its end is reserved.
    let filled = std::fs::write(disk.path().join("filler"), vec![1; 16 * MIB]);
    assert_eq!(filled.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    setting.qemu.answer_all();
    finish(capture).expect(0);
    std::fs::remove_file(disk.path().join("filler")).unwrap();
    setting.whole_entry(&stream);
    assert_eq!(setting.qemu.run_state(), "running");
}
