//! Two hosts that push one entry, with a pack, a report and metadata of each one's own: what is
//! listed as whole is all of one host, and `pull` verifies it.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::command::{run, run_on, vmcorectl};
use crate::fake_bucket::FakeBucket;
use crate::pull::{files, pull};
use crate::push::{ENTRY, URL, core, listed, published, push, store, text};

/// A store with the entry, whose core is short. What it says of its chunks is left out.
fn short_store() -> TempDir {
    let short = store(Some(&core(1 << 20)));
    let path = short.path().join(ENTRY).join("metadata.json");
    let mut metadata: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    metadata["core"] = Value::Null;
    fs::write(path, metadata.to_string()).unwrap();
    short
}

fn other_short_store() -> TempDir {
    as_of_another_host(short_store())
}

/// Makes the small files of its entry another version of what they are.
fn as_of_another_host(other: TempDir) -> TempDir {
    let folder = other.path().join(ENTRY);
    let mut metadata = fs::read(folder.join("metadata.json")).unwrap();
    metadata.push(b'\n');
    fs::write(folder.join("metadata.json"), metadata).unwrap();
    fs::write(folder.join("report.json"), "{\"title\": \"the crash\"}").unwrap();
    fs::write(folder.join("triage.zst"), "other frames that a report needs").unwrap();
    other
}

fn start_push(store: &Path, bucket: &FakeBucket) -> Child {
    let words = ["push", "latest", "--to", URL, "--store", store.to_str().unwrap()];
    let mut command = vmcorectl(&words, &bucket.variables());
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn wait_until_stopped(bucket: &FakeBucket, child: &mut Child, what: &str) {
    while !bucket.faults.is_stopped.load(Ordering::Relaxed) {
        assert!(child.try_wait().unwrap().is_none(), "{what}: it has ended");
        thread::sleep(Duration::from_millis(5));
    }
}

/// What a pull brings is what one of the hosts has. Gives whether the entry is listed as whole.
fn check(bucket: &FakeBucket, hosts: &[&TempDir], what: &str) -> bool {
    match listed(&bucket.variables()).as_deref() {
        None | Some("core-not-uploaded") => return false,
        Some("complete") => {}
        other => panic!("{what}: {other:?}"),
    }
    let to = tempfile::tempdir().unwrap();
    let pulled = pull(to.path(), &["latest", "--from", URL], &bucket.variables());
    assert_eq!(pulled.code, Some(0), "{what}: {}", pulled.stderr);
    let brought = files(to.path());
    assert!(hosts.iter().any(|host| files(host.path()) == brought), "{what}: of several hosts");
    true
}

/// All that is in the entry has its plain name, or one that the record names.
fn check_names(bucket: &FakeBucket, what: &str) {
    let record = bucket.object(&format!("fleet/cores/{ENTRY}/core.json")).unwrap();
    let record = String::from_utf8(record).unwrap();
    let below = format!("fleet/cores/{ENTRY}/");
    for key in bucket.keys().iter().filter_map(|key| key.strip_prefix(&below)) {
        let own = ["triage.zst", "report.json", "metadata.json", "core.json"].contains(&key);
        assert!(own || record.contains(&format!("\"{key}\"")), "{what}: {key} is left");
    }
}

#[test]
fn of_two_hosts_with_different_files_the_entry_is_all_of_one() {
    let counted = FakeBucket::start();
    assert_eq!(push(short_store().path(), &["latest"], &counted.variables()).code, Some(0));
    let writes = counted.faults.writes.load(Ordering::Relaxed);
    for (is_done_before, is_killed) in [(false, false), (true, true)] {
        for number in 1..=writes {
            let what = format!("stopped at {number}, done: {is_done_before}, killed: {is_killed}");
            let bucket = FakeBucket::start();
            let (one, other) = (short_store(), other_short_store());
            let hosts = [&one, &other];
            bucket.faults.stops_after_it.store(is_done_before, Ordering::Relaxed);
            bucket.faults.stops_at.store(number, Ordering::Relaxed);
            let mut first = start_push(one.path(), &bucket);
            wait_until_stopped(&bucket, &mut first, &what);
            check(&bucket, &hosts, &what);
            let second = push(other.path(), &["latest"], &bucket.variables());
            assert_eq!(second.code, Some(0), "{what}: {}", second.stderr);
            assert!(check(&bucket, &hosts, &what), "{what}: it is not whole");
            if is_killed {
                first.kill().unwrap();
            }
            bucket.faults.stops_at.store(0, Ordering::Relaxed);
            let ended = first.wait().unwrap();
            assert!(is_killed || ended.success(), "{what}");
            assert!(check(&bucket, &hosts, &what), "{what}: it is not whole any more");
            for host in hosts {
                let again = push(host.path(), &["latest"], &bucket.variables());
                assert_eq!(again.code, Some(0), "{what}: {}", again.stderr);
            }
            let words = ["prune", "--yes", "--unfinished-after", "1d", "--store", URL];
            let pruned = run(&words, &bucket.variables());
            assert_eq!(pruned.code, Some(0), "{what}: {}", pruned.stderr);
            assert!(check(&bucket, &hosts, &what), "{what}: it was pruned");
            check_names(&bucket, &what);
        }
    }
}

/// The pack and the metadata that belong to the core, and not those under the plain names.
#[test]
fn commands_read_the_files_that_belong_to_the_core() {
    let bucket = FakeBucket::start();
    let (one, other) = (store(None), as_of_another_host(store(None)));
    let saved = run(&["report", "--save", "latest", "--store", one.path().to_str().unwrap()], &[]);
    assert_eq!(saved.code, Some(0), "{}", saved.stderr);
    // After the probe, two files and the metadata.
    bucket.faults.stops_at.store(6, Ordering::Relaxed);
    let mut killed = start_push(other.path(), &bucket);
    wait_until_stopped(&bucket, &mut killed, "after the metadata");
    killed.kill().unwrap();
    killed.wait().unwrap();
    bucket.faults.stops_at.store(0, Ordering::Relaxed);
    assert_eq!(push(one.path(), &["latest"], &bucket.variables()).code, Some(0));
    let others = bucket.keys().iter().filter(|key| key.contains("/other-")).count();
    assert_eq!(others, 3, "{:?}", bucket.keys());
    let here = one.path().to_str().unwrap();
    for command in [&["report", "latest"][..], &["verify", "latest"], &["info", "latest"]] {
        let there = run_on(URL, command, &bucket.variables());
        assert_eq!(there, run_on(here, command, &[]), "{command:?}");
    }
    let id = ENTRY.rsplit('/').next().unwrap();
    let removed = run(&["rm", id, "--yes", "--store", URL], &bucket.variables());
    assert_eq!(removed.code, Some(0), "{}", removed.stderr);
    assert!(!bucket.keys().iter().any(|key| key.contains("/other-")), "{:?}", bucket.keys());
}

/// Buckets of 0.2: the record has hashes of report and pack, or none.
#[test]
fn an_entry_of_an_older_layout_is_brought_as_it_is() {
    let bucket = FakeBucket::start();
    let own = store(None);
    assert_eq!(push(own.path(), &["latest"], &bucket.variables()).code, Some(0));
    let key = format!("fleet/cores/{ENTRY}/core.json");
    let mut record: Value = serde_json::from_slice(&bucket.object(&key).unwrap()).unwrap();
    let check = |record: &Value| {
        bucket.put(&key, record.to_string().as_bytes());
        let to = tempfile::tempdir().unwrap();
        let pulled = pull(to.path(), &["latest", "--from", URL], &bucket.variables());
        assert_eq!(pulled.code, Some(0), "{}", pulled.stderr);
        assert!(files(to.path()) == files(own.path()), "{record}");
    };
    record["files"].as_object_mut().unwrap().remove("metadata.json");
    check(&record);
    record.as_object_mut().unwrap().remove("files");
    check(&record);
}

/// A report and no core: the hashes of the small files are in a record that says so.
#[test]
fn an_entry_that_never_has_a_core_is_verified_too() {
    let bucket = FakeBucket::start();
    let own = store(None);
    let folder = own.path().join(ENTRY);
    fs::remove_file(folder.join("vmcore.elf.zst")).unwrap();
    let path = folder.join("metadata.json");
    let mut metadata: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    metadata["core"] = Value::Null;
    metadata["core_left_out"] = json!({"cause": "report_only", "reason": null});
    fs::write(&path, metadata.to_string()).unwrap();
    let answer = push(own.path(), &["latest"], &bucket.variables());
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    let record = bucket.object(&format!("fleet/cores/{ENTRY}/core.json")).unwrap();
    let record: Value = serde_json::from_slice(&record).unwrap();
    assert_eq!((&record["key"], record["files"].as_object().unwrap().len()), (&Value::Null, 3));
    assert_eq!(listed(&bucket.variables()).as_deref(), Some("no-core"));
    let again = push(own.path(), &["latest"], &bucket.variables());
    assert!(text(&again).contains("is there already"), "{}", text(&again));
    let to = tempfile::tempdir().unwrap();
    let pulled = pull(to.path(), &["latest", "--from", URL], &bucket.variables());
    assert_eq!(pulled.code, Some(0), "{}", pulled.stderr);
    assert!(files(to.path()) == files(own.path()));
    bucket.put(&format!("fleet/cores/{ENTRY}/report.json"), b"{}");
    let to = tempfile::tempdir().unwrap();
    let pulled = pull(to.path(), &["latest", "--from", URL], &bucket.variables());
    assert!(pulled.stderr.contains("is not the one in core.json"), "{}", text(&pulled));
}

/// A host that has no core any more does not say that there is none.
#[test]
fn a_host_without_the_core_leaves_the_record_to_the_one_that_has_it() {
    let bucket = FakeBucket::start();
    let (one, other) = (store(None), as_of_another_host(store(None)));
    fs::remove_file(other.path().join(ENTRY).join("vmcore.elf.zst")).unwrap();
    assert_eq!(push(other.path(), &["latest"], &bucket.variables()).code, Some(0));
    assert_eq!(listed(&bucket.variables()).as_deref(), Some("core-not-uploaded"));
    assert_eq!(push(one.path(), &["latest"], &bucket.variables()).code, Some(0));
    assert!(check(&bucket, &[&one], "after both") && published(&bucket).is_some());
}
