//! The log, as the guest itself showed it on its console.

use std::fs;

use serde_json::Value;

use crate::CORE;
use crate::tool::run;
use crate::transcript::project;

/// `ignore_loglevel` sent every record to the console, each line with the record's time.
#[test]
fn the_log_is_what_the_console_showed() {
    let core = project().join(CORE);
    let console = fs::read_to_string(core.with_extension("serial")).expect("the console");
    let shown: Vec<_> =
        console.lines().map(str::trim_end).filter(|line| line.starts_with('[')).collect();
    let answer = run(["dmesg", core.to_str().expect("UTF-8"), "--json"]).expect(0).stdout;
    let mut log = Vec::new();
    for line in answer.lines() {
        let record: Value = serde_json::from_str(line).expect("JSON");
        let micros = record["time_ns"].as_u64().expect("a time") / 1000;
        let time = format!("[{:>5}.{:06}]", micros / 1_000_000, micros % 1_000_000);
        for line in record["text"].as_str().expect("a text").split('\n') {
            log.push(format!("{time} {line}").trim_end().to_owned());
        }
    }
    assert!(shown.len() > 300, "{} lines on the console", shown.len());
    for (line, (ours, theirs)) in log.iter().zip(&shown).enumerate() {
        assert_eq!(ours, theirs, "line {}", line + 1);
    }
    assert_eq!(log.len(), shown.len());
}
