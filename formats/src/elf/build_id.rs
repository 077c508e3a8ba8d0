//! The build id of an ELF file, which identifies the build of a program.
//!
//! ```text
//! ELF header ──► section headers ──► SHT_NOTE sections ──► note GNU, type 3
//!            └─► program headers ──► PT_NOTE segments  ──►   desc: 8 to 64 bytes
//! ```
//!
//! In a separate debug file, program headers are those of the program and do not match
//! the file, but its note sections are in it. So callers look at sections first, and at
//! segments if the file has no sections. Source: binutils, `bfd/elf.c`
//! (`elfobj_grok_gnu_build_id`).
//!
//! ```
//! use vmcore_formats::elf::{build_id::BuildId, note::Note};
//! use vmcore_formats::endian::Endian;
//!
//! let note = Note { name: b"GNU", kind: 3, descriptor: &[0xde, 0xad, 0xbe, 0xef] };
//! let notes = note.encode(Endian::Little).unwrap();
//! let id = BuildId::among(&notes, Endian::Little).unwrap();
//! assert_eq!(id.to_string(), "deadbeef");
//! assert_eq!("DEADBEEF".parse(), Ok(id));
//! ```

use std::fmt;
use std::str::FromStr;

use goblin::container::Ctx;
use goblin::elf::{Elf, program_header, section_header};
use scroll::Pread;
use thiserror::Error;

use super::core_head::FileRange;
use super::note::Notes;
use super::{ProgramHeader, SectionHeader};
use crate::endian::Endian;

/// `n_type` of a build id under the name `GNU`.
const NT_GNU_BUILD_ID: u32 = 3;
/// The longest build id that is accepted, in bytes.
const MAX_LENGTH: usize = 64;
/// How many bytes from the start of a file [`NoteTables::decode`] needs.
pub const HEADER_LENGTH: usize = 64;
/// The longest notes that are read, in bytes. A kernel's take less than a page.
pub const MAX_NOTES: u64 = 1 << 20;

/// A build id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildId(Vec<u8>);

impl fmt::Display for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The text is not a build id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a build id has 2 to {} hexadecimal digits, two for each byte", MAX_LENGTH.saturating_mul(2))]
pub struct NotABuildId;

impl FromStr for BuildId {
    type Err = NotABuildId;

    /// Reads hexadecimal digits, as VMCOREINFO's `BUILD-ID` has them.
    fn from_str(text: &str) -> Result<Self, NotABuildId> {
        let digits = text.as_bytes().chunks(2).map(|pair| match pair {
            [high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let pair = std::str::from_utf8(pair).map_err(|_| NotABuildId)?;
                u8::from_str_radix(pair, 16).map_err(|_| NotABuildId)
            }
            _ => Err(NotABuildId),
        });
        Self::new(&digits.collect::<Result<Vec<_>, _>>()?).ok_or(NotABuildId)
    }
}

impl BuildId {
    /// A build id of these bytes. `None` if there are none, or more than 64.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (1..=MAX_LENGTH).contains(&bytes.len()).then(|| Self(bytes.to_vec()))
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The build id among notes. Damaged notes end the search.
    pub fn among(notes: &[u8], endian: Endian) -> Option<Self> {
        Notes::new(notes, endian)
            .map_while(Result::ok)
            .find(|note| note.name == b"GNU" && note.kind == NT_GNU_BUILD_ID)
            .and_then(|note| Self::new(note.descriptor))
    }
}

/// The file is not an ELF file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it is not an ELF file")]
pub struct NotElf;

/// The tables of an ELF file that locate its notes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NoteTables {
    /// `e_machine`.
    pub machine: u16,
    /// Byte order of everything in the file.
    pub endian: Endian,
    /// The section headers. Empty if the file has none.
    pub sections: FileRange,
    /// The program headers. Empty if the file has none.
    pub segments: FileRange,
    context: Ctx,
}

impl NoteTables {
    /// Decodes the first [`HEADER_LENGTH`] bytes of a file.
    ///
    /// # Errors
    /// Fails if they are not those of an ELF file.
    pub fn decode(first: &[u8]) -> Result<Self, NotElf> {
        if first.len() < HEADER_LENGTH {
            return Err(NotElf);
        }
        let elf = Elf::parse_header(first).map_err(|_| NotElf)?;
        let container = elf.container().map_err(|_| NotElf)?;
        let order = elf.endianness().map_err(|_| NotElf)?;
        let context = Ctx::new(container, order);
        let table = |offset, count: u16, size: usize| FileRange {
            offset,
            length: u64::from(count).saturating_mul(size as u64),
        };
        Ok(Self {
            machine: elf.e_machine,
            endian: if order.is_little() { Endian::Little } else { Endian::Big },
            sections: table(elf.e_shoff, elf.e_shnum, SectionHeader::size(context)),
            segments: table(elf.e_phoff, elf.e_phnum, ProgramHeader::size(context)),
            context,
        })
    }

    /// The ranges with notes. `table` are the bytes of [`Self::sections`].
    pub fn in_sections(&self, table: &[u8]) -> impl Iterator<Item = FileRange> {
        let size = SectionHeader::size(self.context).max(1);
        let context = self.context;
        table.chunks_exact(size).filter_map(move |entry| {
            let entry: SectionHeader = entry.pread_with(0, context).ok()?;
            let range = FileRange { offset: entry.sh_offset, length: entry.sh_size };
            (entry.sh_type == section_header::SHT_NOTE).then_some(range)
        })
    }

    /// The ranges with notes. `table` are the bytes of [`Self::segments`].
    pub fn in_segments(&self, table: &[u8]) -> impl Iterator<Item = FileRange> {
        let size = ProgramHeader::size(self.context).max(1);
        let context = self.context;
        table.chunks_exact(size).filter_map(move |entry| {
            let entry: ProgramHeader = entry.pread_with(0, context).ok()?;
            let range = FileRange { offset: entry.p_offset, length: entry.p_filesz };
            (entry.p_type == program_header::PT_NOTE).then_some(range)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::synthetic::Stream;

    const NOTE: &[u8] = b"\x04\0\0\0\x04\0\0\0\x03\0\0\0GNU\0\xde\xad\xbe\xef";

    #[test]
    fn a_build_id_is_read_and_written_as_digits() {
        let id = BuildId::among(NOTE, Endian::Little).unwrap();
        assert_eq!(id.to_string(), "deadbeef");
        assert_eq!("DEADbeef".parse(), Ok(id));
        for text in ["", "abc", "xy", "+1", "é", &"00".repeat(MAX_LENGTH + 1)] {
            assert_eq!(text.parse::<BuildId>(), Err(NotABuildId), "{text}");
        }
    }

    #[test]
    fn other_notes_are_skipped() {
        let other = b"\x04\0\0\0\x01\0\0\0\x03\0\0\0Xen\0\x01\0\0\0".as_slice();
        let kind = b"\x04\0\0\0\x04\0\0\0\x01\0\0\0GNU\0\0\0\0\0".as_slice();
        let notes = [other, kind, NOTE].concat();
        assert_eq!(BuildId::among(&notes, Endian::Little), BuildId::new(b"\xde\xad\xbe\xef"));
    }

    #[test]
    fn every_truncation_of_a_note_gives_no_build_id() {
        for len in 0..NOTE.len() {
            assert_eq!(BuildId::among(&NOTE[..len], Endian::Little), None, "cut at {len}");
        }
        assert_eq!(BuildId::among(&[0xff; 32], Endian::Little), None);
    }

    #[test]
    fn the_notes_of_an_elf_file_are_found_by_its_segments() {
        let stream = Stream { notes: NOTE.to_vec(), ..Stream::default() };
        let file = stream.build();
        let tables = NoteTables::decode(&file).unwrap();
        let bytes = |range: FileRange| {
            let start = usize::try_from(range.offset).unwrap();
            &file[start..start + usize::try_from(range.length).unwrap()]
        };
        let notes: Vec<_> = tables.in_segments(bytes(tables.segments)).collect();
        assert_eq!(notes.len(), 1);
        assert!(BuildId::among(bytes(notes[0]), tables.endian).is_some());
        assert_eq!(tables.in_sections(bytes(tables.sections)).count(), 0);
        for len in 0..HEADER_LENGTH {
            assert_eq!(NoteTables::decode(&file[..len]), Err(NotElf), "cut at {len}");
        }
        let table = bytes(tables.segments);
        for len in 0..table.len() {
            assert!(tables.in_segments(&table[..len]).count() <= 1, "cut at {len}");
        }
    }

    #[test]
    fn the_notes_of_a_file_of_symbols_are_found_by_its_sections() {
        // Linux' own layout: 64-bit, little-endian. Section 0 is empty.
        let mut file = vec![0; 64];
        file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        file[18] = 62;
        file[40] = 64;
        file[58] = 64;
        file[60] = 2;
        let mut section = vec![0; 64];
        section[4] = 7;
        section[24..26].copy_from_slice(&[0xc0, 0]);
        section[32] = u8::try_from(NOTE.len()).unwrap();
        file.extend([0; 64]);
        file.extend(section);
        file.extend(NOTE);
        let tables = NoteTables::decode(&file).unwrap();
        assert_eq!(tables.machine, 62);
        let found: Vec<_> = tables.in_sections(&file[64..192]).collect();
        assert_eq!(found, [FileRange { offset: 192, length: NOTE.len() as u64 }]);
        assert_eq!(BuildId::among(&file[192..], tables.endian).unwrap().to_string(), "deadbeef");
    }
}
