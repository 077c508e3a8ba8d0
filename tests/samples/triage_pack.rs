//! The triage pack of an entry: what it has is what the core has, and what it lacks is an error.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use age::secrecy::ExposeSecret;
use serde_json::Value;

use crate::CORE;
use crate::offline::IN_PACK;
use crate::tool::{self, Ran, run};
use crate::transcript::project;

struct Store(tempfile::TempDir);

impl Store {
    /// A store with the sample as an entry.
    fn new() -> (Self, PathBuf) {
        Self::of(&[])
    }

    /// The same, imported with these options.
    fn of(options: &[&str]) -> (Self, PathBuf) {
        let store = Self(tempfile::tempdir().expect("a directory"));
        let core = project().join(CORE);
        let words = [&["import", core.to_str().expect("UTF-8")], options].concat();
        let imported = store.run(&words).expect(0);
        let entry = imported.entry();
        (store, entry)
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let store = ["--store", self.0.path().to_str().expect("UTF-8")];
        run(arguments.iter().chain(&store))
    }
}

fn answers(entry: &Path, options: &[&str]) -> Vec<Ran> {
    let entry = entry.to_str().expect("UTF-8");
    let word = |word: &&str| if *word == "ENTRY" { entry.to_owned() } else { (*word).into() };
    let words = |command: &&[&str]| run(command.iter().chain(options).map(word)).expect(0);
    IN_PACK.iter().map(words).collect()
}

/// Checks that the commands answer the same when the core is not there.
fn check_without(core: &Path, away: &Path, options: &[&str]) {
    let entry = core.parent().expect("an entry");
    let before = answers(entry, options);
    fs::rename(core, away).expect("a rename");
    for ((before, after), command) in before.iter().zip(answers(entry, options)).zip(IN_PACK) {
        assert_eq!((&before.stdout, &before.stderr), (&after.stdout, &after.stderr), "{command:?}");
    }
}

#[test]
fn an_import_has_a_pack_that_stands_in_for_its_core() {
    let (store, entry) = Store::new();
    let pack = entry.join("triage.zst");
    let (core, bytes) = (entry.join("vmcore.elf.zst"), fs::read(&pack).expect("a pack").len());
    let core_bytes = fs::metadata(&core).expect("a core").len();
    assert!((bytes as u64) < core_bytes, "{bytes} of {core_bytes}");
    if let Ok(tested) = Command::new("zstd").args(["-t", "-q"]).arg(&pack).status() {
        assert!(tested.success());
    }
    store.run(&["verify", entry.to_str().expect("UTF-8")]).expect(0);
    let listed = store.run(&["list", "--json"]).expect(0).stdout;
    let listed: Value = serde_json::from_str(&listed).expect("JSON");

    let away = store.0.path().join("core");
    check_without(&core, &away, &[]);
    // What is not there is an error with address and reason: no page of it is read as zeros.
    let entry = entry.to_str().expect("UTF-8");
    let mut read = tool::command(["read", entry, "0", "64M", "--raw"]);
    let read: Ran = read.stdout(Stdio::null()).output().expect("the program").into();
    assert_eq!(read.code, Some(1), "{}", read.stderr);
    assert!(read.stderr.contains("cannot be read: byte 0x"), "{}", read.stderr);
    assert!(read.stderr.contains("not in its triage pack, and "), "{}", read.stderr);
    assert!(read.stderr.contains("vmcore.elf.zst is not there"), "{}", read.stderr);
    let verified = store.run(&["verify", entry]).expect(3);
    assert!(verified.stdout.contains("chunks are not in the triage pack"), "{}", verified.stdout);

    fs::rename(&away, &core).expect("a rename");
    assert_eq!(
        listed["id"],
        Path::new(entry).file_name().and_then(|id| id.to_str()).expect("an id")
    );
    store.run(&["rm", "--yes", listed["id"].as_str().expect("an id")]).expect(0);
    assert!(!Path::new(entry).exists());
}

#[test]
fn an_encrypted_pack_stands_in_for_its_core_too() {
    let folder = tempfile::tempdir().expect("a directory");
    let key = age::x25519::Identity::generate();
    let file = folder.path().join("key");
    fs::write(&file, key.to_string().expose_secret()).expect("a key");
    let (store, entry) = Store::of(&["--encrypt-to", &key.to_public().to_string()]);
    assert!(!entry.join("triage.zst").exists(), "a pack is as secret as its core");
    let away = store.0.path().join("core");
    let identity = ["--identity", file.to_str().expect("UTF-8")];
    check_without(&entry.join("vmcore.elf.zst.age"), &away, &identity);
    let name = entry.to_str().expect("UTF-8");
    let read = run(["read", name, "0", "64M", identity[0], identity[1]]).expect(1);
    assert!(read.stderr.contains("not in its triage pack, and "), "{}", read.stderr);
    let refused = run(["report", name]).expect(1);
    assert!(refused.stderr.contains("it is encrypted, and no identity was given"));
}

#[test]
fn a_pack_that_is_damaged_or_of_another_core_is_found_and_made_anew() {
    let (store, entry) = Store::new();
    let pack = entry.join("triage.zst");
    let name = entry.to_str().expect("UTF-8");
    let whole = fs::read(&pack).expect("a pack");
    let mut damaged = whole.clone();
    let at = damaged.len() / 2;
    damaged[at] ^= 1;
    fs::write(&pack, &damaged).expect("a pack");
    let found = store.run(&["verify", name]).expect(1).stdout;
    assert!(found.contains("triage.zst: its copy of chunk "), "{found}");
    fs::write(&pack, &whole[..100]).expect("a pack");
    store.run(&["verify", name]).expect(1);
    // Reading the core does not depend on it.
    store.run(&["dmesg", name]).expect(0);
    store.run(&["report", "--save", name]).expect(0);
    store.run(&["verify", name]).expect(0);
    fs::write(&pack, b"other").expect("a pack");
    fs::remove_file(entry.join("vmcore.elf.zst")).expect("a core");
    let refused = store.run(&["report", name]).expect(1).stderr;
    assert!(refused.contains("triage.zst instead of the core"), "{refused}");
}

/// Where there is no room for it, or no right to write it, the entry is whole without.
#[test]
fn an_import_into_one_file_has_no_pack() {
    let folder = tempfile::tempdir().expect("a directory");
    let (core, out) = (project().join(CORE), folder.path().join("core.zst"));
    let words = ["import", core.to_str().expect("UTF-8"), "--output", out.to_str().expect("UTF-8")];
    run(words).expect(0);
    let names = fs::read_dir(folder.path()).expect("files").count();
    assert_eq!(names, 3, "the core, its metadata and its report");
}
