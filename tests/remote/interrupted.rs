//! Commands that write to a bucket, ended at each of their requests: the command is killed, or the
//! server ends, before the request is acted on or after. What was there before is there, what is
//! listed is whole, and the same command typed again completes.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::command::{run, vmcorectl};
use crate::fake_bucket::FakeBucket;
use crate::push::{ENTRY, URL, add, core, push, store};

/// How many cases there are at the same time: most of them wait for the server.
const AT_ONCE: usize = 6;

/// The length of a core. It is none: what is sent is not parsed.
const CORE: usize = 64 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Command,
    Server,
}

/// A bucket with three entries, and a store whose fourth is not pushed.
struct World {
    bucket: FakeBucket,
    own: TempDir,
}

const NEW: &str = "web/20260104T000000Z-aaaa0004";

impl World {
    fn new() -> Self {
        let bucket = FakeBucket::start();
        let own = store(Some(&core(CORE)));
        for number in 2..=3 {
            let entry = format!("web/2026010{number}T000000Z-aaaa000{number}");
            add(own.path(), &entry, Some(&core(CORE)));
        }
        for number in 1..=3 {
            // Each is of the same crash.
            let id = format!("2026010{number}T000000Z-aaaa000{number}");
            Self::name(&own, &format!("web/{id}"));
        }
        assert_eq!(push(own.path(), &["--all"], &bucket.variables()).code, Some(0));
        add(own.path(), NEW, Some(&core(CORE)));
        Self::name(&own, NEW);
        Self { bucket, own }
    }

    /// Another one like this.
    fn copy(&self) -> Self {
        let own = tempfile::tempdir().unwrap();
        let here = format!("{}/.", self.own.path().display());
        let copied = Command::new("cp").args(["-a", &here]).arg(own.path()).status().unwrap();
        assert!(copied.success());
        let bucket = FakeBucket::start();
        for key in self.bucket.keys() {
            bucket.put(&key, &self.bucket.object(&key).unwrap());
        }
        Self { bucket, own }
    }

    /// The metadata says of which entry it is.
    fn name(own: &TempDir, entry: &str) {
        let path = own.path().join(entry).join("metadata.json");
        let mut metadata: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        metadata["id"] = entry.rsplit('/').next().unwrap().into();
        fs::write(path, metadata.to_string()).unwrap();
    }

    /// The command line, with this store in the place of `HERE`.
    fn words<'a>(&'a self, words: &[&'a str]) -> Vec<&'a str> {
        let here = self.own.path().to_str().unwrap();
        words.iter().map(|word| if *word == "HERE" { here } else { word }).collect()
    }

    fn out(&self, words: &[&str]) -> String {
        let words = self.words(words);
        let answer = run(&words, &self.bucket.variables());
        assert_eq!(answer.code, Some(0), "{words:?}: {}", answer.stderr);
        String::from_utf8(answer.stdout).unwrap()
    }

    /// Each entry that is listed as whole names a core that is there.
    fn check(&self, stays: &[&str], what: &str) {
        let list = self.out(&["list", "--json", "--store", URL]);
        let lines = list.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut whole = Vec::new();
        for line in lines.filter(|line| line["state"] == "complete") {
            let id = line["id"].as_str().unwrap().to_owned();
            let folder = format!("fleet/cores/web/{id}");
            let record = self.bucket.object(&format!("{folder}/core.json")).expect(what);
            let record: Value = serde_json::from_slice(&record).unwrap();
            // A list goes by names: the core of this one is still to be removed.
            if record["removed"].is_string() {
                continue;
            }
            let core = format!("{folder}/{}", record["key"].as_str().expect(what));
            assert!(self.bucket.object(&core).expect(what) == crate::push::core(CORE), "{what}");
            whole.push(id);
        }
        for id in stays {
            assert!(whole.iter().any(|whole| whole == id), "{what}: {id} is lost");
        }
    }

    /// What commands print of the bucket in the end, and the names in it, without random parts.
    fn state(&self) -> (Vec<String>, Vec<String>) {
        self.out(&["prune", "--yes", "--unfinished-after", "1d", "--store", URL]);
        let printed = [
            self.out(&["list", "--json", "--store", URL]),
            self.out(&["group", "--json", "--store", URL]),
        ];
        let plain = |key: String| {
            let (folder, name) = key.rsplit_once('/').unwrap();
            let name = match name.split_once('-') {
                Some((kind @ ("core" | "part"), _)) => kind,
                _ if folder.contains("/annotations") => "annotation",
                _ => name,
            };
            format!("{folder}/{name}")
        };
        let mut names: Vec<_> = self.bucket.keys().into_iter().map(plain).collect();
        names.retain(|name| !name.contains("/.vmcorectl"));
        names.dedup();
        // How long its files are depends on how often something was noted.
        let printed = printed.map(|text| without(&text, "\"bytes\":")).to_vec();
        (printed, names)
    }
}

/// A text without the numbers behind a word.
fn without(text: &str, word: &str) -> String {
    let mut parts = text.split(word);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.trim_start_matches(|c: char| c.is_ascii_digit()))
}

/// Ends the command, or the server, at each request of the command that writes.
fn end_at_each(words: &[&'static str], stays: &'static [&'static str], codes: &'static [i32]) {
    let template = World::new();
    let clean = template.copy();
    clean.out(words);
    let writes = clean.bucket.faults.writes.load(Ordering::Relaxed);
    assert!(writes > 0, "{words:?}");
    let expected = Arc::new(clean.state());
    let mut cases = Vec::new();
    for number in 1..=writes {
        cases.extend([false, true].map(|acts| (number, acts, Ended::Server)));
        // Before a request, it has left what it has after the one before. `killed` has pushes.
        if words[0] != "push" {
            cases.push((number, true, Ended::Command));
        }
    }
    let cases = Mutex::new(cases);
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let case = cases.lock().unwrap().pop();
                    let Some((number, acts, ended)) = case else { return };
                    let what = format!("{words:?}: {ended:?} ended at {number}, done: {acts}");
                    let world = template.copy();
                    end_at(&world, words, (number, acts, ended), &what);
                    world.check(stays, &what);
                    let all = world.words(words);
                    let again = run(&all, &world.bucket.variables());
                    let is_done = again.code.is_some_and(|code| codes.contains(&code));
                    assert!(is_done, "{what}: {:?} {}", again.code, again.stderr);
                    world.check(stays, &what);
                    let (printed, names) = world.state();
                    assert_eq!(names, expected.1, "{what}");
                    assert_eq!(printed, expected.0, "{what}");
                }
            });
        }
    });
}

fn end_at(world: &World, words: &[&str], case: (usize, bool, Ended), what: &str) {
    let (number, acts, ended) = case;
    let faults = &world.bucket.faults;
    faults.stops_after_it.store(acts, Ordering::Relaxed);
    let at = if ended == Ended::Command { &faults.stops_at } else { &faults.dies_at };
    at.store(number, Ordering::Relaxed);
    let mut command = vmcorectl(&world.words(words), &world.bucket.variables());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    if ended == Ended::Command {
        while !faults.is_stopped.load(Ordering::Relaxed) {
            assert!(child.try_wait().unwrap().is_none(), "{what}: it has ended");
            thread::sleep(Duration::from_millis(5));
        }
        child.kill().unwrap();
    }
    child.wait().unwrap();
    assert!(ended == Ended::Command || faults.is_down.load(Ordering::Relaxed), "{what}");
    at.store(0, Ordering::Relaxed);
    faults.is_down.store(false, Ordering::Relaxed);
}

const FIRST: &str = "20260101T000000Z-aaaa0001";
const SECOND: &str = "20260102T000000Z-aaaa0002";
const THIRD: &str = "20260103T000000Z-aaaa0003";

#[test]
fn a_push_that_ends_at_any_request_completes_later() {
    let words = ["push", NEW_ID, "--to", URL, "--store", "HERE"];
    end_at_each(&words, &[FIRST, SECOND, THIRD], &[0]);
}

const NEW_ID: &str = "20260104T000000Z-aaaa0004";

#[test]
fn a_removal_that_ends_at_any_request_completes_later() {
    assert!(ENTRY.ends_with(FIRST));
    // It may be gone as a whole.
    end_at_each(&["rm", SECOND, "--yes", "--store", URL], &[FIRST, THIRD], &[0, 1]);
    let words = ["prune", "--cores-per-signature", "2", "--yes", "--store", URL];
    end_at_each(&words, &[FIRST, THIRD], &[0]);
}

#[test]
fn a_table_that_is_ended_at_any_request_is_whole_later() {
    let all = &[FIRST, SECOND, THIRD];
    end_at_each(&["index", "--compact", "--store", URL], all, &[0]);
    end_at_each(&["annotate", SECOND, "ticket=1", "--store", URL], all, &[0]);
    end_at_each(&["triage", "--from", URL, "--out", "s3://fleet/out"], all, &[0]);
}
