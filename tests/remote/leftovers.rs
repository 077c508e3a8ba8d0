//! What unfinished pushes leave is found by `prune`, and what a running one has is left alone.

use std::fs;
use std::sync::atomic::Ordering;

use crate::command::{Answer, run};
use crate::fake_bucket::FakeBucket;
use crate::push::{ENTRY, URL, core, cores, listed, push, slow_push, store, text, wait_for};
use crate::seaweedfs::SeaweedFs;

fn prune(options: &[&str], variables: &[(&str, &str)]) -> Answer {
    run(&[&["prune", "--yes", "--store", URL], options].concat(), variables)
}

/// A push that was refused in the middle of its core, and whose queue is lost.
fn lose_a_push(bucket: &FakeBucket, store: &tempfile::TempDir) {
    *bucket.faults.refusal.lock().unwrap() = Some((403, ""));
    bucket.faults.parts_until_refusal.store(2, Ordering::Relaxed);
    assert_eq!(push(store.path(), &["latest"], &bucket.variables()).code, Some(1));
    *bucket.faults.refusal.lock().unwrap() = None;
    bucket.faults.parts_until_refusal.store(0, Ordering::Relaxed);
    fs::remove_dir_all(store.path().join(".push")).unwrap();
}

#[test]
fn uploads_and_cores_of_lost_queues_are_removed_once_they_are_old() {
    let bucket = FakeBucket::start();
    let own = core(24 << 20);
    let store = store(Some(&own));
    lose_a_push(&bucket, &store);
    let orphan = format!("fleet/cores/{ENTRY}/core-00000000000000aa.elf.zst");
    bucket.put(&orphan, b"a core that was made, and whose record was not");
    let upload = bucket.faults.uploads.lock().unwrap().first().unwrap().clone();
    // One of the two was written a moment ago, and parts of the upload were.
    let recent = |name: &str| bucket.faults.recent.lock().unwrap().insert(name.to_owned());
    recent("core-00000000000000aa.elf.zst");
    recent(&upload);
    let answer = prune(&["--unfinished-after", "0s"], &bucket.variables());
    assert_eq!((answer.code, text(&answer).as_str()), (Some(0), ""));
    bucket.faults.recent.lock().unwrap().clear();
    let dry = prune(&["--unfinished-after", "30d", "--dry-run"], &bucket.variables());
    assert_eq!(text(&dry).lines().count(), 2, "{}", text(&dry));
    assert!(text(&dry).contains(&format!("would remove {URL}/{ENTRY}/core-")), "{}", text(&dry));
    assert_eq!((cores(&bucket), bucket.faults.uploads.lock().unwrap().len()), (1, 1));
    // Any limit has it, after a week.
    let answer = prune(&["--older-than", "2000-01-01"], &bucket.variables());
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    assert_eq!((cores(&bucket), bucket.faults.uploads.lock().unwrap().len()), (0, 0));
    assert_eq!(listed(&bucket.variables()).as_deref(), Some("core-not-uploaded"));

    // What is published stays, and only the rest goes.
    assert_eq!(push(store.path(), &["latest"], &bucket.variables()).code, Some(0));
    bucket.put(&orphan, b"of another host, which was second");
    let answer = prune(&["--unfinished-after", "1d", "--json"], &bucket.variables());
    assert!(text(&answer).contains("\"limit\":\"unfinished\""), "{}", text(&answer));
    assert_eq!((cores(&bucket), bucket.object(&orphan)), (1, None));
    assert_eq!(listed(&bucket.variables()).as_deref(), Some("complete"));
}

#[test]
fn who_may_not_list_uploads_prunes_without_them() {
    let bucket = FakeBucket::start();
    let store = store(None);
    assert_eq!(push(store.path(), &["latest"], &bucket.variables()).code, Some(0));
    bucket.faults.hides_uploads.store(true, Ordering::Relaxed);
    let answer = prune(&["--older-than", "2000-01-01"], &bucket.variables());
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    assert!(answer.stderr.contains("what pushes have left is not removed"), "{}", answer.stderr);
}

#[test]
fn what_was_sent_of_an_entry_that_is_not_listed_goes_when_all_of_it_is_old() {
    let bucket = FakeBucket::start();
    for name in ["triage.zst", "report.json", "annotations/a.json"] {
        bucket.put(&format!("fleet/cores/{ENTRY}/{name}"), b"x");
    }
    for name in ["index/crashes/day=2026-01-01/part-1.parquet", "web/notes/core-1"] {
        bucket.put(&format!("fleet/cores/{name}"), b"x");
    }
    bucket.faults.recent.lock().unwrap().insert("report.json".to_owned());
    assert_eq!(text(&prune(&["--unfinished-after", "1d"], &bucket.variables())), "");
    bucket.faults.recent.lock().unwrap().clear();
    let answer = prune(&["--unfinished-after", "1d"], &bucket.variables());
    assert_eq!((answer.code, text(&answer).lines().count()), (Some(0), 3), "{}", text(&answer));
    assert_eq!(
        bucket.keys(),
        ["fleet/cores/index/crashes/day=2026-01-01/part-1.parquet", "fleet/cores/web/notes/core-1"]
    );
}

#[test]
fn an_upload_that_was_aborted_while_its_host_was_away_begins_anew() {
    let bucket = FakeBucket::start();
    let own = core(24 << 20);
    let store = store(Some(&own));
    *bucket.faults.refusal.lock().unwrap() = Some((403, ""));
    bucket.faults.parts_until_refusal.store(2, Ordering::Relaxed);
    assert_eq!(push(store.path(), &["latest"], &bucket.variables()).code, Some(1));
    *bucket.faults.refusal.lock().unwrap() = None;
    assert_eq!(prune(&["--unfinished-after", "1d"], &bucket.variables()).code, Some(0));
    assert!(bucket.faults.uploads.lock().unwrap().is_empty());
    let answer = push(store.path(), &["latest"], &bucket.variables());
    assert_eq!((answer.code, cores(&bucket)), (Some(0), 1), "{}", answer.stderr);
    assert_eq!(listed(&bucket.variables()).as_deref(), Some("complete"));
}

#[test]
fn a_store_on_this_machine_has_no_leftovers_of_pushes() {
    let store = store(Some(b"x"));
    let words = ["prune", "--unfinished-after", "1d", "--store", store.path().to_str().unwrap()];
    let answer = run(&words, &[]);
    assert_eq!(answer.code, Some(2));
    assert!(answer.stderr.contains("--unfinished-after is for stores in"), "{}", answer.stderr);
}

/// A real server: what a push that runs has is left alone, and `rm` ends the push.
#[test]
fn an_entry_that_is_removed_while_it_is_pushed_leaves_nothing() {
    let Some(server) = SeaweedFs::start("fleet") else { return };
    let own = core(64 << 20);
    let store = store(Some(&own));
    let mut pushing = slow_push(store.path(), &server.variables());
    wait_for(store.path(), 8 << 20, &mut pushing);
    let pruned = prune(&["--unfinished-after", "0s"], &server.variables());
    assert_eq!((pruned.code, text(&pruned).as_str()), (Some(0), ""));
    let id = ENTRY.rsplit('/').next().unwrap();
    let removed = run(&["rm", id, "--yes", "--store", URL], &server.variables());
    assert_eq!(removed.code, Some(0), "{}", removed.stderr);
    let ended = pushing.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stdout).unwrap();
    assert_eq!(ended.status.code(), Some(0), "{:?}", String::from_utf8_lossy(&ended.stderr));
    assert!(said.contains("was removed there while it was sent"), "{said}");
    assert_eq!(server.list("fleet", "cores/web/"), [""; 0]);
    assert_eq!(server.uploads("fleet"), 0);
    let again = push(store.path(), &["--all"], &server.variables());
    assert_eq!((again.code, text(&again).as_str()), (Some(0), ""), "it comes back");
    assert_eq!(listed(&server.variables()), None);
    // Who names it wants it there.
    let named = push(store.path(), &["latest"], &server.variables());
    assert_eq!(named.code, Some(0), "{}", named.stderr);
    assert_eq!(listed(&server.variables()).as_deref(), Some("complete"));
}
