//! Lists of buckets with more names than one page has, which are divided.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::command::{Answer, project, run, vmcorectl};
use crate::fake_bucket::FakeBucket;
use crate::http_server::{HttpServer, Reply};
use crate::push::{URL, text};
use crate::seaweedfs::SeaweedFs;

fn command(words: &[&str], bucket: &FakeBucket) -> Answer {
    let answer = run(&[words, &["--store", URL]].concat(), &bucket.variables());
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    answer
}

fn ids(answer: &Answer) -> Vec<String> {
    let lines = answer.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let line = |line| serde_json::from_slice::<Value>(line).unwrap();
    lines.map(|text| line(text)["id"].as_str().unwrap().to_owned()).collect()
}

/// What names the core of each entry.
const RECORD: &[u8] = br#"{"schema": "vmcorectl/core/1", "key": "core-0.elf.zst", "bytes": 1, "pushed": "2026-01-01T00:00:00Z"}"#;

/// A bucket of so many entries, each with so many names, of so many guests.
fn bucket(guests: usize, entries: usize, names: usize) -> FakeBucket {
    let bucket = FakeBucket::start();
    let metadata = fs::read(project().join("samples/core/linux-6.1.zst.json")).unwrap();
    for number in 0..entries {
        let (month, day) = (number / 25 % 12 + 1, number % 25 + 1);
        let guest = number % guests;
        let id = format!("2026{month:02}{day:02}T00000{}Z-{number:08x}", number % 10);
        let entry = format!("fleet/cores/web-{guest}/{id}");
        bucket.put(&format!("{entry}/metadata.json"), &metadata);
        bucket.put(&format!("{entry}/core-0.elf.zst"), b"-");
        bucket.put(&format!("{entry}/core.json"), RECORD);
        for note in 3..names {
            bucket.put(&format!("{entry}/annotations/{note:04}.json"), b"-");
        }
    }
    bucket
}

#[test]
fn a_list_of_60_000_names_is_the_same_divided_and_whole() {
    for (guests, entries, names) in [(1, 200, 300), (150, 200, 30)] {
        let bucket = bucket(guests, entries, names);
        let whole = command(&["list", "--json"], &bucket);
        assert_eq!(ids(&whole).len(), entries);
        bucket.faults.page.store(1000, Ordering::Relaxed);
        bucket.lists();
        let divided = command(&["list", "--json"], &bucket);
        assert!(divided.stdout == whole.stdout, "{guests}");
        let lists = bucket.lists();
        assert!(lists < 200, "{guests}: {lists} lists");
    }
}

#[test]
fn one_entry_is_found_by_few_lists() {
    let bucket = bucket(3, 200, 300);
    bucket.faults.page.store(1000, Ordering::Relaxed);
    let newest = "20260825T000009Z-000000c7";
    for (wanted, most) in [
        ("latest:web-1", 45),
        ("web-1/20260825T000009Z-000000c7", 1),
        (newest, 5),
        ("20260825T000009Z-0000", 5),
    ] {
        bucket.lists();
        let printed = text(&command(&["pin", wanted], &bucket));
        assert_eq!(printed, format!("pinned {URL}/web-1/{newest}\n"), "{wanted}");
        let lists = bucket.lists();
        assert!(lists <= most, "{wanted}: {lists} lists");
        command(&["unpin", newest], &bucket);
    }
}

#[test]
fn a_bucket_that_changes_between_the_pages_is_listed_with_all_that_stays() {
    let bucket = bucket(5, 200, 50);
    let stays: BTreeSet<String> = ids(&command(&["list", "--json"], &bucket)).into_iter().collect();
    for number in 0..2000 {
        bucket.put(&format!("fleet/cores/web-1/20260101T000000Z-x{number}/gone-1"), b"-");
    }
    bucket.faults.page.store(100, Ordering::Relaxed);
    bucket.faults.is_changing.store(true, Ordering::Relaxed);
    let listed: BTreeSet<String> =
        ids(&command(&["list", "--json"], &bucket)).into_iter().collect();
    assert_eq!(listed, stays);
}

#[test]
fn prune_lists_a_large_bucket_once_and_finds_all_that_pushes_have_left() {
    let bucket = bucket(4, 40, 3);
    for number in 0..60_000 {
        let entry = format!("web-{}/20251231T000000Z-{number:08x}", number % 7);
        bucket.put(&format!("fleet/cores/{entry}/core-{number}.elf.zst"), b"-");
    }
    bucket.faults.page.store(1000, Ordering::Relaxed);
    let words = ["prune", "--dry-run", "--json", "--older-than", "2000-01-01"];
    let answer = command(&words, &bucket);
    assert!(!answer.stderr.contains("warning"), "{}", answer.stderr);
    assert_eq!(ids(&answer).len(), 60_000);
    let lists = bucket.lists();
    assert!(lists < 400, "{lists} lists");
}

/// It sorts directories by their names, where `web` comes before `web-1`.
#[test]
fn real_servers_list_the_same_divided_and_whole() {
    let Some(server) = SeaweedFs::start("fleet") else { return };
    let metadata = project().join("samples/core/linux-6.1.zst.json");
    let mut expected = BTreeSet::new();
    let mut files = Vec::new();
    for number in 0..450_u32 {
        let guest = ["web", "web-1", "db", "db.x"][usize::try_from(number).unwrap() % 4];
        let guest = if number % 10 == 0 { format!("g-{number}") } else { guest.to_owned() };
        let id = format!("2026{:02}01T000000Z-{number:08x}", number % 12 + 1);
        for name in ["metadata.json", "pinned", "core.json"] {
            files.push(format!("cores/{guest}/{id}/{name}"));
        }
        expected.insert(id);
    }
    let file = metadata.to_str().unwrap();
    for files in files.chunks(150) {
        server.put_all(file, files.iter().map(|name| format!("fleet/{name}")));
    }
    let answer = run(&["list", "--json", "--store", URL], &server.variables());
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    assert_eq!(ids(&answer).into_iter().collect::<BTreeSet<_>>(), expected);
    assert_eq!(ids(&answer).len(), expected.len());
}

/// The server answers no list before the test has looked at the process that asks for it.
#[test]
fn a_table_of_others_is_read_by_a_process_without_rights() {
    for words in [["list", "--store"], ["group", "--store"]] {
        let is_open = Arc::new(AtomicBool::new(false));
        let gate = Arc::clone(&is_open);
        let server = HttpServer::start(move |_| {
            while !gate.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(2));
            }
            Reply::Status(200, "<ListBucketResult></ListBucketResult>")
        });
        let variables = [
            ("AWS_ENDPOINT_URL", server.address.as_str()),
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "TOPSECRET"),
        ];
        let mut command = vmcorectl(&[&words[..], &[URL]].concat(), &variables);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while server.request_count() == 0 {
            thread::sleep(Duration::from_millis(2));
        }
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        is_open.store(true, Ordering::Relaxed);
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.success(), "{ended:?}");
        for line in ["NoNewPrivs:\t1", "Seccomp:\t2"] {
            assert!(status.contains(line), "{words:?} {line}: {status}");
        }
    }
}
