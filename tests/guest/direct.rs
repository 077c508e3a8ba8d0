//! Memory read in QEMU's process is what QEMU's dump of the same held guest has, byte by byte.
//!
//! Over the ways in which a QEMU has its guest's memory. The direct capture comes first: it is
//! the one that looks at which pages were never touched, and each dump touches all.

use std::env;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use vmcorectl::metadata::{MemorySource, SourceUsed};

use crate::filled::Filled;
use crate::machine::Machine;
use crate::same_memory::{assert_same_at, unpack_to};
use crate::tool::{metadata_of, run};

/// What of a device was plugged.
const PLUGGED: u64 = 128 << 20;

#[test]
fn memory_of_devices_is_read_as_it_is_dumped() {
    // A module above 4 GiB, another that is plugged by half, and a balloon that took a part.
    let guest = Filled::new(
        None,
        &[
            "--append",
            "memhp_default_state=online",
            "--",
            "-m",
            "384M,slots=2,maxmem=4G",
            "-object",
            "memory-backend-memfd,id=d0,size=128M,share=on",
            "-device",
            "pc-dimm,memdev=d0",
            "-object",
            "memory-backend-ram,id=m0,size=256M",
            "-device",
            "virtio-mem-pci,memdev=m0,requested-size=128M",
        ],
    );
    let plugged =
        |device: &Value| device["type"] == "virtio-mem" && device["data"]["size"] == json!(PLUGGED);
    let all = |answer: &Value| answer.as_array().is_some_and(|all| all.iter().any(plugged));
    guest.machine.await_answer("query-memory-devices", all);
    let guest = guest.panics();
    both_ways(&guest.machine);
}

/// Each way to have a guest's memory, in the full run.
#[test]
fn every_backend_is_read_as_it_is_dumped_in_the_full_run() {
    if env::var_os("VMCORECTL_TEST_FULL").is_none() {
        return;
    }
    let file = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = file.path().display();
    let of = |backend: String| format!("{backend},id=m,size=256M");
    let backends = [
        of("memory-backend-memfd,share=on".to_owned()),
        of("memory-backend-memfd,share=off".to_owned()),
        of(format!("memory-backend-file,mem-path={path},share=on")),
        of(format!("memory-backend-file,mem-path={path},share=off")),
        of("memory-backend-ram,prealloc=on".to_owned()),
    ];
    for (number, backend) in backends.iter().enumerate() {
        let cpus = if number == 0 { "4" } else { "1" };
        let from_backend = ["--", "-object", backend, "-machine", "memory-backend=m"];
        of_memory(&[&["--cpus", cpus][..], &from_backend].concat());
    }
    // Half of the guest's memory is above 4 GiB.
    of_memory(&["--", "-machine", "pc,max-ram-below-4g=128M"]);
    let Some(_pool) = HugePages::reserve(160) else { return };
    let huge = of("memory-backend-memfd,hugetlb=on,hugetlbsize=2M,share=on".to_owned());
    of_memory(&["--", "-object", &huge, "-machine", "memory-backend=m"]);
}

fn of_memory(more: &[&str]) {
    let arguments = [&["--memory", "256M", "--append", "guest.anon=40"], more].concat();
    both_ways(&Machine::panicked(&arguments));
}

fn both_ways(machine: &Machine) {
    let capture = |source: &str| {
        let store = machine.space(source).display().to_string();
        let ran = run(["capture", &machine.monitor(), "--source", source, "--store", &store]);
        ran.expect(0).entry()
    };
    let (direct, stream) = (capture("direct"), capture("stream"));
    let used = MemorySource { used: SourceUsed::Direct, reason: None };
    let (of_direct, of_stream) = (metadata_of(&direct), metadata_of(&stream));
    assert_eq!((of_direct.source, of_direct.warnings), (Some(used), of_stream.warnings));
    let core = |entry: &Path| entry.join("vmcore.elf.zst");
    let by_qemu = machine.dump_by_qemu();
    let streamed = assert_same_at(&machine.space("stream.elf"), &core(&stream), &by_qemu);
    fs::remove_file(&by_qemu).unwrap();
    let read = unpack_to(machine.space("direct.elf"), &core(&direct));
    assert!(fs::read(read).unwrap() == fs::read(streamed).unwrap(), "both ways give one core");
}

/// Huge pages of this machine, which it has again in the end.
struct HugePages {
    before: String,
}

impl HugePages {
    const POOL: &'static str = "/proc/sys/vm/nr_hugepages";

    /// Reserves more than there are. Returns `None` if this machine has none to spare.
    fn reserve(more: u64) -> Option<Self> {
        let number = || fs::read_to_string(Self::POOL).ok()?.trim().parse::<u64>().ok();
        let before = number()?;
        let pool = Self { before: before.to_string() };
        fs::write(Self::POOL, (before + more).to_string()).ok()?;
        (number()? >= before + more).then_some(pool)
    }
}

impl Drop for HugePages {
    fn drop(&mut self) {
        let _ = fs::write(Self::POOL, &self.before);
    }
}
