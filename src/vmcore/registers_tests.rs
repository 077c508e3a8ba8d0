use vmcore_formats::elf::Class;
use vmcore_formats::endian::Endian;

use super::*;

fn note(name: &str, kind: u32, descriptor: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in [name.len() as u32 + 1, descriptor.len() as u32, kind] {
        bytes.extend(number.to_le_bytes());
    }
    for part in [name.as_bytes(), descriptor] {
        bytes.extend(part);
        bytes.resize((bytes.len() + 1).next_multiple_of(4), 0);
    }
    bytes.truncate(bytes.len() - usize::from(descriptor.len().is_multiple_of(4)) * 4);
    bytes
}

fn x86_64() -> Identity {
    Identity { class: Class::Elf64, endian: Endian::Little, machine: 62, flags: 0, os_abi: 0 }
}

fn registers(notes: &[u8]) -> Registers {
    Registers::of(Notes::new(notes, Endian::Little), x86_64())
}

fn value(registers: &[Register], name: &str) -> Option<u64> {
    registers.iter().find(|register| register.name == name).map(|register| register.value)
}

fn whole() -> Vec<u8> {
    [
        note("CORE", 1, &[1; 336]),
        note("CORE", 1, &[2; 336]),
        note("QEMU", 0, &[3; 440]),
        note("QEMU", 0, &[4; 440]),
        note("VMCOREINFO", 0, b"OSRELEASE=6"),
    ]
    .concat()
}

#[test]
fn the_first_note_of_qemus_is_of_the_first_vcpu() {
    let found = registers(&whole());
    assert_eq!((found.cpus.len(), found.findings.len()), (2, 0));
    let [first, second] = &found.cpus[..] else { unreachable!() };
    assert_eq!((first.number, first.pid), (0, Some(0x0101_0101)));
    assert_eq!(value(&first.general, "rip"), Some(0x0303_0303_0303_0303));
    assert_eq!(value(&second.control, "cr3"), Some(0x0404_0404_0404_0404));
    assert_eq!(second.segments.len(), 10);
}

#[test]
fn a_damaged_note_costs_one_vcpu_a_finding_and_the_others_nothing() {
    let notes = [
        note("CORE", 1, &[1; 99]),
        note("CORE", 1, &[2; 336]),
        note("QEMU", 0, &[3; 100]),
        note("QEMU", 0, &[4; 440]),
    ]
    .concat();
    let found = registers(&notes);
    assert!(found.cpus[0].general.is_empty());
    assert_eq!(found.cpus[0].findings.len(), 2, "{found:?}");
    assert!(found.cpus[0].findings[0].starts_with("NT_PRSTATUS is damaged: "));
    assert!(found.cpus[1].findings.is_empty());
    assert_eq!(value(&found.cpus[1].general, "rsp"), Some(0x0404_0404_0404_0404));
}

#[test]
fn a_kernels_own_core_has_general_registers_alone() {
    let found = registers(&[note("CORE", 1, &[1; 336]), note("CORE", 2, &[0; 512])].concat());
    let cpu = &found.cpus[0];
    assert_eq!(value(&cpu.general, "rip"), Some(0x0101_0101_0101_0101));
    assert!(cpu.control.is_empty() && cpu.segments.is_empty() && cpu.privilege.is_none());
    assert_eq!(cpu.others, [("FPREGSET", 512)]);
}

#[test]
fn notes_of_qemus_that_do_not_fit_the_vcpus_are_reported() {
    let prstatus = note("CORE", 1, &[1; 336]);
    let qemu = note("QEMU", 0, &[3; 440]);
    let more = registers(&[&prstatus[..], &qemu, &qemu, &qemu].concat());
    assert_eq!(more.findings, ["there are more notes of QEMU's than vCPUs"]);
    let fewer = registers(&[&prstatus[..], &prstatus, &qemu].concat());
    assert_eq!(fewer.findings, ["QEMU's own note is there for 1 of 2 vCPUs"]);
}

#[test]
fn every_truncation_gives_what_is_there_and_never_a_panic() {
    let notes = whole();
    for cut in 0..notes.len() {
        let found = registers(&notes[..cut]);
        assert!(found.cpus.len() <= 2, "cut at {cut}");
        if cut >= 2 * note("CORE", 1, &[1; 336]).len() {
            assert_eq!(
                value(&found.cpus[1].general, "ds").is_some(),
                found.cpus[1].segments.is_empty()
            );
        }
    }
}

#[test]
fn no_more_vcpus_are_read_than_there_can_be() {
    let notes = note("CORE", 1, &[]).repeat(MAX_CPUS + 10);
    let found = registers(&notes);
    assert_eq!(found.cpus.len(), MAX_CPUS);
    assert_eq!(found.findings.len(), 1);
}
