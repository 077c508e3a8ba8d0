//! What was read is compressed and written after the guest's release.
//!
//! At level 19, one thread has work for seconds when all of this guest has been read.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rustix::process::Signal;
use vmcorectl::metadata::CaptureResult;

use crate::core_stream::{CoreStream, MIB};
use crate::scripted_qemu::{PANICKED, Script};
use crate::setting::{Setting, finish, signal};
use crate::tmpfs::Tmpfs;
use crate::tool::{Ran, metadata_of, start_through};

const SLOW: [&str; 5] = ["--level", "19", "--threads", "1", "--resume"];

/// A guest with 6 MiB that do not compress.
fn large() -> Script {
    Script { stream: Arc::new(CoreStream::of_guest(22)), ..Script::default() }
}

/// Captures a guest, with a disk that refuses all of a file beyond this size, although
/// there is room for them.
fn capture_within(setting: &Setting, bytes: usize, more: &[&str]) -> Ran {
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", bytes / 512);
    finish(start_through(&["sh", "-c", &script, "sh"], setting.arguments(more)))
}

#[test]
fn a_disk_that_fails_after_the_release_leaves_an_incomplete_entry() {
    let script = large();
    let stream = script.stream.clone();
    let setting = Setting::new(script);
    let ran = capture_within(&setting, 4 * MIB, &SLOW);
    ran.expect(3).says("cannot write the core: File too large").says("is kept in");
    let metadata = setting.incomplete_entry(&stream);
    assert!(metadata.release.unwrap().done);
    assert!(metadata.failure.unwrap().message.contains("File too large"));
    assert_eq!(setting.qemu.run_state(), "running");
    assert_eq!(setting.qemu.actions(), ["dump-guest-memory", "cont"]);
}

#[test]
fn without_a_spool_the_guest_waits_until_the_file_has_all() {
    let setting = Setting::new(large());
    let ran = capture_within(&setting, 4 * MIB, &[&SLOW[..], &["--spool", "0"]].concat());
    ran.expect(1).says("cannot write the core: File too large");
    setting.nothing_is_stored();
    assert_eq!(setting.qemu.run_state(), PANICKED);
    assert_eq!(setting.qemu.actions(), ["dump-guest-memory"]);
}

#[test]
fn a_guest_that_stays_is_dumped_when_the_file_has_all() {
    let setting = Setting::new(large());
    let ran = capture_within(&setting, 4 * MIB, &["--level", "19", "--threads", "1"]);
    ran.expect(1).says("cannot write the core: File too large");
    setting.nothing_is_stored();
    assert_eq!(setting.qemu.run_state(), PANICKED);
}

#[test]
fn a_signal_after_the_release_has_what_is_in_memory_written_at_once() {
    for number in [Signal::TERM, Signal::INT] {
        let script = large();
        let stream = script.stream.clone();
        let setting = Setting::new(script);
        let capture = setting.start(&SLOW);
        setting.qemu.await_run_state("running");
        signal(&capture, number);
        finish(capture).expect(0);
        assert_eq!(setting.whole_entry(&stream).result, CaptureResult::Complete);
    }
}

#[test]
fn what_is_killed_after_the_release_is_an_interrupted_capture() {
    let setting = Setting::new(large());
    let capture = setting.start(&SLOW);
    setting.qemu.await_run_state("running");
    signal(&capture, Signal::KILL);
    assert_eq!(finish(capture).code, None);
    let left = setting.listing();
    assert_eq!((left.entries.len(), left.incomplete.len()), (0, 1), "{left:?}");
    assert_eq!(metadata_of(&left.incomplete[0]).result, CaptureResult::Capturing);
    // It hinders no other.
    setting.capture(&["--any-state"]).expect(0);
}

/// More than its spool takes, at a level that takes twenty times as long as reading: most
/// chunks are stored in haste, whatever else the machine does.
const SMALL_SPOOL: [&str; 7] = ["--spool", "16M", "--level", "16", "--threads", "1", "--resume"];

/// A guest with 225 chunks, of which a third of the bytes do not compress.
fn larger_than_its_spool() -> Script {
    Script { stream: Arc::new(CoreStream::of_guest(300)), ..Script::default() }
}

/// How long the core would be if the guest had waited for it.
fn length_without_haste(setting: &Setting) -> u64 {
    let core = setting.store.with_file_name("waited-for.zst");
    let output = core.to_str().unwrap();
    let ran = setting.capture(&["--any-state", "--level", "16", "--output", output]);
    ran.expect(0);
    core.metadata().unwrap().len()
}

fn verify(entry: &Path) {
    let ran = crate::tool::run(["verify".as_ref(), entry.as_os_str()]);
    ran.expect(0);
}

#[test]
fn what_was_stored_in_haste_is_compressed_after_the_report() {
    let script = larger_than_its_spool();
    let stream = script.stream.clone();
    let setting = Setting::new(script);
    let ran = setting.capture(&[&SMALL_SPOOL[..], &["--verbose"]].concat()).expect(0);
    assert!(ran.stderr.contains("chunks that were stored in haste"), "{ran:?}");
    assert!(ran.stderr.contains("the core is as small as it gets"), "{ran:?}");
    setting.whole_entry(&stream);
    let entry = setting.listing().entries[0].clone();
    assert!(entry.join("report.json").exists());
    verify(&entry);
    let length = entry.join("vmcore.elf.zst").metadata().unwrap().len();
    let waited = length_without_haste(&setting);
    assert!(length.abs_diff(waited) < waited / 100, "{length} and {waited}");
}

/// Whether the entry is published, and its core is being compressed again beside it. Only names
/// are looked at: files come and go with each rename.
fn is_compressed_again(setting: &Setting) -> bool {
    let guests = std::fs::read_dir(&setting.store).into_iter().flatten().flatten();
    let entries = guests.flat_map(|guest| std::fs::read_dir(guest.path()).into_iter().flatten());
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let (incomplete, entries): (Vec<_>, Vec<_>) =
        names.partition(|name| name.ends_with(".incomplete"));
    !incomplete.is_empty() && !entries.is_empty()
}

#[test]
fn a_compression_that_is_killed_leaves_the_entry_whole() {
    let script = larger_than_its_spool();
    let stream = script.stream.clone();
    let setting = Setting::new(script);
    let mut capture = setting.start(&SMALL_SPOOL);
    while !is_compressed_again(&setting) {
        assert_eq!(capture.try_wait().unwrap(), None, "nothing was stored in haste");
    }
    signal(&capture, Signal::KILL);
    assert_eq!(finish(capture).code, None);
    let listing = setting.listing();
    crate::setting::check_whole(&listing.entries[0], &stream);
    verify(&listing.entries[0]);
    assert_eq!((listing.entries.len(), listing.incomplete.len()), (1, 1));
}

/// Takes all of a file system but 4 MiB, also what becomes free, until it is dropped.
struct Filler {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Filler {
    fn start(folder: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (mut file, stopped) =
            (File::create(folder.join("ballast")).unwrap(), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let space = rustix::fs::fstatvfs(&file).unwrap();
                if space.f_bavail * space.f_frsize > 4 << 20 {
                    file.write_all(&[1; 256 << 10]).unwrap();
                } else {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.thread.take().map(JoinHandle::join));
    }
}

#[test]
fn a_compression_without_space_leaves_the_entry_whole() {
    // Room for a core of which nothing is compressed.
    let Some(disk) = Tmpfs::of_size(240 * MIB) else { return };
    let script = larger_than_its_spool();
    let stream = script.stream.clone();
    let setting = Setting::with_store(script, disk.path());
    let capture = setting.start(&SMALL_SPOOL);
    // The first core has its room by then; a second one gets none.
    setting.qemu.await_run_state("running");
    let filler = Filler::start(disk.path());
    let ran = finish(capture).expect(0);
    drop(filler);
    assert!(ran.stderr.contains("warning: the core is larger than it need be"), "{ran:?}");
    std::fs::remove_file(disk.path().join("ballast")).unwrap();
    setting.whole_entry(&stream);
    verify(&setting.listing().entries[0]);
}

#[test]
fn haste_does_not_fill_a_disk_on_which_the_core_fits() {
    // All of it is 225 MiB with what does not compress, and 80 MiB when it is compressed.
    let Some(disk) = Tmpfs::of_size(120 * MIB) else { return };
    let script = larger_than_its_spool();
    let stream = script.stream.clone();
    let setting = Setting::with_store(script, disk.path());
    setting.capture(&SMALL_SPOOL).expect(0);
    setting.whole_entry(&stream);
    verify(&setting.listing().entries[0]);
}
