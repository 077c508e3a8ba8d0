//! `list` and `rm`: the store, looked at and tidied up.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use serde_json::Value;

use crate::core_stream::MIB;
use crate::messages::terminal;
use crate::refusing_system;
use crate::scripted_qemu::{DumpPlan, Script};
use crate::setting::{Setting, finish};
use crate::tool::{self, Ran, metadata_of, run};

/// A script of a guest with a name.
fn named(name: &str) -> Script {
    Script { name: Some(name.to_owned()), ..Script::default() }
}

/// A store with entries of two guests, and what an aborted dump left of a third.
fn setting() -> Setting {
    let setting = Setting::new(named("web-3"));
    setting.capture(&["--resume"]).expect(0);
    for script in [named("db"), Script { dump: DumpPlan::Killed(3 * MIB), ..named("mail") }] {
        let other = Setting::with_store(script, &setting.store);
        other.capture(&["--resume"]);
    }
    setting
}

fn with_store(setting: &Setting, arguments: &[&str]) -> Ran {
    let store = setting.store.to_str().unwrap();
    run(arguments.iter().copied().chain(["--store", store]))
}

fn lines(ran: Ran) -> Vec<Value> {
    let ran = ran.expect(0);
    ran.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn guests(ran: Ran) -> Vec<String> {
    lines(ran).iter().map(|line| line["guest"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_store_is_listed_with_what_is_known_of_each_entry() {
    let setting = setting();
    let table = with_store(&setting, &["list"]).expect(0).stdout;
    let rows: Vec<_> = table.lines().collect();
    assert_eq!(rows.len(), 3, "{table}");
    assert!(rows[0].starts_with("TIME"), "{table}");
    assert!(rows[1].contains("web-3") && rows[1].contains("6.1.0-test"), "{table}");
    assert!(rows[2].contains("db") && rows[2].contains("complete"), "{table}");

    let lines = lines(with_store(&setting, &["list", "--json"]));
    assert_eq!(lines[0]["kernel"], "6.1.0-test");
    assert!(lines[0]["held_seconds"].as_f64().is_some_and(|held| held > 0.0));
    assert!(lines[0]["core_bytes"].as_u64().is_some_and(|bytes| bytes > 0));
    assert_eq!(lines[0]["title"], "guest panicked (no log)");
    assert!(Path::new(lines[0]["path"].as_str().unwrap()).is_dir());
}

#[test]
fn each_filter_leaves_out_what_does_not_fit() {
    let setting = setting();
    let list =
        |filters: &[&str]| guests(with_store(&setting, &[&["list", "--json"], filters].concat()));
    assert_eq!(list(&["--guest", "web-*"]), ["web-3"]);
    assert_eq!(list(&["--guest", "web"]), [""; 0]);
    assert_eq!(list(&["--kernel", "6.1.*"]), ["web-3", "db"]);
    assert_eq!(list(&["--kernel", "5.*"]), [""; 0]);
    assert_eq!(list(&["--since", "1h"]), ["web-3", "db"]);
    assert_eq!(list(&["--until", "1h"]), [""; 0]);
    assert_eq!(list(&["--incomplete"]), ["mail"]);
    assert_eq!(list(&["--state", "incomplete,complete"]), ["web-3", "db", "mail"]);
    assert_eq!(list(&["--signature", "*"]), [""; 0]);

    let entry = with_store(&setting, &["list", "--json", "--guest", "db"]);
    let folder = lines(entry)[0]["path"].as_str().unwrap().to_owned();
    let report = r#"{"schema": "vmcorectl/report/1", "title": "BUG: x", "signature": "1:abcd"}"#;
    fs::write(Path::new(&folder).join("report.json"), report).unwrap();
    assert_eq!(list(&["--signature", "1:ab*"]), ["db"]);
    let table = with_store(&setting, &["list", "--guest", "db"]).expect(0).stdout;
    assert!(table.contains("BUG: x"), "{table}");
}

#[test]
fn an_entry_is_removed_with_all_that_is_in_it() {
    let setting = setting();
    let id = lines(with_store(&setting, &["list", "--json", "--guest", "db"]))[0]["id"].clone();
    let id = id.as_str().unwrap();
    let tail = id.rsplit_once('-').unwrap().1;
    let before = setting.listing();
    // Nothing that could be meant for another entry, and nothing unasked.
    // All but its last letter: the other entry may be of the same second.
    for wanted in [tail, "latest:db", &id[..id.len() - 1]] {
        let ran = with_store(&setting, &["rm", "--yes", wanted]).expect(1);
        ran.says(&format!("is not the whole id {id}")).says("hint: give the whole id");
    }
    with_store(&setting, &["rm", id]).expect(2).says("the standard input is no terminal");
    assert_eq!(setting.listing(), before);
    with_store(&setting, &["rm", "--yes", id]).expect(0);
    assert!(!setting.store.join("db").exists());
    assert_eq!(guests(with_store(&setting, &["list", "--json"])), ["web-3"]);
}

#[test]
fn a_prefix_that_fits_several_removes_none() {
    let setting = setting();
    let before = setting.listing();
    let ids: Vec<_> = lines(with_store(&setting, &["list", "--json"]))
        .iter()
        .map(|line| line["id"].as_str().unwrap().to_owned())
        .collect();
    let refused =
        with_store(&setting, &["rm", "--yes", "20"]).expect(1).says("is the beginning of 2");
    assert!(ids.iter().all(|id| refused.stderr.contains(id)), "{refused:?}");
    refused.says("hint: give the whole id");
    // One that is clear does not go either, if another is not.
    with_store(&setting, &["rm", "--yes", &ids[0], "nothing"])
        .expect(1)
        .says("no entry \"nothing\"");
    with_store(&setting, &["rm", "--yes", ""]).expect(1);
    with_store(&setting, &["rm", "--yes", ".."]).expect(1);
    assert_eq!(setting.listing(), before);
}

#[test]
fn a_part_is_removed_only_by_its_whole_name_and_not_while_it_is_written() {
    let setting = setting();
    let part = setting.listing().incomplete[0].clone();
    let id = part.file_name().unwrap().to_str().unwrap().strip_suffix(".incomplete").unwrap();
    let tail = id.rsplit_once('-').unwrap().1;
    with_store(&setting, &["rm", "--yes", tail]).expect(1).says("no entry");

    let writer = locked(&part.join("vmcore.elf.zst"));
    assert_eq!(
        lines(with_store(&setting, &["list", "--json", "--incomplete"]))[0]["state"],
        "capturing"
    );
    with_store(&setting, &["rm", "--yes", id]).expect(1).says("is under way");
    drop(writer);
    with_store(&setting, &["rm", "--yes", id]).expect(0);
    assert!(!part.exists());
}

/// Opens a core, and locks it as the capture that writes it does.
fn locked(core: &Path) -> File {
    let core = File::options().write(true).open(core).unwrap();
    let lock = libc::flock {
        l_type: i16::try_from(libc::F_WRLCK).unwrap(),
        l_whence: i16::try_from(libc::SEEK_SET).unwrap(),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(&core, FcntlArg::F_OFD_SETLK(&lock)).unwrap();
    core
}

/// Ends the threads that look at it, also when the test fails.
struct SetWhenDropped<'a>(&'a AtomicBool);

impl Drop for SetWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The only entry went by `rm 2026`, with which every id begins.
#[test]
fn the_only_entry_is_not_removed_by_what_every_id_begins_with() {
    let setting = Setting::new(named("web-3"));
    let entry = setting.capture(&["--resume"]).expect(0).entry();
    for wanted in ["20", "latest", "latest:web-3"] {
        with_store(&setting, &["rm", "--yes", wanted]).expect(1).says("is not the whole id");
    }
    assert!(entry.exists());
}

#[test]
fn rm_asks_on_a_terminal_and_takes_no_other_answer_for_yes() {
    let setting = Setting::new(named("web-3"));
    let entry = setting.capture(&["--resume"]).expect(0).entry();
    for (answer, code, stays) in [("\n", 1, true), ("no\n", 1, true), ("y\n", 0, false)] {
        let (mut seen, terminal) = terminal();
        let mut command = tool::command(["rm", entry.to_str().unwrap()]);
        command.args(["--store".as_ref(), setting.store.as_os_str()]);
        command.stdin(terminal).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        seen.write_all(answer.as_bytes()).unwrap();
        let ran = finish(child).expect(code);
        ran.says("web-3  ").says("guest panicked (no log)").says("Remove this entry? [y/N]");
        assert_eq!(entry.exists(), stays, "{answer:?}");
    }
}

/// The report of before `--output` was replaced.
#[test]
fn a_core_in_a_file_overwrites_nothing_beside_it_and_the_guest_is_not_asked() {
    for taken in ["c", "c.json", "c.report.json", "c.report.json.incomplete"] {
        let setting = Setting::new(Script { state: "running", ..Script::default() });
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(taken);
        fs::write(&file, "mine").unwrap();
        let core = folder.path().join("c");
        let output = ["--output", core.to_str().unwrap(), "--any-state"];
        setting.capture(&output).expect(1).says(&format!("{taken} exists already"));
        assert!(setting.qemu.received("qmp_capabilities").is_empty());
        assert_eq!(fs::read(&file).unwrap(), b"mine");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }
}

#[test]
fn reports_are_made_again_where_that_is_asked_and_the_outdated_ones_are_named() {
    let setting = setting();
    let entry = &setting.listing().entries[0];
    let report = entry.join("report.json");
    let fresh = fs::read_to_string(&report).unwrap();
    let list = || lines(with_store(&setting, &["list", "--json"]));
    assert!(list().iter().all(|line| line["report_outdated"] == false));
    let old = fresh.replace("vmcorectl/report/1", "vmcorectl/report/0").replace("no log", "old");
    fs::write(&report, &old).unwrap();
    let count =
        |lines: &[Value]| lines.iter().filter(|line| line["report_outdated"] == true).count();
    assert_eq!(count(&list()), 1);
    let table = with_store(&setting, &["list"]).expect(0).stdout;
    assert!(table.contains("guest panicked (old) (outdated)"), "{table}");
    assert_eq!(lines(with_store(&setting, &["group", "--json"]))[0]["outdated"], 1);
    let table = with_store(&setting, &["group"]).expect(0).stdout;
    assert!(table.contains("1 of these reports are outdated"), "{table}");

    let printed = format!("{}\n", report.display());
    for which in ["--outdated", entry.to_str().unwrap()] {
        fs::write(&report, &old).unwrap();
        assert_eq!(with_store(&setting, &["report", "--save", which]).expect(0).stdout, printed);
        assert_eq!(fs::read_to_string(&report).unwrap(), fresh);
    }
    assert_eq!(with_store(&setting, &["report", "--save", "--outdated"]).expect(0).stdout, "");
    let all = with_store(&setting, &["report", "--save", "--all"]).expect(0).stdout;
    assert_eq!(all.lines().count(), 2);
    with_store(&setting, &["report", "--all"]).expect(2);
    with_store(&setting, &["report", "latest", "latest"]).expect(2).says("one ENTRY");
    with_store(&setting, &["report", "--save", "latest", "nothing"]).expect(1);
}

/// `list` took the lock for a moment to see whether it was free. A capture that began in this
/// moment stayed without one, and `rm` deleted the core under it.
#[test]
fn no_listing_costs_a_capture_its_lock() {
    let store = tempfile::tempdir().unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _done = SetWhenDropped(&done);
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    run([OsStr::new("list"), "--incomplete".as_ref(), "--store".as_ref()]
                        .into_iter()
                        .chain([store.path().as_os_str()]));
                }
            });
        }
        let mut unlocked = 0;
        for _ in 0..8 {
            let script = Script { dump: DumpPlan::Stalls(3 * MIB), ..named("web-3") };
            let setting = Setting::with_store(script, store.path());
            let child = setting.start(&[]);
            setting.qemu.await_stall();
            let part = setting.listing().incomplete[0].clone();
            let ran = with_store(&setting, &["rm", "--yes", part.to_str().unwrap()]);
            unlocked += u32::from(!part.join("vmcore.elf.zst").exists());
            end(child);
            if part.exists() {
                ran.expect(1).says("is under way");
                with_store(&setting, &["rm", "--yes", part.to_str().unwrap()]).expect(0);
            }
        }
        assert_eq!(unlocked, 0, "cores were removed under their writers");
    });
}

#[test]
fn a_core_that_cannot_be_locked_is_stored_and_that_is_recorded() {
    let setting = Setting::new(named("web-3"));
    let core = setting.capture(&["--resume"]).expect(0).entry().join("vmcore.elf.zst");
    let store = setting.store.to_str().unwrap();
    let import = ["import", core.to_str().unwrap(), "--store", store, "--keep-free", "0"];
    // The lock is one of the first calls of `fcntl`; others copy descriptors, and fail.
    let recorded = (1..20).any(|call| {
        let no_lock = format!("fcntl:error=ENOLCK:when={call}");
        let ran = refusing_system::run(&import.map(OsString::from), &[&no_lock]);
        let found = ran.stderr.contains("warning: the core cannot be locked (");
        if found {
            let warnings = metadata_of(&ran.expect(0).entry()).warnings;
            assert!(warnings.iter().any(|warning| warning.contains("cannot be locked")));
        }
        found
    });
    assert!(recorded);
}

#[test]
fn what_cannot_be_locked_is_neither_called_interrupted_nor_removed() {
    let setting = setting();
    let part = setting.listing().incomplete[0].clone();
    // As after a SIGKILL: nothing says how the capture ended.
    fs::remove_file(part.join("metadata.json")).unwrap();
    let store = setting.store.to_str().unwrap();
    let no_locks = ["fcntl:error=ENOLCK"];
    let list = ["list", "--json", "--incomplete", "--store", store].map(OsString::from);
    assert_eq!(lines(refusing_system::run(&list, &no_locks))[0]["state"], "unknown");
    let rm = ["rm", "--yes", part.to_str().unwrap(), "--store", store].map(OsString::from);
    refusing_system::run(&rm, &no_locks)
        .expect(1)
        .says("may still be writing it")
        .says("hint: make sure that no capture runs");
    assert!(part.join("vmcore.elf.zst").exists());
}

#[test]
fn a_capture_under_way_is_listed_as_one() {
    let script = Script { dump: DumpPlan::Stalls(3 * MIB), ..named("web-3") };
    let setting = Setting::new(script);
    let mut child = setting.start(&[]);
    let found = (0..500).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        let lines = lines(with_store(&setting, &["list", "--json", "--state", "capturing"]));
        lines.len() == 1 && lines[0]["guest"] == "web-3"
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(found);
    let lines = lines(with_store(&setting, &["list", "--json", "--incomplete"]));
    assert_eq!(lines[0]["state"], "interrupted");
}
