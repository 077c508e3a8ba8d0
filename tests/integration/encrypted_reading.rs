//! Entries that only their recipients can read: what commands answer with a key, and without one.

use std::fs;

use serde_json::Value;
use vmcorectl::metadata::Metadata;

use crate::age_key::{files, guest, key, with_store};
use crate::setting::Setting;
use crate::tool::Ran;

/// Each command answers as for the entry that is not encrypted. Of both, the memory is the same.
#[test]
fn commands_need_a_key_and_say_so() {
    let (setting, key, other) = (Setting::new(guest()), key(), key());
    let entry = setting.capture(&["--encrypt-to", &key.recipient]).expect(0).entry();
    let id = entry.file_name().unwrap().to_str().unwrap();
    let store = &setting.store;
    for command in ["info --kernel", "dmesg", "ps", "regs", "report", "mods", "bt"] {
        let words: Vec<&str> = command.split(' ').collect();
        let typed = [&words[..1], &[id], &words[1..]].concat();
        let ran = with_store(store, &typed).expect(1);
        let ran =
            ran.says("it is encrypted, and no identity was given").says("hint: name the file");
        assert!(ran.stdout.is_empty(), "{ran:?}");
        let typed = [&typed[..], &["--identity", other.path()]].concat();
        let ran = with_store(store, &typed).expect(1);
        let ran =
            ran.says("it is encrypted to other keys than these").says("X25519").says("hint: ");
        assert!(!ran.stderr.contains("AGE-SECRET") && !ran.stderr.contains(&other.secret));
        let typed = [&typed[..], &["--identity", key.path()]].concat();
        let ran = with_store(store, &typed);
        assert!(!ran.stderr.contains("encrypted"), "{ran:?}");
    }
    with_store(store, &["regs", id, "--identity", key.path()]).expect(0);
    let ran = crate::tool::command(["regs", id, "--store", store.to_str().unwrap()])
        .env("VMCORECTL_IDENTITY", key.path())
        .output();
    Ran::from(ran.unwrap()).expect(0);
}

#[test]
fn a_list_and_info_show_what_is_in_the_clear() {
    let (setting, key) = (Setting::new(guest()), key());
    let ran = setting.capture(&["--encrypt-to", &key.recipient, "--note", "a-note"]).expect(0);
    let entry = ran.entry();
    let id = entry.file_name().unwrap().to_str().unwrap();
    let store = &setting.store;
    let list = with_store(store, &["list"]).expect(0).stdout;
    assert!(list.contains("guest panicked (no log)") && list.contains("web-3"), "{list}");
    let line: Value =
        serde_json::from_str(&with_store(store, &["list", "--json"]).expect(0).stdout).unwrap();
    let bytes = entry.join("vmcore.elf.zst.age").metadata().unwrap().len();
    assert_eq!(line["core_bytes"], bytes);
    assert_eq!(line["state"], "complete");
    let group = with_store(store, &["group"]).expect(0).stdout;
    assert!(group.contains("web-3") && group.contains("6.1.0-test"), "{group}");
    let info = with_store(store, &["info", id]).expect(0).stdout;
    assert!(info.contains("encrypted to X25519 SHA256:"), "{info}");
    assert!(!info.contains("a-note"), "{info}");
    let info = with_store(store, &["info", id, "--identity", key.path()]).expect(0).stdout;
    assert!(info.contains("a-note") && !info.contains("encrypted"), "{info}");
    let json =
        with_store(store, &["info", id, "--json", "--identity", key.path()]).expect(0).stdout;
    let metadata: Metadata = serde_json::from_str(&json).unwrap();
    assert_eq!((metadata.note.as_deref(), metadata.encrypted), (Some("a-note"), None));
}

#[test]
fn verify_checks_what_it_can_and_with_a_key_all() {
    let (setting, key) = (Setting::new(guest()), key());
    let entry = setting.capture(&["--encrypt-to", &key.recipient]).expect(0).entry();
    let id = entry.file_name().unwrap().to_str().unwrap();
    let store = &setting.store;
    let core = entry.join("vmcore.elf.zst.age");
    let ran = with_store(store, &["verify", id]).expect(0);
    assert!(ran.stdout.contains("whole"), "{ran:?}");
    with_store(store, &["verify", id, "--identity", key.path()]).expect(0);
    // An entry of which no hash was recorded.
    let clear = fs::read_to_string(entry.join("metadata.json")).unwrap();
    let renamed = clear.replace("\"core_file_sha256\"", "\"unknown\"");
    assert_ne!(renamed, clear);
    fs::write(entry.join("metadata.json"), renamed).unwrap();
    let ran = with_store(store, &["verify", id]).expect(3);
    assert!(ran.stdout.contains("no identity was given"), "{ran:?}");
    fs::write(entry.join("metadata.json"), &clear).unwrap();

    let good = fs::read(&core).unwrap();
    let replace = |bytes: &[u8]| fs::write(&core, bytes).unwrap();
    // A byte in the middle, and one of the last chunk.
    for at in [good.len() / 2, good.len() - 100] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        replace(&bad);
        let ran = with_store(store, &["verify", id, "--identity", key.path()]).expect(1);
        let said = ran.stdout + &ran.stderr;
        assert!(said.contains("was changed"), "{said}");
        let ran = with_store(store, &["verify", id]).expect(1);
        assert!(ran.stdout.contains("SHA-256 is not the one in metadata.json"), "{ran:?}");
    }
    // Cut off: within a chunk, and between two, which no length tells.
    for end in [good.len() - 1, good.len() - 70_000, 100] {
        replace(&good[..end]);
        let ran = with_store(store, &["verify", id]).expect(1);
        assert!(ran.stdout.contains("metadata.json says"), "{ran:?}");
        let ran = with_store(store, &["verify", id, "--identity", key.path()]).expect(1);
        let said = ran.stdout + &ran.stderr;
        assert!(said.contains("the encrypted file"), "{said}");
    }
    // Two chunks changed places.
    let mut swapped = good.clone();
    let (one, other) = swapped.split_at_mut(good.len() / 2);
    one[good.len() / 4..][..1000].swap_with_slice(&mut other[..1000]);
    replace(&swapped);
    with_store(store, &["verify", id, "--identity", key.path()]).expect(1);
    replace(&good);
    // The metadata in the clear was changed, or its encrypted file.
    let changed = clear.replace("\"complete\"", "\"incomplete\"");
    fs::write(entry.join("metadata.json"), &changed).unwrap();
    let ran = with_store(store, &["verify", id, "--identity", key.path()]).expect(1);
    assert!(ran.stdout.contains("contradicts the metadata in the core"), "{ran:?}");
    fs::write(entry.join("metadata.json"), &clear).unwrap();
    fs::write(entry.join("metadata.json.age"), &good[..500]).unwrap();
    with_store(store, &["verify", id, "--identity", key.path()]).expect(1);
}

#[test]
fn an_encrypted_entry_is_imported_removed_pinned_and_reported_on_again() {
    let (setting, key, other) = (Setting::new(guest()), key(), key());
    let entry = setting.capture(&["--encrypt-to", &key.recipient]).expect(0).entry();
    let id = entry.file_name().unwrap().to_str().unwrap().to_owned();
    let store = &setting.store;
    with_store(store, &["pin", &id]).expect(0);
    with_store(store, &["rm", "--yes", &id]).expect(1).says("pinned");
    with_store(store, &["unpin", &id]).expect(0);
    // From one key to another.
    let core = entry.join("vmcore.elf.zst.age");
    let import =
        ["import", core.to_str().unwrap(), "--keep-free", "0", "--encrypt-to", &other.recipient];
    with_store(store, &import).expect(1).says("no identity was given");
    let imported = with_store(store, &[&import[..], &["--identity", key.path()]].concat());
    let imported = imported.expect(0).entry();
    assert_eq!(
        files(&imported),
        [
            "metadata.json",
            "metadata.json.age",
            "report.json.age",
            "triage.zst.age",
            "vmcore.elf.zst.age"
        ]
    );
    let new = imported.file_name().unwrap().to_str().unwrap().to_owned();
    with_store(store, &["verify", &new, "--identity", key.path()]).expect(1).says("other keys");
    with_store(store, &["verify", &new, "--identity", other.path()]).expect(0);

    fs::remove_file(entry.join("report.json.age")).unwrap();
    with_store(store, &["report", &id, "--save"]).expect(1).says("no identity was given");
    with_store(store, &["report", &id, "--save", "--identity", key.path()]).expect(0);
    let sealed = fs::read(entry.join("report.json.age")).unwrap();
    assert!(sealed.starts_with(b"age-encryption.org/v1\n"));
    with_store(store, &["report", &id, "--save", "--identity", key.path()]).expect(0);
    assert_ne!(fs::read(entry.join("report.json.age")).unwrap(), sealed);
    with_store(store, &["verify", &id, "--identity", key.path()]).expect(0);

    // The triage pack is what is left of a core that is gone.
    let regs = ["regs", &id, "--identity", key.path()];
    let before = with_store(store, &regs).expect(0).stdout;
    fs::remove_file(&core).unwrap();
    assert_eq!(with_store(store, &regs).expect(0).stdout, before);
    with_store(store, &regs[..2]).expect(1).says("no identity was given");

    with_store(store, &["rm", "--yes", &id]).expect(0);
    assert!(!entry.exists());
    let pruned = with_store(store, &["prune", "--keep", "0"]);
    assert!(pruned.code.is_some(), "{pruned:?}");
}
