//! What a server has is what was sent: compared by the server, or read back.

use std::fs;
use std::sync::atomic::Ordering;

use serde_json::Value;

use crate::fake_bucket::FakeBucket;
use crate::proxy::Proxy;
use crate::pull::{files, pull};
use crate::push::{ENTRY, URL, core, cores, listed, published, push, store, text};
use crate::seaweedfs::SeaweedFs;

/// One byte in the middle is another one there.
#[test]
fn a_core_is_read_back_where_the_server_does_not_check_what_it_receives() {
    let bucket = FakeBucket::start();
    bucket.faults.checks_nothing.store(true, Ordering::Relaxed);
    bucket.faults.damages_middle.store(true, Ordering::Relaxed);
    let own = core(40 << 20);
    let store = store(Some(&own));
    let answer = push(store.path(), &["latest"], &bucket.variables());
    assert_eq!(answer.code, Some(1));
    assert!(answer.stderr.contains("its SHA-256 is another one"), "{}", answer.stderr);
    assert_eq!((published(&bucket), cores(&bucket)), (None, 0));
    bucket.faults.damages_middle.store(false, Ordering::Relaxed);
    let answer = push(store.path(), &["latest"], &bucket.variables());
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    assert!(answer.stderr.contains("does not check what it receives"), "{}", answer.stderr);
    assert!(published(&bucket).unwrap() == own);
}

#[test]
fn a_server_that_checks_is_believed_until_the_core_here_is_to_go() {
    let bucket = FakeBucket::start();
    let store = store(Some(&core(40 << 20)));
    let local = store.path().join(ENTRY).join("vmcore.elf.zst");
    bucket.faults.damages_middle.store(true, Ordering::Relaxed);
    let read = push(store.path(), &["latest", "--read-back"], &bucket.variables());
    assert!(read.stderr.contains("its SHA-256 is another one"), "{}", read.stderr);
    assert_eq!(cores(&bucket), 0);
    let options = ["latest", "--remove-core-after", "0s"];
    let answer = push(store.path(), &options, &bucket.variables());
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    assert!(answer.stderr.contains("its SHA-256 is not that of its record"), "{}", answer.stderr);
    assert!(local.exists());
    // Pull finds it, too.
    let to = tempfile::tempdir().unwrap();
    let pulled = pull(to.path(), &["latest", "--from", URL], &bucket.variables());
    assert!(pulled.stderr.contains("its SHA-256 is not that of its record"), "{}", pulled.stderr);
    assert!(files(to.path()).is_empty());
}

/// A byte of a part that changes on its way is found by the server.
#[test]
fn a_part_that_was_changed_on_its_way_is_refused() {
    let Some(server) = SeaweedFs::start("fleet") else { return };
    let own = core(20 << 20);
    let store = store(Some(&own));
    let proxy = Proxy::start(&server.endpoint);
    let variables = proxy.variables();
    // Behind the head of a request for a part, and before its end.
    proxy.faults.changes_byte_at.store(12 << 20, Ordering::Relaxed);
    let answer = push(store.path(), &["latest"], &variables);
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    // SeaweedFS by the checksum, Ceph by the hash that is signed.
    let is_found = ["BadDigest", "SHA256Mismatch"].iter().any(|code| answer.stderr.contains(code));
    assert!(is_found, "{}", answer.stderr);
    assert_eq!(listed(&server.variables()).as_deref(), Some("core-not-uploaded"));
    proxy.faults.changes_byte_at.store(u64::MAX, Ordering::Relaxed);
    let answer = push(store.path(), &["latest"], &variables);
    assert_eq!((answer.code, answer.stderr.as_str()), (Some(0), ""), "it checks what it receives");
    let to = tempfile::tempdir().unwrap();
    let variables = proxy.variables();
    fs::remove_file(store.path().join(ENTRY).join("metadata.json")).unwrap();
    // The core is no core: by its length and SHA-256 alone.
    let pulled = pull(to.path(), &["latest", "--from", URL], &variables);
    assert!(pulled.stderr.contains("is not what was sent"), "{}", pulled.stderr);
}

#[test]
fn report_and_pack_have_their_hashes_beside_that_of_the_core() {
    let bucket = FakeBucket::start();
    let own = store(None);
    assert_eq!(push(own.path(), &["--all"], &bucket.variables()).code, Some(0));
    let record = bucket.object(&format!("fleet/cores/{ENTRY}/core.json")).unwrap();
    let record: Value = serde_json::from_slice(&record).unwrap();
    let names: Vec<_> = record["files"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["metadata.json", "report.json", "triage.zst"]);
    for name in names {
        let key = format!("fleet/cores/{ENTRY}/{name}");
        let whole = bucket.object(&key).unwrap();
        let mut damaged = whole.clone();
        damaged[3] ^= 1;
        bucket.put(&key, &damaged);
        let to = tempfile::tempdir().unwrap();
        let pulled = pull(to.path(), &["latest", "--from", URL], &bucket.variables());
        assert_eq!(pulled.code, Some(1));
        assert!(pulled.stderr.contains("is not the one in core.json"), "{}", pulled.stderr);
        assert!(files(to.path()).is_empty());
        if name != "metadata.json" {
            bucket.remove(&key);
            let pulled = pull(to.path(), &["latest", "--from", URL], &bucket.variables());
            assert!(pulled.stderr.contains("is not there"), "{}", text(&pulled));
        }
        bucket.put(&key, &whole);
        let pulled = pull(to.path(), &["latest", "--from", URL], &bucket.variables());
        assert_eq!(pulled.code, Some(0), "{}", pulled.stderr);
    }
}
