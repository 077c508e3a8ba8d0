//! What the table of a bucket has of pushed entries, and that a listing is true with it and without.

use std::fs;
use std::path::Path;

use age::secrecy::ExposeSecret;
use serde_json::Value;

use crate::command::{Answer, run};
use crate::fake_bucket::FakeBucket;
use crate::push::{ENTRY, URL, add, core, push, store};

fn command(words: &[&str], bucket: &FakeBucket) -> Answer {
    run(&[words, &["--store", URL]].concat(), &bucket.variables())
}

#[track_caller]
fn lines(words: &[&str], bucket: &FakeBucket) -> Vec<Value> {
    let answer = command(&[words, &["--json"]].concat(), bucket);
    assert_eq!((answer.code, &*answer.stderr), (Some(0), ""), "{words:?}");
    let lines = answer.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

fn index(bucket: &FakeBucket) -> Vec<String> {
    bucket.keys().into_iter().filter(|key| key.starts_with("fleet/cores/index/")).collect()
}

fn row(bucket: &FakeBucket, id: &str) -> Value {
    let rows: Vec<_> = index(bucket).into_iter().filter(|key| key.contains(id)).collect();
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    serde_json::from_slice(&bucket.object(row).unwrap()).unwrap()
}

fn set(entry: &Path, key: &str, value: &Value) {
    let path = entry.join("metadata.json");
    let mut metadata: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    metadata[key] = value.clone();
    fs::write(path, metadata.to_string()).unwrap();
}

#[test]
fn a_push_makes_the_row_and_brings_what_was_noted_here() {
    let bucket = FakeBucket::start();
    let store = store(None);
    let here = store.path().to_str().unwrap();
    let note = |value| run(&["annotate", "latest", value, "--store", here], &[]).code;
    assert_eq!(note("ticket=ABC-1"), Some(0));
    assert_eq!(push(store.path(), &["--all"], &bucket.variables()).code, Some(0));
    let id = ENTRY.rsplit('/').next().unwrap();
    let row = bucket.object(&format!("fleet/cores/index/new/day=2026-11-24/{id}.json")).unwrap();
    let row: Value = serde_json::from_slice(&row).unwrap();
    assert_eq!((&row["entry"], &row["title"]), (&ENTRY.into(), &"a crash".into()));
    assert_eq!(row["core_bytes"], crate::sample().len());
    assert_eq!(lines(&["list"], &bucket)[0]["annotations"]["ticket"], "ABC-1");
    // What was noted since comes with the next push of the entry; nothing else is sent.
    assert_eq!(note("owner=me"), Some(0));
    let before = bucket.keys();
    assert_eq!(push(store.path(), &["latest"], &bucket.variables()).code, Some(0));
    assert_eq!(bucket.keys().len(), before.len() + 2);
    assert_eq!(lines(&["list"], &bucket)[0]["annotations"]["owner"], "me");
    let noted = run(&["annotate", &format!("{URL}/{ENTRY}")], &bucket.variables());
    assert!(noted.code != Some(0) || noted.stdout.ends_with(b"owner=me\n  ticket=ABC-1\n"));
}

#[test]
fn the_row_of_an_encrypted_entry_has_what_is_in_the_clear_alone() {
    let bucket = FakeBucket::start();
    let store = tempfile::tempdir().unwrap();
    let here = store.path().to_str().unwrap();
    let identity = age::x25519::Identity::generate();
    let key = store.path().join("key");
    fs::write(&key, identity.to_string().expose_secret()).unwrap();
    let recipient = identity.to_public().to_string();
    let to = ["--encrypt-to", &recipient, "--hide", "names,title", "--store", here];
    let imported = run(&[&["import", crate::CORE], &to[..]].concat(), &[]);
    assert_eq!(imported.code, Some(0), "{}", imported.stderr);
    assert_eq!(push(store.path(), &["--all"], &bucket.variables()).code, Some(0));
    let row = row(&bucket, "index/new");
    for unknown in ["guest_uuid", "host", "title", "function", "tasks"] {
        assert_eq!(row[unknown], Value::Null, "{row}");
    }
    assert!(!row.to_string().contains("sample"), "{row}");
    assert_eq!((&row["cpus"], &row["modules"]), (&Value::Array(vec![]), &Value::Array(vec![])));
    assert_eq!(row["encrypted_to"].as_array().map(Vec::len), Some(1), "{row}");
    assert!(row["pack_bytes"].is_number() && row["core_bytes"].is_number(), "{row}");
}

/// Each kind of entry that there is, the table compacted or not, and without a table.
#[test]
fn a_listing_is_the_same_whatever_the_table_has() {
    let bucket = FakeBucket::start();
    let store = store(Some(&core(1 << 20)));
    let entries: Vec<String> =
        (1..=8).map(|day| format!("web/2026010{day}T000000Z-aaaa000{day}")).collect();
    for (day, entry) in entries.iter().enumerate() {
        let folder = store.path().join(entry);
        add(store.path(), entry, Some(&core(1 << 20)));
        match day {
            1 => set(&folder, "result", &"incomplete".into()),
            2 => {
                fs::remove_file(folder.join("vmcore.elf.zst")).unwrap();
                set(&folder, "core_left_out", &serde_json::json!({"reason": "report_only"}));
            }
            3 => fs::write(folder.join("pinned"), "").unwrap(),
            _ => {}
        }
    }
    assert_eq!(push(store.path(), &["--all"], &bucket.variables()).code, Some(0));
    let key = |entry: usize, file: &str| format!("fleet/cores/{}/{file}", entries[entry]);
    // Its core is on its way.
    let record: Value =
        serde_json::from_slice(&bucket.object(&key(4, "core.json")).unwrap()).unwrap();
    bucket.remove(&key(4, record["key"].as_str().unwrap()));
    bucket.remove(&key(4, "core.json"));
    // Copied there by other tools: no row, no record.
    bucket.put(&key(5, "vmcore.elf.zst"), b"a core");
    bucket.remove(&key(5, "core.json"));
    let of_copy: Vec<_> =
        index(&bucket).into_iter().filter(|key| key.contains("aaaa0006")).collect();
    of_copy.iter().for_each(|key| bucket.remove(key));
    // Removed by this tool, and by another one.
    assert_eq!(command(&["rm", "20260107T000000Z-aaaa0007", "--yes"], &bucket).code, Some(0));
    for key in bucket.keys().iter().filter(|key| key.starts_with(&key_of(&entries[7]))) {
        bucket.remove(key);
    }
    let listed = lines(&["list"], &bucket);
    let states: Vec<_> = listed
        .iter()
        .map(|line| (&line["id"].as_str().unwrap()[17..], line["state"].as_str().unwrap()))
        .collect();
    let expected = [
        ("aaaa0001", "complete"),
        ("aaaa0002", "incomplete"),
        ("aaaa0003", "no-core"),
        ("aaaa0004", "complete"),
        ("aaaa0005", "core-not-uploaded"),
        ("aaaa0006", "complete"),
    ];
    assert_eq!(states, expected);
    let pins: Vec<_> = listed.iter().map(|line| line["pinned"].as_bool().unwrap()).collect();
    assert_eq!(pins, [false, false, false, true, false, false]);
    let grouped = lines(&["group"], &bucket);
    assert_eq!(grouped.iter().map(|group| group["count"].as_u64().unwrap()).sum::<u64>(), 8);

    assert_eq!(command(&["index", "--compact"], &bucket).code, Some(0));
    assert!(index(&bucket).iter().all(|key| key.contains("/crashes/")), "{:?}", index(&bucket));
    assert_eq!(lines(&["list"], &bucket), listed);
    assert_eq!(lines(&["group"], &bucket), grouped);
    assert_eq!(command(&["unpin", "aaaa0004"], &bucket).code, Some(0));
    assert_eq!(lines(&["list"], &bucket)[3]["pinned"], false);
    assert_eq!(command(&["pin", "aaaa0004"], &bucket).code, Some(0));
    let removed = command(&["rm", "20260106T000000Z-aaaa0006", "--yes"], &bucket);
    assert_eq!(removed.code, Some(0), "{}", removed.stderr);
    assert_eq!(lines(&["list"], &bucket), listed[..5]);
    for key in index(&bucket) {
        bucket.remove(&key);
    }
    assert_eq!(lines(&["list"], &bucket), listed[..5]);
}

fn key_of(entry: &str) -> String {
    format!("fleet/cores/{entry}/")
}
