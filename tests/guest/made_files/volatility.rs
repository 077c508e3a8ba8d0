//! volatility3 with the symbols of `symbols --format isf`.
//!
//! By itself it translates with four levels of page tables. `samples/volatility` adds the fifth.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::machine::Machine;
use crate::same_memory::unpack;
use crate::tool::run;

#[test]
fn volatility_lists_what_we_list_of_a_guest_with_four_levels() {
    lists_what_we_list(&["--append", "no5lvl"], None);
}

#[test]
fn volatility_lists_what_we_list_of_a_guest_with_five_levels() {
    let added = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/volatility");
    lists_what_we_list(&[], Some(&added));
}

fn lists_what_we_list(guest: &[&str], plugins: Option<&Path>) {
    let machine = Machine::panicked(&[&["--memory", "256M"], guest].concat());
    let entry = run(["capture", &machine.monitor(), "--store", &machine.store()]).expect(0).entry();
    let stored = entry.join("vmcore.elf.zst");
    let unpacked = unpack(&machine, &stored);
    let folder = machine.space("isf");
    fs::create_dir_all(folder.join("linux")).unwrap();
    let core = stored.to_str().unwrap();
    let isf = folder.join("linux/kernel.json");
    run(["symbols", core, "--format", "isf", "-o", isf.to_str().unwrap()]).expect(0);
    let rows = |plugin: &str| volatility(&folder, plugins, &unpacked, plugin);
    let listed = |command: &str, member: &str| -> Vec<Value> {
        let answer = run([command, core, "--json"]).expect(0).stdout;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        answer[member].as_array().unwrap_or_else(|| panic!("{answer}")).clone()
    };
    // Each process; the idle tasks have pid 0.
    let theirs: BTreeSet<u64> =
        rows("linux.pslist.PsList").iter().filter_map(|row| row["PID"].as_u64()).collect();
    let ours: BTreeSet<u64> =
        listed("ps", "tasks").iter().filter_map(|task| task["pid"].as_u64()).collect();
    assert!(theirs.len() > 40, "{theirs:?}");
    assert!(theirs.is_subset(&ours), "{theirs:?}, and not {ours:?}");
    let modules = |rows: Vec<Value>, member: &str| -> BTreeSet<String> {
        rows.iter().filter_map(|row| row[member].as_str().map(str::to_owned)).collect()
    };
    let ours = modules(listed("mods", "modules"), "name");
    assert_eq!(modules(rows("linux.lsmod.Lsmod"), "Module Name"), ours);
    assert!(!rows("linux.mountinfo.MountInfo").is_empty());
    assert!(rows("linux.malware.check_syscall.Check_syscall").len() > 300);
    // Nothing of theirs is in this guest.
    rows("linux.bash.Bash");
    rows("linux.sockstat.Sockstat");
}

/// The rows of a plugin.
fn volatility(symbols: &Path, plugins: Option<&Path>, core: &Path, plugin: &str) -> Vec<Value> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/volatility-venv/bin/vol");
    assert!(program.exists(), "no volatility3 in target/volatility-venv: tests/run installs it");
    let cache = symbols.join("cache");
    fs::create_dir_all(&cache).unwrap();
    let mut vol = Command::new(program);
    vol.args(["-q", "-r", "json", "--offline", "--cache-path"]).arg(&cache);
    if let Some(plugins) = plugins {
        vol.arg("-p").arg(plugins).env("PYTHONDONTWRITEBYTECODE", "1");
    }
    vol.arg("-s").arg(symbols).arg("-f").arg(core).arg(plugin);
    let output = vol.output().expect("volatility starts");
    assert!(output.status.success(), "{plugin}: {output:?}");
    let rows: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    rows.as_array().expect("rows").clone()
}
