//! ELF cores of whole guests.
//!
//! QEMU writes one as a strict sequence without seeks, in an order that its
//! version decides ([`dump_head`]). What is stored has one order for all
//! versions ([`stored_core`]). A file that anybody wrote is read by [`core_head`].

pub mod build_id;
pub mod core_head;
pub mod dump_head;
mod dump_sections;
pub mod note;
pub mod qemu_cpu;
pub mod stored_core;
#[cfg(test)]
mod synthetic;

use crate::{addr::PhysAddr, cursor::Endian};
use goblin::container::{Container, Ctx};
use goblin::elf::{header, program_header, section_header};

/// Width of an ELF file's addresses and offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// `ELFCLASS32`.
    Elf32,
    /// `ELFCLASS64`.
    Elf64,
}

impl Class {
    /// Size of the ELF header, in bytes.
    #[must_use]
    pub fn header_size(self) -> u16 {
        match self {
            Self::Elf32 => 52,
            Self::Elf64 => 64,
        }
    }

    /// Size of one program header, in bytes.
    #[must_use]
    pub fn program_header_size(self) -> u16 {
        match self {
            Self::Elf32 => 32,
            Self::Elf64 => 56,
        }
    }

    /// Size of one section header, in bytes.
    #[must_use]
    pub fn section_header_size(self) -> u16 {
        match self {
            Self::Elf32 => 40,
            Self::Elf64 => 64,
        }
    }
}

/// What kind of machine a core is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Width of addresses and offsets.
    pub class: Class,
    /// Byte order of everything in the file.
    pub endian: Endian,
    /// `e_machine`, for example 62 for x86-64.
    pub machine: u16,
    /// `e_flags`.
    pub flags: u32,
    /// `EI_OSABI`.
    pub os_abi: u8,
}

impl Identity {
    /// The machine's name as `uname -m` has it.
    ///
    /// Returns `None` if it is none of those that QEMU can dump.
    #[must_use]
    pub fn machine_name(&self) -> Option<&'static str> {
        Some(match (self.machine, self.class, self.endian) {
            (header::EM_X86_64, ..) => "x86_64",
            (header::EM_386, ..) => "i386",
            (header::EM_AARCH64, ..) => "aarch64",
            (header::EM_ARM, ..) => "arm",
            (header::EM_S390, Class::Elf64, _) => "s390x",
            (header::EM_PPC64, _, Endian::Little) => "ppc64le",
            (header::EM_PPC64, _, Endian::Big) => "ppc64",
            (header::EM_RISCV, Class::Elf64, _) => "riscv64",
            (header::EM_LOONGARCH, Class::Elf64, _) => "loongarch64",
            _ => return None,
        })
    }

    /// `e_machine` of a machine, by the name that `uname -m` gives.
    ///
    /// Returns `None` for one that QEMU cannot dump.
    #[must_use]
    pub fn machine_of_name(name: &[u8]) -> Option<u16> {
        Some(match name {
            b"x86_64" => header::EM_X86_64,
            b"i386" | b"i486" | b"i586" | b"i686" => header::EM_386,
            b"aarch64" => header::EM_AARCH64,
            b"s390x" => header::EM_S390,
            b"ppc64" | b"ppc64le" => header::EM_PPC64,
            b"riscv64" => header::EM_RISCV,
            b"loongarch64" => header::EM_LOONGARCH,
            arm if arm.starts_with(b"arm") => header::EM_ARM,
            _ => return None,
        })
    }

    fn context(&self) -> Ctx {
        let container = match self.class {
            Class::Elf32 => Container::Little,
            Class::Elf64 => Container::Big,
        };
        let endian = match self.endian {
            Endian::Little => goblin::container::Endian::Little,
            Endian::Big => goblin::container::Endian::Big,
        };
        Ctx::new(container, endian)
    }
}

/// A range of guest memory in a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it is in guest memory.
    pub physical: PhysAddr,
    /// `p_vaddr`. QEMU 4.0 and newer repeat the physical address here.
    pub virtual_address: u64,
    /// `p_flags`. QEMU leaves them 0.
    pub flags: u32,
    /// Where its bytes begin in the file.
    pub offset: u64,
    /// How many bytes of it the file holds.
    pub file_size: u64,
    /// How many bytes it covers in memory.
    pub memory_size: u64,
}

/// The `e_phnum` that says "the count is in section 0's `sh_info`".
const PN_XNUM: u16 = 0xffff;

type Header = header::Header;
type ProgramHeader = program_header::ProgramHeader;
type SectionHeader = section_header::SectionHeader;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_s_name_gives_its_number_and_back() {
        let names = ["x86_64", "i386", "aarch64", "arm", "s390x", "riscv64", "loongarch64"];
        for name in names {
            let machine = Identity::machine_of_name(name.as_bytes()).unwrap();
            let identity = Identity {
                class: Class::Elf64,
                endian: Endian::Little,
                machine,
                flags: 0,
                os_abi: 0,
            };
            assert_eq!(identity.machine_name(), Some(name));
        }
        assert_eq!(Identity::machine_of_name(b"vax"), None);
    }
}
