//! Guests of several kernels, and what each check and each judge says of their cores.
//!
//! Only in the full run (`VMCORECTL_TEST_FULL`), for which `tests/run --full` builds
//! these guests. Otherwise these tests do nothing: the fast slice judges the machine's own
//! kernel, Debian's 6.1 on bookworm, in [`crate::judges`]. Judges that need debug symbols
//! judge the kernels that have them (`tests/run --full --symbols`).
//!
//! A kernel is a line in `kernels!`, a check is a line in [`CHECKS`]. What a judge
//! cannot do with a kernel is a property of the kernel's line, with the judge's own
//! words: a judge that learns it fails the test, too.

use std::any::Any;
use std::env;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::judges;
use crate::kernel_facts::{self, Disks};
use crate::layouts;
use crate::machine::Machine;
use crate::made_files;
use crate::reading;
use crate::stacks;
use crate::symbols;
use crate::tool::run;

/// A guest that `samples/guest/build --kernel` has made, below `target`.
struct Kernel {
    folder: &'static str,
    /// The panic device holds it. Otherwise it has to be stopped.
    held: bool,
    /// The gdb that knows its processor.
    gdb: &'static str,
    /// Where its memory begins.
    memory_at: u64,
    /// Judges that refuse its cores, and what they say.
    refused_by: &'static [(&'static str, &'static str)],
}

impl Kernel {
    /// What a judge says that refuses its cores.
    fn refusal_of(&self, judge: &str) -> Option<&'static str> {
        self.refused_by.iter().find(|(by, _)| *by == judge).map(|(_, words)| *words)
    }
}

/// An amd64 guest that every judge reads.
const AMD64: Kernel = Kernel { folder: "", held: true, gdb: "gdb", memory_at: 0, refused_by: &[] };

/// crash 8.0.2 is older than these kernels. It ends without a word, or says now and then that kernel and
/// core "do not match!"; and does the same with QEMU's own dumps of them.
const NEWER_THAN_CRASH: Kernel = Kernel { refused_by: &[("crash", "")], ..AMD64 };

/// crash 9.0.2 does not know this kernel's `struct module` either.
const NEWER_THAN_ANY_CRASH: Kernel = Kernel {
    refused_by: &[("crash", ""), ("newer crash", "invalid structure member offset")],
    ..AMD64
};

/// Makes a test of each kernel.
macro_rules! kernels {
    ($($(#[$doc:meta])* $name:ident: $kernel:expr;)+) => {
        $($(#[$doc])* #[test]
        fn $name() {
            check(&$kernel);
        })+
    };
}

kernels! {
    linux_5_10_in_the_full_run: Kernel { folder: "guest-5.10", ..AMD64 };
    linux_6_1_in_the_full_run: Kernel { folder: "guest-6.1", ..AMD64 };
    linux_6_12_in_the_full_run: Kernel { folder: "guest-6.12", ..NEWER_THAN_CRASH };
    linux_7_2_in_the_full_run: Kernel { folder: "guest-7.2", ..NEWER_THAN_ANY_CRASH };
    // Debian's arm64 kernels have no pvpanic driver. makedumpfile reads the architecture it is built for.
    linux_6_12_on_arm64_in_the_full_run: Kernel {
        folder: "guest-6.12-arm64",
        held: false,
        gdb: "gdb-multiarch",
        memory_at: 1 << 30,
        refused_by: &[("makedumpfile", "check_release: Can't get the address of system_utsname.")],
    };
}

/// Judges one core.
type Check = fn(&Case);

/// What is checked of each kernel's core.
const CHECKS: &[(&str, Check)] = &[
    ("info", info),
    ("verify", verify),
    ("readelf", |case| judges::readelf(&case.unpacked)),
    ("gdb", |case| assert_eq!(judges::threads(case.kernel.gdb, &case.unpacked), 2)),
    ("drgn", |case| judges::drgn(&case.unpacked, case.kernel.memory_at + (16 << 20))),
    ("drgn's release", drgn_release),
    ("makedumpfile and dmesg", log_by_makedumpfile),
    ("the console and dmesg", |case| {
        reading::console_has_the_same_lines(&case.machine, &case.stored);
    }),
    ("drgn and dmesg", log_by_drgn),
    ("the console and bt", |case| {
        stacks::same_as_the_console(&case.machine.console(), &case.stored);
    }),
    ("drgn and bt", stacks_by_drgn),
    ("the guest's mounts", |case| {
        kernel_facts::mounts_by_the_guest(&case.machine.console(), &case.stored);
    }),
    ("the guest's memory", |case| {
        kernel_facts::memory_by_the_guest(&case.machine.console(), &case.stored);
    }),
    ("drgn and the system", system_by_drgn),
    ("crash", |case| judged_by_crash(case, "crash", Path::new("crash"))),
    ("newer crash", newer_crash),
    ("nm and symbols", symbols_by_nm),
    ("symbols without VMCOREINFO", |case| {
        symbols::whatever_tells_of_them(&case.unpacked, case.kernel.gdb == "gdb");
    }),
    ("layouts without types", |case| layouts::same_without_types(&case.unpacked)),
    ("made files", made_files),
    ("drgn and vtop", |case| reading::translations_by_drgn(&case.stored, &case.unpacked)),
];

/// A kernel's core.
struct Case<'a> {
    kernel: &'a Kernel,
    machine: Machine,
    /// As captured.
    stored: PathBuf,
    /// As `zstd -d` unpacks it.
    unpacked: PathBuf,
}

impl Case<'_> {
    /// Boots the kernel, lets it panic, and captures it.
    fn new(kernel: &Kernel) -> Case<'_> {
        let folder = target(kernel);
        assert!(folder.exists(), "there is no {}: tests/run --full builds it", folder.display());
        let disks = Disks::new();
        let of_disks = disks.arguments();
        let arguments =
            of_disks.iter().map(String::as_str).chain(["--guest", folder.to_str().unwrap()]);
        let machine = Machine::boot(&arguments.collect::<Vec<_>>());
        if kernel.held {
            machine.await_state("guest-panicked");
        } else {
            machine.await_console("end Kernel panic", 1);
        }
        let stored = machine.space("core.zst");
        let mut command = vec!["capture", "--quit", "--output", stored.to_str().unwrap()];
        command.extend((!kernel.held).then_some("--any-state"));
        let monitor = machine.monitor();
        command.push(&monitor);
        run(command).expect(0);
        let unpacked = machine.space("core.elf");
        let mut zstd = Command::new("zstd");
        let status = zstd.args(["-qd", "-o"]).arg(&unpacked).arg(&stored).status();
        assert!(status.expect("zstd starts").success());
        Case { kernel, machine, stored, unpacked }
    }

    /// `uname -r` in the guest.
    fn release(&self) -> String {
        let path = target(self.kernel).join("kernel-version");
        fs::read_to_string(path).unwrap().trim_end().to_owned()
    }
}

/// Runs every check of a kernel: one that fails hides no other.
fn check(kernel: &Kernel) {
    if env::var_os("VMCORECTL_TEST_FULL").is_none() {
        return;
    }
    let case = Case::new(kernel);
    let failed: Vec<String> = CHECKS
        .iter()
        .filter_map(|(name, check)| {
            let failure = catch_unwind(AssertUnwindSafe(|| check(&case))).err()?;
            Some(format!("{name}: {}", message(failure.as_ref())))
        })
        .collect();
    assert!(failed.is_empty(), "{}:\n{}", kernel.folder, failed.join("\n"));
}

fn info(case: &Case<'_>) {
    let release = case.release();
    let core = case.stored.to_str().unwrap();
    let answer = run(["info", core, "--json"]).expect(0).stdout;
    let answer = parse(&answer);
    assert_eq!(answer["core"]["kernel_release"], release.as_str());
    assert_eq!(answer["core"]["cpus"], 2);
    assert_eq!(answer["core"]["vmcoreinfo"], true);
    let build_id = answer["core"]["kernel_build_id"].as_str().expect("a build id");
    // The guest's own words, wherever they are in its memory.
    let words = format!("OSRELEASE={release}\nBUILD-ID={build_id}\n");
    let memory = fs::read(&case.unpacked).unwrap();
    assert!(memory.windows(words.len()).any(|at| at == words.as_bytes()), "no {words:?}");
    assert!(run(["info", core]).expect(0).stdout.contains(&release));
}

fn verify(case: &Case<'_>) {
    run(["verify", case.stored.to_str().unwrap()]).expect(0);
}

/// drgn finds the kernel's release in the VMCOREINFO that QEMU took from the guest.
fn drgn_release(case: &Case<'_>) {
    let script = "import sys, drgn\n\
        program = drgn.Program()\n\
        program.set_core_dump(sys.argv[1])\n\
        print(program['UTS_RELEASE'].string_().decode())\n";
    assert_eq!(judges::drgn_says(script, &case.unpacked, ""), case.release());
}

fn log_by_makedumpfile(case: &Case<'_>) {
    if let Some(words) = case.kernel.refusal_of("makedumpfile") {
        let mut judge = Command::new("makedumpfile");
        judge.arg("--dump-dmesg").arg(&case.unpacked).arg(case.machine.space("refused"));
        let said = judges::refusal(&mut judge);
        assert!(said.contains(words), "{words:?} expected: {said}");
        return;
    }
    let log = run(["dmesg", case.stored.to_str().unwrap()]).expect(0).stdout;
    assert!(log.contains("Kernel panic - not syncing: sysrq triggered crash"), "{log}");
    assert_eq!(log, reading::by_makedumpfile(&case.machine, &case.unpacked));
}

/// The debug symbols, if somebody has them: `tests/run --full --symbols` does.
fn debug_symbols(case: &Case<'_>) -> Option<PathBuf> {
    let vmlinux = target(case.kernel).join("vmlinux");
    vmlinux.exists().then_some(vmlinux)
}

fn judged_by_crash(case: &Case<'_>, judge: &str, program: &Path) {
    let Some(vmlinux) = debug_symbols(case) else { return };
    if let Some(words) = case.kernel.refusal_of(judge) {
        let commands = case.machine.space("commands");
        let mut crash = judges::crash_on(program, &vmlinux, &case.unpacked, &commands);
        let said = judges::refusal(&mut crash);
        assert!(said.contains(words), "{words:?} expected: {said}");
        return;
    }
    judges::crash_with(program, &vmlinux, &case.unpacked);
    kernel_facts::by_crash(&case.stored, &case.unpacked, program, &vmlinux);
}

/// The crash that `tests/newer-judge` gets.
fn newer_crash(case: &Case<'_>) {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/crash/crash");
    if program.exists() {
        judged_by_crash(case, "newer crash", &program);
    }
}

/// drgn with symbols finds the same stacks.
fn stacks_by_drgn(case: &Case<'_>) {
    let Some(vmlinux) = debug_symbols(case) else { return };
    stacks::same_as_drgn(&case.stored, &case.unpacked, &vmlinux);
}

/// drgn with symbols finds the same tasks, modules, mounts, and what the kernel says of itself.
fn system_by_drgn(case: &Case<'_>) {
    let Some(vmlinux) = debug_symbols(case) else { return };
    kernel_facts::by_drgn(&case.stored, &case.unpacked, &vmlinux);
}

/// drgn with symbols has the same records, with the same numbers and times.
fn log_by_drgn(case: &Case<'_>) {
    let Some(vmlinux) = debug_symbols(case) else { return };
    let script = "import json, sys, drgn\n\
        from drgn.helpers.linux.printk import get_printk_records\n\
        program = drgn.Program()\n\
        program.set_core_dump(sys.argv[1])\n\
        program.load_debug_info([sys.argv[2]])\n\
        for record in get_printk_records(program):\n    \
        print(json.dumps([record.seq, record.timestamp, record.text.decode()]))\n";
    let theirs = judges::drgn_says(script, &case.unpacked, vmlinux.to_str().unwrap());
    let theirs: Vec<Value> = theirs.lines().map(parse).collect();
    let ours = run(["dmesg", case.stored.to_str().unwrap(), "--json"]).expect(0).stdout;
    let ours: Vec<Value> = ours
        .lines()
        .map(parse)
        .map(|record| json!([record["seq"], record["time_ns"], record["text"]]))
        .collect();
    assert!(ours.len() > 200, "{} records", ours.len());
    assert!(ours == theirs, "ours: {ours:#?}\ntheirs: {theirs:#?}");
}

/// What gdb, drgn and each crash that reads the kernel find in the files that are made of the core.
fn made_files(case: &Case<'_>) {
    let newer = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/crash/crash");
    let crashes = [("crash", Path::new("crash")), ("newer crash", &*newer)];
    // gdb, crash and drgn of this machine read the kernels of its own processor.
    let is_own = case.kernel.gdb == "gdb";
    let reads = |(name, path): &(&str, &Path)| {
        is_own && case.kernel.refusal_of(name).is_none() && (*name == "crash" || path.exists())
    };
    let crashes: Vec<&Path> = crashes.iter().filter(|one| reads(one)).map(|one| one.1).collect();
    made_files::judged(&case.unpacked, debug_symbols(case).as_deref(), &crashes);
}

fn symbols_by_nm(case: &Case<'_>) {
    let Some(vmlinux) = debug_symbols(case) else { return };
    symbols::by_nm(&case.unpacked, &vmlinux);
}

fn parse(line: &str) -> Value {
    serde_json::from_str(line).expect("JSON")
}

fn target(kernel: &Kernel) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join(kernel.folder)
}

/// What a failed assertion said.
fn message(failure: &(dyn Any + Send)) -> String {
    match (failure.downcast_ref::<String>(), failure.downcast_ref::<&str>()) {
        (Some(message), _) => message.clone(),
        (None, message) => message.copied().unwrap_or("a panic without a message").to_owned(),
    }
}
