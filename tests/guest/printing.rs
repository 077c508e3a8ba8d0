//! Structures of a guest's kernel as `print` shows them, against drgn with the kernel's debug
//! symbols, member by member; and those of the held guest against those of its core.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::judges;
use crate::machine::Machine;
use crate::tool::run;

/// What is printed: the arguments behind ENTRY.
const PRINTED: &[&[&str]] = &[
    &["task_struct", "init_task"],
    &["task_struct", "init_task.tasks", "--list", "tasks", "--elements", "20"],
    &["mm_struct", "init_mm"],
    &["rq", "runqueues", "--cpu", "all"],
    &["super_block", "super_blocks", "--list", "s_list"],
    &["module", "modules", "--list", "list"],
    &["net", "init_net"],
    &["pid_namespace", "init_pid_ns"],
    &["uts_namespace", "init_uts_ns"],
    &["user_namespace", "init_user_ns"],
    &["nsproxy", "init_nsproxy"],
    &["cred", "task_struct@init_task.cred"],
    &["files_struct", "init_files"],
    &["fs_struct", "init_fs"],
    &["workqueue_struct", "workqueues", "--list", "list"],
    &["kmem_cache", "slab_caches", "--list", "list"],
    &["file_system_type", "file_systems", "--list", "next"],
    &["clocksource", "clocksource_list", "--list", "list"],
    &["tty_driver", "tty_drivers", "--list", "tty_drivers"],
    &["inode", "task_struct@init_task.fs.root.dentry.d_inode"],
    &["dentry", "task_struct@init_task.fs.root.dentry"],
    &["vmap_area", "vmap_area_root", "--rbtree", "rb_node"],
    &["zone", "pglist_data@contig_page_data.node_zones[0]"],
    &["console", "console_list", "--list", "node"],
];

/// Compares what was printed with drgn's objects.
const SCRIPT: &str = include_str!("printing.py");

#[test]
fn structures_are_those_that_drgn_reads_with_debug_symbols() {
    let machine = Machine::panicked(&["--memory", "256M"]);
    let stored = machine.space("core.zst");
    let core = stored.to_str().unwrap();
    let held: Vec<Value> =
        PRINTED.iter().take(6).filter_map(|words| print(&machine.monitor(), words)).collect();
    run(["capture", "--quit", "--output", core, &machine.monitor()]).expect(0);
    let all: Vec<(usize, Value)> = PRINTED
        .iter()
        .enumerate()
        .filter_map(|(number, words)| Some((number, print(core, words)?)))
        .collect();
    assert!(all.len() >= 20, "{} of {}", all.len(), PRINTED.len());
    for (held, (number, stored)) in held.iter().zip(&all) {
        assert_eq!(held["objects"], stored["objects"], "{:?}", PRINTED[*number]);
    }
    let vmlinux = judges::vmlinux();
    if !vmlinux.exists() {
        return;
    }
    let unpacked = machine.space("core.elf");
    let status = Command::new("zstd").args(["-qd", "-o"]).arg(&unpacked).arg(&stored).status();
    assert!(status.expect("zstd starts").success());
    let file = machine.space("printed.json");
    std::fs::write(&file, json!({ "vmlinux": vmlinux, "printed": all }).to_string()).unwrap();
    let said = judges::drgn_says(SCRIPT, &unpacked, file.to_str().unwrap());
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["differences"], json!([]), "{said:#}");
    assert!(said["compared"].as_u64().unwrap() > 20_000, "{said}");
}

/// What is printed, if this kernel has the variable.
fn print(entry: &str, words: &[&str]) -> Option<Value> {
    let arguments: Vec<&str> = ["print", entry, "--json"].iter().chain(words).copied().collect();
    let ran = run(arguments);
    if ran.stderr.contains("has no symbol") {
        return None;
    }
    assert!(Path::new(entry).exists());
    Some(serde_json::from_str(&ran.expect(0).stdout).unwrap())
}
