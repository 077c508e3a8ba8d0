//! What is removed from a bucket: whole entries, cores alone, and in which order.

use std::fs;

use serde_json::Value;

use crate::command::{Answer, run};
use crate::fake_bucket::FakeBucket;
use crate::push::{ENTRY, URL, add, core, push, store, text};

fn command(words: &[&str], bucket: &FakeBucket) -> Answer {
    run(&[words, &["--store", URL]].concat(), &bucket.variables())
}

fn keys_of(bucket: &FakeBucket, entry: &str) -> Vec<String> {
    let keys = bucket.keys().into_iter();
    // The table is of what happened: a row stays.
    keys.filter(|key| key.contains(entry) && !key.contains("/index/")).collect()
}

fn states(bucket: &FakeBucket) -> Vec<(String, String)> {
    let answer = command(&["list", "--json"], bucket);
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    let lines = answer.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let line: Value = serde_json::from_slice(line).unwrap();
            let field = |name: &str| line[name].as_str().unwrap().to_owned();
            (field("id"), field("state"))
        })
        .collect()
}

#[test]
fn an_entry_is_not_listed_from_the_first_step_of_its_removal_on() {
    let bucket = FakeBucket::start();
    let store = store(Some(&core(1 << 20)));
    assert_eq!(push(store.path(), &["--all"], &bucket.variables()).code, Some(0));
    let id = ENTRY.rsplit('/').next().unwrap();
    let pinned = command(&["pin", "latest"], &bucket);
    assert_eq!(text(&pinned), format!("pinned {URL}/{ENTRY}\n"));
    assert_eq!(text(&command(&["pin", "latest"], &bucket)), "");
    let refused = command(&["rm", id, "--yes"], &bucket);
    assert!(refused.stderr.contains("is pinned"), "{}", refused.stderr);
    assert_eq!(text(&command(&["unpin", "aaaa"], &bucket)), format!("unpinned {URL}/{ENTRY}\n"));
    let part = command(&["rm", "aaaa", "--yes"], &bucket);
    assert!(part.stderr.contains("is not the whole id"), "{}", part.stderr);
    let before = bucket.server.request_count();
    let removed = command(&["rm", id, "--yes"], &bucket);
    assert_eq!(text(&removed), format!("removed {URL}/{ENTRY}\n"));
    assert_eq!(keys_of(&bucket, id), [""; 0]);
    let requests = bucket.server.requests.lock().unwrap();
    let first = requests[before..]
        .iter()
        .find(|request| request.method == "DELETE" || request.path.contains("?delete"));
    let first = first.expect("a removal");
    let named = String::from_utf8_lossy(&first.body).into_owned() + &first.path;
    assert!(named.contains("metadata.json"), "{named}");
}

#[test]
fn cores_go_and_reports_stay_but_for_the_first_the_newest_and_the_pinned() {
    let bucket = FakeBucket::start();
    let store = store(Some(&core(1 << 20)));
    for day in 2..=5 {
        add(store.path(), &format!("web/2026010{day}T000000Z-aaaa000{day}"), Some(&core(1 << 20)));
    }
    fs::write(store.path().join("web/20260103T000000Z-aaaa0003/pinned"), "").unwrap();
    assert_eq!(push(store.path(), &["--all"], &bucket.variables()).code, Some(0));
    let words = ["prune", "--cores-per-signature", "2", "--yes"];
    let dry = command(&[&words[..], &["--dry-run"]].concat(), &bucket);
    assert!(text(&dry).contains("would remove the core of s3://"), "{}", text(&dry));
    assert_eq!(bucket.keys().iter().filter(|key| key.contains("/core-")).count(), 5);
    let answer = command(&words, &bucket);
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    let expected = ["complete", "core-removed", "complete", "core-removed", "complete"];
    let states_now: Vec<_> = states(&bucket).into_iter().map(|(_, state)| state).collect();
    assert_eq!(states_now, expected);
    let kept = keys_of(&bucket, "aaaa0002");
    let names: Vec<_> = kept.iter().map(|key| key.rsplit('/').next().unwrap()).collect();
    assert_eq!(names, ["core.json", "metadata.json", "report.json", "triage.zst"]);
    let dmesg = command(&["dmesg", "aaaa0002"], &bucket);
    assert!(dmesg.stderr.contains("it was removed on 20"), "{}", dmesg.stderr);
    // A host that has the core still does not bring it back.
    let again = push(store.path(), &["aaaa0002"], &bucket.variables());
    assert!(text(&again).contains("is there already"), "{}", text(&again));
    assert_eq!(keys_of(&bucket, "aaaa0002"), kept);
    // Whole entries, the oldest first; first, newest and pinned stay.
    let answer = command(&["prune", "--older-than", "1m", "--yes"], &bucket);
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    assert!(keys_of(&bucket, "aaaa0002").is_empty() && !keys_of(&bucket, "aaaa0003").is_empty());
    let free = command(&["prune", "--min-free", "1G", "--yes"], &bucket);
    assert_eq!(free.code, Some(2));
}
