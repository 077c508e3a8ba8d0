//! The index of a large store: `list` and `group` answer as without it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use crate::tmpfs::Tmpfs;
use crate::tool::{Ran, run};

/// More than a store without an index has.
const ENTRIES: u32 = 230;

fn entry(store: &Path, number: u32) -> PathBuf {
    let id = format!("20260101T{:02}{:02}00Z-{number:08x}", number / 60, number % 60);
    store.join(format!("guest-{}", number % 7)).join(id)
}

fn add(store: &Path, number: u32) {
    let entry = entry(store, number);
    fs::create_dir_all(&entry).unwrap();
    fs::write(entry.join("metadata.json"), include_str!("../../samples/core/linux-6.1.zst.json"))
        .unwrap();
    let report =
        format!(r#"{{"title": "BUG: {number}", "signature": "v1-{}", "weak": false}}"#, number % 9);
    fs::write(entry.join("report.json"), report).unwrap();
}

/// A store whose files are old enough for an index.
fn store(folder: &Path) -> PathBuf {
    let store = folder.join("s");
    (0..ENTRIES).for_each(|number| add(&store, number));
    std::thread::sleep(Duration::from_millis(2100));
    store
}

fn temporary() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    (folder, store)
}

fn with_store(store: &Path, arguments: &[&str]) -> Ran {
    run(arguments.iter().copied().chain(["--store", store.to_str().unwrap()])).expect(0)
}

fn answers(store: &Path) -> [String; 3] {
    [&["list"][..], &["list", "--json"], &["group", "--json"]]
        .map(|command| with_store(store, command).stdout)
}

#[test]
fn a_large_store_has_an_index_and_its_answers_are_the_same() {
    let (_folder, store) = temporary();
    let first = answers(&store);
    let index = store.join(".index");
    assert!(index.metadata().unwrap().len() > 0);
    assert_eq!(answers(&store), first);
    for damage in [&b"junk"[..], b"", &fs::read(&index).unwrap()[..100]] {
        fs::write(&index, damage).unwrap();
        assert_eq!(answers(&store), first);
        assert!(index.metadata().unwrap().len() > 100);
    }
    // Of another store, whose entries have the same names.
    let (_other_folder, other) = temporary();
    fs::write(entry(&other, 3).join("report.json"), r#"{"title": "another"}"#).unwrap();
    fs::copy(&index, other.join(".index")).unwrap();
    let changed = answers(&other);
    assert!(changed[0].contains("another") && !changed[0].contains("BUG: 3\n"), "{}", changed[0]);
    assert_eq!(changed[0].replace("another", "BUG: 3"), first[0]);
    // What changed since is read again, and what is gone is not listed.
    fs::write(entry(&store, 5).join("report.json"), r#"{"title": "new title"}"#).unwrap();
    with_store(&store, &["rm", "--yes", entry(&store, 6).to_str().unwrap()]);
    let list = with_store(&store, &["list"]).stdout;
    assert!(list.contains("new title") && !list.contains("BUG: 6\n"), "{list}");
}

#[test]
fn a_store_that_may_only_be_read_is_listed() {
    let Some(tmpfs) = Tmpfs::of_size(32 << 20) else { return };
    let store = store(tmpfs.path());
    let first = answers(&store);
    fs::remove_file(store.join(".index")).unwrap();
    tmpfs.make_read_only();
    assert_eq!(answers(&store), first);
    assert!(!store.join(".index").exists());
}

#[test]
fn listings_and_writers_at_once_do_each_other_no_harm() {
    let (_folder, store) = temporary();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let list = with_store(&store, &["list", "--json"]).stdout;
                    // What stays is always there.
                    for number in [0, 100] {
                        assert!(list.contains(&format!("\"BUG: {number}\"")));
                    }
                }
            });
        }
        for number in ENTRIES..ENTRIES + 40 {
            add(&store, number);
            let old = entry(&store, number - ENTRIES + 1);
            with_store(&store, &["rm", "--yes", old.to_str().unwrap()]);
            let _ = fs::remove_file(store.join(".index"));
        }
        done.store(true, Ordering::Relaxed);
    });
    let last = answers(&store);
    fs::remove_file(store.join(".index")).unwrap();
    assert_eq!(answers(&store), last);
    assert_eq!(last[1].lines().count(), ENTRIES as usize);
}
