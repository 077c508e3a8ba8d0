//! A listing with an index equals the listing without one, whatever the index is.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::regular_file;
use crate::store::{CORE_FILE, METADATA_FILE, REPORT_FILE};

/// An index for every store, of files that may just have changed.
const ALWAYS: IndexUse = IndexUse { from: 0, settled: Duration::ZERO };
const NEVER: IndexUse = IndexUse { from: usize::MAX, settled: Duration::ZERO };

/// What is done to a store. Each file that it writes is longer than all before: files that
/// change twice within the resolution of the clock are left out of a real index.
#[derive(Clone, Debug)]
enum Step {
    Metadata(u8, &'static str),
    Report(u8, &'static str),
    InPlace(u8),
    Core(u8),
    Pin(u8),
    Unpublish(u8),
    Remove(u8),
    Link(u8),
    List,
    FlipBit(u16),
    Cut(u16),
    Garbage(Vec<u8>),
    NoIndex,
    IndexIsFolder,
    IndexIsLink,
    LeftOver,
}

fn step() -> impl Strategy<Value = Step> {
    let entry = 0..6_u8;
    let text = prop::sample::select(vec!["plain", "BUG: a\u{1b}[2J", "ä…", "", "{\"", "long"]);
    let of_entry = prop_oneof![
        (entry.clone(), text.clone()).prop_map(|(entry, text)| Step::Metadata(entry, text)),
        (entry.clone(), text).prop_map(|(entry, text)| Step::Report(entry, text)),
        entry.clone().prop_map(Step::InPlace),
        entry.clone().prop_map(Step::Core),
        entry.clone().prop_map(Step::Pin),
        entry.clone().prop_map(Step::Unpublish),
        entry.clone().prop_map(Step::Remove),
        entry.prop_map(Step::Link),
    ];
    let of_index = prop_oneof![
        any::<u16>().prop_map(Step::FlipBit),
        any::<u16>().prop_map(Step::Cut),
        prop::collection::vec(any::<u8>(), 0..64).prop_map(Step::Garbage),
        Just(Step::NoIndex),
        Just(Step::IndexIsFolder),
        Just(Step::IndexIsLink),
        Just(Step::LeftOver),
    ];
    prop_oneof![4 => of_entry, 2 => of_index, 2 => Just(Step::List)]
}

struct Store {
    folder: tempfile::TempDir,
    written: usize,
}

impl Store {
    fn entry(&self, number: u8) -> PathBuf {
        let guest = if number.is_multiple_of(2) { "web" } else { "db" };
        self.folder.path().join(guest).join(format!("20260101T0000{number:02}Z-0000000{number}"))
    }

    fn index(&self) -> PathBuf {
        self.folder.path().join(".index")
    }

    fn write(&mut self, path: PathBuf, text: &str) {
        self.written += 1;
        let _ = fs::create_dir_all(path.parent().unwrap());
        let _ = fs::write(path, [text, &" ".repeat(self.written)].concat());
    }

    fn take(&mut self, step: Step) {
        let index = self.index();
        let of = |store: &Self, entry, name| store.entry(entry).join(name);
        match step {
            Step::Metadata(entry, text) => {
                let note = if text == "long" { "x".repeat(5000) } else { text.to_owned() };
                let mut metadata: serde_json::Value =
                    serde_json::from_str(include_str!("../../../samples/core/linux-6.1.zst.json"))
                        .unwrap();
                metadata["note"] = note.into();
                metadata["title"] = text.into();
                self.write(of(self, entry, METADATA_FILE), &metadata.to_string());
            }
            Step::Report(entry, "{\"") => self.write(of(self, entry, REPORT_FILE), "{\""),
            Step::Report(entry, text) => {
                let report = serde_json::json!({
                    "schema": "vmcorectl/report/1", "title": text, "signature": "v1-a",
                    "alt_titles": ["other", text], "weak": text.is_empty(), "bugcheck": {},
                    "kernel": { "release": text },
                });
                self.write(of(self, entry, REPORT_FILE), &report.to_string());
            }
            Step::InPlace(entry) => {
                let path = of(self, entry, METADATA_FILE);
                let text = fs::read_to_string(&path).unwrap_or_default();
                self.write(path, &text.replace("plain", "wrong"));
            }
            Step::Core(entry) => self.write(of(self, entry, CORE_FILE), "core"),
            Step::Pin(entry) => self.write(of(self, entry, "pinned"), ""),
            Step::Unpublish(entry) => {
                let folder = self.entry(entry);
                let _ = fs::rename(&folder, folder.with_extension("incomplete"));
            }
            Step::Remove(entry) => drop(fs::remove_dir_all(self.entry(entry))),
            Step::Link(entry) => {
                let path = of(self, entry, REPORT_FILE);
                let _ = fs::remove_file(&path);
                let _ = symlink(of(self, entry, METADATA_FILE), path);
            }
            Step::List => {
                list_with(self.folder.path(), &ALWAYS).unwrap();
            }
            Step::FlipBit(at) => {
                let Ok(mut bytes) = regular_file::read_own(&index, 1 << 20) else { return };
                let at = usize::from(at) % bytes.len().max(1);
                let Some(byte) = bytes.get_mut(at) else { return };
                *byte ^= 1 << (at % 8);
                let _ = fs::write(&index, bytes);
            }
            Step::Cut(at) => {
                let Ok(mut bytes) = regular_file::read_own(&index, 1 << 20) else { return };
                bytes.truncate(usize::from(at) % bytes.len().max(1));
                let _ = fs::write(&index, bytes);
            }
            Step::Garbage(bytes) => drop(fs::write(&index, bytes)),
            Step::NoIndex => drop(fs::remove_file(&index)),
            Step::IndexIsFolder => {
                let _ = fs::remove_file(&index);
                let _ = fs::create_dir_all(&index);
            }
            Step::IndexIsLink => {
                let _ = fs::remove_file(&index).or_else(|_| fs::remove_dir(&index));
                let _ = symlink("/dev/zero", &index);
            }
            Step::LeftOver => drop(fs::write(self.folder.path().join(".index.incomplete"), "")),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn whatever_the_index_is_the_listing_is_the_same(
        steps in prop::collection::vec(step(), 1..40)
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store { folder, written: 0 };
        for step in steps {
            store.take(step);
        }
        let path = store.folder.path();
        let without = list_with(path, &NEVER).unwrap().0;
        // The first may renew the index, and the second may use it.
        for _ in 0..2 {
            let with = list_with(path, &ALWAYS).unwrap().0;
            prop_assert_eq!(&with, &without);
        }
    }
}

/// A store of two entries, listed once.
fn listed(index_use: &IndexUse) -> Store {
    let mut store = Store { folder: tempfile::tempdir().unwrap(), written: 0 };
    for entry in 0..2 {
        store.take(Step::Metadata(entry, "plain"));
        store.take(Step::Report(entry, "plain"));
    }
    list_with(store.folder.path(), index_use).unwrap();
    store
}

#[test]
fn a_second_listing_takes_what_the_first_one_read() {
    let store = listed(&ALWAYS);
    let path = store.folder.path();
    let index = Index::load(path);
    assert_eq!(index.len(), 2);
    let folders = [store.entry(0), store.entry(1)];
    let from_index = |index: &Index| {
        let read = folders.iter().map(|folder| read(folder, index).unwrap());
        read.filter(|read| read.from_index).count()
    };
    assert_eq!((from_index(&index), from_index(&Index::default())), (2, 0));
    fs::write(folders[0].join(REPORT_FILE), "{}").unwrap();
    assert_eq!(from_index(&index), 1);
    // A small store has none.
    let store = listed(&IndexUse { from: 3, ..ALWAYS });
    assert!(!store.index().exists());
}

#[test]
fn files_that_changed_just_now_are_not_recorded() {
    let store = listed(&IndexUse { settled: Duration::from_secs(3600), ..ALWAYS });
    assert!(!store.index().exists());
    list_with(store.folder.path(), &ALWAYS).unwrap();
    assert!(store.index().exists());
}

#[test]
fn an_index_of_another_version_is_replaced() {
    let store = listed(&ALWAYS);
    let whole = fs::read(store.index()).unwrap();
    let mut other = zstd::decode_all(whole.as_slice()).unwrap();
    other[16] ^= 1;
    fs::write(store.index(), zstd::encode_all(other.as_slice(), 1).unwrap()).unwrap();
    assert_eq!(Index::load(store.folder.path()).len(), 0);
    list_with(store.folder.path(), &ALWAYS).unwrap();
    assert_eq!(fs::read(store.index()).unwrap(), whole);
}
