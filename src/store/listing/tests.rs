use std::fs::{self, File};

use super::*;
use crate::store::{CORE_FILE, METADATA_FILE, REPORT_FILE, lock};

fn store() -> tempfile::TempDir {
    let store = tempfile::tempdir().unwrap();
    for entry in [
        "web/20260103T000000Z-aaaa0002",
        "db/20260104T000000Z-bbbb0004.incomplete",
        "web/20260101T000000Z-aaaa0001",
    ] {
        let folder = store.path().join(entry);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(CORE_FILE), "core").unwrap();
    }
    store
}

#[test]
fn entries_come_by_time_with_what_their_names_say() {
    let store = store();
    fs::create_dir_all(store.path().join("web/notes")).unwrap();
    fs::write(store.path().join("web/README"), "").unwrap();
    let (entries, problems) = list(store.path()).unwrap();
    let found: Vec<_> =
        entries.iter().map(|entry| (entry.guest(), entry.id.as_str(), entry.state)).collect();
    assert_eq!(
        found,
        [
            ("web".to_owned(), "20260101T000000Z-aaaa0001", EntryState::Complete),
            ("web".to_owned(), "20260103T000000Z-aaaa0002", EntryState::Complete),
            ("db".to_owned(), "20260104T000000Z-bbbb0004", EntryState::Interrupted),
        ]
    );
    assert!(problems.is_empty());
    assert_eq!(entries[0].time.unwrap().to_string(), "2026-01-01T00:00:00Z");
    assert_eq!(entries[0].core_bytes, Some(4));
}

#[test]
fn a_capture_under_way_is_distinguished_from_an_interrupted_one() {
    let store = store();
    let core = store.path().join("db/20260104T000000Z-bbbb0004.incomplete").join(CORE_FILE);
    let file = File::options().write(true).open(core).unwrap();
    assert!(matches!(lock::for_writing(&file), lock::Attempt::Locked));
    assert_eq!(list(store.path()).unwrap().0[2].state, EntryState::Capturing);
    drop(file);
    assert_eq!(list(store.path()).unwrap().0[2].state, EntryState::Interrupted);
}

#[test]
fn damaged_files_beside_a_core_hide_no_entry() {
    let store = store();
    let folder = store.path().join("web/20260101T000000Z-aaaa0001");
    fs::write(folder.join(METADATA_FILE), "{\"schema\": 7").unwrap();
    fs::write(folder.join(REPORT_FILE), "{\"title\": \"BUG: bad\", \"signature\": null}").unwrap();
    let (entries, _) = list(store.path()).unwrap();
    assert_eq!(entries.len(), 3);
    assert!(entries[0].metadata.is_none());
    assert_eq!(entries[0].report.as_ref().unwrap().title.as_deref(), Some("BUG: bad"));
}

#[test]
fn a_store_that_is_not_there_is_empty() {
    let (entries, problems) = list(Path::new("/nonexistent/store")).unwrap();
    assert!(entries.is_empty() && problems.is_empty());
}

#[test]
fn a_published_entry_tells_that_a_part_of_it_is_missing() {
    let store = store();
    let folder = store.path().join("web/20260101T000000Z-aaaa0001");
    let metadata = include_str!("../../../samples/core/linux-6.1.zst.json");
    let metadata = metadata.replace("\"result\": \"complete\"", "\"result\": \"incomplete\"");
    fs::write(folder.join(METADATA_FILE), metadata).unwrap();
    let entry = read_entry(&folder).unwrap();
    assert_eq!((entry.state, entry.published), (EntryState::Incomplete, true));
    assert_eq!(entry.guest(), "sample");
    // Of a name that is taken for no entry by anybody, the metadata decides nothing.
    assert!(
        !read_entry(&store.path().join("db/20260104T000000Z-bbbb0004.incomplete"))
            .unwrap()
            .published
    );
}
