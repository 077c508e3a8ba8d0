//! `prune`: a store within its limits.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;

use crate::messages::terminal;
use crate::setting::finish;
use crate::tool::{Ran, command, run};

/// A store with this number of entries of one guest, each with a core of 1 MiB, the first of them
/// `rare`.
fn store(count: u32) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("s");
    for number in 0..count {
        let entry = store.join("web").join(id(number));
        fs::create_dir_all(&entry).unwrap();
        File::create(entry.join("vmcore.elf.zst")).unwrap().set_len(1 << 20).unwrap();
        let signature = if number == 0 { "v1-rare" } else { "v1-loop" };
        let report = format!(r#"{{"title": "BUG: a\u001b[2J", "signature": "{signature}"}}"#);
        fs::write(entry.join("report.json"), report).unwrap();
    }
    (folder, store)
}

fn id(number: u32) -> String {
    format!("20260101T00{number:02}00Z-{number:08x}")
}

fn prune(store: &Path, arguments: &[&str]) -> Ran {
    let first = ["prune", "--store", store.to_str().unwrap()];
    run(first.into_iter().chain(arguments.iter().copied()))
}

fn left(store: &Path) -> Vec<String> {
    let entries = fs::read_dir(store.join("web")).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_limit_is_needed_and_so_is_a_yes_where_nobody_can_be_asked() {
    let (_folder, store) = store(4);
    prune(&store, &[]).expect(2).says("required");
    prune(&store, &["--max-size", "1M"]).expect(2).says("prune asks before it removes");
    assert_eq!(left(&store).len(), 4);
    // There is nothing to ask.
    assert_eq!(prune(&store, &["--max-size", "1G"]).expect(0).stdout, "");
}

#[test]
fn a_dry_run_says_what_the_run_then_does() {
    let (_folder, store) = store(6);
    let limit = ["--max-size", "5M", "--json"];
    let dry = prune(&store, &[&limit[..], &["--dry-run"]].concat()).expect(0).stdout;
    assert_eq!(left(&store).len(), 6);
    let done = prune(&store, &[&limit[..], &["--yes"]].concat()).expect(0).stdout;
    let lines = |text: &str| -> Vec<Value> {
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let (dry, done) = (lines(&dry), lines(&done));
    let ids =
        |lines: &[Value]| -> Vec<Value> { lines.iter().map(|line| line["id"].clone()).collect() };
    assert_eq!(ids(&done), [id(2), id(3)]);
    assert_eq!(ids(&dry), ids(&done));
    assert_eq!(
        (&dry[0]["removed"], &done[0]["removed"]),
        (&Value::from(false), &Value::from(true))
    );
    assert_eq!((&done[0]["limit"], &done[0]["guest"]), (&Value::from("size"), &Value::from("web")));
    assert!(done[0]["bytes"].as_u64().is_some_and(|bytes| bytes > 1 << 20));
    assert_eq!(left(&store), [0, 1, 4, 5].map(id));
}

#[test]
fn a_limit_that_cannot_be_met_is_said_with_what_is_left() {
    let (_folder, store) = store(4);
    let ran = prune(&store, &["--max-size", "1K", "--yes"]).expect(3);
    ran.says("warning: the store is to have 1.00 KiB at most, and has 3.00 MiB");
    assert_eq!(left(&store), [0, 1, 3].map(id));
    prune(&store, &["--min-free", "8000000T", "--dry-run"]).expect(3).says("are to be free, and");
}

#[test]
fn old_entries_and_those_of_a_guest_with_many_go() {
    let (_folder, store) = store(6);
    let old = prune(&store, &["--older-than", "2026-01-01T00:03:00Z", "--dry-run"]).expect(0);
    assert_eq!(old.stdout.lines().count(), 1, "{old:?}");
    assert!(old.stdout.contains(&id(2)) && old.stdout.contains("(age)"), "{old:?}");
    let many = prune(&store, &["--per-guest", "4", "--yes"]).expect(0);
    assert!(
        many.stdout.lines().all(|line| line.starts_with("removed ") && line.ends_with("(count)"))
    );
    assert_eq!(left(&store), [0, 1, 4, 5].map(id));
}

#[test]
fn it_asks_on_a_terminal_with_what_goes_as_one_line_each() {
    for (answer, code, count) in [("n\n", 1, 5), ("y\n", 0, 4)] {
        let (_folder, store) = store(5);
        let (mut seen, terminal) = terminal();
        let mut command = command(["prune", "--max-size", "4500K", "--store"]);
        command.arg(&store).stdin(terminal).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        seen.write_all(answer.as_bytes()).unwrap();
        let ran = finish(child).expect(code);
        ran.says(&format!("web  {}  1.00 MiB", id(2))).says("Remove this entry? [y/N]");
        assert_eq!(left(&store).len(), count);
    }
}
