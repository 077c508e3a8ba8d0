//! Reports that are made from a guest while its panic holds it.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::machine::Machine;
use crate::tool::{Ran, listing, metadata_of, run};

const CRASH: &[&str] = &["--crash", "null", "--memory", "256M"];
const TITLE: &str = "BUG: unable to handle kernel NULL pointer dereference in by_null";

#[test]
fn the_report_of_a_held_guest_is_the_one_of_its_core() {
    let machine = Machine::panicked(CRASH);
    let held = report(&machine.monitor());
    assert_eq!(machine.state(), "guest-panicked");
    assert!(!machine.space("store").exists(), "nothing is written");
    assert_eq!(held["title"], TITLE);
    // The sentences about the guest as it stands differ from those about a file.
    let entry = run(["capture", &machine.monitor(), "--store", &machine.store()]).expect(0).entry();
    let stored = report(entry.to_str().unwrap());
    let parts = ["title", "signature", "function", "module", "kernel", "panicked", "cpus"];
    for part in parts.into_iter().chain(["blocked", "modules", "memory", "log", "other_events"]) {
        assert!(!stored[part].is_null(), "{part}");
        assert_eq!(held[part], stored[part], "{part}");
    }
}

#[test]
fn a_report_that_was_made_first_is_with_the_entry() {
    let machine = Machine::panicked(CRASH);
    let (monitor, store) = (machine.monitor(), machine.store());
    let ran = run(["capture", &monitor, "--report-first", "--store", &store]).expect(0);
    let entry = ran.entry();
    let stderr = ran.says(&format!("title: {TITLE}")).stderr;
    assert_eq!(stderr.matches("title: ").count(), 1, "{stderr}");
    let metadata = metadata_of(&entry);
    let before = stored(&entry);
    assert_eq!(before["title"], TITLE);
    assert_eq!(metadata.title.as_deref(), Some(TITLE));
    let signature = metadata.signature.expect("a signature");
    assert_eq!(serde_json::to_value(signature).unwrap(), before["signature"]);
    assert_eq!(report(entry.to_str().unwrap())["signature"], before["signature"]);
}

#[test]
fn a_report_that_was_made_first_outlives_a_dump_that_fails() {
    let machine = Machine::panicked(CRASH);
    let (monitor, store) = (machine.monitor(), machine.store());
    let arguments = ["--report-first", "--on-failure", "resume", "--store", &store, &monitor];
    // No file may get larger than 4 MiB: the core cannot be written.
    let ran: Ran = Command::new("bash")
        .args(["-c", "trap '' XFSZ; ulimit -f 4096; exec \"$@\"", "bash"])
        .args([env!("CARGO_BIN_EXE_vmcorectl"), "capture"])
        .args(arguments)
        .output()
        .expect("bash starts")
        .into();
    ran.expect(6).says("File too large").says(&format!("title: {TITLE}"));
    machine.await_console("Rebooting in 5 seconds", 1);
    let left = listing(Path::new(&store));
    assert_eq!((left.entries.len(), left.incomplete.len()), (0, 1), "{left:?}");
    let metadata = metadata_of(&left.incomplete[0]);
    assert!(metadata.failure.is_some());
    assert_eq!(metadata.title.as_deref(), Some(TITLE));
    let signature = serde_json::to_value(metadata.signature.expect("a signature")).unwrap();
    assert_eq!(signature, stored(&left.incomplete[0])["signature"]);
}

#[test]
fn a_guest_that_is_only_reported_on_has_the_same_report_and_runs_on() {
    let machine = Machine::panicked(CRASH);
    let (monitor, store) = (machine.monitor(), machine.store());
    let capture = ["capture", &monitor, "--store", &store, "--report-only"];
    let entry = run(capture).expect(0).says(&format!("title: {TITLE}")).entry();
    assert_eq!(machine.state(), "guest-panicked");
    let (only, held) = (report(entry.to_str().unwrap()), report(&monitor));
    for part in ["title", "signature", "kernel", "cpus", "blocked", "modules", "memory", "log"] {
        assert!(!only[part].is_null(), "{part}");
        assert_eq!(only[part], held[part], "{part}");
    }
    let row = run(["list", "--store", &store]).expect(0).stdout;
    assert!(row.contains(only["kernel"]["release"].as_str().unwrap()), "{row}");
    run(capture.into_iter().chain(["--resume"])).expect(0);
    machine.await_console("Rebooting in 5 seconds", 1);
}

/// The report on a stored core or a held guest.
fn report(entry: &str) -> Value {
    serde_json::from_str(&run(["report", "--json", entry]).expect(0).stdout).expect("JSON")
}

/// The report that lies beside a core.
fn stored(entry: &Path) -> Value {
    serde_json::from_slice(&fs::read(entry.join("report.json")).expect("a report")).expect("JSON")
}
