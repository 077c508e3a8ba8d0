use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use rustix::fs::{CWD, Mode, mkfifoat};

use super::*;

fn spool() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("run/spool");
    (parent, folder)
}

fn event(guest: &str) -> SpooledEvent {
    SpooledEvent::new(Manager::Libvirt, EventKind::Came, guest)
}

fn guests(folder: &Path) -> Vec<String> {
    let waiting = waiting(folder).unwrap();
    assert_eq!(waiting.unreadable, []);
    waiting.events.into_iter().map(|spooled| spooled.event.guest).collect()
}

#[test]
fn events_come_back_in_their_order_until_they_are_done() {
    let (_parent, folder) = spool();
    assert_eq!(waiting(&folder).unwrap(), Waiting::default());
    let events = ["a", "b", "c"].map(event);
    for event in &events {
        put(&folder, event).unwrap();
    }
    let found = waiting(&folder).unwrap();
    let read: Vec<_> = found.events.iter().map(|spooled| spooled.event.clone()).collect();
    assert_eq!(read, events);
    done(&found.events[1]);
    assert_eq!(guests(&folder), ["a", "c"]);
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_full_spool_takes_lost_panics_only_and_says_since_when_events_were_dropped() {
    let (_parent, folder) = spool();
    put(&folder, &event("a")).unwrap();
    for number in 1..MAX_EVENTS {
        File::create(folder.join(format!("{number}"))).unwrap();
    }
    assert!(matches!(put(&folder, &event("b")), Err(SpoolError::Full { .. })));
    let lost = SpooledEvent::new(Manager::Libvirt, EventKind::PanicLost, "c");
    put(&folder, &lost).unwrap();
    let since = waiting(&folder).unwrap().dropped_since;
    assert!(since.is_some());
    let _ = put(&folder, &event("d"));
    assert_eq!(waiting(&folder).unwrap().dropped_since, since);
    full_was_reported(&folder);
    assert_eq!(waiting(&folder).unwrap().dropped_since, None);
    assert_eq!(guests(&folder), ["a", "c"]);
    for number in MAX_EVENTS..2 * MAX_EVENTS {
        File::create(folder.join(format!("{number}"))).unwrap();
    }
    assert!(matches!(put(&folder, &lost), Err(SpoolError::Full { .. })));
}

#[test]
fn an_event_of_any_length_is_bounded() {
    let (_parent, folder) = spool();
    let long = event(&"x".repeat(1 << 20));
    assert!(matches!(put(&folder, &long), Err(SpoolError::TooLong { .. })));
    assert_eq!(waiting(&folder).unwrap(), Waiting::default());
}

#[test]
fn what_is_no_event_is_removed_and_named() {
    let (_parent, folder) = spool();
    put(&folder, &event("a")).unwrap();
    let path = |name: &str| folder.join(name);
    fs::write(path("1.json"), "{").unwrap();
    fs::write(path("2.json"), "[".repeat(10_000)).unwrap();
    fs::write(path("3.json"), r#"{"schema":"vmcorectl/spool/9"}"#).unwrap();
    fs::write(path("4.json"), " ".repeat(1 << 20)).unwrap();
    mkfifoat(CWD, path("5.json"), Mode::RWXU).unwrap();
    symlink("/dev/zero", path("6.json")).unwrap();
    fs::create_dir(path("7.json")).unwrap();
    fs::write(path("other"), "").unwrap();
    let found = waiting(&folder).unwrap();
    let names: Vec<_> =
        found.unreadable.iter().map(|(path, _)| path.file_name().unwrap()).collect();
    assert_eq!(names, ["1.json", "2.json", "3.json", "4.json", "5.json", "6.json"]);
    assert!(found.unreadable[2].1.contains("vmcorectl/spool/9"), "{found:?}");
    assert_eq!(guests(&folder), ["a"]);
    assert!(path("other").exists());
}

#[test]
fn a_folder_that_others_write_to_is_not_used() {
    let (_parent, folder) = spool();
    put(&folder, &event("a")).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o770)).unwrap();
    assert!(put(&folder, &event("b")).is_err() && waiting(&folder).is_err());
    let link = folder.with_file_name("link");
    symlink(&folder, &link).unwrap();
    assert!(put(&link, &event("b")).is_err() && waiting(&link).is_err());
}

#[test]
fn what_a_hook_left_behind_is_removed_after_a_while() {
    let (_parent, folder) = spool();
    put(&folder, &event("a")).unwrap();
    let [old, young] = ["1", "2"].map(|name| folder.join(format!("{NEW}{name}")));
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_hours(1);
    File::create(&old).unwrap().set_modified(long_ago).unwrap();
    File::create(&young).unwrap();
    assert_eq!(guests(&folder), ["a"]);
    assert!(!old.exists() && young.exists());
}
