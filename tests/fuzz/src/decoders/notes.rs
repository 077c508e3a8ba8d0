//! Notes of a core: registers of each architecture, VMCOREINFO, build ids.

use vmcore_formats::elf::build_id::BuildId;
use vmcore_formats::elf::note::{Note, Notes};
use vmcore_formats::elf::qemu_cpu::QemuCpu;
use vmcore_formats::elf::{Class, Identity};
use vmcore_formats::registers::{PrStatus, arm, arm64, other, ppc64, s390x, x86, x86_flags};
use vmcore_formats::vmcoreinfo::VmcoreInfo;

use super::endian;
use crate::input::Input;
use crate::limits::{SMALL, within};

/// Machines whose registers are decoded, and one whose are not.
const MACHINES: [&[u8]; 9] = [
    b"x86_64",
    b"i386",
    b"aarch64",
    b"armv7l",
    b"s390x",
    b"ppc64",
    b"riscv64",
    b"loongarch64",
    b"none",
];

/// A selector of byte order and machine, and notes.
pub(crate) fn run(input: &[u8]) {
    within(SMALL, || {
        let mut input = Input::new(input);
        let (selector, machine) = (input.u8(), usize::from(input.u8()));
        let endian = endian(selector);
        let name = MACHINES.get(machine % MACHINES.len()).copied().unwrap_or_default();
        let identity = Identity {
            class: if selector & 2 == 0 { Class::Elf64 } else { Class::Elf32 },
            endian,
            machine: Identity::machine_of_name(name).unwrap_or_default(),
            flags: 0,
            os_abi: 0,
        };
        let _ = identity.machine_name();
        let bytes = input.rest();
        for note in Notes::new(bytes, endian).map_while(Result::ok) {
            one(&note, identity);
        }
        for cpu in QemuCpu::all(Notes::new(bytes, endian)).iter().flatten() {
            let _ = (x86::general(cpu), x86::segments(cpu), x86::control(cpu), x86::privilege(cpu));
        }
        let _ = BuildId::among(bytes, endian).map(|id| id.to_string());
        let _ = bytes.first_chunk().map(|value| flags(u64::from_le_bytes(*value)));
    });
}

fn one(note: &Note<'_>, identity: Identity) {
    let endian = identity.endian;
    let _ = PrStatus::decode(note.descriptor, identity);
    let _ = QemuCpu::decode(note.descriptor);
    let _ = s390x::linux_note(note.kind, note.descriptor);
    let _ = other::note_name(note.name, note.kind);
    let info = VmcoreInfo::parse(note.descriptor);
    let _ = (info.release(), info.page_size(), info.kernel_offset(), info.symbol("_stext"));
    let _ = (info.offset("list_head.next"), info.size("page"), info.length("log_buf"));
    let _ = (info.number("phys_base"), info.text().len());
    if let Some(encoded) = note.encode(endian) {
        let again = Notes::new(&encoded, endian).next().and_then(Result::ok);
        let again = again.expect("a note that was encoded");
        assert_eq!((again.descriptor, again.kind), (note.descriptor, note.kind));
    }
}

fn flags(value: u64) {
    let _ = (x86_flags::rflags(value), x86_flags::cr0(value), x86_flags::cr4(value));
    let _ = (x86_flags::cr3(value, value >> 7), ppc64::msr(value), arm::cpsr(value));
    let _ = (arm64::pstate(value), s390x::psw_mask(value));
    let _ = x86_flags::segment(u32::try_from(value >> 32).unwrap_or_default());
}
