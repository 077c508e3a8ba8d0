//! Notes that a capture takes, and pins that keep its entry.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::scripted_qemu::Script;
use crate::setting::Setting;
use crate::tool::{Ran, metadata_of, run};

fn with_store(store: &Path, arguments: &[&str]) -> Ran {
    run(arguments.iter().copied().chain(["--store", store.to_str().unwrap()]))
}

fn first_line(ran: Ran) -> Value {
    let ran = ran.expect(0);
    serde_json::from_str(ran.stdout.lines().next().expect("a line")).expect("JSON")
}

#[test]
fn a_note_is_stored_listed_and_shown_as_one_line() {
    let setting = Setting::new(Script::default());
    let note = "before the update\u{1b}[2J\nticket 4711";
    let entry = setting.capture(&["--note", note]).expect(0).entry();
    assert_eq!(metadata_of(&entry).note.as_deref(), Some(note));
    assert_eq!(first_line(with_store(&setting.store, &["list", "--json"]))["note"], note);
    for command in [&["list"][..], &["info", "latest"]] {
        let shown = with_store(&setting.store, command).expect(0).stdout;
        assert!(shown.contains("before the update\u{fffd}[2J\u{fffd}ticket 4711"), "{shown}");
    }
    // The table has a column for notes only if there is one.
    assert!(with_store(&setting.store, &["list"]).stdout.contains("NOTE"));
    let other = Setting::new(Script::default());
    other.capture(&["--report-only"]).expect(0);
    let table = with_store(&other.store, &["list"]).expect(0).stdout;
    assert!(!table.contains("NOTE"), "{table}");
    assert!(first_line(with_store(&other.store, &["list", "--json"]))["note"].is_null());
}

#[test]
fn a_note_has_a_bounded_length() {
    let setting = Setting::new(Script::default());
    let entry =
        setting.capture(&["--report-only", "--note", &"x".repeat(100_000)]).expect(0).entry();
    assert!(metadata_of(&entry).note.unwrap().len() < 2000);
}

#[test]
fn a_pinned_entry_stays_until_it_is_unpinned() {
    let setting = Setting::new(Script::default());
    let entry = setting.capture(&["--resume"]).expect(0).entry();
    let other = Setting::with_store(Script::default(), &setting.store);
    let free = other.capture(&["--report-only"]).expect(0).entry();
    let id = |entry: &Path| entry.file_name().unwrap().to_str().unwrap().to_owned();
    let store = &setting.store;
    let metadata = fs::read(entry.join("metadata.json")).unwrap();

    let pinned = with_store(store, &["pin", &id(&entry)]).expect(0);
    assert_eq!(pinned.stdout, format!("pinned {}\n", entry.display()));
    // A second pin changes nothing, and says so.
    assert_eq!(with_store(store, &["pin", entry.to_str().unwrap()]).expect(0).stdout, "");
    assert_eq!(first_line(with_store(store, &["list", "--json"]))["pinned"], true);
    let table = with_store(store, &["list"]).expect(0).stdout;
    assert!(table.contains("complete, pinned"), "{table}");
    let info = with_store(store, &["info", &id(&entry)]).expect(0).stdout;
    assert!(info.contains("  pinned  "), "{info}");
    assert_eq!(fs::read(entry.join("metadata.json")).unwrap(), metadata);
    with_store(store, &["verify", &id(&entry)]).expect(0);

    // None of those that were named is removed.
    with_store(store, &["rm", "--yes", &id(&free), &id(&entry)])
        .expect(1)
        .says("is pinned")
        .says("hint: take its pin away with `unpin`");
    assert!(entry.exists() && free.exists());
    with_store(store, &["unpin", &id(&entry)]).expect(0);
    with_store(store, &["rm", "--yes", &id(&free), &id(&entry)]).expect(0);
    assert!(!entry.exists() && !free.exists());
}

#[test]
fn what_is_no_entry_is_not_pinned() {
    let setting = Setting::new(Script::default());
    let entry = setting.capture(&["--report-only"]).expect(0).entry();
    for wanted in ["nothing", setting.store.to_str().unwrap(), "/"] {
        with_store(&setting.store, &["pin", "latest", wanted]).expect(1).says("no entry");
        assert!(!entry.join("pinned").exists());
    }
    with_store(&setting.store, &["pin"]).expect(2);
    with_store(&setting.store, &["pin", "latest"]).expect(0);
    assert!(entry.join("pinned").exists());
}
