//! The registers of a vCPU, as the notes of a core have them.
//!
//! Each architecture has a module with its `NT_PRSTATUS`, drawn above a table of
//! its registers, and what the bits of its status register mean. All of them
//! have one shape:
//!
//! ```text
//! 64-bit          32-bit
//! 0               0        what a process would have: signal, times; QEMU leaves it 0
//! 32              24       pr_pid, u32: the vCPU's number and 1 from QEMU, a task's from a kernel
//! 112             72       pr_reg: the registers, in an order of the architecture's
//! ```
//!
//! Source: Linux `include/uapi/linux/elfcore.h`; QEMU `target/*/arch_dump.c`.

pub mod arm;
pub mod arm64;
mod bits;
pub mod loongarch64;
pub mod other;
pub mod ppc64;
pub mod riscv64;
pub mod s390x;
pub mod x86;
pub mod x86_flags;

use goblin::elf::header;

use crate::cursor::{Cursor, Endian, ParseError};
use crate::elf::{Class, Identity};

/// A register and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    /// The architecture's name for it, in small letters.
    pub name: &'static str,
    /// What is in it.
    pub value: u64,
    /// How many bytes it has.
    pub bytes: u8,
    /// What its bits say, if it is one whose bits say something: `ZF`, `IOPL=3`.
    pub flags: Vec<String>,
}

impl Register {
    /// A register of eight bytes.
    #[must_use]
    pub fn new(name: &'static str, value: u64, flags: Vec<String>) -> Self {
        Self { name, value, bytes: 8, flags }
    }
}

/// What an `NT_PRSTATUS` note says of a vCPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrStatus {
    /// `pr_pid`. `None` where QEMU writes none.
    pub pid: Option<u32>,
    /// The registers, in the note's order.
    pub registers: Vec<Register>,
}

/// Why a note gives no registers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistersError {
    /// Its layout is not known.
    #[error("the registers of ELF machine {machine} ({class:?}) are not known here")]
    Machine {
        /// `e_machine`.
        machine: u16,
        /// The ELF class.
        class: Class,
    },
    /// It is too short.
    #[error(transparent)]
    Short(#[from] ParseError),
}

impl PrStatus {
    /// Decodes the descriptor of an `NT_PRSTATUS` note of a core of this machine.
    ///
    /// # Errors
    /// Fails if the machine is not known, or the descriptor ends before its last register.
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

/// Where the registers are in an architecture's `NT_PRSTATUS`.
struct Layout {
    /// Where `pr_pid` is.
    pid: Option<u64>,
    /// Where `pr_reg` begins.
    at: u64,
    fields: &'static [Field],
    /// What the bits of a register say.
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
    /// Bytes that are of no use.
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
                    rest.take(*bytes, "registers of no use")?;
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
