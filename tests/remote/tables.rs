//! The table of a store in a bucket, what is noted there, and reports made anew, on a real server.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::command::{Answer, run};
use crate::seaweedfs::SeaweedFs;

const METADATA: &str = include_str!("../../samples/core/linux-6.1.zst.json");
const STORE: &str = "s3://fleet/prefix";

fn entry(store: &Path, number: u32) {
    let id = format!("202601{:02}T000000Z-{number:08x}", 1 + number % 2);
    let entry = store.join(format!("guest-{}", number % 3)).join(&id);
    fs::create_dir_all(&entry).unwrap();
    let mut metadata: Value = serde_json::from_str(METADATA).unwrap();
    metadata["id"] = id.into();
    metadata["guest"]["name"] = format!("guest-{}", number % 3).into();
    metadata["started"] = format!("2026-01-{:02}T00:00:{number:02}Z", 1 + number % 2).into();
    fs::write(entry.join("metadata.json"), metadata.to_string()).unwrap();
    let report = serde_json::json!({
        "schema": "vmcorectl/report/1", "title": format!("BUG: {}", number % 2),
        "alt_titles": [], "signature": format!("v1-{}", number % 2), "weak": false,
    });
    fs::write(entry.join("report.json"), report.to_string()).unwrap();
    if number == 1 {
        fs::copy(crate::CORE, entry.join("vmcore.elf.zst")).unwrap();
    }
}

#[track_caller]
fn text(answer: Answer) -> String {
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    String::from_utf8(answer.stdout).unwrap()
}

/// The lines of JSON of a command, without what is of the place.
#[track_caller]
fn lines(command: &[&str], store: &str, variables: &[(&str, &str)]) -> Vec<Value> {
    let command: Vec<_> = command.iter().chain(&["--json", "--store", store]).copied().collect();
    let lines = text(run(&command, variables));
    let without_place = |line: &str| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        for key in ["path", "state"] {
            line.as_object_mut().unwrap().remove(key);
        }
        line
    };
    lines.lines().map(without_place).collect()
}

#[test]
fn a_bucket_has_the_table_of_its_crashes_and_what_was_noted_of_them() {
    let Some(server) = SeaweedFs::start("fleet") else { return };
    let variables = server.variables();
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("s");
    (0..7).for_each(|number| entry(&store, number));
    let local = store.to_str().unwrap();
    let push = ["push", "--all", "--to", STORE, "--store", local];
    text(run(&push, &variables));

    let (listed, grouped) = (lines(&["list"], local, &[]), lines(&["group"], local, &[]));
    let check = || {
        assert_eq!(lines(&["list"], STORE, &variables), listed);
        assert_eq!(lines(&["group"], STORE, &variables), grouped);
    };
    check();
    text(run(&["index", "--store", STORE], &variables));
    check();
    let compacted = text(run(&["index", "--compact", "--store", STORE], &variables));
    assert_eq!(compacted, "0 rows made\n2 parts with 7 rows written\n");
    check();
    let again = text(run(&["index", "--compact", "--store", STORE], &variables));
    assert_eq!(again, "0 rows made\n0 parts with 0 rows written\n");
    let new = lines(&["group", "--new-since", "2026-01-02"], STORE, &variables);
    assert_eq!(new.len(), 1);

    let annotate = |value| ["annotate", "00000001", value, "--store", STORE];
    text(run(&annotate("ticket=ABC-1"), &variables));
    let noted = text(run(&annotate("owner=me"), &variables));
    assert!(noted.ends_with("\n  owner=me\n  ticket=ABC-1\n"), "{noted}");
    let listed = lines(&["list"], STORE, &variables);
    let with: Vec<_> = listed.iter().filter(|line| line["annotations"].is_object()).collect();
    assert_eq!((with.len(), &with[0]["annotations"]["ticket"]), (1, &"ABC-1".into()));
    let info = text(run(&["info", "00000001", "--store", STORE], &variables));
    assert!(info.contains("ticket=ABC-1"), "{info}");

    triage(folder.path(), local, &variables);
}

/// Reports of cores in a bucket, into the bucket, are those of the same cores here.
fn triage(folder: &Path, local: &str, variables: &[(&str, &str)]) {
    let out = folder.join("out");
    let out = out.to_str().unwrap();
    for shard in ["0/2", "1/2"] {
        let here = ["triage", "--shard", shard, "--from", local, "--out", out];
        text(run(&here, &[]));
        let there = ["triage", "--shard", shard, "--from", STORE, "--out", "s3://fleet/out"];
        text(run(&there, variables));
        let again = text(run(&there, variables));
        assert!(again.starts_with("0 reports, 0 failures, "), "{again}");
    }
    let refused = ["triage", "--from", STORE, "--out", "s3://fleet/out"];
    let wrong = [variables[0], variables[1], ("AWS_SECRET_ACCESS_KEY", "another-secret")];
    let refused = run(&refused, &wrong);
    assert_eq!(refused.code, Some(1));
    assert!(!refused.stderr.contains("another-secret"), "{}", refused.stderr);
}
