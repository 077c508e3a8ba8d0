//! `regs` and `read` against QEMU's own monitor, and against gdb.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::machine::Machine;
use crate::same_memory::unpack;
use crate::tool::{command, run};

/// Names of gdb and of QEMU for what we name otherwise.
const GENERAL: [&str; 17] = [
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rsp", "rbp", "r8", "r9", "r10", "r11", "r12", "r13",
    "r14", "r15", "rip",
];

#[test]
fn registers_and_memory_are_what_qemu_and_gdb_show() {
    let machine = Machine::panicked(&[]);
    let by_qemu: Vec<_> = (0..2).map(|cpu| machine.human_monitor("info registers", cpu)).collect();
    let saved = machine.space("saved");
    machine.human_monitor(&format!("pmemsave 0x1f00000 0x200001 \"{}\"", saved.display()), 0);
    let entry = run(["capture", &machine.monitor(), "--store", &machine.store()]).expect(0).entry();
    let core = entry.to_str().unwrap();

    let ran = run(["regs", core, "--json"]).expect(0);
    let found: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(found["cpus"].as_array().unwrap().len(), 2);
    let unpacked = unpack(&machine, &entry.join("vmcore.elf.zst"));
    for (number, said) in by_qemu.iter().enumerate() {
        let cpu = &found["cpus"][number];
        assert_eq!(cpu["pr_pid"], number + 1);
        same_as_the_monitor(cpu, said);
        same_as_gdb(cpu, number, &unpacked);
    }
    let told = run(["regs", core, "--cpu", "1"]).expect(0).stdout;
    assert!(told.starts_with("vCPU 1  ") && !told.contains("vCPU 0"), "{told}");

    same_as_saved(core, &saved);
    same_as_examined(&machine, core);
}

fn number(value: &Value) -> u64 {
    let text = value.as_str().unwrap_or_else(|| panic!("{value} is no text"));
    u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
}

/// `RAX=0000…`, `CS =0010 base limit flags`, `CR0=80050033`.
fn same_as_the_monitor(cpu: &Value, said: &str) {
    let hex = |text: &str| u64::from_str_radix(text, 16).unwrap_or_else(|_| panic!("{text:?}"));
    let after = |name: &str| {
        let (_, rest) = said.split_once(name).unwrap_or_else(|| panic!("no {name:?} in {said}"));
        rest.trim_start()
    };
    let value = |name: &str| hex(after(name).split_whitespace().next().unwrap());
    for name in GENERAL {
        let theirs = value(&format!("{:<3}=", name.to_uppercase()));
        assert_eq!(number(&cpu["registers"][name]), theirs, "{name}\n{said}");
    }
    assert_eq!(number(&cpu["registers"]["rflags"]), value("RFL="));
    assert_eq!(cpu["privilege"].as_u64().unwrap(), value("CPL="));
    for name in ["cs", "ds", "es", "fs", "gs", "ss", "ldt", "tr"] {
        let mut words =
            after(&format!("\n{:<3}=", name.to_uppercase())).split_whitespace().map(hex);
        let segment = &cpu["segments"][name];
        for part in ["selector", "base", "limit", "flags"] {
            // The monitor leaves out the bits of the flags that are a part of the base.
            let mask = if part == "flags" { 0x00ff_ff00 } else { u64::MAX };
            let ours = number(&segment[part]) & mask;
            assert_eq!(ours, words.next().unwrap(), "{name} {part}\n{said}");
        }
    }
    for name in ["gdt", "idt"] {
        let mut words = after(&format!("{}=", name.to_uppercase())).split_whitespace().map(hex);
        assert_eq!(number(&cpu["segments"][name]["base"]), words.next().unwrap(), "{name}");
        assert_eq!(number(&cpu["segments"][name]["limit"]), words.next().unwrap(), "{name}");
    }
    for name in ["cr0", "cr2", "cr3", "cr4"] {
        let theirs = value(&format!("{}=", name.to_uppercase()));
        assert_eq!(number(&cpu["control"][name]), theirs, "{name}");
    }
    // QEMU tells the paging mode that the guest is in by the same bits.
    let flags = cpu["decoded"]["cr0"].to_string();
    assert!(flags.contains("\"PG\"") && flags.contains("\"PE\""), "{flags}");
}

/// gdb reads `NT_PRSTATUS` by its own table.
fn same_as_gdb(cpu: &Value, number_of_cpu: usize, core: &Path) {
    let thread = format!("thread {}", number_of_cpu + 1);
    let output = Command::new("gdb")
        .args(["-q", "-nx", "-batch", "-ex", &thread, "-ex", "info registers", "--core"])
        .arg(core)
        .output()
        .expect("gdb starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let theirs: BTreeMap<&str, u64> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (name, value) = (words.next()?, words.next()?.strip_prefix("0x")?);
            Some((name, u64::from_str_radix(value, 16).ok()?))
        })
        .collect();
    for name in GENERAL {
        assert_eq!(Some(&number(&cpu["registers"][name])), theirs.get(name), "{name}\n{text}");
    }
    for name in ["cs", "ss", "ds", "gs"] {
        assert_eq!(number(&cpu["segments"][name]["selector"]), theirs[name], "{name}\n{text}");
    }
    // `eflags  0x46  [ ZF PF ]`
    let flags = text.lines().find(|line| line.starts_with("eflags")).expect("eflags");
    let by_gdb: BTreeSet<&str> =
        flags.split_whitespace().filter(|word| word.ends_with('F') && word.len() == 2).collect();
    let decoded = cpu["decoded"]["rflags"].as_array().unwrap();
    let ours: BTreeSet<&str> =
        decoded.iter().map(|flag| flag.as_str().unwrap()).filter(|flag| flag.len() == 2).collect();
    assert_eq!(ours, by_gdb, "{text}");
}

fn same_as_saved(core: &str, saved: &Path) {
    let output =
        command(["read", core, "0x1f00000", "0x200001", "--raw"]).output().expect("it starts");
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout == fs::read(saved).unwrap(), "what QEMU saved differs");
}

/// `0000000000100000: 0x… 0x…` and `0x0000000000100000  … …  |…|`
fn same_as_examined(machine: &Machine, core: &str) {
    // Where something stands that is not the same on each line.
    let place = run(["search", core, "Kernel panic - not syncing", "--json", "--limit", "1"]);
    let place: Value = serde_json::from_str(&place.expect(0).stdout).expect("a place");
    let at = place["address"].as_str().unwrap();
    for (words, unit) in [("8", "g"), ("4", "w")] {
        let count = 64 / words.parse::<u64>().unwrap();
        let theirs = machine.human_monitor(&format!("xp /{count}{unit}x {at}"), 0);
        let theirs: Vec<&str> = theirs
            .lines()
            .flat_map(|line| line.split_once(':').expect("an address").1.split_whitespace())
            .map(|word| word.trim_start_matches("0x"))
            .collect();
        let ours = run(["read", core, at, "64", "--words", words]).expect(0).stdout;
        let ours: Vec<&str> = ours
            .lines()
            .flat_map(|line| line.split("  ").nth(1).expect("words").split_whitespace())
            .collect();
        assert_eq!(ours, theirs);
    }
}
