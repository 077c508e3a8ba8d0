//! Reports of many stored cores, made anew by shards.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::tool::{Ran, run};

const CORE: &[u8] = include_bytes!("../../samples/core/linux-6.1.zst");
const METADATA: &str = include_str!("../../samples/core/linux-6.1.zst.json");

fn entry(store: &Path, number: u32, core: Option<&[u8]>) -> PathBuf {
    let id = format!("20260101T000000Z-{number:08x}");
    let entry = store.join(format!("guest-{number}")).join(&id);
    fs::create_dir_all(&entry).unwrap();
    fs::write(entry.join("metadata.json"), METADATA.replace("20261124T133825Z-d1df7171", &id))
        .unwrap();
    if let Some(core) = core {
        fs::write(entry.join("vmcore.elf.zst"), core).unwrap();
    }
    entry
}

fn triage(from: &Path, out: &Path, more: &[&str]) -> Ran {
    let (from, out) = (from.to_str().unwrap(), out.to_str().unwrap());
    run(["triage", "--from", from, "--out", out].iter().chain(more).copied())
}

/// The lines that are there, by their names.
fn lines(out: &Path) -> BTreeMap<String, Value> {
    let schema: Value =
        serde_json::from_str(include_str!("../../samples/triage.schema.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let version = out.join(env!("CARGO_PKG_VERSION"));
    let Ok(files) = fs::read_dir(version) else { return BTreeMap::new() };
    let read = |file: fs::DirEntry| {
        let text = fs::read_to_string(file.path()).unwrap();
        assert_eq!(text.lines().count(), 1);
        let line: Value = serde_json::from_str(&text).unwrap();
        let errors: Vec<_> = validator.iter_errors(&line).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:#?}");
        (file.file_name().into_string().unwrap(), line)
    };
    files.map(|file| read(file.unwrap())).collect()
}

#[test]
fn each_crash_has_its_line_whatever_becomes_of_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let (store, out) = (folder.path().join("s"), folder.path().join("out"));
    entry(&store, 1, Some(CORE));
    entry(&store, 2, Some(&CORE[..CORE.len() / 64]));
    entry(&store, 3, Some(b"\x1b[2J no core at all"));
    entry(&store, 4, None);
    let ran = triage(&store, &out, &[]).expect(0);
    let found = lines(&out);
    assert_eq!(found.len(), 4, "{ran:?}");
    let of = |id: &str| found.iter().find(|(name, _)| name.contains(id)).unwrap();
    let (name, whole) = of("-00000001-");
    assert!(!name.contains("failed"), "{name}");
    assert_eq!(whole["row"]["title"], "kernel panic: sysrq triggered crash");
    assert_eq!(whole["row"]["cpus"].as_array().unwrap().len(), 2);
    let (name, none) = of("-00000003-");
    assert!(name.ends_with(".failed.json") && none["problem"].is_string(), "{name}");
    assert!(!ran.stdout.contains('\u{1b}') && !ran.stderr.contains('\u{1b}'), "{ran:?}");

    // What is there stays as it is, and is not made again.
    let again = triage(&store, &out, &[]).expect(0);
    assert_eq!(again.stdout, "0 reports, 0 failures, 4 there already, 0 missing\n");
    assert_eq!(lines(&out), found);
    // A core that was mended is another input only if its metadata says so; else it is asked for.
    entry(&store, 3, Some(CORE));
    triage(&store, &out, &["--retry-failed"]).expect(0);
    let mended = lines(&out);
    assert!(mended.keys().any(|name| name.contains("-00000003-") && !name.contains("failed")));
}

#[test]
fn shards_have_each_crash_once_and_the_same_lines_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("s");
    (0..6).for_each(|number| drop(entry(&store, number, Some(CORE))));
    let (one, many) = (folder.path().join("one"), folder.path().join("many"));
    triage(&store, &one, &[]).expect(0);
    let mut reports = 0;
    for shard in ["0/3", "1/3", "2/3"] {
        let ran = triage(&store, &many, &["--shard", shard]).expect(0);
        let count = ran.stdout.split(' ').next().unwrap();
        reports += count.parse::<usize>().unwrap();
    }
    assert_eq!((reports, lines(&many)), (6, lines(&one)));
    let version = env!("CARGO_PKG_VERSION");
    let bytes = |out: &Path, name: &String| fs::read(out.join(version).join(name)).unwrap();
    assert!(lines(&one).keys().all(|name| bytes(&one, name) == bytes(&many, name)));
}

#[test]
fn a_report_that_takes_too_long_costs_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let (store, out) = (folder.path().join("s"), folder.path().join("out"));
    entry(&store, 1, Some(CORE));
    triage(&store, &out, &["--timeout", "1ms"]).expect(0);
    let found = lines(&out);
    let problem = found.values().next().unwrap()["problem"].as_str().unwrap();
    assert!(problem.contains("took longer"), "{problem}");
}

#[test]
fn a_place_that_cannot_be_written_is_a_failure_of_the_shard() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("s");
    entry(&store, 1, Some(CORE));
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let ran = triage(&store, &file.join("out"), &[]).expect(1);
    assert!(!ran.stderr.is_empty());
    for shard in ["1/1", "x", "0/0"] {
        triage(&store, &folder.path().join("out"), &["--shard", shard]).expect(2);
    }
}
