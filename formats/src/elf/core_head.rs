//! The head of an ELF core in a file, whoever wrote it.
//!
//! A file can be read anywhere, so nothing is asked of the order in which its
//! parts stand: QEMU of any version, libvirt, the kernel's `/proc/vmcore` and
//! makedumpfile all write one header, one table and a few notes.
//!
//! ```text
//! CoreHeader   from the first 64 bytes: where the table of program headers is
//! CoreTable    from the table: where the notes and the memory are
//! ```
//!
//! For the stream that QEMU sends, of which each byte is seen once, there is
//! [`super::dump_head`].

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
    /// Where it begins.
    pub offset: u64,
    /// How many bytes it has.
    pub length: u64,
}

/// What an ELF core's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreHeader {
    /// What machine it is of.
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

    /// Where section header 0 is, if the count of program headers is in it.
    #[must_use]
    pub fn extended_count(&self) -> Option<FileRange> {
        (self.entry_count == PN_XNUM).then_some(FileRange {
            offset: self.sections_offset,
            length: u64::from(self.identity.class.section_header_size()),
        })
    }

    /// Where the table of program headers is.
    ///
    /// `section` are the bytes that [`Self::extended_count`] asks for, if it does.
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

/// What the program headers of a core say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoreTable {
    /// Where the notes are.
    pub notes: Vec<FileRange>,
    /// The memory, in the table's order. Segments may overlap: the kernel's own
    /// core has the kernel's image twice.
    pub segments: Vec<Segment>,
}

impl CoreTable {
    /// Decodes the table of program headers.
    ///
    /// # Errors
    /// Fails if a header describes what no file can hold.
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
