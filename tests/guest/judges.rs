//! What others say about a core: zstd, readelf, gdb, makedumpfile, drgn, crash,
//! and another implementation of the seekable format.

use std::env;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::machine::Machine;
use crate::same_memory::{Core, assert_same};
use crate::tool::run;

#[test]
fn the_tools_of_the_trade_accept_a_core() {
    let machine = Machine::panicked(&[]);
    let by_qemu = machine.dump_by_qemu();
    let entry = run(["capture", &machine.monitor(), "--store", &machine.store()]).expect(0).entry();
    let stored = entry.join("vmcore.elf.zst");
    says("zstd", &["-t", "-q"], &stored);
    let unpacked = assert_same(&machine, &stored, &by_qemu);
    seekable_by_another_implementation(&stored, &unpacked);
    readelf(&unpacked);
    assert_eq!(gdb_threads(&unpacked), 2);
    makedumpfile(&machine, &unpacked);
    drgn(&unpacked, 16 << 20);
    if env::var_os("VMCORECTL_TEST_FULL").is_some() {
        crash(&unpacked);
    }
}

/// How many threads gdb finds: one for each vCPU.
pub(crate) fn gdb_threads(core: &Path) -> usize {
    threads("gdb", core)
}

/// The same for a gdb that knows the core's processor.
pub(crate) fn threads(gdb: &str, core: &Path) -> usize {
    let arguments = ["-q", "-nx", "-batch", "-ex", "info threads", "--core"];
    says(gdb, &arguments, core)
        .lines()
        .filter(|line| line.contains(" LWP ") && !line.starts_with("[New"))
        .count()
}

pub(crate) fn readelf(core: &Path) {
    let text = says("readelf", &["-h", "-l", "-n", "-W"], core);
    assert!(text.contains("CORE (Core file)"), "{text}");
    assert!(text.contains("VMCOREINFO") && text.contains("NT_PRSTATUS"), "{text}");
    assert!(!text.to_lowercase().contains("warning"), "{text}");
}

pub(crate) fn makedumpfile(machine: &Machine, core: &Path) {
    let log = machine.space("dmesg");
    let _ = fs::remove_file(&log);
    let mut command = Command::new("makedumpfile");
    let output = command.arg("--dump-dmesg").arg(core).arg(&log).output().expect("makedumpfile");
    assert!(output.status.success(), "{output:?}");
    let log = String::from_utf8_lossy(&fs::read(&log).unwrap()).into_owned();
    assert!(log.contains("Kernel panic - not syncing: sysrq triggered crash"), "{log}");
}

/// drgn takes the core for that of a Linux kernel, and reads its memory as it is in the file.
pub(crate) fn drgn(unpacked: &Path, physical: u64) {
    drgn_reads(unpacked, physical, &Core::open(unpacked).physical(physical, 64));
}

/// The same for a core of any format, with the 64 bytes that drgn should find.
pub(crate) fn drgn_reads(core: &Path, physical: u64, expected: &[u8]) {
    const SCRIPT: &str = "import sys, drgn\n\
        program = drgn.Program()\n\
        program.set_core_dump(sys.argv[1])\n\
        assert program.flags & drgn.ProgramFlags.IS_LINUX_KERNEL, program.flags\n\
        print(program.read(int(sys.argv[2]), 64, physical=True).hex())\n";
    let read = drgn_says(SCRIPT, core, &physical.to_string());
    let expected: String = expected.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(read, expected);
}

/// What a script for drgn prints; the core and another argument are its own.
pub(crate) fn drgn_says(script: &str, core: &Path, argument: &str) -> String {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/drgn-venv/bin/python3");
    assert!(python.exists(), "drgn is not in target/drgn-venv: tests/run installs it");
    let mut command = Command::new(python);
    let output = command.args(["-c", script]).arg(core).arg(argument).output().expect("drgn");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// crash reads a core of the machine's own kernel.
pub(crate) fn crash(core: &Path) {
    crash_with(Path::new("crash"), &vmlinux(), core);
}

/// The debug symbols of the machine's own kernel.
pub(crate) fn vmlinux() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/guest/vmlinux")
}

/// The same for a core of any kernel, and any crash.
pub(crate) fn crash_with(crash: &Path, kernel: &Path, core: &Path) {
    assert!(kernel.exists(), "no debug symbols: samples/guest/build --debug-symbols");
    let commands = tempfile::NamedTempFile::new().unwrap();
    let output = crash_on(crash, kernel, core, commands.path()).output().expect("crash starts");
    assert!(output.status.success(), "{output:?}");
    crash_has_read(&String::from_utf8_lossy(&output.stdout));
}

/// Whether crash printed log, backtrace and tasks.
pub(crate) fn crash_has_read(text: &str) {
    assert!(text.contains("sysrq triggered crash"), "{text}");
    assert!(text.contains("sysrq_handle_crash"), "{text}");
    // Each vCPU's idle task, from `ps`.
    assert!(text.matches("[swapper/").count() >= 2, "{text}");
}

/// What crash is to do with a core.
pub(crate) const CRASH_COMMANDS: &str = "log\nbt\nps\nquit\n";

/// crash, as it will be started on a core; its commands go into a file.
pub(crate) fn crash_on(crash: &Path, vmlinux: &Path, core: &Path, commands: &Path) -> Command {
    fs::write(commands, CRASH_COMMANDS).unwrap();
    let mut crash = Command::new(crash);
    crash.stdin(Stdio::null()).args(["-s", "-i"]).arg(commands).arg(vmlinux).arg(core);
    crash
}

/// Runs a judge on a core. Gives what it printed, errors included.
#[track_caller]
fn says(program: &str, arguments: &[&str], core: &Path) -> String {
    let output = Command::new(program)
        .args(arguments)
        .arg(core)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {text}");
    text.into_owned()
}

/// Runs a judge that refuses a core. Gives what it said.
#[track_caller]
pub(crate) fn refusal(judge: &mut Command) -> String {
    let output = judge.stdin(Stdio::null()).output().expect("the judge starts");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{judge:?} accepts the core now: {text}");
    text.into_owned()
}

/// Reads pieces across the core by zeekstd, and compares them with the unpacked file.
fn seekable_by_another_implementation(stored: &Path, unpacked: &Path) {
    let mut plain = File::open(unpacked).unwrap();
    let length = plain.metadata().unwrap().len();
    let mut seekable = zeekstd::Decoder::new(File::open(stored).unwrap())
        .expect("a seek table that zeekstd reads");
    for start in [0, 4096, (1 << 20) - 7, length / 2 + 123, length - 100] {
        let end = length.min(start + 5000);
        let size = usize::try_from(end - start).unwrap();
        let (mut ours, mut theirs) = (vec![0; size], vec![0; size]);
        plain.seek(SeekFrom::Start(start)).unwrap();
        plain.read_exact(&mut ours).unwrap();
        seekable.set_offset(start).unwrap();
        seekable.set_offset_limit(end).unwrap();
        seekable.read_exact(&mut theirs).unwrap();
        assert!(ours == theirs, "{start}..{end}");
    }
}
