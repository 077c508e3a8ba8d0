//! The table of a store's crashes, and what is noted of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use serde_json::Value;

use crate::scripted_qemu::Script;
use crate::setting::Setting;
use crate::tool::{Ran, run};

fn with_store(store: &Path, arguments: &[&str]) -> Ran {
    run(arguments.iter().copied().chain(["--store", store.to_str().unwrap()]))
}

/// Entries of several guests, days and signatures.
fn store(folder: &Path, entries: u32) -> PathBuf {
    let store = folder.join("s");
    let metadata = include_str!("../../samples/core/linux-6.1.zst.json");
    for number in 0..entries {
        let day = 1 + number % 3;
        let id = format!("202601{day:02}T000000Z-{number:08x}");
        let entry = store.join(format!("guest-{}", number % 7)).join(&id);
        fs::create_dir_all(&entry).unwrap();
        let mut metadata: Value = serde_json::from_str(metadata).unwrap();
        metadata["started"] = format!("2026-01-{day:02}T00:{:02}:00Z", number % 60).into();
        metadata["guest"]["name"] = format!("guest-{}", number % 7).into();
        metadata["id"] = id.into();
        fs::write(entry.join("metadata.json"), metadata.to_string()).unwrap();
        let report = serde_json::json!({
            "schema": "vmcorectl/report/1", "title": format!("BUG: \u{1b}[31m{}", number % 5),
            "alt_titles": ["bad-access in f"], "signature": format!("v1-{}", number % 5),
            "weak": number % 5 == 4, "kernel": {"release": "6.1"},
        });
        // The first one has no report.
        if number > 0 {
            fs::write(entry.join("report.json"), report.to_string()).unwrap();
        }
    }
    store
}

/// The lines of JSON that a command prints, without the paths of the store.
fn lines(ran: Ran) -> Vec<Value> {
    let ran = ran.expect(0);
    let lines = ran.stdout.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).expect("JSON");
        line.as_object_mut().unwrap().remove("path");
        line
    });
    lines.collect()
}

fn answers(store: &Path) -> [Vec<Value>; 3] {
    let new = &["group", "--json", "--new-since", "2026-01-02"][..];
    [&["list", "--json"][..], &["group", "--json"], new]
        .map(|command| lines(with_store(store, command)))
}

fn files(store: &Path, kind: &str) -> usize {
    let days = fs::read_dir(store.join("index").join(kind)).unwrap();
    days.map(|day| fs::read_dir(day.unwrap().path()).unwrap().count()).sum()
}

#[test]
fn a_table_has_what_list_and_group_say_of_the_entries() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), 60);
    let expected = answers(&store);
    assert_eq!((expected[0].len(), expected[2].len() < expected[1].len()), (60, true));

    let made = with_store(&store, &["index"]).expect(0);
    assert_eq!(made.stdout, "60 rows made\n");
    assert_eq!(files(&store, "new"), 60);
    assert_eq!(with_store(&store, &["index"]).expect(0).stdout, "0 rows made\n");
    assert_eq!(answers(&store), expected, "the table is no guest");

    // The table alone, as rows, as parts, and as both.
    let table = folder.path().join("t");
    let copy = || {
        let _ = fs::remove_dir_all(&table);
        let copied = std::process::Command::new("cp").arg("-r").arg(&store).arg(&table).status();
        assert!(copied.unwrap().success());
        for guest in fs::read_dir(&table).unwrap().map(Result::unwrap) {
            if guest.file_name() != "index" {
                fs::remove_dir_all(guest.path()).unwrap();
            }
        }
    };
    copy();
    assert_eq!(answers(&table), expected);
    let compacted = with_store(&table, &["index", "--compact"]).expect(0);
    assert_eq!(compacted.stdout, "0 rows made\n3 parts with 60 rows written\n");
    assert_eq!((files(&table, "new"), files(&table, "crashes")), (0, 3));
    assert_eq!(answers(&table), expected);
    let again = with_store(&table, &["index", "--compact"]).expect(0);
    assert_eq!(again.stdout, "0 rows made\n0 parts with 0 rows written\n");
    // The rows of the whole store are made again beside the parts, and read once.
    fs::rename(table.join("index/crashes"), store.join("index/crashes")).unwrap();
    copy();
    assert_eq!(answers(&table), expected);
}

#[test]
fn a_crash_whose_entry_was_removed_counts_in_its_group() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), 20);
    let expected = answers(&store);
    with_store(&store, &["index", "--compact"]).expect(0);
    let oldest = expected[0][1]["id"].as_str().unwrap();
    with_store(&store, &["rm", "--yes", oldest]).expect(0);
    let [listed, groups, new] = answers(&store);
    assert_eq!(listed.len(), 19);
    assert_eq!((&groups, &new), (&expected[1], &expected[2]), "nothing is new by a removal");
}

#[test]
fn a_damaged_table_is_reported_and_the_rest_of_it_read() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), 20);
    with_store(&store, &["index", "--compact"]).expect(0);
    let day = store.join("index/crashes/day=2026-01-01");
    let part = fs::read_dir(&day).unwrap().next().unwrap().unwrap().path();
    let bytes = fs::read(&part).unwrap();
    for end in [0, 4, 100, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&part, &bytes[..end]).unwrap();
        let ran = with_store(&store, &["group", "--json"]).expect(1);
        assert!(ran.stderr.contains("is no table of crashes"), "{}", ran.stderr);
        assert!(!ran.stdout.is_empty());
    }
    // Whatever the bytes are, it ends, and without a signal.
    for place in (0..bytes.len()).step_by(97) {
        let mut changed = bytes.clone();
        changed[place] ^= 0x55;
        fs::write(&part, &changed).unwrap();
        let ran = with_store(&store, &["group", "--json"]);
        assert!(matches!(ran.code, Some(0 | 1)), "{place}: {:?} {}", ran.code, ran.stderr);
    }
}

#[test]
fn compactors_at_once_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), 60);
    let expected = answers(&store);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| with_store(&store, &["index", "--compact"]).expect(0));
        }
    });
    with_store(&store, &["index", "--compact"]).expect(0);
    assert_eq!((files(&store, "new"), answers(&store)), (0, expected));
}

#[test]
fn what_is_noted_is_listed_grouped_and_shown() {
    let setting = Setting::new(Script::default());
    let entry = setting.capture(&["--resume"]).expect(0).entry();
    let metadata = fs::read(entry.join("metadata.json")).unwrap();
    let store = &setting.store;
    let noted = with_store(store, &["annotate", "latest", "ticket=ABC-1", "owner=me & you"]);
    let expected = format!("{}\n  owner=me & you\n  ticket=ABC-1\n", entry.display());
    assert_eq!(noted.expect(0).stdout, expected);
    with_store(store, &["annotate", "latest", "owner=", "ticket=ABC-2"]).expect(0);
    assert_eq!(
        with_store(store, &["annotate", "latest"]).expect(0).stdout,
        format!("{}\n  ticket=ABC-2\n", entry.display())
    );
    for command in [&["list"][..], &["group"], &["info", "latest"]] {
        let shown = with_store(store, command).expect(0).stdout;
        assert!(shown.contains("ticket=ABC-2") && !shown.contains("owner"), "{shown}");
    }
    let first = |command: &[&str]| -> Value {
        let ran = with_store(store, command).expect(0);
        serde_json::from_str(&ran.stdout).expect("JSON")
    };
    assert_eq!(first(&["list", "--json"])["annotations"]["ticket"], "ABC-2");
    assert_eq!(first(&["group", "--json"])["annotations"]["ticket"][0], "ABC-2");
    assert_eq!(first(&["info", "latest", "--json"])["annotations"]["ticket"], "ABC-2");
    assert_eq!(fs::read(entry.join("metadata.json")).unwrap(), metadata);
    // What is no annotation is refused, and nothing is written.
    let count = || fs::read_dir(entry.join("annotations")).unwrap().count();
    for text in ["ticket", "=x", "../x=1", "a=\u{1b}[2J"] {
        let ran = with_store(store, &["annotate", "latest", text]).expect(2);
        assert!(!ran.stderr.contains('\u{1b}'), "{}", ran.stderr);
    }
    assert_eq!(count(), 2);
    with_store(store, &["rm", "--yes", entry.to_str().unwrap()]).expect(0);
    assert!(!entry.exists());
}
