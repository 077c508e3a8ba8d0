//! x86: `NT_PRSTATUS` of x86-64 and of i386, and the registers of QEMU's own note.
//!
//! ```text
//! x86-64, 336 bytes                        i386, 144 bytes
//! 32   pr_pid                              24   pr_pid
//! 112  r15 r14 r13 r12 rbp rbx r11 r10     72   ebx ecx edx esi edi ebp eax       u32
//!      r9 r8 rax rcx rdx rsi rdi orig_rax  100  ds es fs gs            u16, u16 padding
//! 240  rip cs rflags rsp ss                116  orig_eax eip                      u32
//! 280  fs_base gs_base                     124  cs                     u16, u16 padding
//! 296  ds es fs gs              all u64    128  eflags esp                        u32
//!                                          136  ss                     u16, u16 padding
//! ```
//!
//! A 64-bit guest has the notes of an i386 if its first vCPU was not in long mode at the
//! time of the dump. Then only QEMU's own note has whole registers.
//! Source: QEMU `target/i386/arch_dump.c`.
//!
//! ```
//! use vmcore_formats::elf::qemu_cpu::QemuCpu;
//! use vmcore_formats::registers::x86::{general, privilege};
//!
//! let cpu = QemuCpu { rflags: 0x246, ..QemuCpu::default() };
//! assert_eq!(general(&cpu)[1].flags, ["PF", "ZF", "IF"]);
//! assert_eq!(privilege(&cpu), 0);
//! ```

use super::x86_flags::{cr0, cr3, cr4, rflags, segment};
use super::{Field, Layout, Register};
use crate::elf::qemu_cpu::{QemuCpu, SegmentRegister};

pub(super) static X86_64: Layout = Layout {
    pid: Some(32),
    at: 112,
    fields: &[Field::Long(&[
        "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx",
        "rsi", "rdi", "orig_rax", "rip", "cs", "rflags", "rsp", "ss", "fs_base", "gs_base", "ds",
        "es", "fs", "gs",
    ])],
    flags,
};

pub(super) static I386: Layout = Layout {
    pid: Some(24),
    at: 72,
    fields: &[
        Field::Word(&["ebx", "ecx", "edx", "esi", "edi", "ebp", "eax"]),
        Field::Short(&["ds", "es", "fs", "gs"]),
        Field::Word(&["orig_eax", "eip"]),
        Field::Short(&["cs"]),
        Field::Word(&["eflags", "esp"]),
        Field::Short(&["ss"]),
    ],
    flags,
};

/// The names of [`QemuCpu::general`].
const GENERAL: [&str; 16] = [
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rsp", "rbp", "r8", "r9", "r10", "r11", "r12", "r13",
    "r14", "r15",
];
/// The names of [`QemuCpu::segments`].
const SEGMENTS: [&str; 10] = ["cs", "ds", "es", "fs", "gs", "ss", "ldt", "tr", "gdt", "idt"];

/// A segment register or descriptor table register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its name: `cs`, or `gdt`.
    pub name: &'static str,
    /// Its value.
    pub register: SegmentRegister,
    /// The names of its flags: `code64`, `DPL=0`.
    pub flags: Vec<String>,
}

/// The general registers of QEMU's note, `rip` and `rflags` first.
pub fn general(cpu: &QemuCpu) -> Vec<Register> {
    let first = [
        Register::new("rip", cpu.rip, Vec::new()),
        Register::new("rflags", cpu.rflags, rflags(cpu.rflags)),
    ];
    let rest = GENERAL.iter().zip(cpu.general);
    first
        .into_iter()
        .chain(rest.map(|(name, value)| Register::new(name, value, Vec::new())))
        .collect()
}

/// The segment and descriptor table registers of QEMU's note.
pub fn segments(cpu: &QemuCpu) -> Vec<Segment> {
    let segments = SEGMENTS.iter().zip(cpu.segments);
    segments
        .map(|(name, register)| {
            let table = matches!(*name, "gdt" | "idt");
            let flags = if table { Vec::new() } else { segment(register.flags) };
            Segment { name, register, flags }
        })
        .collect()
}

/// The control registers of QEMU's note, and `kernel_gs_base` if it has it.
pub fn control(cpu: &QemuCpu) -> Vec<Register> {
    let [c0, _, c2, c3, c4] = cpu.control;
    let mut registers = vec![
        Register::new("cr0", c0, cr0(c0)),
        Register::new("cr2", c2, Vec::new()),
        Register::new("cr3", c3, cr3(c3, c4)),
        Register::new("cr4", c4, cr4(c4)),
    ];
    let gs = cpu.kernel_gs_base;
    registers.extend(gs.map(|value| Register::new("kernel_gs_base", value, Vec::new())));
    registers
}

/// The privilege level, from 0 for the kernel to 3, by the code segment.
pub fn privilege(cpu: &QemuCpu) -> u8 {
    const PROTECTED: u64 = 1;
    const VIRTUAL_8086: u64 = 1 << 17;
    let [cr0, ..] = cpu.control;
    let [cs, ..] = cpu.segments;
    if cr0 & PROTECTED == 0 {
        0
    } else if cpu.rflags & VIRTUAL_8086 != 0 {
        3
    } else {
        u8::try_from(cs.selector & 3).unwrap_or(3)
    }
}

fn flags(name: &str, value: u64) -> Vec<String> {
    if matches!(name, "rflags" | "eflags") { rflags(value) } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu(cr0: u64, rflags: u64, selector: u32) -> QemuCpu {
        let mut cpu = QemuCpu { rflags, ..QemuCpu::default() };
        cpu.control[0] = cr0;
        cpu.segments[0].selector = selector;
        cpu
    }

    #[test]
    fn the_privilege_level_is_that_of_the_code_segment_if_there_is_one() {
        assert_eq!(privilege(&cpu(1, 2, 0x10)), 0);
        assert_eq!(privilege(&cpu(1, 2, 0x33)), 3);
        // In real mode the selector is part of the address.
        assert_eq!(privilege(&cpu(0, 2, 0xf003)), 0);
        assert_eq!(privilege(&cpu(1, 1 << 17, 0xf000)), 3);
    }

    #[test]
    fn names_go_with_the_numbers_of_qemus_note() {
        let mut cpu = cpu(0x8005_0033, 0x246, 0x10);
        cpu.general[6] = 0xffff_c900_0001_3e08;
        cpu.general[15] = 15;
        cpu.segments[0].flags = 0x00af_9b00;
        cpu.segments[9].base = 0xffff_fe00_0000_0000;
        let general = general(&cpu);
        let value = |name| general.iter().find(|register| register.name == name).unwrap().value;
        assert_eq!((value("rsp"), value("r15")), (0xffff_c900_0001_3e08, 15));
        assert_eq!(general[1].flags, ["PF", "ZF", "IF"]);
        let segments = segments(&cpu);
        assert_eq!(segments[0].flags, ["code64", "DPL=0"]);
        assert_eq!((segments[9].name, segments[9].register.base), ("idt", 0xffff_fe00_0000_0000));
        assert_eq!(control(&cpu).len(), 4);
        cpu.kernel_gs_base = Some(7);
        assert_eq!(control(&cpu)[4].value, 7);
    }
}
