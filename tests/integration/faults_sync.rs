//! Disks that take a core and do not keep it, and systems that refuse what is not needed.

use vmcorectl::metadata::CaptureResult;

use crate::refusing_system::{capture, no_strace};
use crate::scripted_qemu::Script;
use crate::setting::Setting;

#[test]
fn a_core_that_cannot_be_synced_is_incomplete_and_says_so_everywhere() {
    if no_strace() {
        return;
    }
    // The core's data; all of the core; the metadata beside it.
    for (injection, stage) in [
        ("fdatasync:error=EIO", "complete"),
        ("fsync:error=EIO:when=1", "complete"),
        ("fsync:error=EIO:when=2", "write"),
        ("fsync:error=EIO:when=3", "sync the directory"),
        ("renameat2:error=EIO", "publish"),
    ] {
        let script = Script::default();
        let stream = script.stream.clone();
        let setting = Setting::new(script);
        capture(&setting, &["--resume"], &[injection])
            .expect(3)
            .says(&format!("error: cannot {stage}"))
            .says("Input/output error")
            .says("is kept in");
        let metadata = setting.incomplete_entry(&stream);
        assert_eq!(metadata.result, CaptureResult::Incomplete, "{injection}");
        let failure = metadata.failure.unwrap();
        assert_eq!(failure.stage, "finish");
        assert!(failure.message.contains(stage), "{failure:?}");
        assert!(metadata.release.unwrap().done);
        assert_eq!(setting.qemu.run_state(), "running");
    }
}

#[test]
fn a_directory_that_cannot_be_synced_is_none_of_a_file_system_that_needs_it() {
    if no_strace() {
        return;
    }
    let script = Script::default();
    let stream = script.stream.clone();
    let setting = Setting::new(script);
    // The first two are the core's and the metadata's.
    let ran = capture(&setting, &["--resume"], &["fsync:error=EINVAL:when=3+"]).expect(0);
    assert_eq!(ran.complaints(), "");
    setting.whole_entry(&stream);
}

#[test]
fn room_that_cannot_be_reserved_is_only_a_loss_if_there_is_none() {
    if no_strace() {
        return;
    }
    for (error, code) in [("EIO", 0), ("EPERM", 0), ("EINVAL", 0), ("ENOSPC", 1), ("EDQUOT", 1)] {
        let setting = Setting::new(Script::default());
        let injection = format!("fallocate:error={error}");
        capture(&setting, &["--resume"], &[&injection]).expect(code);
        assert_eq!(setting.listing().entries.len(), usize::from(code == 0), "{error}");
    }
}

#[test]
fn free_space_that_cannot_be_found_out_stops_nothing() {
    if no_strace() {
        return;
    }
    let script = Script::default();
    let stream = script.stream.clone();
    let setting = Setting::new(script);
    capture(&setting, &["--resume"], &["statfs:error=EIO", "fstatfs:error=EIO"])
        .expect(0)
        .says("warning: the free space in");
    setting.whole_entry(&stream);
}

#[test]
fn space_that_is_to_stay_free_stays_so_although_it_was_not_found_out_at_first() {
    if no_strace() {
        return;
    }
    let setting = Setting::new(Script::default());
    capture(&setting, &["--resume", "--keep-free", "900T"], &["statfs:error=EIO"])
        .expect(1)
        .says("900.00 TiB are to be kept free");
    setting.nothing_is_stored();
}
