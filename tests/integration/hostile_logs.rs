//! Text logs that are long, or have no end: `explain` ends, and takes memory for what it keeps.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::setting::finish;
use crate::tool::{Ran, start_through};

/// A crash, as the end of a log.
const CRASH: &str = "\
[    9.000000] Kernel panic - not syncing: out of toner
[    9.000001] CPU: 0 PID: 1 Comm: init Not tainted 6.1.0 #1
[    9.000002] Call Trace:
[    9.000003]  panic+0x118/0x2f4
[    9.000004]  toner_check+0x16/0x20
[    9.000005]  vfs_write+0xc7/0x3f0
[    9.000006] ---[ end Kernel panic - not syncing: out of toner ]---
";

fn file(pieces: &[(&str, usize)]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut file = File::create(&path).unwrap();
    for (text, times) in pieces {
        file.write_all(text.repeat(*times).as_bytes()).unwrap();
    }
    (folder, path)
}

#[track_caller]
fn explain(arguments: &[&str]) -> Ran {
    // Data of 512 MiB: what a command may write to.
    let limited = ["sh", "-c", "ulimit -d 524288; exec \"$0\" \"$@\""];
    finish(start_through(&limited, [&["explain"], arguments].concat()))
}

#[test]
fn a_crash_at_the_end_of_a_long_log_is_found() {
    for (line, times) in [("\n", 64 << 20), ("a\n", 8 << 20), ("[    1.000000] a line\n", 4 << 20)]
    {
        let (_folder, path) = file(&[(line, times), (CRASH, 1)]);
        let ran = explain(&["--log", path.to_str().unwrap(), "--json"]).expect(0);
        assert!(ran.stdout.contains("out of toner"), "{ran:#?}");
        assert!(ran.stderr.contains("lines are left out"), "{ran:#?}");
    }
}

#[test]
fn a_line_without_end_is_no_crash() {
    for text in ["a", "{\"log\":\"a", "\\n", "\u{1b}[1m"] {
        let (_folder, path) = file(&[(text, (64 << 20) / text.len())]);
        explain(&["--log", path.to_str().unwrap()]).expect(1);
    }
}

#[test]
fn a_json_line_without_end_is_an_error_of_its_line() {
    let crash = serde_json::json!({ "id": 1, "log": CRASH }).to_string() + "\n";
    for long in ["a", "[", "\\u0000", "1,"] {
        let begin = if long == "1," { "{\"id\": [1," } else { "{\"id\": 2, \"log\": \"" };
        let pieces = [(&*crash, 1), (begin, 1), (long, (80 << 20) / long.len())];
        let (_folder, path) = file(&pieces);
        let ran = explain(&["--jsonl", path.to_str().unwrap()]).expect(1);
        assert!(ran.stdout.contains("out of toner"), "{ran:#?}");
        assert!(ran.stderr.contains("line 2: it has more than 64 MiB"), "{ran:#?}");
    }
}

#[test]
fn an_id_is_no_list() {
    let (_folder, path) = file(&[("{\"id\": [", 1), ("1,", 4 << 20), ("1], \"log\": \"\"}\n", 1)]);
    let ran = explain(&["--jsonl", path.to_str().unwrap()]).expect(1);
    assert!(ran.stderr.contains("line 1: "), "{ran:#?}");
    fs::write(&path, "{\"id\": {\"a\": 1}, \"log\": \"\"}\n").unwrap();
    explain(&["--jsonl", path.to_str().unwrap()]).expect(1);
}
