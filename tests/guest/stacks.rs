//! `bt` against the guest's own words, and against drgn with debug symbols.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::crashes;
use crate::judges;
use crate::machine::Machine;
use crate::tool::{Ran, command, run};

/// A pid, and of each function on its task's stack in the kernel the address and the lines.
type Stacks = BTreeMap<i64, Vec<(u64, Value)>>;

#[test]
fn the_stack_of_a_panic_is_what_the_guest_printed() {
    let machine = Machine::panicked(&[]);
    let entry = run(["capture", &machine.monitor(), "--store", &machine.store()]).expect(0).entry();
    same_as_the_console(&machine.console(), &entry.join("vmcore.elf.zst"));
}

/// From the panic's caller to where the kernel was entered, each function, its offset and size.
pub(crate) fn same_as_the_console(console: &str, stored: &Path) {
    let stacks = stacks(stored, &[]);
    let frames = stacks[0]["frames"].as_array().unwrap();
    let ours: Vec<String> = frames
        .iter()
        .map(|frame| {
            let number = |name: &str| frame[name].as_u64().unwrap();
            let function = frame["function"].as_str().unwrap();
            format!("{function}+{:#x}/{:#x}", number("offset"), number("size"))
        })
        .collect();
    let (_, after) = console.split_once("Kernel panic - not syncing").expect("a panic");
    let theirs: Vec<String> = after
        .lines()
        .skip_while(|line| !line.to_lowercase().contains("call trace"))
        .skip(1)
        .map(|line| line.split_once("] ").map_or(line, |(_, text)| text).trim().to_owned())
        .take_while(|line| !line.contains(':'))
        .filter(|line| line.contains("+0x") && !line.starts_with('?'))
        .collect();
    let below_panic = |lines: &[String]| -> Vec<String> {
        let panic = lines.iter().position(|line| line.starts_with("panic+")).expect("panic");
        lines[panic + 1..].to_vec()
    };
    assert!(below_panic(&theirs).len() > 5, "{theirs:?}");
    assert_eq!(below_panic(&ours), below_panic(&theirs));
    let last = frames.last().unwrap();
    assert_eq!((&last["entry"]["from_user"], &stacks[0]["end"]), (&true.into(), &"user".into()));
    assert_eq!(stacks[0]["panicked"], true);
}

/// Has drgn print the stack of each task, as far as it is the kernel's.
pub(crate) const BY_DRGN: &str = "import sys, json, drgn\n\
    from drgn.helpers.linux.pid import for_each_task\n\
    program = drgn.Program()\n\
    program.set_core_dump(sys.argv[1])\n\
    program.load_debug_info([sys.argv[2]])\n\
    def line(frame):\n\
    \x20   try:\n\
    \x20       return [frame.function_name, *frame.source()[:2]]\n\
    \x20   except LookupError:\n\
    \x20       return None\n\
    stacks = {}\n\
    for task in for_each_task(program):\n\
    \x20   found = stacks[task.pid.value_()] = []\n\
    \x20   inlined = []\n\
    \x20   for frame in program.stack_trace(task):\n\
    \x20       # drgn goes on into user code.\n\
    \x20       if not frame.pc >> 63:\n\
    \x20           break\n\
    \x20       inlined.append(line(frame))\n\
    \x20       if not frame.is_inline:\n\
    \x20           found.append([frame.pc, [line for line in inlined if line]])\n\
    \x20           inlined = []\n\
    print(json.dumps(stacks))\n";

/// Every task's stack, running ones included, has the addresses that drgn finds by DWARF, and of
/// the kernel's own code the functions, those inlined included, files and lines.
pub(crate) fn same_as_drgn(stored: &Path, unpacked: &Path, vmlinux: &Path) {
    let vmlinux = vmlinux.to_str().unwrap();
    let theirs = judges::drgn_says(BY_DRGN, unpacked, vmlinux);
    let theirs: Stacks = serde_json::from_str(&theirs).expect("stacks by drgn");
    let mut ours = Stacks::new();
    for stack in stacks(stored, &["--tasks", "--vmlinux", vmlinux]).as_array().unwrap() {
        let pid = stack["pid"].as_i64().unwrap();
        let frames = stack["frames"].as_array().unwrap();
        // Idle tasks all have pid 0, and drgn lists none.
        if pid != 0 {
            assert_ne!(stack["end"], "cut", "{stack}");
            assert!(frames.iter().all(|frame| frame["trust"] != "scan"), "{stack}");
            ours.insert(
                pid,
                frames.iter().map(|frame| (address(frame), crashes::lines(frame))).collect(),
            );
        }
    }
    assert!(ours.len() > 40, "{} tasks", ours.len());
    for (pid, stack) in &ours {
        assert_eq!(Some(stack), theirs.get(pid), "pid {pid}");
    }
    assert_eq!(ours.len(), theirs.len());
    assert!(
        ours.values().flatten().any(|(_, lines)| lines.as_array().unwrap().len() > 1),
        "no inlined function"
    );
    found_by_build_id(stored, vmlinux);
}

/// `--lines` finds by itself what `--vmlinux` is told, here where debuginfod keeps it.
fn found_by_build_id(stored: &Path, vmlinux: &str) {
    let stored = stored.to_str().unwrap();
    let report: Value =
        serde_json::from_str(&run(["report", stored, "--json"]).expect(0).stdout).expect("JSON");
    let id = report["kernel"]["build_id"].as_str().expect("a build id");
    let cache = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    std::fs::create_dir(cache.path().join(id)).unwrap();
    std::os::unix::fs::symlink(vmlinux, cache.path().join(id).join("debuginfo")).unwrap();
    let found: Ran = command(["bt", stored, "--lines"])
        .env("DEBUGINFOD_CACHE_PATH", cache.path())
        .output()
        .expect("the program starts")
        .into();
    let told = run(["bt", stored, "--vmlinux", vmlinux]).expect(0).stdout;
    assert_eq!(found.expect(0).stdout, told);
    assert!(told.contains("kernel/panic.c:"), "{told}");
}

fn address(frame: &Value) -> u64 {
    let text = frame["address"].as_str().unwrap();
    u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
}

fn stacks(stored: &Path, arguments: &[&str]) -> Value {
    let arguments = [&["bt", stored.to_str().unwrap(), "--json"], arguments].concat();
    let text = run(arguments).expect(0).stdout;
    let mut document: Value = serde_json::from_str(&text).expect("JSON");
    document["stacks"].take()
}
