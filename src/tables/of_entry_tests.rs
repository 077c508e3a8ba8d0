use serde_json::{Value, json};

use super::*;

const ENTRY: &str = "web/20260101T000000Z-aaaa0001";

fn texts<'a>(metadata: &'a [u8], report: Option<&'a [u8]>) -> EntryTexts<'a> {
    EntryTexts { entry: ENTRY, metadata, report, core_bytes: Some(7), pack_bytes: None }
}

/// A row, checked against the published schema.
#[track_caller]
fn row(metadata: &Value, report: Option<&Value>) -> Row {
    let report = report.map(Value::to_string);
    let metadata = metadata.to_string();
    let row = texts(metadata.as_bytes(), report.as_deref().map(str::as_bytes)).row().unwrap();
    let schema: Value =
        serde_json::from_str(include_str!("../../samples/crash.schema.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let value: Value = serde_json::from_slice(&row.to_json()).unwrap();
    let errors: Vec<_> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    assert_eq!(Row::parse(&row.to_json()), Some(row.clone()));
    row
}

fn metadata() -> Value {
    json!({
        "schema": "vmcorectl/metadata/1", "tool": {"name": "vmcorectl", "version": "0.3.0"},
        "host": {"name": "host-1"}, "guest": {"name": "web", "architecture": "x86_64"},
        "title": "early", "signature": "v1-early", "result": "complete",
        "started": "2026-01-01T00:00:00.5Z", "held_seconds": 1.5,
        "panic": {"noticed": "2026-01-01T00:00:00Z", "happened": null},
        "core": {"kernel_release": "6.1", "chunks_sha256": "ab"},
    })
}

#[test]
fn a_row_has_what_metadata_and_report_have() {
    let report = json!({
        "schema": "vmcorectl/report/1", "tool": "vmcorectl 0.3.0", "title": "panic: x",
        "signature": "v1-0", "weak": false, "kernel": {"release": "6.1", "build_id": "cd",
        "taint": {"mask": 5, "flags": [{"letter": "P"}, {"letter": "O"}]}},
        "panicked": {"vcpu": 0},
        "cpus": [{"vcpu": 0, "state": "panicked", "task": {"pid": 1, "comm": "init"},
            "stack": {"frames": [{"address": "0x1", "function": "panic+0x1a4/0x370", "trust": "orc"},
            {"address": "0x2", "function": null, "trust": "scan?"}]}}],
        "tasks": {"processes": 2, "threads": 3, "kernel_threads": 1,
            "states": [{"state": "blocked", "count": 1}]},
        "modules": [{"name": "crasher", "size": 4096}], "mounts": [{"device": "proc", "type": "proc"}],
        "log": {"records": 1, "last": [{"text": "secret"}]},
    });
    let row = row(&metadata(), Some(&report));
    assert_eq!((row.id.as_str(), row.entry.as_str()), ("20260101T000000Z-aaaa0001", ENTRY));
    assert_eq!((row.title.as_deref(), row.signature.as_deref()), (Some("panic: x"), Some("v1-0")));
    assert_eq!((row.taints.as_deref(), row.core_bytes), (Some("PO"), Some(7)));
    let frames = &row.cpus[0].frames;
    assert_eq!(frames[0].function.as_deref(), Some("panic"));
    assert_eq!(frames[0].offset.as_deref(), Some("0x1a4/0x370"));
    assert_eq!((&frames[1].function, frames.len()), (&None, 2));
    assert_eq!((row.modules.len(), row.mounts.len()), (1, 1));
    assert_eq!(row.tasks.as_ref().and_then(|tasks| tasks.blocked), Some(1));
    assert!(!String::from_utf8(row.to_json()).unwrap().contains("secret"));
}

#[test]
fn without_a_report_a_row_has_what_was_reported_before_the_dump() {
    let row = row(&metadata(), None);
    assert_eq!((row.title.as_deref(), row.weak), (Some("early"), None));
    assert_eq!((row.tasks, row.cpus.len()), (None, 0));
}

#[test]
fn metadata_of_an_encrypted_core_makes_a_row_of_what_it_has() {
    let to = json!([{"kind": "X25519", "fingerprint": "SHA256:x"}]);
    let metadata = json!({"encrypted": {"to": to, "core_file_bytes": 7}, "signature": "v1-0"});
    let row = row(&metadata, None);
    assert_eq!((row.guest, row.encrypted_to), (None, vec!["SHA256:x".to_owned()]));
    // The time in the id.
    assert_eq!(row.time.to_string(), "2026-01-01T00:00:00Z");
}

/// A guest has 4,096 vCPUs, and all of its texts are as long as a report lets them be.
#[test]
fn a_row_is_bounded_whatever_the_guest_made() {
    let long = "\u{1b}é".repeat(4096);
    let frames: Vec<_> =
        (0..80).map(|_| json!({"function": "f+0x1/0x2", "module": "crasher"})).collect();
    let cpus: Vec<_> = (0..300)
        .map(|vcpu| json!({"vcpu": vcpu, "task": {"comm": "é".repeat(99)}, "stack": {"frames": frames}}))
        .collect();
    let mut cpus: Vec<Value> = cpus;
    cpus[0]["stack"]["frames"][0] = json!({"function": format!("{long}+0x1/0x2"), "module": long});
    let report = json!({"title": long, "cpus": cpus, "panicked": {"vcpu": 299},
        "modules": vec![json!({"name": "é".repeat(99)}); 3000]});
    let row = row(&metadata(), Some(&report));
    let frames: Vec<_> = row.cpus.iter().map(|cpu| cpu.frames.len()).collect();
    assert_eq!((frames[0], frames[100], frames[299]), (MAX_FRAMES, 0, MAX_FRAMES));
    assert_eq!(frames.iter().sum::<usize>(), MAX_ALL_FRAMES);
    assert_eq!(row.modules.len(), MAX_MODULES);
    assert!(row.to_json().len() < 1 << 20);
}

#[test]
fn what_is_no_entry_has_no_row() {
    for (entry, metadata) in [
        (ENTRY, "no JSON"),
        ("web/../20260101T000000Z-aaaa0001/..", "{}"),
        ("web", "{}"),
        ("web/no-time", "{}"),
    ] {
        let texts = EntryTexts { entry, ..texts(metadata.as_bytes(), None) };
        assert_eq!(texts.row(), None, "{entry}");
    }
}
