//! A store with something else where a file should be: no command waits for it, reads it without
//! end, or writes through it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, mkfifoat};
use tempfile::TempDir;

use crate::scripted_qemu::Script;
use crate::setting::{Setting, finish};
use crate::tool::{Ran, start};

const WHOLE: &str = "20260101T000000Z-aaaa0001";
const HOSTILE: &str = "20260102T000000Z-bbbb0002";

/// A store with a whole entry, and one in which `make` puts something into a file's place.
fn store(file: &str, make: fn(&Path)) -> (TempDir, PathBuf) {
    let store = tempfile::tempdir().unwrap();
    let report = r#"{"schema": "vmcorectl/report/1", "title": "a panic", "signature": "v1-abc"}"#;
    for id in [WHOLE, HOSTILE] {
        let entry = store.path().join("web").join(id);
        fs::create_dir_all(&entry).unwrap();
        fs::write(entry.join("vmcore.elf.zst"), "core").unwrap();
        fs::write(entry.join("report.json"), report).unwrap();
    }
    let path = store.path().join("web").join(HOSTILE).join(file);
    let _ = fs::remove_file(&path);
    make(&path);
    (store, path)
}

fn fifo(path: &Path) {
    mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).unwrap();
}

fn endless(path: &Path) {
    symlink("/dev/zero", path).unwrap();
}

fn device(path: &Path) {
    symlink("/dev/tty", path).unwrap();
}

fn folder(path: &Path) {
    fs::create_dir(path).unwrap();
}

/// A file of 2 GiB, all of it a hole.
fn huge(path: &Path) {
    fs::File::create(path).unwrap().set_len(2 << 30).unwrap();
}

const KINDS: [fn(&Path); 5] = [fifo, endless, device, folder, huge];

#[track_caller]
fn ran(store: &TempDir, arguments: &[&str]) -> Ran {
    let store = store.path().to_str().unwrap();
    finish(start(arguments.iter().copied().chain(["--store", store])))
}

#[test]
fn what_is_no_file_costs_its_own_entry_alone() {
    for file in ["metadata.json", "report.json", "vmcore.elf.zst"] {
        for make in KINDS {
            let (store, _) = store(file, make);
            let list = ran(&store, &["list", "--json"]).expect(0);
            assert!(list.stdout.contains(WHOLE) && list.stdout.contains(HOSTILE), "{list:#?}");
            let group = ran(&store, &["group"]).expect(0);
            assert!(group.stdout.contains("a panic"), "{group:#?}");
            for command in ["info", "report", "verify", "bt"] {
                ran(&store, &[command, HOSTILE]).expect(1);
            }
            ran(&store, &["rm", "--yes", HOSTILE]).expect(0);
            let list = ran(&store, &["list", "--json"]).expect(0);
            assert!(list.stdout.contains(WHOLE) && !list.stdout.contains(HOSTILE), "{list:#?}");
        }
    }
}

#[test]
fn an_interrupted_capture_without_a_core_that_is_a_file_can_be_removed() {
    for make in KINDS {
        let (store, path) = store("vmcore.elf.zst", make);
        let folder = path.parent().unwrap();
        let incomplete = folder.with_file_name(format!("{HOSTILE}.incomplete"));
        fs::rename(folder, &incomplete).unwrap();
        ran(&store, &["list", "--incomplete"]).expect(0);
        ran(&store, &["rm", "--yes", HOSTILE]).expect(0);
        assert!(!incomplete.exists());
    }
}

#[test]
fn a_core_that_is_no_file_is_named_with_what_it_is() {
    let (store, _) = store("vmcore.elf.zst", fifo);
    let info = ran(&store, &["info", HOSTILE]).expect(1);
    assert!(info.stderr.contains("it is a FIFO, and a regular file is needed"), "{info:#?}");
}

#[test]
fn nothing_is_written_through_a_link_in_the_store() {
    let setting = Setting::new(Script { name: Some("web".to_owned()), ..Script::default() });
    let elsewhere = tempfile::tempdir().unwrap();
    fs::create_dir_all(&setting.store).unwrap();
    symlink(elsewhere.path(), setting.store.join("web")).unwrap();
    let captured = setting.capture(&["--then", "hold"]).expect(1);
    assert!(captured.stderr.contains("it is a symbolic link"), "{captured:#?}");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    // A report replaces a link, and not what it leads to.
    fs::remove_file(setting.store.join("web")).unwrap();
    let entry = setting.capture(&["--resume"]).expect(0).entry();
    let target = elsewhere.path().join("target");
    fs::write(&target, "theirs").unwrap();
    let report = entry.join("report.json");
    for link in [report.clone(), entry.join("report.json.incomplete")] {
        let _ = fs::remove_file(&link);
        symlink(&target, &link).unwrap();
    }
    finish(start(["report", "--save", entry.to_str().unwrap()])).expect(0);
    assert_eq!(fs::read(&target).unwrap(), b"theirs");
    assert!(report.symlink_metadata().unwrap().is_file());
}
