//! A real guest whose core lacks pages: what is left out is not read, and the core is the one
//! that is made of all pages afterwards; and a QEMU that is killed while its memory is read.

use std::env;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use vmcorectl::metadata::{CaptureResult, SourceUsed};

use crate::machine::Machine;
use crate::same_memory::unpack_to;
use crate::tool::{finish, listing, metadata_of, run, start};

#[test]
fn ranges_give_the_core_that_an_export_of_all_pages_gives() {
    let machine = Machine::panicked(&[]);
    let store = machine.store();
    let capture = |source: &str, pages: &str| {
        let monitor = machine.monitor();
        let of = ["capture", &monitor, "--store", &store, "--source", source, "--pages", pages];
        run(of).expect(0).entry()
    };
    let core = |entry: &Path| entry.join("vmcore.elf.zst");
    let whole = capture("stream", "all");
    for (pages, used) in [
        ("kernel", SourceUsed::Ranges),
        ("nonfree", SourceUsed::Ranges),
        // Of hardly anything, the whole dump takes less time.
        ("cache", SourceUsed::Stream),
    ] {
        let ranges = capture("stream", pages);
        let source = metadata_of(&ranges).source.unwrap();
        assert_eq!(source.used, used, "{pages}: {source:?}");
        let direct = capture("auto", pages);
        let hash = |entry: &Path| metadata_of(entry).core.unwrap().chunks_sha256;
        assert_eq!(hash(&ranges), hash(&direct), "{pages}");
        let read = unpack_to(machine.space("ranges.elf"), &core(&ranges));
        let exported = machine.space("exported.elf");
        let whole = core(&whole);
        let arguments =
            ["export", whole.to_str().unwrap(), "--pages", pages, "-o", exported.to_str().unwrap()];
        run(arguments).expect(0);
        assert!(fs::read(&read).unwrap() == fs::read(&exported).unwrap(), "{pages}: other bytes");
        for file in [read, exported] {
            fs::remove_file(file).unwrap();
        }
    }
}

/// In the full run alone: a guest for each of these ends.
#[test]
fn a_qemu_that_is_killed_while_its_memory_is_read_gives_no_wrong_core() {
    if env::var_os("VMCORECTL_TEST_FULL").is_none() {
        return;
    }
    for (source, pages) in [("direct", "all"), ("direct", "kernel"), ("stream", "kernel")] {
        for delay in [50, 120, 300] {
            kill_after(delay, source, pages);
        }
    }
}

/// Kills QEMU this many milliseconds after a capture was started, while that is stopped.
fn kill_after(delay: u64, source: &str, pages: &str) {
    let mut machine = Machine::panicked(&[]);
    let store = machine.store();
    let monitor = machine.monitor();
    let of = ["capture", &monitor, "--source", source, "--pages", pages];
    let before = run(of.into_iter().chain(["--output", machine.space("before").to_str().unwrap()]));
    before.expect(0);
    let capture = start(of.into_iter().chain(["--store", &store, "--resume"]));
    sleep(Duration::from_millis(delay));
    let process = Pid::from_child(&capture);
    kill_process(process, Signal::STOP).unwrap();
    machine.kill();
    kill_process(process, Signal::CONT).unwrap();
    let ran = finish(capture);
    let entries = listing(Path::new(&store)).entries;
    let context = format!("{source} {pages} {delay} ms: {ran:?}");
    for entry in entries {
        let metadata = metadata_of(&entry);
        // All was read and compared before: then it is what was there.
        assert_eq!(metadata.result, CaptureResult::Complete, "{context}");
        let unpacked = unpack_to(machine.space("after.elf"), &entry.join("vmcore.elf.zst"));
        let before = unpack_to(machine.space("before.elf"), &machine.space("before"));
        assert!(fs::read(unpacked).unwrap() == fs::read(before).unwrap(), "{context}");
    }
    match ran.code {
        Some(0 | 1 | 3 | 5) => {}
        _ => panic!("{context}"),
    }
}
