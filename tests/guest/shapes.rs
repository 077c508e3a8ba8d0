//! Guests of other shapes: their vCPUs, and memory on both sides of the hole
//! below 4 GiB.

use crate::judges;
use crate::machine::Machine;
use crate::same_memory::{Core, assert_same};
use crate::tool::{metadata_of, run};

fn with_vcpus(count: usize) {
    let machine = Machine::panicked(&["--cpus", &count.to_string(), "--memory", "256M"]);
    let by_qemu = machine.dump_by_qemu();
    let entry = run(["capture", &machine.monitor(), "--store", &machine.store()]).expect(0).entry();
    let unpacked = assert_same(&machine, &entry.join("vmcore.elf.zst"), &by_qemu);
    assert_eq!(judges::gdb_threads(&unpacked), count);
    let metadata = metadata_of(&entry);
    assert_eq!(metadata.guest.cpus, Some(count));
    assert_eq!(metadata.core.unwrap().cpus, Some(count));
}

#[test]
fn one_vcpu() {
    with_vcpus(1);
}

#[test]
fn four_vcpus() {
    with_vcpus(4);
}

#[test]
fn memory_on_both_sides_of_four_gib() {
    let machine = Machine::panicked(&["--memory", "5G"]);
    let by_qemu = machine.dump_by_qemu();
    let entry = run(["capture", &machine.monitor(), "--store", &machine.store()]).expect(0).entry();
    let unpacked = assert_same(&machine, &entry.join("vmcore.elf.zst"), &by_qemu);
    let core = Core::open(&unpacked);
    let segments = core.segments();
    assert!(segments.contains_key(&(4 << 30)), "{:x?}", segments.keys());
    let memory: u64 = segments.values().map(|segment| segment.p_filesz).sum();
    assert!(memory >= 5 << 30, "{memory:#x}");
    let stored = metadata_of(&entry).core.unwrap();
    assert!(stored.zero_bytes > 4 << 30, "most of it was never touched: {}", stored.zero_bytes);
    assert!(stored.bytes_written < 256 << 20, "{}", stored.bytes_written);
}
