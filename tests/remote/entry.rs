//! An entry with its triage pack: the pack is read first, and the core for the rest.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};

use crate::command::{project, run};
use crate::http_server::{HttpServer, Object, Reply, Request};
use crate::offline::IN_PACK;
use crate::{CORE, equal};

const PACK: &str = "triage.zst";
const PLAIN: &str = "vmcore.elf.zst";
const PUSHED: &str = "core-0123abcd.elf.zst";

/// An entry on this machine, and its files.
pub(crate) struct Entry {
    store: tempfile::TempDir,
    pub(crate) folder: PathBuf,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

impl Entry {
    /// The sample, imported.
    pub(crate) fn new() -> Self {
        Self::of(&[])
    }

    /// The same, with these options.
    pub(crate) fn of(options: &[&str]) -> Self {
        let store = tempfile::tempdir().unwrap();
        let core = project().join(CORE);
        let place = store.path().to_str().unwrap();
        let words = [&["import", core.to_str().unwrap(), "--store", place], options].concat();
        let imported = run(&words, &[]);
        assert_eq!(imported.code, Some(0), "{}", imported.stderr);
        let folder = PathBuf::from(str::from_utf8(&imported.stdout).unwrap().trim_end());
        let files = fs::read_dir(&folder).unwrap().map(|file| {
            let file = file.unwrap();
            (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap())
        });
        let files = files.collect();
        Self { store, folder, files }
    }

    /// The path of the core on this machine.
    pub(crate) fn core(&self) -> String {
        self.folder.join(PLAIN).to_str().unwrap().to_owned()
    }

    /// As a push leaves it in a bucket.
    pub(crate) fn pushed(mut self) -> Self {
        let encrypted = self.files.contains_key(&format!("{PLAIN}.age"));
        let ending = if encrypted { ".age" } else { "" };
        let core = self.files.remove(&format!("{PLAIN}{ending}")).unwrap();
        let pushed = format!("{PUSHED}{ending}");
        let record = format!(
            "{{\"schema\": \"vmcorectl/core/1\", \"key\": \"{pushed}\", \"bytes\": {}, \"sha256\": \"\", \
             \"pushed\": \"2026-01-01T00:00:00Z\", \"host\": null}}",
            core.len()
        );
        self.files.insert(pushed, core);
        self.files.insert("core.json".to_owned(), record.into_bytes());
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.files.remove(name).unwrap();
        self
    }

    /// A server that has its files, and its address.
    pub(crate) fn serve(&self) -> (HttpServer, String) {
        self.serve_with(|_, reply| reply)
    }

    pub(crate) fn serve_with(
        &self,
        change: impl Fn(&Request, Reply) -> Reply + Send + Sync + 'static,
    ) -> (HttpServer, String) {
        let objects: BTreeMap<String, Object> = self
            .files
            .iter()
            .map(|(name, bytes)| (name.clone(), Object::new(bytes.clone())))
            .collect();
        let server = HttpServer::start(move |request| {
            let name = request.path.rsplit('/').next().unwrap_or_default();
            let reply = match objects.get(name) {
                Some(object) => Reply::Object(object.clone()),
                None => Reply::Status(404, ""),
            };
            change(request, reply)
        });
        let url = server.url(&format!("web/20260101T000000Z-aaaa0001/{PLAIN}"));
        (server, url)
    }
}

/// How often, and for how many bytes of an object was asked.
pub(crate) fn asked(server: &HttpServer, entry: &Entry, name: &str) -> (usize, usize) {
    let requests = server.requests.lock().unwrap();
    let length = entry.files.get(name).map_or(0, Vec::len);
    let of_name = requests.iter().filter(|request| request.path.ends_with(name));
    let lengths: Vec<usize> =
        of_name.map(|request| request.range(length).map_or(length, |range| range.len())).collect();
    (lengths.len(), lengths.iter().sum())
}

#[test]
fn commands_answer_for_an_entry_with_a_pack_as_for_the_entry_on_this_machine() {
    let entry = Entry::new();
    let (_server, url) = entry.serve();
    equal::check_as(&entry.core(), &url, &[]);
}

#[test]
fn commands_answer_for_a_pushed_entry_as_for_the_entry_on_this_machine() {
    let entry = Entry::new();
    let local = entry.core();
    let entry = entry.pushed();
    let (_server, url) = entry.serve();
    equal::check_as(&local, &url, &[]);
}

#[test]
fn commands_answer_for_a_pushed_entry_without_a_pack_too() {
    let entry = Entry::new();
    fs::remove_file(entry.folder.join(PACK)).unwrap();
    let local = entry.core();
    let entry = entry.pushed().without(PACK);
    let (_server, url) = entry.serve();
    equal::check_as(&local, &url, &[]);
}

#[test]
fn an_entry_whose_core_is_not_there_is_read_out_of_its_pack() {
    let entry = Entry::new();
    let local = entry.core();
    let entry = entry.without(PLAIN);
    let (server, url) = entry.serve();
    equal::check_commands(IN_PACK, &local, &url, &[]);
    assert!(asked(&server, &entry, PACK).0 > 0);
    // What is not in it is an error with address and reason, and never zeros.
    let read = run(&["read", &url, "0", "64M", "--raw"], &[]);
    assert_eq!(read.code, Some(1), "{}", read.stderr);
    assert!(read.stderr.contains("the memory at 0x"), "{}", read.stderr);
    assert!(
        read.stderr.contains("not in its triage pack, and the core cannot be had"),
        "{}",
        read.stderr
    );
    assert!(read.stderr.contains("it is not uploaded (yet)"), "{}", read.stderr);
    let whole = run(&["read", &local, "0", "64M", "--raw"], &[]).stdout;
    assert!(read.stdout.len() < whole.len() && whole.starts_with(&read.stdout));
}

/// The requests of the beginning wait for each other at the server: so they are made at the same
/// time. One more brings all that a report reads of the pack.
#[test]
fn a_report_takes_two_requests_after_each_other() {
    let entry = Entry::new().pushed();
    let arrived = Arc::new((Mutex::new(0), Condvar::new()));
    let (server, url) = entry.serve_with(move |_, reply| {
        let (count, changed) = &*arrived;
        let mut count = count.lock().unwrap();
        *count += 1;
        changed.notify_all();
        drop(changed.wait_while(count, |count| *count < 3).unwrap());
        reply
    });
    let report = run(&["report", &url], &[]);
    assert_eq!(report.code, Some(0), "{}", report.stderr);
    assert_eq!(server.request_count(), 4, "{:?}", server.requests.lock().unwrap());
    let (requests, bytes) = asked(&server, &entry, PACK);
    assert_eq!(requests, 2);
    assert_eq!(asked(&server, &entry, PUSHED), (0, 0));
    // Where the stacks of tasks begin that a report does not read, after a head of 16 bytes a frame.
    let pack = &entry.files[PACK];
    let number = |at: usize| u32::from_le_bytes(pack[at..at + 4].try_into().unwrap()) as usize;
    let (of_report, frames) = (number(60), number(64));
    assert!(of_report <= frames);
    let needed = match of_report {
        all if all == frames => pack.len(),
        some => number(68 + 12 * some + 4),
    };
    assert!(bytes * 10 <= needed * 11, "{bytes} bytes for {needed}");
}

#[test]
fn a_pack_of_another_core_is_not_used() {
    let entry = Entry::new();
    let mut damaged = Entry::new();
    let local = entry.core();
    // The length of the core that it is of.
    damaged.files.get_mut(PACK).unwrap()[16] ^= 1;
    let (_server, url) = damaged.serve();
    let remote = run(&["dmesg", &url], &[]);
    assert_eq!(remote.stdout, run(&["dmesg", &local], &[]).stdout);
    assert!(remote.stderr.contains("triage.zst is not used: "), "{}", remote.stderr);
    let alone = damaged.without(PLAIN);
    let (_server, url) = alone.serve();
    let refused = run(&["dmesg", &url], &[]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("cannot fetch http://"), "{}", refused.stderr);
}

#[test]
fn a_pushed_core_that_its_pack_is_not_of_is_an_error_where_it_is_needed() {
    let mut entry = Entry::new().pushed();
    let core = entry.files.get_mut(PUSHED).unwrap();
    let last = core.len() - 100;
    core[last] ^= 1;
    let (_server, url) = entry.serve();
    let read = run(&["read", &url, "0", "64M", "--raw"], &[]);
    assert_eq!(read.code, Some(1));
    assert!(read.stderr.contains("not the core that its triage pack is of"), "{}", read.stderr);
    assert_eq!(run(&["dmesg", &url], &[]).code, Some(0));
}

/// Counts what is asked for beyond the beginning.
fn later(server: &HttpServer) -> usize {
    let mut requests = server.requests.lock().unwrap();
    let count = requests.iter().filter(|request| request.if_match.is_some()).count();
    requests.clear();
    count
}

#[test]
fn what_was_fetched_once_is_on_the_disk_the_next_time() {
    let entry = Entry::new().pushed();
    let (server, url) = entry.serve();
    let cache = tempfile::tempdir().unwrap();
    let variables = [("XDG_CACHE_HOME", cache.path().to_str().unwrap())];
    let command = ["read", url.as_str(), "0", "8M", "--raw"];
    let first = run(&command, &variables);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert!(later(&server) > 0);
    assert!(run(&command, &variables) == first);
    assert_eq!(later(&server), 0);
    // Another version of it is another object.
    let files = |ending: &str| -> Vec<PathBuf> {
        let files = fs::read_dir(cache.path().join("vmcorectl/objects")).unwrap();
        let paths = files.map(|file| file.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|end| end == ending)).collect()
    };
    for file in files("bytes") {
        damage(&file);
    }
    assert!(run(&command, &variables) == first, "what is damaged is fetched again");
    assert!(later(&server) > 0);
    let off = [variables[0], ("VMCORECTL_CACHE", "0")];
    assert!(run(&command, &off) == first);
    assert!(later(&server) > 0);
}

/// Nothing depends on the cache: a disk that takes no more of it is as good as none.
#[test]
fn a_disk_that_is_full_costs_the_cache_and_nothing_else() {
    let entry = Entry::new().pushed();
    let (server, url) = entry.serve();
    let cache = tempfile::tempdir().unwrap();
    let full = || {
        let script = "trap '' XFSZ; ulimit -f 64; exec \"$0\" report \"$1\"";
        let output = Command::new("sh")
            .args(["-c", script, env!("CARGO_BIN_EXE_vmcorectl"), &url])
            .env("XDG_CACHE_HOME", cache.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let expected = run(&["report", &entry.core()], &[]).stdout;
    assert!(full() == expected);
    assert!(later(&server) > 0);
    assert!(full() == expected);
    assert!(later(&server) > 0, "there was room for all of it");
}

fn damage(file: &Path) {
    let bytes = fs::read(file).unwrap();
    fs::write(file, bytes.iter().map(|byte| byte ^ 1).collect::<Vec<u8>>()).unwrap();
}

#[test]
fn two_commands_may_use_the_cache_at_once() {
    let entry = Entry::new().pushed();
    let (_server, url) = entry.serve();
    let cache = tempfile::tempdir().unwrap();
    let variables = [("XDG_CACHE_HOME", cache.path().to_str().unwrap())];
    let expected = run(&["report", &entry.core()], &[]).stdout;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let report = run(&["report", &url], &variables);
                assert_eq!((report.code, report.stderr.as_str()), (Some(0), ""));
                assert!(report.stdout == expected);
            });
        }
    });
    drop(entry.store);
}
