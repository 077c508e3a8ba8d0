//! The report: true to its published schema, the same however the core is stored, and always
//! there.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use crate::CORE;
use crate::tool::run;
use crate::transcript::project;

fn core() -> String {
    project().join(CORE).to_str().expect("UTF-8").to_owned()
}

/// A report, checked against the published schema.
#[track_caller]
pub(crate) fn checked(json: &[u8]) -> Value {
    let value: Value = serde_json::from_slice(json).expect("JSON");
    let schema: Value =
        serde_json::from_str(include_str!("../../samples/report.schema.json")).expect("a schema");
    let validator = jsonschema::validator_for(&schema).expect("a valid schema");
    let errors: Vec<String> = validator
        .iter_errors(&value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}\n{value:#}");
    value
}

/// A dump of a Windows guest without memory, as its first page.
fn windows_dump(folder: &TempDir) -> PathBuf {
    let mut bytes = vec![0; 0x2000];
    bytes[..8].copy_from_slice(b"PAGEDU64");
    bytes[0x30..0x34].copy_from_slice(&0x8664_u32.to_le_bytes());
    bytes[0x34] = 4;
    bytes[0x38] = 0xd1;
    bytes[0x40..0x48].copy_from_slice(&0xffff_f800_0000_1000_u64.to_le_bytes());
    bytes[0x48] = 2;
    (bytes[0x88], bytes[0x90], bytes[0x98], bytes[0xa0], bytes[0xf98]) = (1, 2, 1, 2, 1);
    bytes.extend([7; 0x2000]);
    let path = folder.path().join("win.dmp");
    fs::write(&path, bytes).expect("a file");
    path
}

#[test]
fn the_sample_is_named_by_what_it_did() {
    let ran = run(["report", &core(), "--json"]).expect(0);
    let report = checked(ran.stdout.as_bytes());
    assert_eq!(report["title"], "kernel panic: sysrq triggered crash");
    assert_eq!((&report["trust"], &report["told_by"]), (&"certain".into(), &"log".into()));
    assert_eq!(report["panicked"]["task"]["comm"], "init");
    assert_eq!(report["findings"], Value::Array(Vec::new()));
    let functions: Vec<_> = report["cpus"][1]["stack"]["frames"]
        .as_array()
        .expect("frames")
        .iter()
        .filter_map(|frame| frame["function"].as_str()?.split('+').next())
        .collect();
    // What its own console showed, without what it was not sure of.
    let shown = ["panic", "sysrq_handle_crash", "__handle_sysrq.cold", "write_sysrq_trigger"];
    assert!(functions.windows(4).any(|part| part == shown), "{functions:?}");
}

#[test]
fn a_sites_families_name_a_crash_whichever_command_names_it() {
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("a file");
        path.to_str().expect("UTF-8").to_owned()
    };
    let site = file("site", "version acme2\n[die] ours\nsysrq_handle_crash\nacme_glue\n");
    let signature = |arguments: &[&str]| {
        let ran = run(arguments).expect(0).stdout;
        let value: Value = serde_json::from_str(&ran).expect("JSON");
        value["signature"].as_str().expect("a signature").to_owned()
    };
    let (core, place) = (core(), folder.path().join("store"));
    let place = place.to_str().expect("UTF-8");
    let explained = signature(&["explain", &core, "--json", "--families", &site]);
    assert!(explained.starts_with("v1.acme2-"), "{explained}");
    assert!(signature(&["explain", &core, "--json"]).starts_with("v1-"));
    assert_eq!(signature(&["report", &core, "--json", "--families", &site]), explained);
    let entry = run(["import", &core, "--store", place, "--families", &site]).expect(0).entry();
    let stored = checked(&fs::read(entry.join("report.json")).expect("a report"));
    assert_eq!(stored["signature"], explained.as_str());
    assert!(run(["group", "--store", place, "--json"]).expect(0).stdout.contains(&explained));

    let log = file(
        "log",
        "kernel BUG at a.c:1!\nRIP: 0010:acme_glue+0x1/0x2\nCall Trace:\n foo+0x1/0x2\n",
    );
    let title = |more: &[&str]| run([&["explain", "--log", &log], more].concat()).expect(0).stdout;
    assert!(title(&[]).starts_with("kernel BUG in acme_glue\n"));
    assert!(title(&["--families", &site]).starts_with("kernel BUG in foo\n"));
    let bad = file("bad", "[die] ours\n*\n");
    run(["report", &core, "--families", &bad]).expect(2);
}

#[test]
fn explain_tells_people_what_it_does_not_know() {
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let explained = |text: &str, code: i32| {
        let path = folder.path().join("log");
        fs::write(&path, text).expect("a file");
        run(["explain", "--log", path.to_str().expect("UTF-8")]).expect(code).stdout
    };
    let text = explained(
        "\n\nWARNING: CPU: 1 PID: 42 at net/acme.c:12\n#! acme_a+0x1/0x2 #\n#! acme_b+0x1/0x2 #\n",
        0,
    );
    for part in [
        "WARNING (function unknown)\n",
        "signature   none: ",
        "2 lines look like stack frames behind an unknown prefix\n",
        "header      line 3 ",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let text = explained("(XEN) Domain 3\n(XEN) Panic on CPU 3:\n", 1);
    assert!(text.contains("but Xen: line 2: (XEN) Panic on CPU 3:\n"), "{text}");
}

#[test]
fn an_import_writes_the_same_report_beside_the_core() {
    let store = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let place = store.path().to_str().expect("UTF-8");
    let ran = run(["import", &core(), "--store", place]).expect(0);
    let ran = ran.says("title: kernel panic: sysrq triggered crash");
    let entry = ran.entry();
    let stored = checked(&fs::read(entry.join("report.json")).expect("a report"));
    let fresh = run(["report", entry.to_str().expect("UTF-8"), "--json"]).expect(0);
    assert_eq!(stored, checked(fresh.stdout.as_bytes()));
    let listed = run(["list", "--store", place, "--json"]).expect(0).stdout;
    assert!(listed.contains("sysrq triggered crash") && listed.contains("\"v1-"), "{listed}");
    let group = run(["group", "--store", place, "--json"]).expect(0).stdout;
    let group: Value = serde_json::from_str(&group).expect("one group");
    assert_eq!((&group["count"], &group["signature"]), (&1.into(), &stored["signature"]));
    let none = run(["group", "--store", place, "--new-since", "2100-01-01"]).expect(0).stdout;
    assert_eq!(none, "");
}

#[test]
fn a_report_is_written_to_a_file_that_is_not_there_yet() {
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let page = folder.path().join("report.html");
    let page = page.to_str().expect("UTF-8");
    run(["report", &core(), "--format", "html", "-o", page]).expect(0);
    let html = fs::read_to_string(page).expect("a page");
    assert!(html.starts_with("<!DOCTYPE html>") && html.contains("sysrq_handle_crash"));
    assert!(html.contains("Linux version 6.1.0"), "the whole log");
    run(["report", &core(), "--format", "html", "-o", page]).expect(1).says("exists");
}

#[test]
fn a_windows_dump_tells_its_bugcheck_and_where_the_analysis_ends() {
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let dump = windows_dump(&folder);
    let dump = dump.to_str().expect("UTF-8");
    let title = "bugcheck 0xD1 DRIVER_IRQL_NOT_LESS_OR_EQUAL (P3=0x0)";
    let report = checked(run(["report", dump, "--json"]).expect(0).stdout.as_bytes());
    assert_eq!(report["title"], title);
    assert_eq!(report["bugcheck"]["parameters"][1]["meaning"], "IRQL at the time");
    assert!(report["findings"][0]["text"].as_str().expect("a text").contains("this is Windows"));
    run(["info", dump]).expect(0);
    // An import keeps the memory, and the header.
    let store = folder.path().join("store");
    let store = store.to_str().expect("UTF-8");
    let entry = run(["import", dump, "--store", store]).expect(0).says(title).entry();
    let entry = entry.to_str().expect("UTF-8");
    let again = checked(run(["report", entry, "--json"]).expect(0).stdout.as_bytes());
    assert_eq!((&again["title"], &again["bugcheck"]), (&title.into(), &report["bugcheck"]));
    let memory = run(["read", entry, "2ff8", "8", "--json"]).expect(0).stdout;
    assert!(memory.contains("0707070707070707"), "{memory}");
}
