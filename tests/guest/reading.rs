//! The kernel is read out of a real guest's core, and judged by makedumpfile, drgn
//! and the guest's own console.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::judges;
use crate::machine::Machine;
use crate::tool::{Ran, run};

#[test]
fn the_kernel_is_read_out_of_a_core() {
    let machine = Machine::panicked(&[]);
    let entry = run(["capture", &machine.monitor(), "--store", &machine.store()]).expect(0).entry();
    let stored = entry.join("vmcore.elf.zst");
    let plain = unpack(&machine, &stored);
    let log = read("dmesg", &stored, &[]).expect(0);
    assert_eq!(log.stderr, "", "nothing is missing");
    assert_eq!(log.stdout, by_makedumpfile(&machine, &plain));
    assert_eq!(log.stdout, read("dmesg", &plain, &[]).expect(0).stdout);
    console_has_the_same_lines(&machine, &stored);
    parts_of_the_log(&stored, &log.stdout);
    without_a_note(&plain, &log.stdout);
    translations(&stored, &plain);
}

/// The guest logs every debug message: many times what its ring holds.
#[test]
fn a_log_that_wrapped_is_read_from_its_oldest_record_on() {
    if env::var_os("VMCORECTL_TEST_FULL").is_none() {
        return;
    }
    let machine = Machine::panicked(&["--append", "dyndbg=+p"]);
    let entry = run(["capture", &machine.monitor(), "--store", &machine.store()]).expect(0).entry();
    let stored = entry.join("vmcore.elf.zst");
    let plain = unpack(&machine, &stored);
    let log = read("dmesg", &stored, &[]).expect(0);
    assert_eq!(log.stdout, by_makedumpfile(&machine, &plain));
    let numbers: Vec<_> =
        records(&stored, &[]).iter().map(|record| record["seq"].as_u64().unwrap()).collect();
    assert!(numbers[0] > 1000, "the ring has wrapped: {}", numbers[0]);
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "no record is missing");
}

fn read(command: &str, core: &Path, arguments: &[&str]) -> Ran {
    let core = core.to_str().expect("a path in UTF-8");
    run([&[command, core], arguments].concat())
}

fn unpack(machine: &Machine, stored: &Path) -> PathBuf {
    let plain = machine.space("plain.elf");
    let mut zstd = Command::new("zstd");
    let status = zstd.args(["-d", "-q"]).arg(stored).arg("-o").arg(&plain).status().expect("zstd");
    assert!(status.success());
    plain
}

/// The log as makedumpfile writes it.
pub(crate) fn by_makedumpfile(machine: &Machine, plain: &Path) -> String {
    let log = machine.space("dmesg");
    let mut command = Command::new("makedumpfile");
    let output = command.arg("--dump-dmesg").arg(plain).arg(&log).output().expect("makedumpfile");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(fs::read(log).unwrap()).expect("ASCII")
}

fn records(stored: &Path, arguments: &[&str]) -> Vec<Value> {
    let text = read("dmesg", stored, &[&["--json"], arguments].concat()).expect(0).stdout;
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// The console has each line of a record with its time in front.
pub(crate) fn console_has_the_same_lines(machine: &Machine, stored: &Path) {
    let mut expected = BTreeSet::new();
    let mut numbers = Vec::new();
    for record in records(stored, &[]) {
        numbers.push(record["seq"].as_u64().unwrap());
        let micros = record["time_ns"].as_u64().unwrap() / 1000;
        let time = format!("[{:>5}.{:06}]", micros / 1_000_000, micros % 1_000_000);
        for line in record["text"].as_str().unwrap().split('\n') {
            expected.insert(format!("{time} {line}").trim_end().to_owned());
        }
    }
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "no record is missing");
    let console = machine.console();
    let shown: Vec<_> = console
        .lines()
        .map(str::trim_end)
        .filter(|line| line.starts_with('[') && line.get(6..7) == Some("."))
        .collect();
    assert!(shown.len() > 250, "{} lines on the console", shown.len());
    let missing: Vec<_> = shown.iter().filter(|line| !expected.contains(**line)).collect();
    assert!(missing.is_empty(), "on the console and not in the log: {missing:#?}");
}

fn parts_of_the_log(stored: &Path, whole: &str) {
    let tail = read("dmesg", stored, &["--tail", "5"]).expect(0).stdout;
    assert!(whole.ends_with(&tail) && tail.lines().count() >= 5, "{tail}");
    let levels: BTreeSet<_> = records(stored, &["--level", "crit+,warn"])
        .iter()
        .map(|record| record["level"].as_str().unwrap().to_owned())
        .collect();
    assert!(levels.contains("warn") && levels.contains("emerg"), "{levels:?}");
    assert!(
        levels.iter().all(|level| ["emerg", "alert", "crit", "warn"].contains(&level.as_str()))
    );
    let last = records(stored, &["--tail", "1"])[0]["time_ns"].as_u64().unwrap();
    let late = records(stored, &["--since", "-500ms"]);
    let times = late.iter().map(|record| record["time_ns"].as_u64().unwrap());
    assert!(times.min().unwrap() >= last - 500_000_000);
    assert_eq!(records(stored, &["--since", "0"]).len(), records(stored, &[]).len());
    // A time of day, not far from now; the last record is as old as the panic's notice.
    let dated = read("dmesg", stored, &["-T", "--tail", "1"]).expect(0).says("an estimate").stdout;
    let year = jiff::Timestamp::now().to_string();
    assert!(dated.starts_with(&format!("[{}", &year[..4])), "{dated}");
    let caller = read("dmesg", stored, &["--caller", "--tail", "1"]).expect(0).stdout;
    assert!(caller.contains("][    T"), "{caller}");
}

/// As a guest without QEMU's vmcoreinfo device, or without its driver: Ubuntu's.
fn without_a_note(plain: &Path, whole: &str) {
    let mut bytes = fs::read(plain).unwrap();
    let name = b"VMCOREINFO\0";
    let at = bytes.windows(name.len()).position(|part| part == name).expect("the note");
    assert!(at < 0x4000, "the note is at the file's start");
    bytes[at..at + 4].copy_from_slice(b"NONE");
    let other = plain.with_file_name("no-note.elf");
    fs::write(&other, bytes).unwrap();
    let found = read("dmesg", &other, &[]).expect(0).says("no VMCOREINFO note").says("a vCPU uses");
    assert_eq!(found.stdout, whole);
}

/// Where we say that an address is, drgn finds the same bytes by its own walk.
pub(crate) fn translations_by_drgn(stored: &Path, plain: &Path) {
    let info = fs::read(plain).unwrap();
    let info = String::from_utf8_lossy(&info[..0x4000]).into_owned();
    let symbol = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(&format!("SYMBOL({name})=")));
        line.unwrap_or_else(|| panic!("{name} is not in VMCOREINFO")).to_owned()
    };
    // Three in the kernel's image, one in the direct map.
    let addresses = ["init_uts_ns", "prb", "_stext", "mem_section"].map(symbol);
    let mut script = String::from(
        "import sys, drgn\nprogram = drgn.Program()\nprogram.set_core_dump(sys.argv[1])\n",
    );
    for address in &addresses {
        let vtop = read("vtop", stored, &[address, "--json"]).expect(0);
        let found: Value = serde_json::from_str(&vtop.stdout).expect("JSON");
        let physical = found["physical"].as_str().unwrap();
        assert!(found["steps"].as_array().unwrap().len() >= 3, "{found}");
        script.push_str(&format!(
            "assert program.read(0x{address}, 16) == program.read({physical}, 16, physical=True), '{address}'\n"
        ));
    }
    judges::drgn_says(&script, plain, "");
}

fn translations(stored: &Path, plain: &Path) {
    translations_by_drgn(stored, plain);
    let error = read("vtop", stored, &["ffffffffff000000"]).expect(1);
    assert!(error.stdout.contains("is not mapped: its"), "{error:?}");
    read("vtop", stored, &["1000"]).expect(1).says("--cpu N");
    read("vtop", stored, &["1000", "--cpu", "0"]).expect(1);
    read("vtop", stored, &["1000", "--cpu", "2"]).expect(1).says("the core has 2");
}
