//! Captures into entries that only their recipients can read.

use std::fs;
use std::sync::Arc;

use vmcorectl::metadata::CaptureResult;

use crate::age_key::{by_stock_tools, files, guest, key, none_has, with_store};
use crate::core_stream::CoreStream;
use crate::scripted_qemu::Script;
use crate::setting::Setting;
use crate::tool::{metadata_of, run};

#[test]
fn a_core_is_encrypted_and_stock_tools_unpack_it() {
    let (setting, key, other) = (Setting::new(guest()), key(), key());
    let to = ["--encrypt-to", &key.recipient, "--encrypt-to", &other.recipient];
    let entry = setting.capture(&[&to[..], &["--note", "a-note"]].concat()).expect(0).entry();
    assert_eq!(
        files(&entry),
        [
            "metadata.json",
            "metadata.json.age",
            "report.json.age",
            "triage.zst.age",
            "vmcore.elf.zst.age"
        ]
    );
    let plain = entry.with_file_name("plain");
    let id = entry.file_name().unwrap().to_str().unwrap();
    let exported = with_store(
        &setting.store,
        &["export", id, "--identity", key.path(), "-o", plain.to_str().unwrap()],
    );
    exported.expect(0);
    let exported = fs::read(&plain).unwrap();
    assert_eq!(setting_memory(&exported), setting_memory_of_stream());
    for key in [&key, &other] {
        if let Some(elf) = by_stock_tools(&entry.join("vmcore.elf.zst.age"), &key.file) {
            assert!(elf == exported, "stock tools give something else");
        }
    }
    fs::remove_file(&plain).unwrap();
    let socket = setting.qemu.socket();
    let socket = socket.as_os_str().as_encoded_bytes();
    none_has(&setting.store, &[b"a-note", socket, key.secret.as_bytes(), b"AGE-SECRET"]);

    let clear = metadata_of(&entry);
    assert_eq!((clear.note, clear.guest.monitor.as_str()), (None, ""));
    assert!(clear.phases.is_empty() && clear.warnings.is_empty() && clear.release.is_none());
    assert_eq!(clear.result, CaptureResult::Complete);
    assert_eq!(clear.title.as_deref(), Some("guest panicked (no log)"));
    let encrypted = clear.encrypted.unwrap();
    let types: Vec<_> = encrypted.to.iter().map(|key| key.kind.as_str()).collect();
    assert_eq!(types, ["X25519", "X25519"]);
    let length = entry.join("vmcore.elf.zst.age").metadata().unwrap().len();
    assert_eq!(encrypted.core_file_bytes, Some(length));
    assert_eq!(encrypted.core_file_sha256.unwrap().len(), 64);
}

fn setting_memory(elf: &[u8]) -> u64 {
    CoreStream::of_guest(22).check_memory_of(elf) as u64
}

fn setting_memory_of_stream() -> u64 {
    CoreStream::of_guest(22).memory_bytes() as u64
}

#[test]
fn names_and_title_can_be_hidden() {
    let (setting, key) = (Setting::new(guest()), key());
    let hide = ["--encrypt-to", &key.recipient, "--hide", "names,title"];
    let entry = setting.capture(&hide).expect(0).entry();
    let host = rustix::system::uname();
    let host = format!("\"{}\"", host.nodename().to_string_lossy());
    none_has(&setting.store, &[b"web-3", b"c0ffee00", b"guest panicked", host.as_bytes()]);
    let alias = entry.parent().unwrap().file_name().unwrap().to_str().unwrap();
    assert!(alias.starts_with("guest-") || alias == "unnamed", "{alias}");
    let id = entry.file_name().unwrap().to_str().unwrap();
    let info = with_store(&setting.store, &["info", id, "--identity", key.path()]).expect(0).stdout;
    assert!(info.contains("web-3"), "{info}");
    // The next capture of the same guest has the same alias.
    let again = setting.capture(&[&hide[..], &["--any-state"]].concat()).expect(0).entry();
    assert_eq!(again.parent(), entry.parent());
}

#[test]
fn what_is_no_recipient_ends_a_capture_before_the_guest_is_asked() {
    let setting = Setting::new(guest());
    setting
        .capture(&["--encrypt-to", "age1nonsense"])
        .expect(1)
        .says("is no recipient")
        .says("hint: ");
    assert!(setting.qemu.actions().is_empty());
    setting.capture(&["--hide", "names"]).expect(2);
}

#[test]
fn an_entry_without_a_core_is_encrypted_too() {
    let (setting, key) = (Setting::new(guest()), key());
    let only = ["--report-only", "--reason", "a-reason", "--encrypt-to", &key.recipient];
    let entry = setting.capture(&only).expect(0).entry();
    assert_eq!(files(&entry), ["metadata.json", "metadata.json.age", "report.json.age"]);
    none_has(&setting.store, &[b"a-reason", b"/qmp"]);
    let id = entry.file_name().unwrap().to_str().unwrap();
    let store = &setting.store;
    with_store(store, &["report", id]).expect(1).says("no identity was given");
    let report = with_store(store, &["report", id, "--identity", key.path()]).expect(0).stdout;
    assert!(report.contains("guest panicked (no log)"), "{report}");
    let info = with_store(store, &["info", id]).expect(0).stdout;
    assert!(info.contains("encrypted to X25519"), "{info}");
    let info = with_store(store, &["info", id, "--identity", key.path()]).expect(0).stdout;
    assert!(info.contains("a-reason"), "{info}");
    let list = with_store(store, &["list"]).expect(0).stdout;
    assert!(list.contains("no-core"), "{list}");
}

#[test]
fn what_was_stored_in_haste_is_compressed_again_and_stays_encrypted() {
    let script = Script { stream: Arc::new(CoreStream::of_guest(300)), ..Script::default() };
    let (setting, key) = (Setting::new(script), key());
    let slow = ["--spool", "16M", "--level", "16", "--threads", "1", "--resume", "--verbose"];
    let ran = setting.capture(&[&slow[..], &["--encrypt-to", &key.recipient]].concat()).expect(0);
    assert!(ran.stderr.contains("the core is as small as it gets"), "{ran:?}");
    let entry = setting.listing().entries[0].clone();
    assert_eq!(
        files(&entry),
        [
            "metadata.json",
            "metadata.json.age",
            "report.json.age",
            "triage.zst.age",
            "vmcore.elf.zst.age"
        ]
    );
    let id = entry.file_name().unwrap().to_str().unwrap();
    with_store(&setting.store, &["verify", id, "--identity", key.path()]).expect(0);
    assert_eq!(metadata_of(&entry).title.as_deref(), Some("guest panicked (no log)"));
}

#[test]
fn an_encrypted_core_is_a_file_of_its_own_too() {
    let (setting, key) = (Setting::new(guest()), key());
    let folder = tempfile::tempdir().unwrap();
    let core = folder.path().join("web.zst.age");
    let output = core.to_str().unwrap();
    setting.capture(&["--encrypt-to", &key.recipient, "--output", output]).expect(0);
    assert_eq!(
        files(folder.path()),
        ["web.zst.age", "web.zst.age.json", "web.zst.age.json.age", "web.zst.age.report.json.age"]
    );
    run(["verify", output, "--identity", key.path()]).expect(0);
    run(["verify", output]).expect(0);
    run(["report", output, "--identity", key.path()]).expect(0);
    run(["report", output, "--save", "--identity", key.path()]).expect(0);
    // Nothing is overwritten.
    setting.capture(&["--any-state", "--encrypt-to", &key.recipient, "--output", output]).expect(1);
}
