//! The registers of a vCPU, from the notes of a core.
//!
//! The module of each architecture has the layout of its `NT_PRSTATUS`, and the names of
//! the bits of its status register. All layouts have this form:
//!
//! ```text
//! 64-bit          32-bit
//! 0               0        signal and times of a process; QEMU leaves it 0
//! 32              24       pr_pid, u32: from QEMU the vCPU's number plus 1, from a kernel a task's pid
//! 112             72       pr_reg: the registers, in the order of the architecture
//! ```
//!
//! Source: Linux `include/uapi/linux/elfcore.h`; QEMU `target/*/arch_dump.c`.
//!
//! ```
//! use vmcore_formats::elf::{Class, Identity};
//! use vmcore_formats::endian::Endian;
//! use vmcore_formats::registers::PrStatus;
//!
//! let (class, endian) = (Class::Elf64, Endian::Little);
//! let riscv = Identity { class, endian, machine: 243, flags: 0, os_abi: 0 };
//! let mut descriptor = [0; 376];
//! descriptor[32] = 1;
//! descriptor[112..120].copy_from_slice(&Endian::Little.u64_bytes(0xffff_ffff_8000_2000));
//! let status = PrStatus::decode(&descriptor, riscv)?;
//! assert_eq!(status.pid, Some(1));
//! assert_eq!((status.registers[0].name, status.registers[0].value), ("pc", 0xffff_ffff_8000_2000));
//! # Ok::<_, vmcore_formats::registers::RegistersError>(())
//! ```

pub mod arm;
pub mod arm64;
mod bits;
mod loongarch64;
pub mod other;
pub mod ppc64;
mod riscv64;
pub mod s390x;
pub mod x86;
pub mod x86_flags;

use goblin::elf::header;

use crate::cursor::{Cursor, ParseError};
use crate::elf::{Class, Identity};
use crate::endian::Endian;

/// A register and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    /// The architecture's name for it, in lower case.
    pub name: &'static str,
    /// Its value.
    pub value: u64,
    /// Its width in bytes.
    pub bytes: u8,
    /// The names of its bits, for a status or control register: `ZF`, `IOPL=3`.
    pub flags: Vec<String>,
}

impl Register {
    /// A register of eight bytes.
    pub fn new(name: &'static str, value: u64, flags: Vec<String>) -> Self {
        Self { name, value, bytes: 8, flags }
    }
}

/// A decoded `NT_PRSTATUS` note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrStatus {
    /// `pr_pid`. `None` for architectures whose `pr_pid` QEMU does not fill.
    pub pid: Option<u32>,
    /// The registers, in the note's order.
    pub registers: Vec<Register>,
}

/// Why a note cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistersError {
    /// Its layout is unknown.
    #[error("the layout of registers is unknown for ELF machine {machine} ({class:?})")]
    Machine {
        /// `e_machine`.
        machine: u16,
        /// The ELF class.
        class: Class,
    },
    /// It ends too early.
    #[error(transparent)]
    Short(#[from] ParseError),
}

impl PrStatus {
    /// Decodes the descriptor of an `NT_PRSTATUS` note of a core of this machine.
    ///
    /// # Errors
    /// Fails if the machine is unknown, or if the descriptor ends before the last register.
    pub fn decode(descriptor: &[u8], identity: Identity) -> Result<Self, RegistersError> {
        let Identity { machine, class, .. } = identity;
        let layout = match (machine, class) {
            (header::EM_X86_64, _) => &x86::X86_64,
            (header::EM_386, _) => &x86::I386,
            (header::EM_AARCH64, Class::Elf64) => &arm64::LAYOUT,
            (header::EM_ARM, Class::Elf32) => &arm::LAYOUT,
            (header::EM_S390, Class::Elf64) => &s390x::LAYOUT,
            (header::EM_PPC64, Class::Elf64) => &ppc64::LAYOUT,
            (header::EM_RISCV, Class::Elf64) => &riscv64::LAYOUT,
            (header::EM_LOONGARCH, Class::Elf64) => &loongarch64::LAYOUT,
            _ => return Err(RegistersError::Machine { machine, class }),
        };
        Ok(layout.decode(descriptor, identity.endian)?)
    }
}

/// The layout of an architecture's `NT_PRSTATUS`.
struct Layout {
    /// Offset of `pr_pid`.
    pid: Option<u64>,
    /// Offset of `pr_reg`.
    at: u64,
    fields: &'static [Field],
    /// The names of the bits of a register.
    flags: fn(&str, u64) -> Vec<String>,
}

/// Registers that follow one another.
enum Field {
    /// Of eight bytes each.
    Long(&'static [&'static str]),
    /// Of four bytes each.
    Word(&'static [&'static str]),
    /// Of two bytes each, and two of padding.
    Short(&'static [&'static str]),
    /// Bytes that are not decoded.
    Skip(u64),
}

impl Layout {
    fn decode(&self, descriptor: &[u8], endian: Endian) -> Result<PrStatus, ParseError> {
        let mut rest = Cursor::new(descriptor, endian);
        let mut pid = None;
        if let Some(at) = self.pid {
            rest.take(at, "NT_PRSTATUS before pr_pid")?;
            pid = Some(rest.u32("pr_pid")?);
        }
        rest.take(self.at.saturating_sub(rest.at()), "NT_PRSTATUS before pr_reg")?;
        let mut registers = Vec::new();
        let mut put = |name, value, bytes| {
            registers.push(Register { name, value, bytes, flags: (self.flags)(name, value) });
        };
        for field in self.fields {
            match field {
                Field::Long(names) => {
                    for name in *names {
                        put(name, rest.u64(name)?, 8);
                    }
                }
                Field::Word(names) => {
                    for name in *names {
                        put(name, u64::from(rest.u32(name)?), 4);
                    }
                }
                Field::Short(names) => {
                    for name in *names {
                        put(name, u64::from(rest.u16(name)?), 2);
                        rest.take(2, "padding of a segment register")?;
                    }
                }
                Field::Skip(bytes) => {
                    rest.take(*bytes, "registers that are not decoded")?;
                }
            }
        }
        Ok(PrStatus { pid, registers })
    }
}

fn no_flags(_name: &str, _value: u64) -> Vec<String> {
    Vec::new()
}

#[cfg(test)]
#[path = "prstatus_tests.rs"]
mod tests;
