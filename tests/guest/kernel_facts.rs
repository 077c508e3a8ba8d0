//! What a core tells of its guest's system, against what others say of the same: the guest
//! itself before it panicked, and with the kernel's debug symbols drgn and crash.
//!
//! The fast run has the machine's own kernel here; the full run every kernel, from
//! [`crate::kernels`]. Debug symbols are there in the full run alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::judges;
use crate::machine::{self, Machine};
use crate::tool::run;

/// How many bytes the guest's memory may have changed from what it said to the panic.
const MEMORY_MOVED: u64 = 2 << 20;

#[test]
fn a_core_tells_of_its_system_what_the_guest_and_the_debuggers_say() {
    let disks = Disks::new();
    let arguments = disks.arguments();
    let machine = Machine::panicked(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let stored = machine.space("core.zst");
    let output = stored.to_str().unwrap();
    run(["capture", "--quit", "--output", output, &machine.monitor()]).expect(0);
    let unpacked = machine.space("core.elf");
    let status = Command::new("zstd").args(["-qd", "-o"]).arg(&unpacked).arg(&stored).status();
    assert!(status.expect("zstd starts").success());
    mounts_by_the_guest(&machine.console(), &stored);
    memory_by_the_guest(&machine.console(), &stored);
    let vmlinux = judges::vmlinux();
    if vmlinux.exists() {
        by_drgn(&stored, &unpacked, &vmlinux);
        by_crash(&stored, &unpacked, Path::new("crash"), &vmlinux);
    }
}

/// Disks of two file systems with files on them.
pub(crate) struct Disks {
    folder: tempfile::TempDir,
}

impl Disks {
    pub(crate) fn new() -> Self {
        machine::wanted();
        let folder = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let made = |command: &mut Command| {
            let output = command.output().expect("it starts");
            assert!(output.status.success(), "{output:?}");
        };
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("files")).unwrap();
        std::fs::write(path("files/some"), vec![7; 5 << 20]).unwrap();
        let mut mke2fs = Command::new("mke2fs");
        mke2fs.args(["-q", "-t", "ext4", "-d"]).args([path("files"), path("ext4")]).arg("64M");
        made(&mut mke2fs);
        let image = std::fs::File::create(path("xfs")).unwrap();
        image.set_len(300 << 20).unwrap();
        made(Command::new("mkfs.xfs").arg("-q").arg(path("xfs")));
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What boots a guest that mounts them, and tells of its system before it panics.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let [ext4, xfs] = ["ext4", "xfs"].map(|name| self.path(name).display().to_string());
        ["--memory", "256M", "--disk", &ext4, "--xfs", &xfs, "--append"]
            .into_iter()
            .chain(["guest.files=1 guest.anon=20 guest.tell=1"])
            .map(str::to_owned)
            .collect()
    }
}

/// What the core tells: `info --kernel --json`. Nothing is missing, but for what is used of a
/// module's file system on kernels without types of modules (before 5.11).
fn told(stored: &Path) -> Value {
    let text = run(["info", stored.to_str().unwrap(), "--kernel", "--json"]).expect(0).stdout;
    let told: Value = serde_json::from_str(&text).expect("JSON");
    let types_of_modules = has_types_of_modules(&told);
    let missing = list(&told["findings"]).iter().filter(|_| types_of_modules);
    assert_eq!(missing.count(), 0, "{}", told["findings"]);
    told
}

fn has_types_of_modules(told: &Value) -> bool {
    let findings = list(&told["findings"]);
    let [finding] = findings else { return true };
    !text(finding).contains("the kernel keeps no BTF of modules")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// What the guest printed between two words: the words of each line. What the kernel printed in the midst of it is
/// left out.
fn said(console: &str, from: &str, to: &str) -> Vec<Vec<String>> {
    let (_, rest) = console.split_once(from).expect("the guest tells");
    let (part, _) = rest.split_once(to).expect("it tells to the end");
    let mut told = String::new();
    for line in part.lines() {
        match of_the_kernel(line) {
            Some(start) => told += &line[..start],
            None => told = told + line + "\n",
        }
    }
    told.trim().lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

/// Where in a line the kernel's own begins: `[    4.289828] `.
fn of_the_kernel(line: &str) -> Option<usize> {
    let is_time = |text: &str| {
        let (seconds, micros) = text.trim_start().split_once('.').unwrap_or_default();
        micros.len() == 6 && [seconds, micros].iter().all(|part| part.parse::<u64>().is_ok())
    };
    let after = |at: usize| line[at + 1..].split_once(']').is_some_and(|(time, _)| is_time(time));
    line.match_indices('[').map(|(at, _)| at).find(|at| after(*at))
}

/// `/proc/mounts` and `df`: each mount with its options, and how much of it is used.
pub(crate) fn mounts_by_the_guest(console: &str, stored: &Path) {
    let told = told(stored);
    // A kernel of Linux 7.0 and newer mounts its root on one that no process sees.
    let seen = list(&told["mounts"]).iter().filter(|mount| mount["type"] != "nullfs");
    let ours: Vec<_> = seen.collect();
    let theirs = said(console, "GUEST-MOUNTS", "GUEST-DF");
    let names = |mount: &&Value| {
        ["device", "mount_point", "type"].map(|name| text(&mount[name]).to_owned())
    };
    let first = |line: &Vec<String>| [0, 1, 2].map(|column| line[column].clone());
    let expected: Vec<_> = theirs.iter().map(first).collect();
    assert_eq!(ours.iter().map(names).collect::<Vec<_>>(), expected);
    for (ours, theirs) in ours.iter().zip(&theirs) {
        let options: Vec<_> = list(&ours["options"]).iter().map(text).collect();
        let theirs: Vec<_> = theirs[3].split(',').take(options.len()).collect();
        assert_eq!(options, theirs, "{ours}");
    }
    let used: BTreeMap<_, _> = ours
        .iter()
        .filter(|mount| !mount["total"].is_null())
        .map(|mount| {
            let kib = |name: &str| mount[name].as_u64().expect("a number").div_ceil(1024);
            (text(&mount["mount_point"]), [kib("total"), kib("used"), kib("available")])
        })
        .collect();
    let theirs = said(console, "GUEST-DF", "GUEST-MEMINFO");
    let mut kinds = BTreeSet::new();
    for line in theirs.iter().skip(1) {
        let numbers = [1, 2, 3].map(|column| line[column].parse::<u64>().expect("a number"));
        if line[5] == "/xfs" && !has_types_of_modules(&told) {
            assert_eq!(used.get("/xfs"), None);
            continue;
        }
        assert_eq!(used.get(&*line[5]), Some(&numbers), "{line:?}");
        let mount = ours.iter().find(|mount| mount["mount_point"] == *line[5]).unwrap();
        kinds.insert(text(&mount["type"]));
    }
    assert!(kinds.is_superset(&BTreeSet::from(["devtmpfs", "ext4", "tmpfs"])), "{kinds:?}");
    assert_eq!(kinds.contains("xfs"), has_types_of_modules(&told));
}

/// `/proc/meminfo`: each line that the core tells, too.
pub(crate) fn memory_by_the_guest(console: &str, stored: &Path) {
    let told = told(stored);
    let theirs: BTreeMap<String, u64> = said(console, "GUEST-MEMINFO", "GUEST-TOLD")
        .iter()
        .map(|line| (line[0].replace(':', ""), line[1].parse::<u64>().expect("a number") << 10))
        .collect();
    let ours: BTreeMap<_, _> = list(&told["memory"]["meminfo"])
        .iter()
        .map(|line| (text(&line[0]), line[1].as_u64().expect("a number")))
        .collect();
    for name in ["MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "Slab", "Shmem"] {
        assert!(ours.contains_key(name), "{name}: {ours:?}");
    }
    for (name, ours) in &ours {
        let theirs = theirs.get(*name).unwrap_or_else(|| panic!("the guest has no {name}"));
        assert!(ours.abs_diff(*theirs) <= MEMORY_MOVED, "{name}: {ours} and {theirs}");
    }
    // These do not change while a shell writes a line.
    for name in ["MemTotal", "Buffers", "Shmem"] {
        assert_eq!(ours[name], theirs[name], "{name}");
    }
}

/// Has drgn print tasks, modules, mounts, command line, taint and uptime.
pub(crate) const BY_DRGN: &str = include_str!("kernel_facts.py");

/// drgn, by the kernel's debug symbols: tasks, modules, mounts, command line, taint and uptime.
pub(crate) fn by_drgn(stored: &Path, unpacked: &Path, vmlinux: &Path) {
    let said = judges::drgn_says(BY_DRGN, unpacked, vmlinux.to_str().unwrap());
    let said: Value = serde_json::from_str(&said).expect("JSON");
    let told = told(stored);
    let mounts = list(&told["mounts"]).iter().map(|mount| {
        json!([mount["device"], mount["mount_point"], mount["type"], mount["options"][0]])
    });
    assert_eq!(Value::from_iter(mounts), said["mounts"]);
    assert_eq!(told["command_line"], said["command_line"]);
    assert_eq!(told["taint_mask"], said["taint"]);
    assert_eq!(told["uname"], said["uname"]);
    let uptime = told["uptime_ns"].as_f64().unwrap() / 1e9;
    let theirs = said["uptime"].as_f64().unwrap();
    assert!((uptime - theirs).abs() < 2.0, "{uptime} and {theirs}");
    let buffers = list(&told["memory"]["meminfo"]).iter().find(|line| line[0] == "Buffers");
    assert_eq!(buffers.expect("Buffers")[1], said["buffers"]);

    let tasks = tasks(stored);
    assert!(tasks.len() > 40, "{tasks:#?}");
    assert_eq!(tasks, sorted(list(&said["tasks"]).to_vec()));
    let modules: Vec<_> = modules(stored)
        .iter()
        .map(|module| json!([module["name"], module["address"], module["size"]]))
        .collect();
    assert_eq!(Value::from(modules), said["modules"]);
}

/// Every thread but the idle ones: pid, process, parent, state, CPU and name.
fn tasks(stored: &Path) -> Vec<Value> {
    let text = run(["ps", stored.to_str().unwrap(), "--threads", "--json"]).expect(0).stdout;
    let told: Value = serde_json::from_str(&text).expect("JSON");
    let names = ["pid", "tgid", "ppid", "state", "cpu", "comm"];
    let tasks = list(&told["tasks"]).iter().filter(|task| task["pid"] != 0);
    sorted(tasks.map(|task| names.iter().map(|name| task[name].clone()).collect()).collect())
}

fn sorted(mut tasks: Vec<Value>) -> Vec<Value> {
    tasks.sort_by_key(|task| task[0].as_i64());
    tasks
}

fn modules(stored: &Path) -> Vec<Value> {
    let text = run(["mods", stored.to_str().unwrap(), "--json"]).expect(0).stdout;
    let told: Value = serde_json::from_str(&text).expect("JSON");
    list(&told["modules"]).to_vec()
}

/// crash, by the kernel's debug symbols: the same, as far as it reads the kernel.
///
/// Of Debian's 6.1, crash 8.0.2 shows but the tasks that run (others are "not found in PID hash",
/// and the parent of their children is -1): those are compared. It cannot read 6.12 and newer at all, and no crash reads 7.2 yet.
pub(crate) fn by_crash(stored: &Path, unpacked: &Path, crash: &Path, vmlinux: &Path) {
    let commands = tempfile::NamedTempFile::new().unwrap();
    let mut crash = judges::crash_on(crash, vmlinux, unpacked, commands.path());
    std::fs::write(
        commands.path(),
        "sys\np -d jiffies_64\nps\nmod\nmount\nkmem -i\nsys -t\nlog\nquit\n",
    )
    .unwrap();
    let output = crash.output().expect("crash starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    let rows = |width: usize| {
        let rows = said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        rows.filter(move |row| row.len() >= width)
    };

    let theirs: BTreeSet<Vec<String>> = said
        .lines()
        .filter_map(|line| {
            let row: Vec<_> = line.trim_start_matches('>').split_whitespace().collect();
            let [pid, ppid, cpu, task, state, _, _, _, comm, ..] = row[..] else { return None };
            u32::from_str_radix(task.get(..8)?, 16).ok().filter(|high| *high > u32::MAX / 2)?;
            pid.parse::<u32>().ok()?;
            // Idle kernel threads have a state of their own here.
            let state = match state {
                "RU" => "R",
                "IN" => "S",
                "UN" | "ID" => "D",
                state => state,
            };
            let comm = comm.trim_matches(['[', ']']);
            Some([pid, ppid, cpu, state, comm].map(str::to_owned).to_vec())
        })
        .filter(|row| row[0] != "0")
        .collect();
    let ours: BTreeSet<Vec<String>> = tasks(stored)
        .iter()
        .map(|task| {
            let state = text(&task[3]).replace('I', "D");
            let number = |index: usize| task[index].to_string();
            vec![number(0), number(2), number(4), state, text(&task[5]).to_owned()]
        })
        .collect();
    let is_ours = |row: &Vec<String>| {
        let without_parent = |own: &Vec<String>| own[0] == row[0] && own[2..] == row[2..];
        ours.contains(row) || (row[1] == "-1" && ours.iter().any(without_parent))
    };
    let agree = !theirs.is_empty() && theirs.iter().all(is_ours);
    assert!(agree, "ours: {ours:#?}\ntheirs: {theirs:#?}");
    if theirs.len() > 2 {
        assert_eq!(ours, theirs);
    }

    let listed = modules(stored);
    let ours: BTreeSet<[String; 3]> = listed
        .iter()
        .map(|module| {
            let address = text(&module["address"]).trim_start_matches("0x");
            [text(&module["name"]), address, &module["size"].to_string()].map(str::to_owned)
        })
        .collect();
    let theirs: BTreeSet<[String; 3]> = rows(5)
        .filter(|row| row[4] == "(not" && row[0].len() == 16)
        .map(|row| [row[1], row[2], row[3]].map(str::to_owned))
        .collect();
    assert_eq!(ours, theirs);

    let told = told(stored);
    for mount in list(&told["mounts"]) {
        let (kind, device) = (text(&mount["type"]), text(&mount["device"]));
        let path = text(&mount["mount_point"]);
        let known = rows(5).any(|row| row[2..5] == [kind, device, path]);
        assert!(known, "{mount}\n{said}");
    }
    let buffers = list(&told["memory"]["meminfo"]).iter().find(|line| line[0] == "Buffers");
    let pages = buffers.expect("Buffers")[1].as_u64().unwrap() / 4096;
    assert!(rows(2).any(|row| row[..2] == ["BUFFERS", &pages.to_string()]), "{pages}\n{said}");
    let release = text(&told["uname"][2]);
    assert!(rows(2).any(|row| row[..2] == ["RELEASE:", release]), "{said}");
    // Of the uptime, crash's reading counts and not its unit: on 6.12 it takes the kernel to
    // have 1000 jiffies a second, where Debian's has 250. They start at -300 s, in 32 bits.
    let jiffies = said.lines().find_map(|line| line.strip_prefix("jiffies_64 = "));
    let jiffies: u64 =
        jiffies.and_then(|text| text.rsplit(' ').next()?.parse().ok()).expect("jiffies");
    let seconds = (jiffies - ((1 << 32) - 300 * 250)) / 250;
    let ours = told["uptime_ns"].as_u64().unwrap() / 1_000_000_000;
    assert!(ours.abs_diff(seconds) < 3, "{ours} and {seconds}");
    let tainted = format!("TAINTED_MASK: {:x} ", told["taint_mask"].as_u64().unwrap());
    assert!(said.contains(&tainted), "{tainted}\n{said}");
    let log = run(["dmesg", stored.to_str().unwrap()]).expect(0).stdout;
    let without_time = |line: &str| line.split_once("] ").map(|(_, text)| text.to_owned());
    for line in log.lines().filter_map(without_time) {
        assert!(said.contains(line.trim_end()), "crash has no {line:?} in its log");
    }
}
