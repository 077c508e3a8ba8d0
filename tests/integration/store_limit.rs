//! `capture --store-limit`: what a full store costs.

use std::fs::{self, File};
use std::path::Path;

use vmcorectl::metadata::LeftOutCause;

use crate::scripted_qemu::{PANICKED, Script};
use crate::setting::Setting;
use crate::tmpfs::Tmpfs;
use crate::tool::metadata_of;

fn id(number: u32) -> String {
    format!("20260101T00{number:02}00Z-{number:08x}")
}

/// Puts `count` entries of one crash into a store, each with a core of `bytes` bytes.
fn fill(store: &Path, count: u32, bytes: usize) {
    for number in 0..count {
        let entry = store.join("old").join(id(number));
        fs::create_dir_all(&entry).unwrap();
        fs::write(entry.join("vmcore.elf.zst"), vec![1; bytes]).unwrap();
        fs::write(entry.join("report.json"), r#"{"title": "BUG: a", "signature": "v1-a"}"#)
            .unwrap();
    }
}

fn old(store: &Path) -> Vec<String> {
    let entries = fs::read_dir(store.join("old")).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

const MIB: usize = 1 << 20;

/// A guest whose core is taken to need 2 MiB, and does.
fn guest() -> Script {
    Script { memory_bytes: Some(12 << 20), ..Script::default() }
}

#[test]
fn a_store_with_room_loses_nothing() {
    let setting = Setting::new(guest());
    fill(&setting.store, 4, MIB);
    setting.capture(&["--store-limit", "16M", "--resume"]).expect(0);
    assert_eq!(old(&setting.store), [0, 1, 2, 3].map(id));
}

#[test]
fn duplicates_go_for_a_new_core_after_the_release() {
    let script = guest();
    let stream = script.stream.clone();
    let setting = Setting::new(script);
    fill(&setting.store, 4, MIB);
    let ran = setting.capture(&["--store-limit", "5600K", "--resume", "--verbose"]).expect(0);
    assert_eq!(old(&setting.store), [0, 2, 3].map(id));
    let entry = ran.entry();
    assert!(crate::setting::check_whole(&entry, &stream).held_seconds.is_some());
    // The guest did not wait for it.
    let at = |text: &str| ran.stderr.find(text).unwrap_or_else(|| panic!("{text}: {ran:?}"));
    assert!(at("published") < at("pruned"), "{ran:?}");
}

#[test]
fn a_core_that_does_not_fit_leaves_the_guest_held_and_the_store_as_it_was() {
    let setting = Setting::new(guest());
    fill(&setting.store, 4, MIB);
    let ran = setting.capture(&["--store-limit", "3M", "--resume"]).expect(1);
    ran.says("the store is full: about 2.00 MiB are needed, its limit is 3.00 MiB")
        .says("hint: remove or unpin entries")
        .says("title: guest panicked (no log)");
    assert_eq!(setting.qemu.run_state(), PANICKED);
    assert_eq!(old(&setting.store), [0, 1, 2, 3].map(id));
    assert!(!setting.store.join("web-3").exists());
}

#[test]
fn a_core_that_does_not_fit_is_a_report_if_the_guest_is_released() {
    let setting = Setting::new(guest());
    fill(&setting.store, 2, MIB);
    let ran = setting.capture(&["--store-limit", "3M", "--resume", "--on-failure", "reset"]);
    let entry = ran.expect(6).entry();
    let metadata = metadata_of(&entry);
    assert_eq!(metadata.core_left_out.unwrap().cause, LeftOutCause::StoreFull);
    assert!(metadata.failure.unwrap().message.contains("the store is full"));
    assert!(entry.join("report.json").exists() && !entry.join("vmcore.elf.zst").exists());
    assert!(setting.qemu.actions().contains(&"system_reset".to_owned()));
    assert_eq!(old(&setting.store), [0, 1].map(id));
}

#[test]
fn a_full_file_system_is_made_room_on_before_the_dump() {
    let Some(tmpfs) = Tmpfs::of_size(12 * MIB) else { return };
    let setting = Setting::with_store(guest(), tmpfs.path());
    fill(tmpfs.path(), 5, 2 * MIB);
    File::create(tmpfs.path().join("other")).unwrap();
    setting.capture(&["--resume", "--keep-free", "1M"]).expect(1).says("are to be kept free");
    let limited = ["--resume", "--keep-free", "1M", "--store-limit", "1G"];
    setting.capture(&limited).expect(0);
    assert_eq!(old(tmpfs.path()), [0, 2, 3, 4].map(id));
}

#[test]
fn nothing_is_pruned_for_space_that_there_would_not_be() {
    let setting = Setting::new(guest());
    fill(&setting.store, 4, MIB);
    let limited = ["--resume", "--keep-free", "8000000T", "--store-limit", "1G"];
    setting.capture(&limited).expect(1).says("are to be kept free");
    assert_eq!(old(&setting.store), [0, 1, 2, 3].map(id));
}
