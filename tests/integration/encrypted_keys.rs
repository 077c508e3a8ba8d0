//! Kinds of keys: those of plugins and of ssh, and further recipients of an entry.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::age_key::{by_stock_tools, files, guest, key, with_store};
use crate::core_stream::MIB;
use crate::lacking::lacking;
use crate::scripted_qemu::{DumpPlan, Script};
use crate::setting::{Setting, finish, signal};
use crate::tool::{Ran, metadata_of, run, start_through};

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
        by_stock_tools(&core, &key.file);
    }
    let to = metadata_of(&entry).encrypted.unwrap().to;
    assert_eq!(to.len(), 2);
    with_store(store, &["verify", id]).expect(0);
    assert_eq!(files(&entry).len(), 5, "{:?}", files(&entry));
    // What is damaged gets no new hash, by which it would be whole.
    let mut bad = fs::read(&core).unwrap();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    fs::write(&core, &bad).unwrap();
    with_store(store, &[&typed[..], &["--identity", key.path()]].concat())
        .expect(1)
        .says("vmcore.elf.zst.age is damaged");
    assert!(fs::read(&core).unwrap() == bad);
    with_store(store, &["verify", id]).expect(1);
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

/// A core file of the program would have the file's key and the guest's memory in it.
#[test]
fn a_process_that_has_keys_leaves_no_core_file() {
    let key = key();
    let setting = Setting::new(Script { dump: DumpPlan::Stalls(3 * MIB), ..guest() });
    let capture = setting.start(&["--encrypt-to", &key.recipient]);
    setting.qemu.await_stall();
    let limits = fs::read_to_string(format!("/proc/{}/limits", capture.id())).unwrap();
    signal(&capture, Signal::KILL);
    finish(capture);
    let limit = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    let values: Vec<&str> = limit.split_whitespace().collect();
    assert_eq!(values[..2], ["0", "0"], "{limit}");
}

/// What is typed, and what any process of the host can read of this one.
#[test]
fn secrets_are_in_no_argument_and_no_variable() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    // The plugin sees all processes above it, while the identities are in use.
    let seen = format!(
        "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ > {} 2> /dev/null",
        path("seen").display()
    );
    fs::write(path("age-plugin-toy"), format!("#!/bin/sh\n{seen}\nexit 1\n")).unwrap();
    fs::set_permissions(path("age-plugin-toy"), fs::Permissions::from_mode(0o755)).unwrap();
    let (setting, key) = (Setting::new(guest()), key());
    let entry = setting.capture(&["--encrypt-to", &key.recipient]).expect(0).entry();
    let toy = bech32("age-plugin-toy-").to_uppercase();
    let keys = path("keys");
    fs::write(&keys, format!("{toy}\n{}\n", key.secret)).unwrap();
    let typed = ["regs", entry.to_str().unwrap(), "--identity", keys.to_str().unwrap()];
    let search = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let ran = Ran::from(crate::tool::command(typed).env("PATH", search).output().unwrap());
    assert!(!ran.stderr.contains(&key.secret) && !ran.stdout.contains(&key.secret), "{ran:?}");
    let seen = fs::read(path("seen")).unwrap();
    let has = |text: &str| memchr::memmem::find(&seen, text.as_bytes()).is_some();
    assert!(has("--identity") && !has(&key.secret));
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
    let mut elf = None;
    for name in ["plain", "rsa"] {
        let key = path(name).display().to_string();
        with_store(&setting.store, &["verify", id, "--identity", &key]).expect(0);
        elf = by_stock_tools(&entry.join("vmcore.elf.zst.age"), &path(name));
    }
    // What Debian's age wrote to the same recipients, of a file that has no seek table.
    if let Some(elf) = elf {
        let (plain, sealed) = (path("elf"), path("elf.age"));
        fs::write(&plain, elf).unwrap();
        let mut age = Command::new("age");
        age.arg("-R").arg(path("recipients")).arg("-o").arg(&sealed).arg(&plain);
        assert!(age.status().unwrap().success());
        for name in ["plain", "rsa"] {
            let key = path(name).display().to_string();
            run(["regs", sealed.to_str().unwrap(), "--identity", &key]).expect(0);
        }
    }
    let key = path("locked").display().to_string();
    let typed = ["verify", id, "--identity", &key, "--store", setting.store.to_str().unwrap()];
    // In a session of its own, the process has no terminal.
    let ran = finish(start_through(&["setsid", "-w"], typed));
    ran.expect(1).says("it has a passphrase, and there is no terminal");
}
