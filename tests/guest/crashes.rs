//! Guests that crash in many ways, and what the report on each says.
//!
//! Needs: guests with the module of `samples/guest/crasher`. The fast slice crashes the
//! machine's own kernel in three ways; the full run (`VMCORECTL_TEST_FULL`) every kernel in
//! every way. A way is a line in [`WAYS`], a check is a line in [`CHECKS`].
//!
//! The judges: what the guest itself printed (its call trace, without the guesses that
//! it marks), and drgn with the debug symbols of kernel and module, where there are any.

use std::any::Any;
use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::call_trace::CallTrace;
use crate::judges;
use crate::machine::Machine;
use crate::tool::{Ran, command, run};

/// A way to crash, as `samples/guest/init` knows it.
struct Way {
    how: &'static str,
    /// Titles that say what happened: the first word that fits counts.
    titles: &'static [&'static str],
    /// The function that did it. The kernel's own ways have none of ours.
    function: Option<&'static str>,
}

const fn way(how: &'static str, titles: &'static [&'static str]) -> Way {
    Way { how, titles, function: None }
}

const fn of_crasher(
    how: &'static str,
    title: &'static [&'static str],
    function: &'static str,
) -> Way {
    Way { how, titles: title, function: Some(function) }
}

const NULL: &str = "BUG: unable to handle kernel NULL pointer dereference in by_null";

const WAYS: &[Way] = &[
    way("sysrq", &["kernel panic: sysrq triggered crash"]),
    way("init", &["kernel panic: Attempted to kill init!"]),
    way("oom", &["kernel panic: Out of memory: compulsory panic_on_oom is enabled"]),
    of_crasher("null", &[NULL], "by_null"),
    // The instruction pointer was null, too: its caller is the function.
    of_crasher(
        "call",
        &["BUG: unable to handle kernel NULL pointer dereference in by_call"],
        "by_call",
    ),
    of_crasher("bug", &["kernel BUG in by_bug"], "by_bug"),
    way("panic", &["kernel panic: crasher was asked to"]),
    of_crasher("list", &["BUG: corrupted list in by_list"], "by_list"),
    of_crasher(
        "uaf",
        // The poison is no address at all on amd64, and one without a page on arm64.
        &[
            "general protection fault in by_uaf",
            "BUG: unable to handle kernel paging request in by_uaf",
        ],
        "by_uaf",
    ),
    of_crasher(
        "stack",
        &[
            "BUG: stack guard page was hit in by_stack",
            "kernel panic: kernel stack overflow in by_stack",
            "kernel stack overflow in by_stack",
        ],
        "by_stack",
    ),
    of_crasher("divide", &["divide error in by_divide"], "by_divide"),
    of_crasher("timer", &[NULL], "by_null"),
    of_crasher("interrupt", &[NULL], "by_null"),
    of_crasher("work", &[NULL], "by_null"),
    of_crasher("softlockup", &["BUG: soft lockup in by_softlockup"], "by_softlockup"),
    of_crasher("hungtask", &["INFO: task hung in by_hungtask"], "by_hungtask"),
    // Under emulation there is no counter whose NMI would find it: QEMU sends one. On arm64 another CPU finds it, and its
    // own stack is all that the log has.
    way("hardlockup", &["kernel panic: NMI: Not continuing", "hard lockup in by_hardlockup"]),
];

/// A guest's kernel, below `target`.
#[derive(Clone, Copy)]
struct Guest {
    folder: &'static str,
    /// The panic device holds it. Otherwise it has to be stopped.
    held: bool,
    /// Its stacks are followed by frame pointers, not by tables.
    frame_pointers: bool,
    /// Ways that do nothing there.
    without: &'static [&'static str],
}

const DEBIAN: Guest = Guest { folder: "guest", held: true, frame_pointers: false, without: &[] };

/// Makes a test of a guest and a way.
macro_rules! crashes {
    ($($name:ident: $guest:expr, $how:literal;)+) => {
        $(#[test]
        fn $name() {
            check(&$guest, $how);
        })+
    };
}

crashes! {
    a_crash_by_sysrq_is_explained: DEBIAN, "sysrq";
    a_null_pointer_in_a_module_is_explained: DEBIAN, "null";
    tasks_that_hang_are_told_by_what_they_wait_for: DEBIAN, "hungtask";
    the_end_of_init_is_explained: DEBIAN, "init";
}

/// Makes a test of all the ways of a guest, in the full run.
macro_rules! guests {
    ($($name:ident: $guest:expr;)+) => {
        $(#[test]
        fn $name() {
            check_all(&$guest);
        })+
    };
}

guests! {
    crashes_of_this_machines_own_kernel_in_the_full_run: DEBIAN;
    crashes_of_linux_5_10_in_the_full_run: Guest { folder: "guest-5.10", ..DEBIAN };
    crashes_of_linux_6_12_in_the_full_run: Guest { folder: "guest-6.12", ..DEBIAN };
    crashes_of_linux_7_2_in_the_full_run: Guest { folder: "guest-7.2", ..DEBIAN };
    // There is no pvpanic driver, and a division by zero gives zero.
    crashes_of_linux_6_12_on_arm64_in_the_full_run: Guest {
        folder: "guest-6.12-arm64",
        held: false,
        frame_pointers: true,
        without: &["divide"],
    };
    // Built by samples/guest/build-frame-pointer: its stacks are chains of frame pointers.
    crashes_of_a_kernel_with_frame_pointers_in_the_full_run:
        Guest { folder: "guest-frame-pointer", frame_pointers: true, ..DEBIAN };
}

/// Judges one report.
type Check = fn(&Crash<'_>);

const CHECKS: &[(&str, Check)] = &[
    ("the title", title),
    ("the panicked task", panicked_task),
    ("the guest's own call trace", own_call_trace),
    ("the blocked tasks", blocked_tasks),
    ("drgn", drgn),
];

/// A crashed guest's core, and the report on it.
struct Crash<'a> {
    guest: &'a Guest,
    way: &'a Way,
    /// As captured.
    stored: PathBuf,
    report: Value,
    _machine: Machine,
}

impl Crash<'_> {
    /// Boots a guest, lets it crash, captures it, and reports.
    fn new<'a>(guest: &'a Guest, way: &'a Way) -> Crash<'a> {
        let folder = target(guest);
        assert!(folder.exists(), "there is no {}: tests/run builds it", folder.display());
        let arguments =
            ["--guest", folder.to_str().unwrap(), "--memory", "256M", "--crash", way.how];
        let machine = Machine::boot(&arguments);
        if guest.held && way.how == "hardlockup" {
            machine.await_console("GUEST-CRASH", 1);
            sleep(Duration::from_secs(5));
            machine.execute("inject-nmi");
        }
        if guest.held {
            machine.await_state("guest-panicked");
        } else {
            machine.await_console("end Kernel panic", 1);
        }
        let stored = machine.space("core.zst");
        let monitor = machine.monitor();
        let output = stored.to_str().unwrap();
        run(["capture", "--any-state", "--then", "quit", "--output", output, &monitor]).expect(0);
        let report = run(["report", "--json", output]).expect(0).stdout;
        let report = serde_json::from_str(&report).expect("JSON");
        Crash { guest, way, stored, report, _machine: machine }
    }

    /// The stack of the CPU that panicked: the addresses, and the functions as the kernel prints them.
    fn stack(&self) -> Vec<(u64, String)> {
        let vcpu = self.report["panicked"]["vcpu"].as_u64().expect("the vCPU that panicked");
        let cpus = self.report["cpus"].as_array().unwrap();
        let cpu = cpus.iter().find(|cpu| cpu["vcpu"] == vcpu).expect("that vCPU");
        let frames = cpu["stack"]["frames"].as_array().unwrap().iter();
        let frames: Vec<_> = frames
            .map(|frame| {
                let module = frame["module"].as_str().map(|module| format!(" [{module}]"));
                let function = text(&frame["function"]) + &module.unwrap_or_default();
                (address(&frame["address"]), function)
            })
            .collect();
        assert!(!frames.is_empty(), "no stack: {cpu:#}");
        frames
    }

    /// What the guest logged.
    fn log(&self) -> String {
        run(["dmesg", self.stored.to_str().unwrap()]).expect(0).stdout
    }
}

fn check_all(guest: &Guest) {
    if env::var_os("VMCORECTL_TEST_FULL").is_none() {
        return;
    }
    let ways = WAYS.iter().filter(|way| !guest.without.contains(&way.how));
    let failed: Vec<String> = ways.flat_map(|way| failures(guest, way)).collect();
    assert!(failed.is_empty(), "{}:\n{}", guest.folder, failed.join("\n"));
}

fn check(guest: &Guest, how: &str) {
    let way = WAYS.iter().find(|way| way.how == how).expect("a way of the table");
    let failed = failures(guest, way);
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Runs every check of a crash: one that fails hides no other.
fn failures(guest: &Guest, way: &Way) -> Vec<String> {
    let said = |name: &str, failure: Box<dyn Any + Send>| {
        let said = failure.downcast_ref::<String>().cloned();
        let said = said.or_else(|| failure.downcast_ref::<&str>().map(|said| (*said).to_owned()));
        format!("{}: {name}: {}", way.how, said.unwrap_or_default())
    };
    let crash = match catch_unwind(AssertUnwindSafe(|| Crash::new(guest, way))) {
        Ok(crash) => crash,
        Err(failure) => return vec![said("the capture", failure)],
    };
    let judged = |(name, check): &(&str, Check)| {
        Some(said(name, catch_unwind(AssertUnwindSafe(|| check(&crash))).err()?))
    };
    CHECKS.iter().filter_map(judged).collect()
}

fn title(crash: &Crash<'_>) {
    let title = text(&crash.report["title"]);
    assert!(crash.way.titles.contains(&title.as_str()), "{title:?}, not {:?}", crash.way.titles);
    if let Some(function) = crash.way.function {
        assert_eq!(crash.report["function"], function);
        assert_eq!(crash.report["module"], "crasher");
    }
}

fn panicked_task(crash: &Crash<'_>) {
    let comm = text(&crash.report["panicked"]["task"]["comm"]);
    let expected: &[&str] = match crash.way.how {
        // 5.10 names a script after its interpreter.
        "sysrq" | "init" => &["init", "busybox"],
        "oom" => &["tail"],
        "work" => &["kworker"],
        "hungtask" => &["khungtaskd"],
        "hardlockup" if !crash.guest.held => &["swapper"],
        // Whatever the timer interrupted.
        "timer" | "interrupt" => &[""],
        _ => &["tee"],
    };
    assert!(expected.iter().any(|start| comm.starts_with(start)), "{comm}, not {expected:?}");
}

/// From where it happened down to the entry, the stack is the one that the guest printed.
fn own_call_trace(crash: &Crash<'_>) {
    if crash.guest.folder == "guest-frame-pointer" && crash.way.how == "stack" {
        // The kernel calls each frame of this one a guess: it judges nothing.
        return;
    }
    let stack: Vec<String> = crash.stack().into_iter().map(|(_, function)| function).collect();
    let printed = CallTrace::last_of(&crash.log()).functions;
    // A kernel thread that did it itself has three.
    assert!(printed.len() >= 3, "too few: {printed:#?}");
    if !crash.guest.frame_pointers {
        assert!(stack.ends_with(&printed), "ours: {stack:#?}\nprinted: {printed:#?}");
        return;
    }
    // Such a kernel leaves out the caller of a function that saved no frame record. arm64's does not look up return
    // addresses at minus one, either: behind a call that never returns it names the function that comes next. All
    // others are in ours, in their order.
    let name = |function: &String| function.split('+').next().unwrap_or_default().to_owned();
    let mut ours = stack.iter().map(name);
    for function in printed.iter().filter(|function| !function.contains("+0x0/")).map(name) {
        assert!(ours.any(|our| our == function), "{function}: {stack:#?}\nprinted: {printed:#?}");
    }
}

/// Tasks that wait in the same way are together: of those that hang, the first one waits for what it has itself, and
/// two wait for it.
fn blocked_tasks(crash: &Crash<'_>) {
    let groups = blocked(crash);
    let waiting_in = |name: &str| -> Vec<(&Value, Vec<String>)> {
        let has = |group: &&Value| {
            let mut frames = group["stack"]["frames"].as_array().unwrap().iter();
            frames.any(|frame| text(&frame["function"]).starts_with(&format!("{name}+")))
        };
        let names = |group: &Value| {
            let tasks = group["tasks"].as_array().unwrap().iter();
            tasks.map(|task| text(&task["comm"])).collect()
        };
        groups.iter().filter(has).map(|group| (&group["count"], names(group))).collect()
    };
    if crash.way.how == "hungtask" {
        let (one, two) =
            ((&1.into(), vec!["tee".to_owned()]), (&2.into(), vec!["tee".to_owned(); 2]));
        assert_eq!(waiting_in("by_hungtask"), std::slice::from_ref(&one));
        // The larger group comes first.
        assert_eq!(waiting_in("param_attr_store"), [two, one]);
    } else {
        assert!(waiting_in("by_hungtask").is_empty(), "{groups:#?}");
    }
}

/// What `ps --blocked` tells.
fn blocked(crash: &Crash<'_>) -> Vec<Value> {
    let told = run(["ps", "--blocked", "--json", crash.stored.to_str().unwrap()]).expect(0).stdout;
    let told: Value = serde_json::from_str(&told).expect("JSON");
    told.as_array().expect("groups").clone()
}

/// drgn, by the debug symbols of the kernel and of the module, says the same.
fn drgn(crash: &Crash<'_>) {
    let folder = target(crash.guest);
    let vmlinux = folder.join("vmlinux");
    if !vmlinux.exists() || crash.guest.frame_pointers {
        return;
    }
    let unpacked = crash.stored.with_extension("elf");
    let mut zstd = Command::new("zstd");
    let status = zstd.args(["-qdf", "-o"]).arg(&unpacked).arg(&crash.stored).status();
    assert!(status.expect("zstd starts").success());
    let said = judges::drgn_says(
        include_str!("crashes.py"),
        &unpacked,
        folder.to_str().expect("a path in UTF-8"),
    );
    let _ = fs::remove_file(&unpacked);
    let said: Value = serde_json::from_str(&said).expect("JSON");

    let theirs = said["stack"].as_array().unwrap().iter();
    let theirs: Vec<(u64, String)> =
        theirs.map(|frame| (frame[0].as_u64().unwrap(), text(&frame[1]))).collect();
    let ours = crash.stack();
    let stack = from_panic(&ours);
    assert_eq!(addresses(stack), addresses(from_panic(&theirs)), "{stack:#x?}\n{theirs:#x?}");

    let group = |group: &Value| {
        let pids = group["tasks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|task| task["pid"].as_i64().unwrap())
            .collect();
        let frames = group["stack"]["frames"].as_array().unwrap().iter();
        (pids, frames.map(|frame| address(&frame["address"])).collect())
    };
    let ours: BTreeSet<(BTreeSet<i64>, Vec<u64>)> = blocked(crash).iter().map(group).collect();
    let theirs = said["blocked"].as_array().unwrap().iter().map(|group| {
        let pids = group[1].as_array().unwrap().iter().map(|pid| pid.as_i64().unwrap()).collect();
        (pids, group[0].as_array().unwrap().iter().map(|at| at.as_u64().unwrap()).collect())
    });
    assert_eq!(ours, theirs.collect());
    source_lines(crash, &vmlinux, &said["stack"], stack.len());

    let kernel = &crash.report["kernel"];
    assert_eq!(kernel["command_line"], said["command_line"]);
    assert_eq!(kernel["taint"]["mask"], said["taint"]);
    let modules = crash.report["modules"].as_array().unwrap().iter();
    let modules: Vec<Value> = modules.map(|module| module["name"].clone()).collect();
    assert_eq!(Value::from(modules), said["modules"]);
    let (uptime, theirs) = (&kernel["uptime_seconds"], said["uptime"].as_f64().unwrap());
    let apart = uptime.as_f64().expect("an uptime") - theirs;
    assert!(apart.abs() < 2.0, "{uptime} and {theirs}");
}

/// `bt` with debug symbols has drgn's functions, files and lines, those of the module included, whose file it
/// finds by its build id.
fn source_lines(crash: &Crash<'_>, vmlinux: &Path, theirs: &Value, from_panic: usize) {
    let stored = crash.stored.to_str().unwrap();
    let cache = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let modules = crash.report["modules"].as_array().unwrap();
    if let Some(crasher) = modules.iter().find(|module| module["name"] == "crasher") {
        let folder = cache.path().join(crasher["build_id"].as_str().expect("a build id"));
        fs::create_dir(&folder).unwrap();
        symlink(target(crash.guest).join("crasher.ko"), folder.join("debuginfo")).unwrap();
    }
    let ran: Ran = command(["bt", stored, "--json", "--vmlinux", vmlinux.to_str().unwrap()])
        .env("DEBUGINFOD_CACHE_PATH", cache.path())
        .output()
        .expect("the program starts")
        .into();
    let said: Value = serde_json::from_str(&ran.expect(0).stdout).expect("JSON");
    let ours = said["stacks"][0]["frames"].as_array().unwrap().iter().map(lines).rev();
    let theirs = theirs.as_array().unwrap().iter().rev();
    for (ours, theirs) in ours.zip(theirs).take(from_panic) {
        if !theirs[2].is_null() {
            assert_eq!(ours, theirs[2], "{said:#}");
        }
    }
}

/// Function, file and line, the innermost inlined function first.
pub(crate) fn lines(frame: &Value) -> Value {
    let lines = frame["lines"].as_array().unwrap().iter();
    lines.map(|line| json!([line["function"], line["file"], line["line"]])).collect()
}

/// A stack from `panic` on: what comes above is how the panic was told.
fn from_panic(stack: &[(u64, String)]) -> &[(u64, String)] {
    let name = |function: &str| function.split('+').next().unwrap_or_default().to_owned();
    let panic = stack
        .iter()
        .rposition(|(_, function)| matches!(name(function).as_str(), "panic" | "vpanic"));
    stack.get(panic.expect("a call of panic")..).unwrap_or_default()
}

fn addresses(stack: &[(u64, String)]) -> Vec<u64> {
    stack.iter().map(|(address, _)| *address).collect()
}

fn address(value: &Value) -> u64 {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x")).expect("an address");
    u64::from_str_radix(digits, 16).expect("a hexadecimal number")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn target(guest: &Guest) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join(guest.folder)
}
