//! The head of an ELF core file of any origin.
//!
//! A file can be read at any offset, so the order of its parts does not matter:
//! QEMU of any version, libvirt, the kernel's `/proc/vmcore` and makedumpfile all
//! write one header, one table of program headers and a few notes.
//!
//! ```text
//! CoreHeader   the first 64 bytes   ──► the range of the program headers
//! CoreTable    the program headers  ──► the ranges of notes and memory
//! ```
//!
//! The stream that QEMU sends, of which each byte is seen once, is decoded by
//! [`super::dump_head`].
//!
//! ```
//! use vmcore_formats::elf::core_head::{CoreHeader, CoreTable};
//! # use vmcore_formats::addr::PhysAddr;
//! # use vmcore_formats::elf::{Class, Identity, stored_core::StoredCore};
//! # use vmcore_formats::endian::Endian;
//! # let (class, endian) = (Class::Elf64, Endian::Little);
//! # let identity = Identity { class, endian, machine: 62, flags: 0, os_abi: 0 };
//! # let core = StoredCore::of_memory(identity, 0, [(PhysAddr(0x10_0000), 0x2000)])?;
//! # let file = core.encode_head_with(&[]);
//!
//! // `file` is an x86-64 core with 8 KiB of memory at 1 MiB.
//! let header = CoreHeader::decode(&file)?;
//! assert_eq!(header.extended_count(), None);
//! let range = header.table(None)?;
//! let (start, length) = (range.offset as usize, range.length as usize);
//! let table = CoreTable::decode(&file[start..start + length], header.identity)?;
//! let segment = table.segments[0];
//! assert_eq!((segment.physical, segment.file_size), (PhysAddr(0x10_0000), 0x2000));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

use goblin::elf::program_header;
use scroll::Pread;

use super::dump_head::{DumpHeadError, decode_header, end, segment};
use super::{Identity, PN_XNUM, ProgramHeader, SectionHeader, Segment};

/// How many bytes from the start of a file [`CoreHeader::decode`] needs.
pub const HEADER_LENGTH: usize = 64;
/// The longest table of program headers that is read, in bytes: half a million segments.
pub const MAX_TABLE: u64 = 32 << 20;

/// A range of bytes in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileRange {
    /// Its first byte.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
}

/// The ELF header of a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreHeader {
    /// The machine.
    pub identity: Identity,
    /// `e_phoff`.
    table_offset: u64,
    /// `e_phnum`.
    entry_count: u16,
    /// `e_shoff`.
    sections_offset: u64,
}

impl CoreHeader {
    /// Decodes the first [`HEADER_LENGTH`] bytes of a file.
    ///
    /// # Errors
    /// Fails if they are not the header of an ELF core.
    pub fn decode(first: &[u8]) -> Result<Self, DumpHeadError> {
        let found = first.first_chunk::<4>().copied().unwrap_or_default();
        if found != *goblin::elf::header::ELFMAG || first.len() < HEADER_LENGTH {
            return Err(DumpHeadError::NotElf { found });
        }
        let (elf, identity) = decode_header(first)?;
        Ok(Self {
            identity,
            table_offset: elf.e_phoff,
            entry_count: elf.e_phnum,
            sections_offset: elf.e_shoff,
        })
    }

    /// The range of section header 0, if the count of program headers is in it.
    pub fn extended_count(&self) -> Option<FileRange> {
        (self.entry_count == PN_XNUM).then_some(FileRange {
            offset: self.sections_offset,
            length: u64::from(self.identity.class.section_header_size()),
        })
    }

    /// The range of the program headers.
    ///
    /// `section` are the bytes of [`Self::extended_count`], if it gives a range.
    ///
    /// # Errors
    /// Fails if the table would be longer than [`MAX_TABLE`].
    pub fn table(&self, section: Option<&[u8]>) -> Result<FileRange, DumpHeadError> {
        let count = match section {
            None => u64::from(self.entry_count),
            Some(bytes) => {
                let first: SectionHeader =
                    bytes.pread_with(0, self.identity.context()).map_err(|_| {
                        DumpHeadError::Header { field: "e_shoff", found: self.sections_offset }
                    })?;
                u64::from(first.sh_info)
            }
        };
        let size = u64::from(self.identity.class.program_header_size());
        let (offset, length) = (self.table_offset, count.saturating_mul(size));
        if length > MAX_TABLE {
            return Err(DumpHeadError::OutOfBounds {
                what: "program headers",
                offset,
                size: length,
            });
        }
        end("program headers", offset, length)?;
        Ok(FileRange { offset, length })
    }
}

/// The program headers of a core.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoreTable {
    /// The ranges of notes.
    pub notes: Vec<FileRange>,
    /// The memory, in the table's order. Segments may overlap: `/proc/vmcore` has
    /// the kernel's image twice.
    pub segments: Vec<Segment>,
}

impl CoreTable {
    /// Decodes the table of program headers.
    ///
    /// # Errors
    /// Fails if a header describes a range that no file can have.
    pub fn decode(bytes: &[u8], identity: Identity) -> Result<Self, DumpHeadError> {
        let size = identity.class.program_header_size();
        let mut table = Self::default();
        for entry in bytes.chunks_exact(usize::from(size)) {
            let entry: ProgramHeader = entry.pread_with(0, identity.context()).map_err(|_| {
                DumpHeadError::Header { field: "e_phentsize", found: u64::from(size) }
            })?;
            match entry.p_type {
                program_header::PT_NOTE => {
                    end("notes", entry.p_offset, entry.p_filesz)?;
                    table.notes.push(FileRange { offset: entry.p_offset, length: entry.p_filesz });
                }
                program_header::PT_LOAD => table.segments.push(segment(&entry)?),
                _ => {}
            }
        }
        Ok(table)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Class;
    use super::super::synthetic::{Layout, Stream};
    use super::*;
    use crate::addr::PhysAddr;

    fn decode(file: &[u8]) -> Result<CoreTable, DumpHeadError> {
        let header = CoreHeader::decode(file)?;
        let bytes = |range: FileRange| {
            let (start, length) = (range.offset as usize, range.length as usize);
            file.get(start..start + length).ok_or(DumpHeadError::NoMemory)
        };
        let section = header.extended_count().map(bytes).transpose()?;
        CoreTable::decode(bytes(header.table(section)?)?, header.identity)
    }

    #[test]
    fn every_layout_that_qemu_wrote_is_read() {
        for layout in [Layout::SectionsFirst, Layout::ProgramHeadersFirst] {
            for class in [Class::Elf32, Class::Elf64] {
                for extended in [false, true] {
                    let stream = Stream { layout, class, extended, ..Stream::default() };
                    let table = decode(&stream.build()).unwrap();
                    assert_eq!(table.notes.len(), 1);
                    let found: Vec<_> = table
                        .segments
                        .iter()
                        .map(|segment| (segment.physical, segment.file_size))
                        .collect();
                    let expected: Vec<_> =
                        stream.blocks.iter().map(|(at, size)| (PhysAddr(*at), *size)).collect();
                    assert_eq!(found, expected);
                }
            }
        }
    }

    #[test]
    fn every_truncation_is_an_error_and_never_a_panic() {
        let file = Stream::default().build();
        let table_end = 64 + 2 * 64 + 4 * 56;
        for len in 0..table_end {
            assert!(decode(&file[..len]).is_err(), "cut at {len}");
        }
        assert!(decode(&file[..table_end]).is_ok());
    }
}
