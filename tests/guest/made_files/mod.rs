//! The files that `symbols` makes, in the debuggers that they are for: what gdb, crash and drgn
//! find in them, against BTF, and against the kernel's own file where that is installed.
//!
//! What differs from the kernel's own file is listed in `tests/bench/SYMBOLS.md`, and nothing
//! else may.

mod pahole;
mod volatility;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::judges;
use crate::layouts;
use crate::machine::Machine;
use crate::same_memory::unpack;
use crate::tool::run;

/// The list of differences.
const DIFFERENCES: &str = include_str!("../../bench/SYMBOLS.md");
const TYPES: &str = include_str!("gdb_types.py");
const HELPERS: &str = include_str!("drgn_helpers.py");

/// What crash is asked. `sys` names the file, and is compared without that.
const COMMANDS: &[&str] = &[
    "sys", "bt -a", "ps", "log", "mod", "files", "vm", "kmem -i", "kmem -s", "runq", "timer",
    "dev", "net", "mount", "irq", "task", "swap", "sig", "ipcs",
];

/// Structures that crash prints.
const STRUCTURES: &[&str] = &[
    "task_struct",
    "page",
    "rq",
    "mm_struct",
    "vm_area_struct",
    "file",
    "inode",
    "dentry",
    "super_block",
    "module",
    "kmem_cache",
    "pid",
    "cred",
    "nsproxy",
    "signal_struct",
    "sighand_struct",
    "files_struct",
    "fs_struct",
    "net_device",
    "sock",
    "socket",
    "sk_buff",
    "tcp_sock",
    "inet_sock",
    "request_queue",
    "gendisk",
    "bio",
    "block_device",
    "device",
    "device_driver",
    "bus_type",
    "kobject",
    "kset",
    "work_struct",
    "workqueue_struct",
    "timer_list",
    "hrtimer",
    "cfs_rq",
    "rt_rq",
    "sched_entity",
    "cgroup",
    "mem_cgroup",
    "zone",
    "pglist_data",
    "irq_desc",
    "pci_dev",
    "tty_struct",
    "mount",
    "vfsmount",
    "list_head",
];

/// By hand, on cores that are there: `CORES=a.elf:b.elf cargo test --test guest made_files::by_hand`.
/// A file `a.elf.vmlinux` is the kernel's own, and crash reads that kernel: `CRASH`, where another
/// one than the machine's does.
#[test]
fn by_hand() {
    for core in std::env::var("CORES").iter().flat_map(|cores| cores.split(':')) {
        println!("{core}");
        let own = PathBuf::from(format!("{core}.vmlinux"));
        let crash = std::env::var("CRASH").unwrap_or_else(|_| "crash".to_owned());
        let crash: &[&Path] = if own.exists() { &[Path::new(&crash)] } else { &[] };
        judged(Path::new(core), own.exists().then_some(&*own), crash);
    }
}

#[test]
fn debuggers_find_in_made_files_what_is_in_the_kernels_own() {
    let machine = Machine::panicked(&["--memory", "256M"]);
    let entry = run(["capture", &machine.monitor(), "--store", &machine.store()]).expect(0).entry();
    let unpacked = unpack(&machine, &entry.join("vmcore.elf.zst"));
    let own = judges::vmlinux();
    judged(&unpacked, own.exists().then_some(&*own), &[Path::new("crash")]);
}

/// Judges what is made of a core. `crashes` are those that read its kernel.
pub(crate) fn judged(core: &Path, own: Option<&Path>, crashes: &[&Path]) {
    let made = Made::of(core);
    made.types_in_gdb();
    pahole::same_types(&made.vmlinux(), made.folder.path());
    made.values_in_gdb();
    let helpers = made.helpers_in_drgn(&made.all());
    made.modules_in_drgn(&helpers);
    for crash in crashes {
        made.modules_in_crash(crash);
    }
    without_types(core);
    let Some(own) = own else { return };
    same_helpers(&helpers, &made.helpers_in_drgn(&[own.to_owned()]));
    for crash in crashes {
        made.same_in_crash(crash, own);
    }
}

/// Of a kernel without BTF there are symbols and ORC tables, also of modules; what needs types is
/// refused plainly.
fn without_types(core: &Path) {
    let hidden = layouts::without_types(core);
    let made = Made::of(&hidden);
    assert!(made.said.contains("the kernel has no types (BTF)"), "{}", made.said);
    assert!(made.said.contains("have no types"), "{}", made.said);
    let said = made.gdb(&["info line schedule", "ptype struct list_head", "info files"]);
    assert!(said.contains("No struct type named list_head"), "{said}");
    assert!(said.contains("schedule"), "{said}");
    let bytes = fs::read(made.vmlinux()).unwrap();
    assert!(bytes.windows(16).any(|at| at == b"it has no BTF, s"), "the note does not say so");
    for format in ["isf", "header"] {
        let path = made.folder.path().join(format);
        let refused = run([
            "symbols",
            hidden.to_str().unwrap(),
            "--format",
            format,
            "-o",
            path.to_str().unwrap(),
        ]);
        assert!(refused.expect(1).stderr.contains("BTF"), "{format}");
        assert!(!path.exists());
    }
    let map = made.folder.path().join("map");
    run(["symbols", hidden.to_str().unwrap(), "--format", "map", "-o", map.to_str().unwrap()])
        .expect(0);
    assert!(fs::read_to_string(map).unwrap().lines().count() > 50_000);
    fs::remove_file(hidden).unwrap();
}

/// The files that are made of a core.
struct Made {
    core: PathBuf,
    folder: tempfile::TempDir,
    modules: Vec<PathBuf>,
    said: String,
}

impl Made {
    fn of(core: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (vmlinux, modules) = (path("vmlinux"), path("modules"));
        let core_path = core.to_str().unwrap();
        let ran = run(["symbols", core_path, "-o", &vmlinux, "--modules", &modules]).expect(0);
        let modules = ran.stdout.lines().skip(1).map(PathBuf::from).collect();
        Self { core: core.to_owned(), folder, modules, said: ran.stderr }
    }

    fn vmlinux(&self) -> PathBuf {
        self.folder.path().join("vmlinux")
    }

    fn all(&self) -> Vec<PathBuf> {
        [self.vmlinux()].into_iter().chain(self.modules.iter().cloned()).collect()
    }

    /// Size, members, offsets, bit positions and values are those of BTF.
    fn types_in_gdb(&self) {
        let script = self.folder.path().join("types.py");
        let file = json!(self.vmlinux()).to_string();
        fs::write(&script, format!("VMLINUX = {file}\n{TYPES}")).unwrap();
        let said = self.gdb(&[&format!("source {}", script.display())]);
        let line = said.lines().find_map(|line| line.strip_prefix("TYPES "));
        let found: Value = serde_json::from_str(line.unwrap_or_else(|| panic!("{said}"))).unwrap();
        assert_eq!(found["differences"], json!([]), "{found:#}");
        assert!(found["compared"].as_u64().unwrap() > 5000, "{found}");
        assert!(found["members"].as_u64().unwrap() > 30_000, "{found}");
    }

    fn values_in_gdb(&self) {
        let said = self.gdb(&["p init_task.comm", "ptype struct list_head", "info line schedule"]);
        assert!(said.contains("\"swapper"), "{said}");
        assert!(said.contains("struct list_head *next;"), "{said}");
        assert!(said.contains("No line number information available"), "{said}");
    }

    fn gdb(&self, commands: &[&str]) -> String {
        let mut gdb = Command::new("gdb");
        gdb.args(["-q", "-nx", "-batch"]).stdin(Stdio::null());
        gdb.args(["-iex", "set debuginfod enabled off"]);
        for command in commands {
            gdb.args(["-ex", command]);
        }
        said(gdb.arg(self.vmlinux()))
    }

    fn helpers_in_drgn(&self, files: &[PathBuf]) -> Value {
        let files = json!(files).to_string();
        serde_json::from_str(&judges::drgn_says(HELPERS, &self.core, &files)).unwrap()
    }

    /// Each module's file with types is taken for the module's, by its build id. Linux 5.10 has no
    /// types of modules.
    fn modules_in_drgn(&self, helpers: &Value) {
        assert!(self.modules.len() > 3, "{:?}", self.modules);
        for path in &self.modules {
            let name = path.file_stem().unwrap().to_str().unwrap();
            if !has_types(path) {
                continue;
            }
            assert_eq!(helpers["modules"][name], json!(path), "{helpers:#}");
        }
    }

    /// crash loads each module's file, and finds a type and a function in one of them.
    fn modules_in_crash(&self, crash: &Path) {
        let folder = self.folder.path().join("modules");
        let load = format!("mod -S {}", folder.display());
        let commands = [&load, "whatis virtblk_probe", "struct virtio_blk", "sym virtblk_probe"];
        let outputs = self.crash(crash, &self.vmlinux(), &commands);
        for path in &self.modules {
            assert!(outputs[&load].contains(path.to_str().unwrap()), "{}", outputs[&load]);
        }
        let module = folder.join("virtio_blk.ko");
        if module.exists() && has_types(&module) {
            let of = |command: &str| outputs[command].as_str();
            assert!(of("whatis virtblk_probe").contains("struct virtio_device *"), "{outputs:#?}");
            assert!(
                of("struct virtio_blk").contains("struct virtio_device *vdev;"),
                "{outputs:#?}"
            );
            assert!(of("sym virtblk_probe").contains("[virtio_blk]"), "{outputs:#?}");
        }
    }

    /// What crash prints is the same with either file.
    fn same_in_crash(&self, crash: &Path, own: &Path) {
        let structures: Vec<String> =
            STRUCTURES.iter().map(|name| format!("struct {name}")).collect();
        let commands: Vec<&str> =
            COMMANDS.iter().copied().chain(structures.iter().map(String::as_str)).collect();
        let [made, own] = [&*self.vmlinux(), own].map(|file| self.crash(crash, file, &commands));
        for command in commands {
            let lines = |all: &BTreeMap<String, String>| -> Vec<String> {
                let lines = all[command].lines().filter(|line| !line.contains("KERNEL: "));
                // BTF does not tell `[0]` from `[]`.
                lines.map(|line| line.replace("[0];", "[];")).collect()
            };
            assert!(!lines(&own).is_empty() || command.starts_with("swap"), "{command}: nothing");
            assert_eq!(lines(&made), lines(&own), "{command}");
        }
    }

    /// What crash prints of each command. One that fails would end the rest.
    fn crash(&self, crash: &Path, vmlinux: &Path, commands: &[&str]) -> BTreeMap<String, String> {
        let file = self.folder.path().join("commands");
        let each = commands.iter().map(|command| format!("!echo @@{command}\n{command}\n"));
        fs::write(&file, each.collect::<String>() + "quit\n").unwrap();
        let mut crash = Command::new(crash);
        crash.args(["-s", "-i"]).arg(&file).arg(vmlinux).arg(&self.core).stdin(Stdio::null());
        let output = crash.output().unwrap_or_else(|error| panic!("{crash:?}: {error}"));
        let text = String::from_utf8_lossy(&output.stdout);
        let mut outputs: BTreeMap<String, String> =
            commands.iter().map(|command| ((*command).to_owned(), String::new())).collect();
        for part in text.split("@@").skip(1) {
            let (command, output) = part.split_once('\n').unwrap_or((part, ""));
            outputs.insert(command.to_owned(), output.to_owned());
        }
        outputs
    }
}

/// Whether a file has debug information.
fn has_types(path: &Path) -> bool {
    fs::read(path).unwrap().windows(12).any(|at| at == b".debug_info\0")
}

/// What a program prints, whatever it ends with.
fn said(program: &mut Command) -> String {
    let output = program.output().unwrap_or_else(|error| panic!("{program:?}: {error}"));
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Values and stacks are those of the kernel's own file, but for what is listed.
fn same_helpers(made: &Value, own: &Value) {
    let listed = |name: &str| DIFFERENCES.contains(&format!("`{name}`"));
    let is_error = |value: &Value| value.as_str().is_some_and(|text| text.starts_with("error: "));
    let mut same = 0;
    for (call, theirs) in own["helpers"].as_object().unwrap() {
        let ours = &made["helpers"][call];
        if is_error(theirs) || ours == theirs {
            same += usize::from(!is_error(theirs));
            continue;
        }
        let name = call.split(':').next().unwrap();
        assert!(listed(name), "{call} is {ours}, and {theirs} by the kernel's own file");
    }
    assert!(same > 200, "{same} helpers");
    assert_eq!(made["stacks"], own["stacks"]);
}
