//! ELF cores of whole guests.
//!
//! QEMU writes one as a sequence without seeks, in an order that depends on its
//! version ([`dump_head`]). The stored core has one order for all of them
//! ([`stored_core`]). A core file of any origin is read by [`core_head`].
//!
//! Headers and tables are decoded and encoded by `goblin`, in both classes and byte
//! orders. Notes are decoded by [`note`], because their names are not always text.
//!
//! ```
//! use vmcore_formats::elf::{Class, Identity};
//! use vmcore_formats::endian::Endian;
//!
//! let machine = Identity::machine_of_name(b"x86_64").unwrap();
//! let (class, endian) = (Class::Elf64, Endian::Little);
//! let identity = Identity { class, endian, machine, flags: 0, os_abi: 0 };
//! assert_eq!((machine, identity.machine_name()), (62, Some("x86_64")));
//! assert_eq!(class.program_header_size(), 56);
//! ```

pub mod build_id;
pub mod core_head;
pub mod dump_head;
pub mod note;
pub mod qemu_cpu;
pub mod stored_core;
#[cfg(test)]
pub(crate) mod synthetic;

use crate::addr::PhysAddr;
use crate::endian::Endian;
use goblin::container::{Container, Ctx};
use goblin::elf::{header, program_header, section_header};

/// `e_machine` of guests' machines, by the names of the ELF specification.
pub mod machine {
    pub use goblin::elf::header::{EM_386, EM_AARCH64, EM_ARM, EM_NONE, EM_X86_64};
}

/// The first bytes of an ELF file.
pub const MAGIC: &[u8] = header::ELFMAG;

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
    pub fn header_size(self) -> u16 {
        match self {
            Self::Elf32 => 52,
            Self::Elf64 => 64,
        }
    }

    /// Size of one program header, in bytes.
    pub fn program_header_size(self) -> u16 {
        match self {
            Self::Elf32 => 32,
            Self::Elf64 => 56,
        }
    }

    /// Size of one section header, in bytes.
    pub fn section_header_size(self) -> u16 {
        match self {
            Self::Elf32 => 40,
            Self::Elf64 => 64,
        }
    }
}

/// The machine that a core is of.
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
    /// Returns `None` for a machine that QEMU cannot dump.
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

    /// `e_machine`, by the machine's name as `uname -m` has it.
    ///
    /// Returns `None` for one that QEMU cannot dump.
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
    /// Its physical address.
    pub physical: PhysAddr,
    /// `p_vaddr`. QEMU 4.0 and newer repeat the physical address here.
    pub virtual_address: u64,
    /// `p_flags`. QEMU leaves them 0.
    pub flags: u32,
    /// Its offset in the file.
    pub offset: u64,
    /// How many bytes of it are in the file.
    pub file_size: u64,
    /// How many bytes of memory it covers.
    pub memory_size: u64,
}

/// The `e_phnum` for "the count is in `sh_info` of section 0".
const PN_XNUM: u16 = 0xffff;

type Header = header::Header;
type ProgramHeader = program_header::ProgramHeader;
type SectionHeader = section_header::SectionHeader;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_a_name_and_a_number() {
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
