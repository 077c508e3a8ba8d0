//! Encrypted captures that the system or a signal ends half-way.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use vmcorectl::metadata::{CaptureResult, Metadata};

use crate::age_key::{by_stock_tools, guest, key, none_has};
use crate::core_stream::MIB;
use crate::script::{DumpPlan, Script};
use crate::scripted_qemu::TEST_TIMEOUT;
use crate::setting::{Setting, finish, signal};
use crate::tmpfs::Tmpfs;
use crate::tool::{run, start_through};

/// What is written has to be taken back, over chunks that were sealed.
#[test]
fn a_disk_that_becomes_full_keeps_what_fits_and_can_be_read() {
    let Some(disk) = Tmpfs::of_size(4 * MIB) else { return };
    let (setting, key) = (Setting::with_store(guest(), disk.path()), key());
    setting
        .capture(&["--on-failure", "resume", "--encrypt-to", &key.recipient])
        .expect(6)
        .says("No space left on device")
        .says("is kept in");
    let left = setting.listing();
    assert_eq!((left.entries.len(), left.incomplete.len()), (0, 1), "{left:?}");
    let entry = left.incomplete[0].to_str().unwrap();
    let ran = run(["verify", entry, "--identity", key.path(), "--json"]).expect(3);
    let found: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(found["bytes"].as_u64().unwrap() > MIB as u64, "{found}");
    let core = left.incomplete[0].join("vmcore.elf.zst.age");
    assert!(by_stock_tools(&core, &key.file).is_none_or(|elf| elf.starts_with(b"\x7fELF")));
}

/// A file that may not grow refuses a part of a write, after the guest was let go.
#[test]
fn a_write_that_failed_half_way_leaves_a_core_that_can_be_read() {
    let (setting, key) = (Setting::new(guest()), key());
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", 4 * MIB / 512);
    let arguments = ["--level", "19", "--threads", "1", "--resume", "--encrypt-to", &key.recipient];
    let ran = finish(start_through(&["sh", "-c", &script, "sh"], setting.arguments(&arguments)));
    ran.expect(3).says("is kept in");
    let left = setting.listing().incomplete[0].clone();
    let ran = run(["verify", left.to_str().unwrap(), "--identity", key.path()]);
    assert!(matches!(ran.code, Some(0 | 3)), "{ran:?}");
    let json = run(["info", left.to_str().unwrap(), "--json", "--identity", key.path()]).expect(0);
    let metadata: Metadata = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(metadata.result, CaptureResult::Incomplete);
    assert!(metadata.failure.unwrap().message.contains("File too large"));
}

#[test]
fn what_was_killed_leaves_nothing_in_the_clear_and_can_be_read_as_far_as_it_goes() {
    let script = Script { dump: DumpPlan::Stalls(20 * MIB), ..guest() };
    let (setting, key) = (Setting::new(script), key());
    let capture = setting.start(&["--note", "a-note", "--encrypt-to", &key.recipient]);
    setting.qemu.await_stall();
    let started = Instant::now();
    let entry = loop {
        assert!(started.elapsed() < TEST_TIMEOUT, "the core does not grow");
        let left = setting.listing().incomplete.pop();
        let core = left.as_ref().map(|entry| entry.join("vmcore.elf.zst.age").metadata());
        if core.is_some_and(|core| core.is_ok_and(|core| core.len() > 2 * MIB as u64)) {
            break left.unwrap();
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    signal(&capture, Signal::KILL);
    assert_eq!(finish(capture).code, None);
    let left = setting.listing();
    assert_eq!((left.entries.len(), left.incomplete.len()), (0, 1), "{left:?}");
    // Long enough that no ciphertext has them by chance.
    none_has(&setting.store, &[b"a-note", b"\x7fELF\x02\x01\x01", b"VMCOREINFO"]);
    let entry = entry.to_str().unwrap();
    run(["regs", entry]).expect(1).says("no identity was given");
    let ran = run(["verify", entry, "--identity", key.path(), "--json"]).expect(3);
    let found: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(found["bytes"].as_u64().unwrap() >= MIB as u64, "{found}");
    assert!(ran.stdout.contains("the encrypted file is not whole: it was cut off"), "{ran:?}");
    assert!(ran.stdout.contains("has no seek table"), "{ran:?}");
    // The registers are in front of the memory.
    let ran = run(["regs", entry, "--identity", key.path()]).expect(0);
    assert!(ran.stdout.to_lowercase().contains("rip"), "{ran:?}");
}
