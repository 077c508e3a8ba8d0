//! A guest captured with the kernel's pages alone: nothing that is asked of it is missing.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::judges;
use crate::kernel_facts;
use crate::machine::Machine;
use crate::same_memory::{Core, unpack_to};
use crate::stacks;
use crate::tool::{metadata_of, run};

/// What is asked of crash.
const CRASH_COMMANDS: &str = "bt -a\nlog\nps\nmod\nkmem -i\nquit\n";

/// Has drgn print the kernel's log.
const LOG_BY_DRGN: &str = "import sys, drgn\n\
    from drgn.helpers.linux.printk import get_dmesg\n\
    program = drgn.Program()\n\
    program.set_core_dump(sys.argv[1])\n\
    program.load_debug_info([sys.argv[2]])\n\
    print(get_dmesg(program).decode())\n";

#[test]
fn the_kernels_pages_answer_as_all_pages_do() {
    let machine = Machine::panicked(&["--append", "guest.pages=1 guest.anon=16"]);
    let store = machine.store();
    let capture = |pages: &str| {
        let arguments = ["capture", &machine.monitor(), "--store", &store, "--pages", pages];
        run(arguments).expect(0).entry()
    };
    let (whole, kernel) = (capture("all"), capture("kernel"));
    let metadata = metadata_of(&kernel);
    assert_eq!(metadata.warnings, [""; 0]);
    assert!(metadata.pages_dropped.iter().any(|class| class == "free"), "{metadata:?}");
    assert_eq!(metadata_of(&whole).pages_dropped, [""; 0]);

    let core = |entry: &Path| entry.join("vmcore.elf.zst");
    run(["verify", core(&kernel).to_str().unwrap()]).expect(0);
    let asked: [&[&str]; 5] =
        [&["bt", "--all"], &["dmesg"], &["ps"], &["mods"], &["info", "--kernel", "--json"]];
    for arguments in asked {
        let says = |entry: &Path| {
            let path = core(entry).to_str().unwrap().to_owned();
            let (command, options) = arguments.split_first().unwrap();
            let line: Vec<_> =
                [*command, &path].into_iter().chain(options.iter().copied()).collect();
            run(line).expect(0).stdout
        };
        assert_eq!(says(&whole), says(&kernel), "{arguments:?}");
    }
    let crash = |entry: &Path| -> Value {
        let report: Value =
            serde_json::from_slice(&fs::read(entry.join("report.json")).unwrap()).unwrap();
        ["title", "signature", "crash", "cpus", "tasks", "modules", "findings"]
            .into_iter()
            .map(|key| (key.to_owned(), report[key].clone()))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    assert_eq!(crash(&whole), crash(&kernel));
    size_of_the_same_pages(&machine, &core(&whole), &core(&kernel));
}

/// No larger than what makedumpfile writes; and the judges take it as they take a whole core.
fn size_of_the_same_pages(machine: &Machine, whole: &Path, kernel: &Path) {
    let whole = unpack_to(machine.space("whole.elf"), whole);
    let filtered = unpack_to(machine.space("kernel.elf"), kernel);
    assert!(Core::open(&filtered).header_offset() == 64);
    judges::readelf(&filtered);
    assert_eq!(judges::gdb_threads(&filtered), 2);
    judges::makedumpfile(machine, &filtered);
    judges::drgn(&filtered, 16 << 20);
    let theirs = machine.space("makedumpfile");
    let mut command = Command::new("makedumpfile");
    let output = command.args(["-c", "-d", "31"]).arg(&whole).arg(&theirs).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let size = |path: &Path| fs::metadata(path).unwrap().len();
    assert!(size(kernel) <= size(&theirs), "{} and {}", size(kernel), size(&theirs));
    if env::var_os("VMCORECTL_TEST_FULL").is_some() {
        assert_eq!(crash(machine, &whole), crash(machine, &filtered));
        for script in [kernel_facts::BY_DRGN, stacks::BY_DRGN, LOG_BY_DRGN] {
            let says = |core| judges::drgn_says(script, core, judges::vmlinux().to_str().unwrap());
            assert_eq!(says(&whole), says(&filtered), "{script}");
        }
    }
}

/// What crash prints of a core, without its name.
fn crash(machine: &Machine, core: &Path) -> String {
    let commands = machine.space("commands");
    fs::write(&commands, CRASH_COMMANDS).unwrap();
    let mut crash = Command::new("crash");
    crash.stdin(Stdio::null()).args(["-s", "-i"]).arg(&commands).arg(judges::vmlinux()).arg(core);
    let output = crash.output().expect("crash starts");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    judges::crash_has_read(&text);
    text
}
