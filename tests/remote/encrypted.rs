//! An encrypted core answers as the plain one, byte for byte, here and on a server.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use age::secrecy::ExposeSecret;
use vmcorectl::encryption::identities::{Ask, Nobody};
use vmcorectl::encryption::{Recipients, SealedHeader, seal};

use crate::command::{run, run_on};
use crate::entry::{Entry, asked};
use crate::equal::{self, check};
use crate::http_server::{HttpServer, Object};
use crate::offline::IN_PACK;
use crate::push::URL;
use crate::seaweedfs::SeaweedFs;
use crate::{NAME, sample};

const PACK: &str = "triage.zst.age";
const CORE: &str = "vmcore.elf.zst.age";
const PUSHED: &str = "core-0123abcd.elf.zst.age";

/// The sample, encrypted, and the file of its key.
fn encrypted(folder: &tempfile::TempDir) -> (Vec<u8>, PathBuf) {
    let identity = age::x25519::Identity::generate();
    let key = folder.path().join("key");
    fs::write(&key, identity.to_string().expose_secret()).unwrap();
    let nobody: Arc<dyn Ask> = Arc::new(Nobody);
    let recipients = Recipients::of(&[identity.to_public().to_string()], &nobody).unwrap();
    (seal(&SealedHeader::new(&recipients).unwrap(), &sample()).unwrap(), key)
}

#[test]
fn commands_answer_for_an_encrypted_core_as_for_the_plain_one() {
    let folder = tempfile::tempdir().unwrap();
    let (core, key) = encrypted(&folder);
    let path = folder.path().join("core.age");
    fs::write(&path, core).unwrap();
    check(path.to_str().unwrap(), &[("VMCORECTL_IDENTITY", key.to_str().unwrap())]);
}

#[test]
fn commands_answer_for_an_encrypted_core_behind_http_as_for_the_plain_one() {
    let folder = tempfile::tempdir().unwrap();
    let (core, key) = encrypted(&folder);
    let server = HttpServer::of("core.age", Object::new(core));
    let address = server.url("core.age");
    check(&address, &[("VMCORECTL_IDENTITY", key.to_str().unwrap())]);
}

/// The chunks of 64 KiB that a range touches are fetched, and the header.
#[test]
fn a_report_of_an_encrypted_core_fetches_little_more_than_of_the_plain_one() {
    let folder = tempfile::tempdir().unwrap();
    let (core, key) = encrypted(&folder);
    let name = "20260101T000000Z-aaaa0001/vmcore.elf.zst.age";
    let fetched = |name: &'static str, core: Vec<u8>, address: &str| {
        let length = core.len();
        let server = HttpServer::of(name, Object::new(core));
        let variables = [("VMCORECTL_IDENTITY", key.to_str().unwrap())];
        let answer = run(&["report", &server.url(address)], &variables);
        assert_eq!(answer.code, Some(0), "{}", answer.stderr);
        let requests = server.requests.lock().unwrap();
        let of_core = requests.iter().filter(|request| request.path.ends_with(name));
        let ranges = of_core.filter_map(|request| request.range(length));
        ranges.map(|range| range.len()).sum::<usize>()
    };
    let plain = fetched(NAME, sample(), NAME);
    // The address is that of the entry.
    let encrypted = fetched(name, core, "20260101T000000Z-aaaa0001");
    assert!(encrypted <= plain + plain / 4 + (1 << 20), "{encrypted} instead of {plain} bytes");
}

#[test]
fn a_wrong_key_is_an_error_without_any_byte() {
    let folder = tempfile::tempdir().unwrap();
    let (core, _) = encrypted(&folder);
    let other = tempfile::tempdir().unwrap();
    let (_, other) = encrypted(&other);
    let server = HttpServer::of(NAME, Object::new(core));
    let answer = run(&["dmesg", &server.url(NAME), "--identity", other.to_str().unwrap()], &[]);
    assert_eq!((answer.code, answer.stdout.len()), (Some(1), 0));
    assert!(answer.stderr.contains("encrypted to other keys"), "{}", answer.stderr);
}

/// A real server: the entry is pushed as it is, listed by what is in the clear, and opened there.
#[test]
fn an_encrypted_entry_is_read_in_a_bucket_as_the_plain_one_here() {
    let Some(server) = SeaweedFs::start("fleet") else { return };
    let folder = tempfile::tempdir().unwrap();
    let identity = age::x25519::Identity::generate();
    let key = folder.path().join("key");
    fs::write(&key, identity.to_string().expose_secret()).unwrap();
    let recipient = identity.to_public().to_string();
    let (plain, sealed) = (folder.path().join("plain"), folder.path().join("sealed"));
    let (plain, sealed) = (plain.to_str().unwrap(), sealed.to_str().unwrap());
    let import = ["import", crate::CORE, "--store"];
    assert_eq!(run(&[&import[..], &[plain]].concat(), &[]).code, Some(0));
    let imported = run(&[&import[..], &[sealed, "--encrypt-to", &recipient]].concat(), &[]);
    assert_eq!(imported.code, Some(0), "{}", imported.stderr);
    let pushed = run(&["push", "--all", "--to", URL, "--store", sealed], &server.variables());
    assert_eq!(pushed.code, Some(0), "{}", pushed.stderr);
    let keys = server.list("fleet", "cores/");
    let of_entry: Vec<_> = keys.iter().filter(|key| key.contains("Z-")).collect();
    assert!(of_entry.iter().any(|key| key.ends_with(".elf.zst.age")), "{keys:?}");
    assert!(!of_entry.iter().any(|key| key.ends_with("/report.json")), "{keys:?}");
    assert!(!of_entry.iter().any(|key| key.ends_with("/triage.zst")), "{keys:?}");
    let identity = ("VMCORECTL_IDENTITY", key.to_str().unwrap());
    let variables = [&server.variables()[..], &[identity]].concat();
    for command in [
        &["report", "latest"][..],
        &["dmesg", "latest"],
        &["ps", "latest", "--threads"],
        &["bt", "latest", "--all"],
        &["mods", "latest"],
    ] {
        let there = run_on(URL, command, &variables);
        let here = run_on(plain, command, &[]);
        assert_eq!(there.code, Some(0), "{command:?}: {}", there.stderr);
        assert!(there.stdout == here.stdout, "{command:?}");
    }
    let without = run_on(URL, &["dmesg", "latest"], &server.variables());
    assert_eq!((without.code, without.stdout.len()), (Some(1), 0), "{}", without.stderr);
    let back = folder.path().join("back");
    let words = ["pull", "latest", "--from", URL, "--store", back.to_str().unwrap()];
    let pulled = run(&words, &server.variables());
    assert_eq!(pulled.code, Some(0), "{}", pulled.stderr);
    let verified = run(&["verify", "latest", "--store", back.to_str().unwrap()], &[identity]);
    assert_eq!(verified.code, Some(0), "{}", verified.stderr);
}

/// The sample as an encrypted entry, and the file of its key.
fn encrypted_entry(folder: &tempfile::TempDir) -> (Entry, String) {
    let identity = age::x25519::Identity::generate();
    let key = folder.path().join("key");
    fs::write(&key, identity.to_string().expose_secret()).unwrap();
    let entry = Entry::of(&["--encrypt-to", &identity.to_public().to_string()]);
    (entry, key.to_str().unwrap().to_owned())
}

fn folder_of(url: &str) -> &str {
    url.rsplit_once('/').unwrap().0
}

/// As it was pushed, as other tools copy it, without its pack, and without its core.
#[test]
fn commands_answer_for_an_encrypted_entry_as_for_the_entry_on_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    let (entry, key) = encrypted_entry(&folder);
    let local = entry.folder.to_str().unwrap().to_owned();
    let variables = [("VMCORECTL_IDENTITY", key.as_str())];
    let check = |entry: &Entry| {
        let (server, url) = entry.serve();
        equal::check_commands(IN_PACK, &local, folder_of(&url), &variables);
        server
    };
    check(&entry);
    let entry = entry.pushed();
    let (_server, url) = entry.serve();
    equal::check_as(&local, folder_of(&url), &variables);
    let entry = entry.without(PUSHED);
    let server = check(&entry);
    assert!(asked(&server, &entry, PACK).0 > 0);
    let read = run(&["read", folder_of(&server_url(&server)), "0", "64M", "--raw"], &variables);
    assert_eq!(read.code, Some(1), "{}", read.stderr);
    assert!(read.stderr.contains("not in its triage pack, and"), "{}", read.stderr);
    let (entry, key) = encrypted_entry(&folder);
    let local = entry.folder.to_str().unwrap().to_owned();
    fs::remove_file(entry.folder.join(PACK)).unwrap();
    let entry = entry.pushed().without(PACK);
    let (_server, url) = entry.serve();
    let variables = [("VMCORECTL_IDENTITY", key.as_str())];
    equal::check_commands(IN_PACK, &local, folder_of(&url), &variables);
}

fn server_url(server: &HttpServer) -> String {
    server.url("web/20260101T000000Z-aaaa0001/vmcore.elf.zst")
}

#[test]
fn a_report_of_an_encrypted_entry_takes_as_many_requests_as_of_a_plain_one() {
    let folder = tempfile::tempdir().unwrap();
    let count = |entry: &Entry, variables: &[(&str, &str)]| {
        let (server, url) = entry.serve();
        let report = run(&["report", folder_of(&url)], variables);
        assert_eq!(report.code, Some(0), "{}", report.stderr);
        server.request_count()
    };
    let plain = count(&Entry::new().pushed(), &[]);
    let (entry, key) = encrypted_entry(&folder);
    let entry = entry.pushed();
    let variables = [("VMCORECTL_IDENTITY", key.as_str())];
    assert_eq!(count(&entry, &variables), plain);
    // Neither is the other form out of reach: three more requests find it.
    let with_keys = count(&Entry::new().pushed(), &variables);
    assert!(with_keys <= plain + 2, "{with_keys}");
}

#[test]
fn an_encrypted_entry_without_its_key_is_an_error_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (entry, _) = encrypted_entry(&folder);
    let (_server, url) = entry.pushed().serve();
    let answer = run(&["dmesg", folder_of(&url)], &[]);
    assert_eq!((answer.code, answer.stdout.len()), (Some(1), 0));
    assert!(answer.stderr.contains("no identity was given"), "{}", answer.stderr);
    let other = tempfile::tempdir().unwrap();
    let (_, other) = encrypted(&other);
    let other = other.to_str().unwrap();
    let answer = run(&["dmesg", folder_of(&url), "--identity", other], &[]);
    assert!(answer.stderr.contains("encrypted to other keys"), "{}", answer.stderr);
}

#[test]
fn a_damaged_encrypted_pack_is_not_used_and_one_that_was_cut_off_gives_no_other_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (mut entry, key) = encrypted_entry(&folder);
    let local = entry.folder.join(CORE);
    let variables = [("VMCORECTL_IDENTITY", key.as_str())];
    let expected = run(&["dmesg", local.to_str().unwrap()], &variables).stdout;
    let whole = entry.files[PACK].clone();
    let header = whole.windows(4).position(|bytes| bytes == b"--- ").unwrap();
    let flip = |at: usize| {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        damaged
    };
    for damaged in [flip(header + 10), flip(header + 200), whole[..whole.len() / 2].to_vec()] {
        entry.files.insert(PACK.to_owned(), damaged);
        let (_server, url) = entry.serve();
        let answer = run(&["dmesg", folder_of(&url)], &variables);
        assert_eq!(answer.code, Some(0), "{}", answer.stderr);
        assert!(answer.stdout == expected, "other bytes");
        assert!(answer.stderr.contains("is not used: "), "{}", answer.stderr);
    }
}

/// Nothing is changed there in part: headers of four files cannot be replaced at once.
#[test]
fn an_entry_in_a_bucket_is_not_encrypted_anew_and_the_way_to_do_it_is_said() {
    let recipient = age::x25519::Identity::generate().to_public().to_string();
    for words in [
        &["rewrap", "s3://bucket/web/20260101T000000Z-aaaa0001"][..],
        &["rewrap", "latest", "--store", "s3://bucket/cores"],
    ] {
        let answer = run(&[words, &["--encrypt-to", &recipient]].concat(), &[]);
        assert_eq!(answer.code, Some(2), "{}", answer.stderr);
        assert!(answer.stderr.contains("hint: `pull` the entry"), "{}", answer.stderr);
    }
}
