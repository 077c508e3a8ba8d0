//! `search` against `grep` on the unpacked core.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::machine::Machine;
use crate::same_memory::{Core, unpack};
use crate::tool::run;

#[test]
fn a_text_is_found_wherever_grep_finds_it() {
    let machine = Machine::panicked(&[]);
    let entry = run(["capture", &machine.monitor(), "--store", &machine.store()]).expect(0).entry();
    let core = entry.to_str().unwrap();
    let unpacked = unpack(&machine, &entry.join("vmcore.elf.zst"));
    for text in ["Linux version ", "sysrq", "GUEST-READY"] {
        let theirs = by_grep(&unpacked, text);
        assert!(!theirs.is_empty(), "{text} is nowhere");
        for threads in ["1", "3"] {
            let arguments =
                ["search", core, text, "--json", "--limit", "1000000", "--threads", threads];
            let ran = run(arguments).expect(0);
            let lines = ran.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON"));
            let ours: Vec<u64> = lines.map(|place: Value| address(&place)).collect();
            assert!(ours.is_sorted(), "{text}: not in order");
            assert_eq!(ours.iter().copied().collect::<BTreeSet<_>>(), theirs, "{text}");
        }
        let counted = run(["search", core, text, "--count"]).expect(0).stdout;
        assert_eq!(counted.trim(), theirs.len().to_string());
    }
    the_kernel_finds_its_banner_where_its_address_says(core);
}

/// The kernel's own address of a text, and the place where a search finds it.
fn the_kernel_finds_its_banner_where_its_address_says(core: &str) {
    let ran = run(["regs", core, "--json", "--cpu", "0"]).expect(0);
    let registers: Value = serde_json::from_str(&ran.stdout).unwrap();
    let pointer = registers["cpus"][0]["registers"]["rsp"].as_str().unwrap().to_owned();
    let stack = run(["read", core, "-v", &pointer, "64", "--json"]).expect(0).stdout;
    let stack: Value = serde_json::from_str(&stack).unwrap();
    let bytes = stack["bytes"].as_str().unwrap();
    let found = run(["search", core, bytes, "--hex", "--count"]).expect(0).stdout;
    assert!(found.trim().parse::<u64>().unwrap() >= 1, "the stack is not in memory: {bytes}");
}

fn address(place: &Value) -> u64 {
    let text = place["address"].as_str().expect("an address");
    u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
}

/// Where `grep` finds a text in the file, as addresses of the guest.
fn by_grep(unpacked: &Path, text: &str) -> BTreeSet<u64> {
    let output = Command::new("grep")
        .args(["-abo", "-F", text])
        .arg(unpacked)
        .env("LC_ALL", "C")
        .output()
        .expect("grep starts");
    let core = Core::open(unpacked);
    let segments = core.segments();
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.split_once(':')?.0.parse::<u64>().ok())
        .filter_map(|offset| {
            // What is in the file's head and notes is no memory.
            let segment = segments.values().find(|segment| {
                (segment.p_offset..segment.p_offset + segment.p_filesz).contains(&offset)
            })?;
            Some(segment.p_paddr + (offset - segment.p_offset))
        })
        .collect()
}
