//! A watcher that pushes what it has captured: after the release, whatever becomes of the server,
//! the watcher and the process that pushes.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::core_stream::CoreStream;
use crate::scripted_qemu::{Script, ScriptedQemu, TEST_TIMEOUT};
use crate::seaweedfs::SeaweedFs;
use crate::tool;
use crate::watcher::{Host, Watcher};

const RESUME: &str = "\n[[policy]]\nguests = [\"*\"]\nthen = \"resume\"\n";
const SLOW: &str = "upload = \"s3://fleet/cores\"\nupload-limit-rate = \"8M\"";
const FAST: &str = "upload = \"s3://fleet/cores\"";

/// A guest whose memory does not compress: its core has several parts.
fn guest() -> ScriptedQemu {
    let mut stream = CoreStream::of_guest(48);
    let mut word = 0x9e37_79b9_7f4a_7c15_u64;
    for (_, range) in stream.blocks.clone() {
        for bytes in stream.bytes[range].chunks_exact_mut(8) {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            bytes.copy_from_slice(&word.to_le_bytes());
        }
    }
    ScriptedQemu::start(Script { stream: stream.into(), ..Script::default() })
}

fn watch(host: &Host, server: &SeaweedFs, more: &str) -> Watcher {
    let variables = server.variables().map(|(name, value)| format!("{name}={value}"));
    let through = ["env", &variables[0], &variables[1], &variables[2]];
    Watcher::start(&host.configure(&format!("{more}\n{RESUME}")), &through)
}

/// What `push --status` says of the one entry.
fn status(store: &Path) -> Option<Value> {
    let words = ["push", "--status", "--json", "--store", store.to_str().unwrap()];
    serde_json::from_str(tool::run(words).expect(0).stdout.lines().next()?).ok()
}

#[track_caller]
fn await_status(store: &Path, wanted: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let found = status(store);
        if let Some(found) = found.clone().filter(&wanted) {
            return found;
        }
        assert!(began.elapsed() < TEST_TIMEOUT, "{found:?}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// The pause after a failure is over.
fn end_the_pause(store: &Path) {
    for file in fs::read_dir(store.join(".push")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "json") {
            let mut item: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            item["next"] = Value::Null;
            fs::write(&path, item.to_string()).unwrap();
        }
    }
}

/// The processes that a process has started.
fn children(id: u32) -> Vec<i32> {
    let tasks = fs::read_dir(format!("/proc/{id}/task")).unwrap();
    let lists =
        tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn what_was_captured_is_pushed_whoever_is_killed_meanwhile() {
    let Some(mut server) = SeaweedFs::start("fleet") else { return };
    let qemu = guest();
    let host = Host::new([&qemu]);
    let store = host.store();

    // The server is gone: the guest goes on as without it, and the entry waits.
    server.kill();
    let mut watcher = watch(&host, &server, SLOW);
    assert_eq!(watcher.expect("captured")["result"], "complete");
    assert_eq!(qemu.run_state(), "running");
    let failed = watcher.expect("push");
    assert!(failed["message"].as_str().unwrap().contains("not pushed to s3://fleet/cores"));
    let waits = await_status(&store, |item| item["state"] == "failed");
    assert_eq!((&waits["listed"], &waits["sent_bytes"]), (&Value::Bool(false), &Value::Null));
    assert!(waits["next"].is_string() && waits["last_error"].is_string(), "{waits}");
    watcher.stop();

    // It is back; and what pushes is killed in the middle of the core.
    server.restart();
    end_the_pause(&store);
    let watcher = watch(&host, &server, SLOW);
    let sends = await_status(&store, |item| item["sent_bytes"].as_u64() >= Some(8 << 20));
    assert_eq!((&sends["listed"], &sends["pushed"]), (&Value::Bool(true), &Value::Null));
    let pushing = children(watcher.id());
    watcher.signal(Signal::KILL);
    for id in pushing {
        let _ = kill_process(Pid::from_raw(id).unwrap(), Signal::KILL);
    }
    let (code, _) = watcher.end();
    assert_eq!(code, None);
    let left = status(&store).unwrap();
    assert!(left["sent_bytes"].as_u64() >= sends["sent_bytes"].as_u64(), "{left}");
    assert_eq!(left["pushed"], Value::Null, "{left}");

    // The next watcher goes on where that was.
    let mut watcher = watch(&host, &server, FAST);
    let pushed = watcher.expect("pushed");
    assert_eq!(
        (pushed["level"].as_str(), pushed["guest"].as_str()),
        (Some("notice"), Some("web-3"))
    );
    let done = await_status(&store, |item| item["state"] == "pushed");
    assert!(done["core_bytes"].as_u64() > Some(40 << 20), "{done}");
    watcher.stop();
    assert_eq!(server.uploads("fleet"), 0);
    let keys = server.list("fleet", "cores/web-3/");
    let cores = keys.iter().filter(|key| key.contains("/core-")).count();
    assert_eq!(cores, 1, "{keys:?}");
    let entry = host.listing().entries.remove(0);
    let key = keys.iter().find(|key| key.contains("/core-")).unwrap();
    server.get(&format!("fleet/{key}"), &host.path("back"));
    let own = fs::read(entry.join("vmcore.elf.zst")).unwrap();
    assert!(fs::read(host.path("back")).unwrap() == own, "the core differs");
}
