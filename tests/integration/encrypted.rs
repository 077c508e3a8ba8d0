//! Entries that only their recipients can read.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use age::secrecy::ExposeSecret;
use rustix::process::Signal;
use serde_json::Value;
use vmcorectl::metadata::{CaptureResult, Metadata};

use crate::core_stream::{CoreStream, MIB};
use crate::lacking::lacking;
use crate::scripted_qemu::Script;
use crate::setting::{Setting, finish, signal};
use crate::tmpfs::Tmpfs;
use crate::tool::{Ran, metadata_of, run, start_through};

/// A key pair: the public part, and a file with the private one.
struct Key {
    recipient: String,
    secret: String,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

fn key() -> Key {
    let folder = tempfile::tempdir().unwrap();
    let identity = age::x25519::Identity::generate();
    let secret = identity.to_string().expose_secret().to_owned();
    let file = folder.path().join("key.txt");
    fs::write(&file, format!("# a key\n{secret}\n")).unwrap();
    Key { recipient: identity.to_public().to_string(), secret, file, _folder: folder }
}

impl Key {
    fn path(&self) -> &str {
        self.file.to_str().unwrap()
    }
}

fn with_store(store: &Path, arguments: &[&str]) -> Ran {
    run(arguments.iter().copied().chain(["--store", store.to_str().unwrap()]))
}

fn files(entry: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(entry)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// All bytes of all files below a directory, and their names.
fn all_below(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            found.extend(all_below(&path));
        } else {
            found.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    found
}

/// Checks that none of the files has one of these texts, in its name or in its contents.
#[track_caller]
fn none_has(folder: &Path, texts: &[&[u8]]) {
    for (path, bytes) in all_below(folder) {
        for text in texts {
            let found = memchr::memmem::find(&bytes, text).is_some()
                || memchr::memmem::find(path.as_os_str().as_encoded_bytes(), text).is_some();
            assert!(!found, "{:?} is in {}", String::from_utf8_lossy(text), path.display());
        }
    }
}

/// What Debian's `age` and `zstd` make of a core.
fn by_stock_tools(core: &Path, key: &Key) -> Option<Vec<u8>> {
    let mut age = Command::new("age");
    age.args(["-d", "-i", key.path()]).arg(core).stdout(Stdio::piped());
    let Ok(mut age) = age.spawn() else {
        lacking("Debian's package age");
        return None;
    };
    let zstd = Command::new("zstd").arg("-dc").stdin(age.stdout.take().unwrap()).output();
    assert!(age.wait().unwrap().success());
    let zstd = zstd.expect("zstd");
    assert!(zstd.status.success(), "{zstd:?}");
    Some(zstd.stdout)
}

/// A guest that is to be found in no file.
fn guest() -> Script {
    Script { stream: Arc::new(CoreStream::of_guest(22)), ..Script::default() }
}

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
        if let Some(elf) = by_stock_tools(&entry.join("vmcore.elf.zst.age"), key) {
            assert!(elf == exported, "stock tools give something else");
        }
    }
    fs::remove_file(&plain).unwrap();
    none_has(&setting.store, &[b"a-note", b"/qmp", key.secret.as_bytes(), b"AGE-SECRET"]);

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
}

fn setting_memory(elf: &[u8]) -> u64 {
    CoreStream::of_guest(22).check_memory_of(elf) as u64
}

fn setting_memory_of_stream() -> u64 {
    CoreStream::of_guest(22).memory_bytes() as u64
}

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
fn verify_checks_what_it_can_and_with_a_key_all() {
    let (setting, key) = (Setting::new(guest()), key());
    let entry = setting.capture(&["--encrypt-to", &key.recipient]).expect(0).entry();
    let id = entry.file_name().unwrap().to_str().unwrap();
    let store = &setting.store;
    let core = entry.join("vmcore.elf.zst.age");
    let ran = with_store(store, &["verify", id]).expect(3);
    assert!(ran.stdout.contains("no identity was given"), "{ran:?}");
    with_store(store, &["verify", id, "--identity", key.path()]).expect(0);

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
    }
    // Cut off: within a chunk, and between two, which no length tells.
    for end in [good.len() - 1, good.len() - 70_000, 100] {
        replace(&good[..end]);
        let ran = with_store(store, &["verify", id]).expect(1);
        assert!(ran.stdout.contains("metadata.json says"), "{ran:?}");
        let ran = with_store(store, &["dmesg", id, "--identity", key.path()]).expect(1);
        assert!(ran.stderr.contains("encrypted file"), "{ran:?}");
    }
    // Two chunks changed places.
    let mut swapped = good.clone();
    let (one, other) = swapped.split_at_mut(good.len() / 2);
    one[good.len() / 4..][..1000].swap_with_slice(&mut other[..1000]);
    replace(&swapped);
    with_store(store, &["verify", id, "--identity", key.path()]).expect(1);
    replace(&good);
    // The metadata in the clear was changed, or its encrypted file.
    let clear = fs::read_to_string(entry.join("metadata.json")).unwrap();
    let changed = clear.replace("\"complete\"", "\"incomplete\"");
    fs::write(entry.join("metadata.json"), &changed).unwrap();
    let ran = with_store(store, &["verify", id, "--identity", key.path()]).expect(1);
    assert!(ran.stdout.contains("contradicts the metadata in the core"), "{ran:?}");
    fs::write(entry.join("metadata.json"), &clear).unwrap();
    fs::write(entry.join("metadata.json.age"), &good[..500]).unwrap();
    with_store(store, &["verify", id, "--identity", key.path()]).expect(1);
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

/// What is written has to be taken back, over chunks that were sealed.
#[test]
fn a_disk_that_becomes_full_keeps_what_fits_and_can_be_read() {
    let Some(disk) = Tmpfs::of_size(4 * MIB) else { return };
    let (setting, key) = (Setting::with_store(guest(), disk.path()), key());
    setting
        .capture(&["--on-failure", "resume", "--encrypt-to", &key.recipient])
        .expect(6)
        .says("No space left on device")
        .says("is kept in");
    let left = setting.listing();
    assert_eq!((left.entries.len(), left.incomplete.len()), (0, 1), "{left:?}");
    let entry = left.incomplete[0].to_str().unwrap();
    let ran = run(["verify", entry, "--identity", key.path(), "--json"]).expect(3);
    let found: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(found["bytes"].as_u64().unwrap() > MIB as u64, "{found}");
    let core = left.incomplete[0].join("vmcore.elf.zst.age");
    assert!(by_stock_tools(&core, &key).is_none_or(|elf| elf.starts_with(b"\x7fELF")));
}

/// A file that may not grow refuses a part of a write, after the guest was let go.
#[test]
fn a_write_that_failed_half_way_leaves_a_core_that_can_be_read() {
    let (setting, key) = (Setting::new(guest()), key());
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", 4 * MIB / 512);
    let arguments = ["--level", "19", "--threads", "1", "--resume", "--encrypt-to", &key.recipient];
    let ran = finish(start_through(&["sh", "-c", &script, "sh"], setting.arguments(&arguments)));
    ran.expect(3).says("is kept in");
    let left = setting.listing().incomplete[0].clone();
    let ran = run(["verify", left.to_str().unwrap(), "--identity", key.path()]);
    assert!(matches!(ran.code, Some(0 | 3)), "{ran:?}");
    let json = run(["info", left.to_str().unwrap(), "--json", "--identity", key.path()]).expect(0);
    let metadata: Metadata = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(metadata.result, CaptureResult::Incomplete);
    assert!(metadata.failure.unwrap().message.contains("File too large"));
}

#[test]
fn what_was_killed_leaves_nothing_in_the_clear() {
    let (setting, key) = (Setting::new(guest()), key());
    let slow = ["--level", "19", "--threads", "1", "--resume", "--note", "a-note"];
    let capture = setting.start(&[&slow[..], &["--encrypt-to", &key.recipient]].concat());
    setting.qemu.await_run_state("running");
    signal(&capture, Signal::KILL);
    assert_eq!(finish(capture).code, None);
    let left = setting.listing();
    assert_eq!((left.entries.len(), left.incomplete.len()), (0, 1), "{left:?}");
    none_has(&setting.store, &[b"a-note", b"/qmp", b"QEMU", b"ELF"]);
    let entry = left.incomplete[0].to_str().unwrap();
    // It has no end: nothing shows that it was not cut off.
    run(["dmesg", entry, "--identity", key.path()]).expect(1).says("encrypted file");
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
    run(["verify", output]).expect(3);
    run(["report", output, "--identity", key.path()]).expect(0);
    run(["report", output, "--save", "--identity", key.path()]).expect(0);
    // Nothing is overwritten.
    setting.capture(&["--any-state", "--encrypt-to", &key.recipient, "--output", output]).expect(1);
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

#[test]
fn rewrap_adds_recipients_and_leaves_the_payload() {
    let (setting, key, other) = (Setting::new(guest()), key(), key());
    let entry = setting.capture(&["--encrypt-to", &key.recipient]).expect(0).entry();
    let id = entry.file_name().unwrap().to_str().unwrap();
    let store = &setting.store;
    let core = entry.join("vmcore.elf.zst.age");
    // Of the payload, what follows the line of the MAC.
    let payload = |path: &Path| {
        let bytes = fs::read(path).unwrap();
        let mac = memchr::memmem::find(&bytes, b"\n--- ").unwrap() + 1;
        let end = memchr::memchr(b'\n', &bytes[mac..]).unwrap();
        bytes[mac + end..].to_vec()
    };
    let (before, bytes) = (payload(&core), fs::read(&core).unwrap());
    let typed = ["rewrap", id, "--encrypt-to", &other.recipient];
    with_store(store, &typed).expect(1).says("no identity was given");
    let wrong = [&typed[..], &["--identity", other.path()]].concat();
    with_store(store, &wrong).expect(1).says("other keys");
    assert!(fs::read(&core).unwrap() == bytes);
    with_store(store, &[&typed[..], &["--identity", key.path()]].concat()).expect(0);
    assert!(payload(&core) == before);
    for key in [&key, &other] {
        with_store(store, &["verify", id, "--identity", key.path()]).expect(0);
        let metadata = ["info", id, "--json", "--identity", key.path()];
        with_store(store, &metadata).expect(0);
        by_stock_tools(&core, key);
    }
    let to = metadata_of(&entry).encrypted.unwrap().to;
    assert_eq!(to.len(), 2);
    with_store(store, &["verify", id]).expect(3);
    assert_eq!(files(&entry).len(), 5, "{:?}", files(&entry));
    let plain = setting.capture(&["--any-state"]).expect(0).entry();
    let plain = plain.to_str().unwrap();
    run(["rewrap", plain, "--encrypt-to", &other.recipient]).expect(1).says("is not encrypted");
}

/// A plugin of age, as small as one can be: it wraps a key by writing it into the stanza.
const PLUGIN: &str = r#"#!/usr/bin/env python3
import base64, sys
def stanza():
    head = sys.stdin.readline().strip()
    body = ""
    while True:
        line = sys.stdin.readline().strip()
        body += line
        if len(line) < 64:
            break
    return head.split(" ")[1:], body
def say(*lines):
    sys.stdout.write("".join(line + "\n" for line in lines))
    sys.stdout.flush()
commands = []
while True:
    head, body = stanza()
    if head[0] == "done":
        break
    commands.append((head, body))
if sys.argv[1] == "--age-plugin=recipient-v1":
    key = next(body for head, body in commands if head[0] == "wrap-file-key")
    say("-> recipient-stanza 0 toy", key)
    stanza()
else:
    for head, body in commands:
        if head[0] == "recipient-stanza" and head[2] == "toy":
            say("-> file-key 0", body)
            stanza()
            break
say("-> done", "")
"#;

#[test]
fn keys_may_be_those_of_a_plugin() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("age-plugin-toy");
    fs::write(&plugin, PLUGIN).unwrap();
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let with = |arguments: Vec<std::ffi::OsString>| {
        let output = crate::tool::command(arguments).env("PATH", &path).output();
        Ran::from(output.unwrap())
    };
    let setting = Setting::new(guest());
    // The texts of plugins are Bech32, with the plugin's name in front.
    let (recipient, identity) = (bech32("age1toy"), bech32("age-plugin-toy-").to_uppercase());
    let ran = setting.capture(&["--encrypt-to", &recipient]);
    ran.expect(1).says("age-plugin-toy is not installed");
    let entry = with(setting.arguments(&["--encrypt-to", &recipient])).expect(0).entry();
    assert_eq!(metadata_of(&entry).encrypted.unwrap().to[0].kind, "toy");
    let key = folder.path().join("key");
    fs::write(&key, identity).unwrap();
    let key = key.display().to_string();
    let entry = entry.display().to_string();
    let typed = ["regs", &entry, "--identity", &key].map(Into::into);
    with(typed.to_vec()).expect(0);
    run(["regs", &entry, "--identity", &key]).expect(1).says("cannot use the identities in");
}

/// Bech32 of four bytes, by its definition (BIP 173).
fn bech32(prefix: &str) -> String {
    const LETTERS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    let data = [0_u8, 4, 2, 1, 0, 8, 0];
    let checksum = |values: &[u8]| {
        let generator = [0x3b6a_57b2_u32, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
        let mut sum = 1_u32;
        for value in values {
            let top = sum >> 25;
            sum = (sum & 0x01ff_ffff) << 5 ^ u32::from(*value);
            for (bit, generator) in generator.iter().enumerate() {
                sum ^= if top >> bit & 1 == 1 { *generator } else { 0 };
            }
        }
        sum ^ 1
    };
    let mut values: Vec<u8> = prefix.bytes().map(|byte| byte >> 5).collect();
    values.push(0);
    values.extend(prefix.bytes().map(|byte| byte & 31));
    values.extend(data);
    values.extend([0; 6]);
    let sum = checksum(&values);
    let sum = (0..6).map(|at| u8::try_from(sum >> (5 * (5 - at)) & 31).unwrap());
    let letters = data.into_iter().chain(sum).map(|value| char::from(LETTERS[usize::from(value)]));
    format!("{prefix}1{}", letters.collect::<String>())
}

/// ssh keys, as `ssh-keygen` makes them; one has a passphrase, which nobody is there to type.
#[test]
fn ssh_keys_are_recipients_and_identities() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for (name, kind, passphrase) in
        [("plain", "ed25519", ""), ("locked", "ed25519", "a passphrase"), ("rsa", "rsa", "")]
    {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", kind, "-N", passphrase, "-C", "test", "-f"])
            .arg(path(name))
            .stdin(Stdio::null())
            .output();
        let Ok(made) = made else { return lacking("Debian's package openssh-client") };
        assert!(made.status.success(), "{made:?}");
    }
    let setting = Setting::new(guest());
    // A file of recipients, as GitHub gives those of its users.
    let mut all = Vec::new();
    for name in ["plain.pub", "locked.pub", "rsa.pub"] {
        all.write_all(&fs::read(path(name)).unwrap()).unwrap();
    }
    fs::write(path("recipients"), all).unwrap();
    let recipients = format!("@{}", path("recipients").display());
    let entry = setting.capture(&["--encrypt-to", &recipients]).expect(0).entry();
    let types: Vec<_> =
        metadata_of(&entry).encrypted.unwrap().to.into_iter().map(|key| key.kind).collect();
    assert_eq!(types, ["ssh-ed25519", "ssh-ed25519", "ssh-rsa"]);
    let id = entry.file_name().unwrap().to_str().unwrap();
    for name in ["plain", "rsa"] {
        let key = path(name).display().to_string();
        with_store(&setting.store, &["verify", id, "--identity", &key]).expect(0);
    }
    let key = path("locked").display().to_string();
    let typed = ["verify", id, "--identity", &key, "--store", setting.store.to_str().unwrap()];
    // In a session of its own, the process has no terminal.
    let ran = finish(start_through(&["setsid", "-w"], typed));
    ran.expect(1).says("it has a passphrase, and there is no terminal");
}
