//! Push, pull and commands through a way that is slow, or breaks.

use std::sync::atomic::Ordering;

use serde_json::Value;

use crate::command::{run, run_on};
use crate::proxy::Proxy;
use crate::pull::{files, pull};
use crate::push::{URL, core, push, store};
use crate::seaweedfs::SeaweedFs;

#[test]
fn an_entry_goes_there_and_back_with_any_delay() {
    let Some(server) = SeaweedFs::start("fleet") else { return };
    let proxy = Proxy::start(&server.endpoint);
    let variables = proxy.variables();
    let report = run(&["report", crate::CORE], &[]);
    for delay in [1, 10, 50] {
        proxy.faults.delay.store(delay, Ordering::Relaxed);
        let own = store(None);
        std::fs::remove_file(own.path().join(crate::push::ENTRY).join("triage.zst")).unwrap();
        let to = format!("s3://fleet/{delay}");
        let here = own.path().to_str().unwrap();
        let pushed = run(&["push", "--all", "--to", &to, "--store", here], &variables);
        assert_eq!(pushed.code, Some(0), "{}", pushed.stderr);
        let there = run_on(&to, &["report", "latest"], &variables);
        assert_eq!(
            (there.code, there.stdout == report.stdout),
            (Some(0), true),
            "{}",
            there.stderr
        );
        let back = tempfile::tempdir().unwrap();
        let pulled = pull(back.path(), &["latest", "--from", &to], &variables);
        assert_eq!(pulled.code, Some(0), "{}", pulled.stderr);
        assert!(files(back.path()) == files(own.path()), "{delay} ms");
    }
}

/// The first connections end in the middle of a part, or of an answer.
#[test]
fn connections_that_break_are_made_again() {
    let Some(server) = SeaweedFs::start("fleet") else { return };
    let proxy = Proxy::start(&server.endpoint);
    let own = store(Some(&core(40 << 20)));
    // The core is none: its bytes and its hash alone.
    let metadata = own.path().join(crate::push::ENTRY).join("metadata.json");
    let mut text: Value = serde_json::from_slice(&std::fs::read(&metadata).unwrap()).unwrap();
    text["core"] = Value::Null;
    std::fs::write(&metadata, text.to_string()).unwrap();
    proxy.faults.cuts_after.store(3 << 20, Ordering::Relaxed);
    proxy.faults.cuts.store(3, Ordering::Relaxed);
    let pushed = push(own.path(), &["--all"], &proxy.variables());
    assert_eq!(pushed.code, Some(0), "{}", pushed.stderr);
    assert_eq!(proxy.faults.cuts.load(Ordering::Relaxed), 0, "none was cut");
    // An answer goes on where it broke off.
    proxy.faults.cuts_answers.store(true, Ordering::Relaxed);
    proxy.faults.cuts.store(3, Ordering::Relaxed);
    let back = tempfile::tempdir().unwrap();
    let pulled = pull(back.path(), &["latest", "--from", URL], &proxy.variables());
    assert_eq!(pulled.code, Some(0), "{}", pulled.stderr);
    assert_eq!(proxy.faults.cuts.load(Ordering::Relaxed), 0, "none was cut");
    assert!(files(back.path()) == files(own.path()), "the files differ");
    std::fs::remove_file(metadata).unwrap();
    let listed = run(&["verify", "latest", "--store", URL], &proxy.variables());
    assert!(!listed.stderr.contains("cannot fetch"), "{}", listed.stderr);
}
