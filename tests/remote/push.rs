//! Entries that are pushed: what is there when, what an interruption leaves, and how it goes on.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::CORE;
use crate::command::{Answer, project, run, run_on, vmcorectl};
use crate::fake_bucket::FakeBucket;
use crate::seaweedfs::SeaweedFs;

pub(crate) const ENTRY: &str = "web/20260101T000000Z-aaaa0001";
pub(crate) const URL: &str = "s3://fleet/cores";
const SECRET: &str = "TOPSECRET";

/// A store with an entry. Its core is the sample, if it is no other one.
pub(crate) fn store(core: Option<&[u8]>) -> tempfile::TempDir {
    let store = tempfile::tempdir().unwrap();
    add(store.path(), ENTRY, core);
    store
}

pub(crate) fn add(store: &Path, entry: &str, core: Option<&[u8]>) {
    let folder = store.join(entry);
    fs::create_dir_all(&folder).unwrap();
    let sample = project().join(CORE);
    match core {
        Some(core) => fs::write(folder.join("vmcore.elf.zst"), core).unwrap(),
        None => drop(fs::copy(&sample, folder.join("vmcore.elf.zst")).unwrap()),
    }
    fs::copy(sample.with_extension("zst.json"), folder.join("metadata.json")).unwrap();
    fs::write(folder.join("report.json"), "{\"title\": \"a crash\"}").unwrap();
    fs::write(folder.join("triage.zst"), "the frames that a report needs").unwrap();
}

/// Bytes that are not those of another place.
pub(crate) fn core(length: usize) -> Vec<u8> {
    (0..length as u64 / 8)
        .flat_map(|word| word.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .collect()
}

pub(crate) fn push(store: &Path, options: &[&str], variables: &[(&str, &str)]) -> Answer {
    let words = [&["push", "--to", URL, "--store", store.to_str().unwrap()], options].concat();
    let answer = run(&words, variables);
    assert!(!answer.stderr.contains(SECRET), "{}", answer.stderr);
    answer
}

pub(crate) fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.stdout).into_owned() + &answer.stderr
}

/// What the queue says of the entry.
fn status(store: &Path) -> Value {
    let words = ["push", "--status", "--json", "--store", store.to_str().unwrap()];
    serde_json::from_slice(&run(&words, &[]).stdout).expect("one entry")
}

/// The state of the entry in a listing of the bucket; `None` if it is not listed.
pub(crate) fn listed(variables: &[(&str, &str)]) -> Option<String> {
    let answer = run(&["list", "--json", "--store", URL], variables);
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    let line = answer.stdout.split(|byte| *byte == b'\n').next().filter(|line| !line.is_empty())?;
    let line: Value = serde_json::from_slice(line).unwrap();
    Some(line["state"].as_str().unwrap().to_owned())
}

/// The core that the entry in the bucket names.
pub(crate) fn published(bucket: &FakeBucket) -> Option<Vec<u8>> {
    let record = bucket.object(&format!("fleet/cores/{ENTRY}/core.json"))?;
    let record: Value = serde_json::from_slice(&record).unwrap();
    let key = record["key"].as_str().unwrap();
    Some(bucket.object(&format!("fleet/cores/{ENTRY}/{key}")).expect("the core that is named"))
}

pub(crate) fn cores(bucket: &FakeBucket) -> usize {
    bucket.keys().iter().filter(|key| key.contains("/core-")).count()
}

#[test]
fn what_is_small_comes_first_and_the_record_of_the_core_last() {
    let bucket = FakeBucket::start();
    let store = store(None);
    let answer = push(store.path(), &["latest"], &bucket.variables());
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    let shown = format!("{URL}/{ENTRY}  pushed, with its core of");
    assert!(text(&answer).starts_with(&shown), "{}", text(&answer));
    assert_eq!(published(&bucket).unwrap(), crate::sample());
    let requests = bucket.server.requests.lock().unwrap().clone();
    let writes = requests.iter().filter(|request| request.method != "GET");
    let names: Vec<_> = writes
        .filter_map(|request| {
            let name = request.path.split('?').next()?.rsplit('/').next()?;
            (!name.starts_with('.')).then(|| name.split('-').next().unwrap().to_owned())
        })
        .collect();
    let small = ["triage.zst", "report.json", "metadata.json", "20260101T000000Z"];
    let expected = [&small[..], &["core"; 4], &["core.json"]].concat();
    assert_eq!(names, expected);

    let again = push(store.path(), &["latest"], &bucket.variables());
    assert_eq!((again.code, cores(&bucket)), (Some(0), 1), "{}", again.stderr);
    assert!(text(&again).contains("is there already"), "{}", text(&again));
    let before = bucket.server.request_count();
    let all = push(store.path(), &["--all"], &bucket.variables());
    assert_eq!((all.code, text(&all)), (Some(0), String::new()));
    assert_eq!(bucket.server.request_count(), before);
    assert_eq!(status(store.path())["state"], "pushed");
}

#[test]
fn a_token_that_expires_keeps_what_was_sent_and_is_gone_on_with() {
    const EXPIRED: &str = "<Error><Code>ExpiredToken</Code><Message>The token has expired.</Message><Token-0>TOPSECRET</Token-0></Error>";
    const FULL: &str = "<Error><Code>InsufficientStorage</Code></Error>";
    for (refusal, said) in [((403, EXPIRED), "ExpiredToken"), ((507, FULL), "InsufficientStorage")]
    {
        let bucket = FakeBucket::start();
        let own = core(40 << 20);
        let store = store(Some(&own));
        fs::remove_file(store.path().join(ENTRY).join("triage.zst")).unwrap();
        *bucket.faults.refusal.lock().unwrap() = Some(refusal);
        bucket.faults.parts_until_refusal.store(3, Ordering::Relaxed);
        let answer = push(store.path(), &["--all"], &bucket.variables());
        assert_eq!(answer.code, Some(1), "{}", answer.stderr);
        assert!(answer.stderr.contains(said), "{}", answer.stderr);
        assert_eq!(bucket.faults.parts_taken.load(Ordering::Relaxed), 2);
        let waits = status(store.path());
        assert_eq!((&waits["state"], &waits["attempts"]), (&"failed".into(), &1.into()));
        assert_eq!((&waits["listed"], &waits["sent_bytes"]), (&true.into(), &(16 << 20).into()));
        assert!(waits["last_error"].as_str().unwrap().contains(said) && waits["next"].is_string());
        assert!(!waits.to_string().contains(SECRET));
        assert_eq!(listed(&bucket.variables()).as_deref(), Some("core-not-uploaded"));
        let dmesg = run(&["dmesg", "latest", "--store", URL], &bucket.variables());
        assert!(dmesg.stderr.contains("it is not uploaded (yet)"), "{}", dmesg.stderr);
        let info = run(&["info", "latest", "--store", URL], &bucket.variables());
        assert_eq!(info.code, Some(0), "{}", info.stderr);

        *bucket.faults.refusal.lock().unwrap() = None;
        // Its next try has not come. Who names it tries at once.
        let all = push(store.path(), &["--all"], &bucket.variables());
        assert_eq!(all.code, Some(3), "{}", all.stderr);
        let named = push(store.path(), &["latest"], &bucket.variables());
        assert_eq!(named.code, Some(0), "{}", named.stderr);
        assert_eq!(bucket.faults.parts_taken.load(Ordering::Relaxed), 5);
        assert_eq!((published(&bucket).unwrap() == own, cores(&bucket)), (true, 1));
        assert_eq!(listed(&bucket.variables()).as_deref(), Some("complete"));
    }
}

#[test]
fn an_answer_that_was_lost_costs_no_second_core() {
    let bucket = FakeBucket::start();
    let own = core(20 << 20);
    let store = store(Some(&own));
    bucket.faults.loses_answer.store(true, Ordering::Relaxed);
    assert_eq!(push(store.path(), &["latest"], &bucket.variables()).code, Some(1));
    assert_eq!(published(&bucket), None);
    let answer = push(store.path(), &["latest"], &bucket.variables());
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    assert_eq!(bucket.faults.parts_taken.load(Ordering::Relaxed), 3);
    assert_eq!((published(&bucket).unwrap() == own, cores(&bucket)), (true, 1));
}

#[test]
fn a_core_that_is_not_what_was_sent_is_not_published() {
    let bucket = FakeBucket::start();
    let store = store(Some(&core(20 << 20)));
    bucket.faults.damages.store(true, Ordering::Relaxed);
    let answer = push(store.path(), &["latest"], &bucket.variables());
    assert_eq!(answer.code, Some(1));
    assert!(answer.stderr.contains("its last bytes are others"), "{}", answer.stderr);
    assert_eq!((published(&bucket), cores(&bucket)), (None, 0));
    assert_eq!(listed(&bucket.variables()).as_deref(), Some("core-not-uploaded"));
    bucket.faults.damages.store(false, Ordering::Relaxed);
    assert_eq!(push(store.path(), &["latest"], &bucket.variables()).code, Some(0));
    assert_eq!(listed(&bucket.variables()).as_deref(), Some("complete"));
}

/// A core that was compressed anew meanwhile is another file.
#[test]
fn a_core_that_was_replaced_is_sent_anew() {
    let bucket = FakeBucket::start();
    let store = store(Some(&core(40 << 20)));
    *bucket.faults.refusal.lock().unwrap() = Some((403, ""));
    bucket.faults.parts_until_refusal.store(3, Ordering::Relaxed);
    assert_eq!(push(store.path(), &["latest"], &bucket.variables()).code, Some(1));
    *bucket.faults.refusal.lock().unwrap() = None;
    let own = core(24 << 20);
    let folder = store.path().join(ENTRY);
    fs::write(folder.join("new"), &own).unwrap();
    fs::rename(folder.join("new"), folder.join("vmcore.elf.zst")).unwrap();
    let answer = push(store.path(), &["latest"], &bucket.variables());
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    assert!(published(&bucket).unwrap() == own);
}

#[test]
fn a_server_that_ignores_conditions_is_warned_of_and_used() {
    let bucket = FakeBucket::start();
    bucket.faults.ignores_conditions.store(true, Ordering::Relaxed);
    let (one, other) = (store(None), store(None));
    let answer = push(one.path(), &["latest"], &bucket.variables());
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    assert!(answer.stderr.contains("ignores If-None-Match"), "{}", answer.stderr);
    let record = bucket.object(&format!("fleet/cores/{ENTRY}/core.json")).unwrap();
    let answer = push(other.path(), &["latest"], &bucket.variables());
    assert!(text(&answer).contains("is there already"), "{}", text(&answer));
    assert_eq!(bucket.object(&format!("fleet/cores/{ENTRY}/core.json")).unwrap(), record);
    assert_eq!(cores(&bucket), 1);
}

#[test]
fn another_entry_of_the_same_name_is_not_overwritten() {
    let bucket = FakeBucket::start();
    let store = store(None);
    let key = format!("fleet/cores/{ENTRY}/metadata.json");
    bucket.put(&key, b"{\"id\": \"another\"}");
    let answer = push(store.path(), &["latest"], &bucket.variables());
    assert_eq!(answer.code, Some(1));
    assert!(answer.stderr.contains("is of another entry"), "{}", answer.stderr);
    assert_eq!(bucket.object(&key).unwrap(), b"{\"id\": \"another\"}");
    assert_eq!(cores(&bucket), 0);
}

#[test]
fn what_is_no_place_to_push_to_is_refused_without_its_secrets() {
    let store = store(None);
    let store = store.path().to_str().unwrap();
    for (to, said) in [
        ("https://host/cores?X-Amz-Signature=TOPSECRET", "an address with a query"),
        ("s3://fleet/cores?key=TOPSECRET", "an address with a query"),
        ("/tmp/cores", "no address of object storage"),
    ] {
        let answer = run(&["push", "latest", "--to", to, "--store", store], &[]);
        assert_eq!(answer.code, Some(2), "{}", answer.stderr);
        assert!(
            answer.stderr.contains(said) && !answer.stderr.contains(SECRET),
            "{}",
            answer.stderr
        );
    }
    let http = run(&["push", "latest", "--to", "http://127.0.0.1:1/cores", "--store", store], &[]);
    assert!(http.stderr.contains("can be read, and not written"), "{}", http.stderr);
}

#[test]
fn a_core_is_removed_only_when_it_is_there_and_says_where_it_is() {
    let bucket = FakeBucket::start();
    let store = store(None);
    let local = store.path().join(ENTRY).join("vmcore.elf.zst");
    let options = ["--all", "--remove-core-after", "0s"];
    fs::write(store.path().join(ENTRY).join("pinned"), "").unwrap();
    assert_eq!(push(store.path(), &options, &bucket.variables()).code, Some(0));
    assert!(local.exists());
    fs::remove_file(store.path().join(ENTRY).join("pinned")).unwrap();
    let record = bucket.object(&format!("fleet/cores/{ENTRY}/core.json")).unwrap();
    let key: Value = serde_json::from_slice(&record).unwrap();
    let key = format!("fleet/cores/{ENTRY}/{}", key["key"].as_str().unwrap());
    let whole = bucket.object(&key).unwrap();
    bucket.put(&key, &whole[1..]);
    let answer = push(store.path(), &options, &bucket.variables());
    assert_eq!((answer.code, local.exists()), (Some(1), true), "{}", answer.stderr);
    bucket.put(&key, &whole);
    let answer = push(store.path(), &options, &bucket.variables());
    assert_eq!((answer.code, local.exists()), (Some(0), false), "{}", answer.stderr);
    fs::remove_file(store.path().join(ENTRY).join("triage.zst")).unwrap();
    let at = store.path().to_str().unwrap();
    let dmesg = run(&["dmesg", "latest", "--store", at], &[]);
    assert!(dmesg.stderr.contains(&format!("it is in {URL}/{ENTRY}")), "{}", dmesg.stderr);
    let list = run(&["list", "--json", "--store", at], &[]);
    assert!(text(&list).contains("core-elsewhere"), "{}", text(&list));
    let again = push(store.path(), &["latest"], &bucket.variables());
    assert!(text(&again).contains("is there already"), "{}", text(&again));
}

/// Waits until the queue has so many bytes of the core.
pub(crate) fn wait_for(store: &Path, bytes: u64, child: &mut Child) {
    loop {
        let words = ["push", "--status", "--json", "--store", store.to_str().unwrap()];
        let line: Option<Value> = serde_json::from_slice(&run(&words, &[]).stdout).ok();
        let sent = line.and_then(|line| line["sent_bytes"].as_u64());
        if sent.is_some_and(|sent| sent >= bytes) {
            return;
        }
        assert!(child.try_wait().unwrap().is_none(), "it has ended before");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A push that takes a second for each part.
pub(crate) fn slow_push(store: &Path, variables: &[(&str, &str)]) -> Child {
    let store = store.to_str().unwrap();
    let words = ["push", "latest", "--to", URL, "--store", store, "--limit-rate", "8M"];
    let mut command = vmcorectl(&words, variables);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn check_whole(server: &SeaweedFs, own: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("core.json");
    server.get(&format!("fleet/cores/{ENTRY}/core.json"), &record);
    let record: Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    let whole = folder.path().join("core");
    server.get(&format!("fleet/cores/{ENTRY}/{}", record["key"].as_str().unwrap()), &whole);
    assert!(fs::read(&whole).unwrap() == own, "the core differs");
    let sum = std::process::Command::new("sha256sum").arg(&whole).output().unwrap().stdout;
    let sum = String::from_utf8(sum).unwrap();
    assert_eq!(sum.split(' ').next(), record["sha256"].as_str());
}

#[test]
fn a_push_goes_on_after_its_process_and_its_server_were_killed() {
    let Some(mut server) = SeaweedFs::start("fleet") else { return };
    let own = core(64 << 20);
    let store = store(Some(&own));
    let mut first = slow_push(store.path(), &server.variables());
    wait_for(store.path(), 8 << 20, &mut first);
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(listed(&server.variables()).as_deref(), Some("core-not-uploaded"));
    let sent = status(store.path())["sent_bytes"].as_u64().unwrap();

    let mut second = slow_push(store.path(), &server.variables());
    wait_for(store.path(), sent + (8 << 20), &mut second);
    server.kill();
    let ended = second.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let waits = status(store.path());
    assert_eq!(waits["state"], "failed");
    assert!(waits["sent_bytes"].as_u64().unwrap() > sent, "{waits}");
    server.restart();
    let answer = push(store.path(), &["latest"], &server.variables());
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    assert_eq!(listed(&server.variables()).as_deref(), Some("complete"));
    check_whole(&server, &own);
}

#[test]
fn of_two_hosts_that_push_the_same_entry_one_wins() {
    let Some(server) = SeaweedFs::start("fleet") else { return };
    let own = core(32 << 20);
    let stores = [store(Some(&own)), store(Some(&own))];
    let pushes: Vec<_> =
        stores.iter().map(|store| slow_push(store.path(), &server.variables())).collect();
    let mut outcomes: Vec<_> = pushes
        .into_iter()
        .map(|push| {
            let ended = push.wait_with_output().unwrap();
            assert_eq!(ended.status.code(), Some(0), "{ended:?}");
            String::from_utf8(ended.stdout).unwrap().contains("pushed, with")
        })
        .collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes, [false, true]);
    check_whole(&server, &own);
    for store in &stores {
        assert_eq!(status(store.path())["state"], "pushed");
    }
}

#[test]
fn commands_answer_for_a_pushed_entry_as_for_the_entry_here() {
    let Some(server) = SeaweedFs::start("fleet") else { return };
    let store = store(None);
    let here = store.path().to_str().unwrap();
    fs::remove_file(store.path().join(ENTRY).join("triage.zst")).unwrap();
    let saved = run(&["report", "--save", "latest", "--store", here], &[]);
    assert_eq!(saved.code, Some(0), "{}", saved.stderr);
    assert_eq!(push(store.path(), &["--all"], &server.variables()).code, Some(0));
    for command in [
        &["list"][..],
        &["list", "--json"],
        &["group", "--json"],
        &["info", "latest"],
        &["report", "aaaa"],
        &["dmesg", "2026"],
        &["bt", "latest", "--all"],
        &["verify", "latest"],
    ] {
        let there = run_on(URL, command, &server.variables());
        assert_eq!(there, run_on(here, command, &[]), "{command:?}");
    }
}
