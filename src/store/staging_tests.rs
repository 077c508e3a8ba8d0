use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::store::listing::{self, EntryState};

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn an_entry_is_seen_only_when_it_is_published() {
    let root = tempfile::tempdir().unwrap();
    let destination = Destination::Store(root.path().join("store"));
    let (staging, mut core) =
        Staging::create(&destination, Some("web-3"), Timestamp::now()).unwrap();
    core.write_all(b"core").unwrap();
    assert!(staging.staged().is_dir() && !staging.published().exists());
    assert!(staging.staged().to_str().unwrap().ends_with(INCOMPLETE));
    staging.write_metadata(&MetadataFiles::plain(b"{\"early\":true}".to_vec()), false).unwrap();
    staging.write_metadata(&MetadataFiles::plain(b"{}".to_vec()), true).unwrap();

    let entry = staging.publish().unwrap().0;
    assert_eq!(entry.parent().unwrap(), root.path().join("store/web-3"));
    assert_eq!(fs::read(entry.join(METADATA_FILE)).unwrap(), b"{}");
    assert_eq!(mode(&entry.join(CORE_FILE)), 0o600);
    assert_eq!(mode(&entry.join(METADATA_FILE)), 0o600);
    assert_eq!(mode(&entry), 0o700);
    assert_eq!(mode(entry.parent().unwrap()), 0o700);
}

#[test]
fn two_entries_of_one_second_have_names_of_their_own() {
    let root = tempfile::tempdir().unwrap();
    let destination = Destination::Store(root.path().to_owned());
    let now = Timestamp::now();
    let (one, _) = Staging::create(&destination, None, now).unwrap();
    let (other, _) = Staging::create(&destination, None, now).unwrap();
    assert_ne!(one.id(), other.id());
}

#[test]
fn a_file_and_its_metadata_overwrite_nothing() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("core.zst");
    let destination = Destination::File(path.clone());
    for taken in ["core.zst", "core.zst.json", "core.zst.incomplete", "core.zst.report.json"] {
        let taken = root.path().join(taken);
        fs::write(&taken, "mine").unwrap();
        let error = Staging::create(&destination, None, Timestamp::now()).unwrap_err();
        assert!(matches!(error, StoreError::Exists { path } if path == taken));
        fs::remove_file(&taken).unwrap();
    }
    let (staging, _core) = Staging::create(&destination, None, Timestamp::now()).unwrap();
    staging.write_metadata(&MetadataFiles::plain(b"{}".to_vec()), true).unwrap();
    fs::write(&path, "came in between").unwrap();
    let error = staging.publish().unwrap_err();
    assert!(matches!(error, StoreError::Exists { .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"came in between");
    assert!(root.path().join("core.zst.incomplete").exists());
    assert!(!root.path().join("core.zst.json").exists());
}

#[test]
fn a_discarded_entry_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let destination = Destination::Store(root.path().to_owned());
    let (staging, _core) = Staging::create(&destination, Some("web-3"), Timestamp::now()).unwrap();
    staging.discard();
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
}

#[test]
fn an_entry_is_made_although_another_one_of_its_guest_is_discarded_meanwhile() {
    let root = tempfile::tempdir().unwrap();
    let destination = Destination::Store(root.path().join("store"));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let made = Staging::create(&destination, Some("web-3"), Timestamp::now());
                    made.unwrap().0.discard();
                }
            });
        }
    });
}

#[test]
fn a_new_core_is_locked_while_its_store_is_listed() {
    let root = tempfile::tempdir().unwrap();
    let destination = Destination::Store(root.path().to_owned());
    let created = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !created.load(Ordering::Relaxed) {
                    let _ = listing::list(root.path());
                }
            });
        }
        let states: Vec<_> = (0..1000)
            .map(|_| {
                let (staging, core) =
                    Staging::create(&destination, Some("web-3"), Timestamp::now()).unwrap();
                // The staging alone keeps the lock.
                drop(core);
                let state = listing::read_entry(staging.staged()).unwrap().state;
                staging.discard();
                state
            })
            .collect();
        created.store(true, Ordering::Relaxed);
        assert!(states.iter().all(|state| *state == EntryState::Capturing));
    });
}

#[test]
fn an_id_that_is_always_taken_is_an_error_in_the_end() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("taken")).unwrap();
    let mut tried = 0;
    let created = Staging::in_store(Form::Plain, root.path(), |_| {
        tried += 1;
        "taken".to_owned()
    });
    assert!(matches!(created, Err(StoreError::Exists { .. })));
    assert_eq!(tried, TRIES);
}
