//! Encrypted entries on their way to a bucket that are damaged or get further recipients meanwhile.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use age::secrecy::ExposeSecret;
use serde_json::Value;

use crate::CORE;
use crate::command::run;
use crate::fake_bucket::FakeBucket;
use crate::push::{cores, push, text};

/// The sample as an entry of a store in `folder`: the store, the entry, and the file of its key.
fn entry(folder: &Path) -> (PathBuf, PathBuf, PathBuf) {
    let (store, key) = (folder.join("store"), folder.join("key"));
    let identity = age::x25519::Identity::generate();
    fs::write(&key, identity.to_string().expose_secret()).unwrap();
    let to = identity.to_public().to_string();
    let import = ["import", CORE, "--encrypt-to", &to, "--store", store.to_str().unwrap()];
    let imported = run(&import, &[]);
    assert_eq!(imported.code, Some(0), "{}", imported.stderr);
    let entry = PathBuf::from(text(&imported).lines().next().unwrap());
    (store, entry, key)
}

/// The metadata that is in the bucket.
fn metadata(bucket: &FakeBucket) -> Value {
    let keys = bucket.keys();
    let key = keys.iter().find(|key| key.ends_with("/metadata.json")).expect("the entry is listed");
    serde_json::from_slice(&bucket.object(key).unwrap()).unwrap()
}

#[test]
fn an_encrypted_core_that_is_damaged_is_not_published() {
    let folder = tempfile::tempdir().unwrap();
    let (store, entry, _) = entry(folder.path());
    let core = entry.join("vmcore.elf.zst.age");
    let good = fs::read(&core).unwrap();
    let mut bad = good.clone();
    bad[good.len() / 2] ^= 1;
    fs::write(&core, bad).unwrap();
    let bucket = FakeBucket::start();
    let answer = push(&store, &["latest"], &bucket.variables());
    assert_eq!(answer.code, Some(1), "{}", text(&answer));
    assert!(answer.stderr.contains("vmcore.elf.zst.age is damaged"), "{}", answer.stderr);
    assert_eq!(cores(&bucket), 0);
    fs::write(&core, good).unwrap();
    let answer = push(&store, &["latest"], &bucket.variables());
    assert_eq!((answer.code, cores(&bucket)), (Some(0), 1), "{}", text(&answer));
}

/// What was sent before is of the old recipients alone.
#[test]
fn an_entry_that_gets_recipients_while_it_is_pushed_is_sent_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let (store, entry, key) = entry(folder.path());
    let bucket = FakeBucket::start();
    *bucket.faults.refusal.lock().unwrap() = Some((403, ""));
    bucket.faults.parts_until_refusal.store(0, Ordering::Relaxed);
    assert_eq!(push(&store, &["latest"], &bucket.variables()).code, Some(1));
    *bucket.faults.refusal.lock().unwrap() = None;
    assert_eq!(metadata(&bucket)["encrypted"]["to"].as_array().unwrap().len(), 1);
    let other = age::x25519::Identity::generate().to_public().to_string();
    let words = ["rewrap", entry.to_str().unwrap(), "--encrypt-to", &other];
    let identity = ["--identity", key.to_str().unwrap()];
    let rewrapped = run(&[&words[..], &identity].concat(), &[]);
    assert_eq!(rewrapped.code, Some(0), "{}", rewrapped.stderr);
    let answer = push(&store, &["latest"], &bucket.variables());
    assert_eq!((answer.code, cores(&bucket)), (Some(0), 1), "{}", text(&answer));
    // The entry is listed by the old metadata; the record names what belongs to the core.
    let keys = bucket.keys();
    let record = keys.iter().find(|key| key.ends_with("/core.json")).unwrap();
    let folder = record.strip_suffix("core.json").unwrap();
    let record: Value = serde_json::from_slice(&bucket.object(record).unwrap()).unwrap();
    let files = record["files"].as_object().unwrap();
    assert_eq!(files.len(), 4, "{record}");
    for (name, file) in files {
        let here = fs::read(entry.join(name)).unwrap();
        let key = file["key"].as_str().expect("a name of its own");
        assert!(bucket.object(&format!("{folder}{key}")).unwrap() == here, "{name}");
        let clear = || serde_json::from_slice::<Value>(&here).unwrap()["encrypted"].clone();
        if name == "metadata.json" {
            assert_eq!(clear()["core_file_sha256"], record["sha256"]);
            assert_eq!(clear()["to"].as_array().unwrap().len(), 2);
        }
    }
}
