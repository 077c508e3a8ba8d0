//! `verify`: the metadata in a core, and the file beside it.

use std::fs;
use std::path::Path;

use serde_json::Value;
use vmcore_formats::seekable::{FrameEntry, METADATA_MAGIC, SeekTable, skippable_frame};
use vmcorectl::vmcore::Vmcore;

use crate::scripted_qemu::Script;
use crate::setting::Setting;
use crate::tool::run;
use crate::verifying::{core_of, entry, flip, verify};

/// Stores other metadata in a core, behind the same chunks.
fn store_in_core(core: &Path, json: &str) {
    let opened = Vmcore::open(core).unwrap();
    let mut table: SeekTable = opened.chunked().unwrap().table().frames().iter().collect();
    let metadata = table.pop().unwrap();
    let mut bytes = fs::read(core).unwrap();
    bytes.truncate(usize::try_from(table.compressed_length()).unwrap());
    let frame = skippable_frame(METADATA_MAGIC, json.as_bytes()).unwrap();
    table.push(FrameEntry { compressed: u32::try_from(frame.len()).unwrap(), ..metadata });
    bytes.extend(frame);
    bytes.extend(table.encode().unwrap());
    fs::write(core, bytes).unwrap();
}

/// Changes the metadata of an entry, in the core and beside it.
fn rewrite(entry: &Path, change: impl Fn(&str) -> String) -> String {
    let beside = entry.join("metadata.json");
    let json = fs::read_to_string(&beside).unwrap();
    let changed = change(&json);
    assert_ne!(changed, json);
    fs::write(&beside, &changed).unwrap();
    store_in_core(&core_of(entry), &changed);
    // It is that of the core as it was.
    fs::remove_file(entry.join("triage.zst")).unwrap();
    changed
}

fn with_phase(json: &str, seconds: &str) -> String {
    json.replace(
        "\"phases\": [",
        &format!("\"phases\": [{{\"name\":\"x\",\"seconds\":{seconds}}},"),
    )
}

fn problems(entry: &Path) -> String {
    verify(entry, 1)["damage"].to_string()
}

#[test]
fn seconds_of_any_number_of_digits_are_what_was_stored() {
    for seconds in ["2.9522094340000002", "0.30000000000000004", "1e-7", "3", "2.50"] {
        let (_setting, entry) = entry();
        rewrite(&entry, |json| with_phase(json, seconds));
        verify(&entry, 0);
    }
}

#[test]
fn fields_of_a_later_version_are_compared_and_not_damage() {
    let (_setting, entry) = entry();
    let json = rewrite(&entry, |json| json.replacen('{', "{ \"colour\": \"red\",", 1));
    verify(&entry, 0);
    fs::write(entry.join("metadata.json"), json.replace("red", "green")).unwrap();
    assert!(problems(&entry).contains("metadata.json"));
}

#[test]
fn layout_and_order_of_the_file_beside_do_not_matter() {
    let (_setting, entry) = entry();
    let path = entry.join("metadata.json");
    let json: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    // Sorted by key, on one line.
    fs::write(&path, json.to_string()).unwrap();
    verify(&entry, 0);
}

#[test]
fn a_schema_of_a_later_version_is_not_checked_and_not_damage() {
    let (_setting, entry) = entry();
    rewrite(&entry, |json| json.replace("vmcorectl/metadata/1", "vmcorectl/metadata/2"));
    let found = verify(&entry, 3);
    assert!(found["damage"].as_array().unwrap().is_empty(), "{found}");
    assert!(found["missing"].to_string().contains("vmcorectl/metadata/2"), "{found}");
}

#[test]
fn an_import_keeps_the_numbers_of_the_metadata_that_it_takes_over() {
    let (_setting, entry) = entry();
    rewrite(&entry, |json| with_phase(json, "2.9522094340000002"));
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.zst");
    run(["import", core_of(&entry).to_str().unwrap(), "--output", copy.to_str().unwrap()])
        .expect(0);
    verify(&copy, 0);
    let json = fs::read_to_string(folder.path().join("copy.zst.json")).unwrap();
    assert!(json.contains("2.9522094340000002"), "{json}");
}

#[test]
fn metadata_that_is_not_of_this_core_is_found() {
    let (_setting, entry) = entry();
    let path = entry.join("metadata.json");
    let text = fs::read_to_string(&path).unwrap().replace("\"complete\"", "\"incomplete\"");
    fs::write(&path, text).unwrap();
    let found = verify(&entry, 1);
    let problems = found["damage"].to_string();
    assert!(problems.contains("metadata.json differs from the metadata in the core"), "{problems}");
}

#[test]
fn metadata_that_is_damaged_in_the_core_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("core.zst");
    let setting = Setting::new(Script::default());
    setting.capture(&["--output", file.to_str().unwrap()]).expect(0);
    for path in [file, core_of(&setting.capture(&[]).expect(0).entry())] {
        let core = Vmcore::open(&path).unwrap();
        let last = core.chunked().unwrap().table().chunks().last().unwrap();
        assert_eq!(last.entry.decompressed, 0);
        // The frame's magic, its length, and somewhere in the text a letter.
        for (at, says) in [(0, "has lost its own copy"), (5, "has lost its own copy"), (30, "")] {
            flip(&path, last.file_offset + at);
            let found = verify(&path, 1);
            assert!(found["damage"].to_string().contains(says), "{found}");
            flip(&path, last.file_offset + at);
        }
        verify(&path, 0);
    }
}
