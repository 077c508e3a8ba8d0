//! The head of the stream that QEMU's `dump-guest-memory` writes.
//!
//! ```text
//! QEMU 7.2 and newer                 QEMU before 7.2
//!   ELF header (e_ehsize = 8)          ELF header
//!   section headers                    program headers
//!   program headers                    section header 0, if there are 65,535
//!   notes                                program headers or more
//!   memory, block after block          notes
//!   sections (s390x only)              memory, block after block
//!   .shstrtab
//! ```
//!
//! Everything up to the memory is the head. It determines the length of the whole
//! stream. Source: QEMU `dump/dump.c`; its commits 9b72224f44 and cb415fd61e changed
//! the order (in 7.2).
//!
//! Two quirks are tolerated. `e_ehsize` is the size of a pointer in 7.2 and newer, so
//! it is ignored. The section header of `.shstrtab` is in the host's byte order even
//! in a core of the other order, which its type reveals.
//!
//! ```
//! use vmcore_formats::elf::dump_head::{DumpHead, Progress};
//! # use vmcore_formats::addr::PhysAddr;
//! # use vmcore_formats::elf::{Class, Identity, stored_core::StoredCore};
//! # use vmcore_formats::endian::Endian;
//! # let (class, endian) = (Class::Elf64, Endian::Little);
//! # let identity = Identity { class, endian, machine: 62, flags: 0, os_abi: 0 };
//! # let core = StoredCore::of_memory(identity, 0, [(PhysAddr(0x10_0000), 0x2000)])?;
//! # let stream = core.encode_head_with(&[]);
//!
//! // `stream` begins like the dump of an x86-64 guest with 8 KiB of memory at 1 MiB.
//! assert_eq!(DumpHead::decode(&stream[..16])?, Progress::Incomplete { needed: 64 });
//! let Progress::Complete(head) = DumpHead::decode(&stream)? else { panic!() };
//! assert_eq!(head.memory_bytes(), 0x2000);
//! assert_eq!(head.stream_length, 0x3000);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod sections;

use self::sections::sections;
use super::note::{NT_PRSTATUS, Notes};
use super::{Class, Header, Identity, PN_XNUM, ProgramHeader, SectionHeader, Segment};
use crate::addr::PhysAddr;
use crate::endian::Endian;
use crate::vmcoreinfo::VmcoreInfo;
use goblin::elf::{header, program_header};
use scroll::Pread;
use std::ops::Range;
use thiserror::Error;

/// The most bytes of head that are accepted.
///
/// A head of 4,096 x86 vCPUs, 1 MiB of VMCOREINFO and 65,535 segments takes
/// less than 10 MiB.
pub const MAX_HEAD: u64 = 32 << 20;

/// Why a stream is not an ELF core that QEMU would write.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DumpHeadError {
    /// The first bytes are not those of an ELF file.
    #[error("the dump does not begin with an ELF header but with {found:02x?}")]
    NotElf {
        /// The first bytes.
        found: [u8; 4],
    },
    /// An ELF file, but not a core, or with sizes that no core has.
    #[error("the dump's ELF header has {field} = {found}, which a core of QEMU never has")]
    Header {
        /// The header's field, by its C name.
        field: &'static str,
        /// Its value.
        found: u64,
    },
    /// A range that no file can have.
    #[error("the dump's {what} at {offset:#x} with {size:#x} bytes is out of bounds")]
    OutOfBounds {
        /// Which part.
        what: &'static str,
        /// Its offset.
        offset: u64,
        /// Its length.
        size: u64,
    },
    /// Two segments overlap, or one overlaps the head.
    #[error("the dump's memory at {at} begins at offset {offset:#x}, before {end:#x}")]
    Overlap {
        /// The segment's guest address.
        at: PhysAddr,
        /// Its offset in the stream.
        offset: u64,
        /// The end of the segment or head before it.
        end: u64,
    },
    /// A part that belongs before or after the memory is between its segments.
    #[error("the dump's {what} at {offset:#x} overlap its memory, which begins at {memory:#x}")]
    AmidMemory {
        /// Which part.
        what: &'static str,
        /// Its offset.
        offset: u64,
        /// The offset of the memory.
        memory: u64,
    },
    /// No memory in it.
    #[error("the dump has no memory segments")]
    NoMemory,
}

/// The result of decoding the first bytes of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The head is longer than the bytes at hand.
    Incomplete {
        /// How many bytes from the start are needed to continue.
        needed: u64,
    },
    /// The whole head.
    Complete(DumpHead),
}

/// The decoded head of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpHead {
    /// The machine.
    pub identity: Identity,
    /// The ranges of notes in the stream, in order.
    pub notes: Vec<Range<usize>>,
    /// The memory, in stream order.
    pub segments: Vec<Segment>,
    /// The length of the head. Memory begins there or later.
    pub head_length: u64,
    /// How many bytes the whole stream must have.
    pub stream_length: u64,
    /// How many of those bytes are sections after the memory, string table aside.
    pub trailing_sections: u64,
}

/// The content of a core's notes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoteSummary {
    /// How many vCPUs have their registers in it.
    pub cpus: usize,
    /// Whether VMCOREINFO is among them.
    pub vmcoreinfo: bool,
    /// The kernel's release, from its VMCOREINFO.
    pub release: Option<String>,
    /// The kernel's build id, from its VMCOREINFO.
    pub build_id: Option<String>,
    /// Whether the last note ends at the end of the segment.
    ///
    /// If not, the sizes of the notes contradict the program headers, and memory
    /// may be shifted against its headers.
    pub consistent: bool,
}

impl DumpHead {
    /// Decodes the head from the first bytes of a stream.
    ///
    /// Returns [`Progress::Incomplete`] as long as bytes of the head are missing. It
    /// never asks for more than [`MAX_HEAD`] bytes, nor for fewer than it was given.
    ///
    /// # Errors
    /// Fails if the bytes are not the head of an ELF core, or if its headers
    /// contradict each other.
    pub fn decode(prefix: &[u8]) -> Result<Progress, DumpHeadError> {
        const LARGEST_HEADER: u64 = 64;
        if let Some(found) = prefix.first_chunk::<4>()
            && found != header::ELFMAG
        {
            return Err(DumpHeadError::NotElf { found: *found });
        }
        if (prefix.len() as u64) < LARGEST_HEADER {
            return Ok(Progress::Incomplete { needed: LARGEST_HEADER });
        }
        let (elf, identity) = decode_header(prefix)?;
        match decode_tables(prefix, &elf, identity) {
            Ok(head) => Ok(Progress::Complete(head)),
            Err(Stop::Incomplete { needed }) => Ok(Progress::Incomplete { needed }),
            Err(Stop::Invalid(error)) => Err(error),
        }
    }

    /// The content of the notes. `prefix` are the bytes that the head was decoded from.
    pub fn summarise_notes(&self, prefix: &[u8]) -> NoteSummary {
        let mut summary = NoteSummary { consistent: true, ..NoteSummary::default() };
        for range in &self.notes {
            for note in
                Notes::new(prefix.get(range.clone()).unwrap_or_default(), self.identity.endian)
            {
                match note {
                    Ok(note) if note.name == b"CORE" && note.kind == NT_PRSTATUS => {
                        summary.cpus = summary.cpus.saturating_add(1);
                    }
                    Ok(note) if note.name == b"VMCOREINFO" && !summary.vmcoreinfo => {
                        let info = VmcoreInfo::parse(note.descriptor);
                        let value = |key| info.value(key).map(str::to_owned);
                        summary.vmcoreinfo = true;
                        (summary.release, summary.build_id) =
                            (value("OSRELEASE"), value("BUILD-ID"));
                    }
                    Ok(_) => {}
                    Err(_) => summary.consistent = false,
                }
            }
        }
        summary
    }

    /// How many bytes of memory the stream holds.
    pub fn memory_bytes(&self) -> u64 {
        self.segments.iter().fold(0, |sum, segment| segment.file_size.saturating_add(sum))
    }
}

/// Why decoding stops early.
pub(super) enum Stop {
    Incomplete { needed: u64 },
    Invalid(DumpHeadError),
}

impl From<DumpHeadError> for Stop {
    fn from(error: DumpHeadError) -> Self {
        Self::Invalid(error)
    }
}

pub(super) fn decode_header(prefix: &[u8]) -> Result<(Header, Identity), DumpHeadError> {
    let invalid = |field, found| DumpHeadError::Header { field, found };
    let ident = |index: usize| prefix.get(index).copied().unwrap_or_default();
    let class = match ident(header::EI_CLASS) {
        header::ELFCLASS32 => Class::Elf32,
        header::ELFCLASS64 => Class::Elf64,
        other => return Err(invalid("EI_CLASS", u64::from(other))),
    };
    let endian = match ident(header::EI_DATA) {
        header::ELFDATA2LSB => Endian::Little,
        header::ELFDATA2MSB => Endian::Big,
        other => return Err(invalid("EI_DATA", u64::from(other))),
    };
    let elf: Header = prefix.pread(0).map_err(|_| invalid("e_ident", 0))?;
    if elf.e_type != header::ET_CORE {
        return Err(invalid("e_type", u64::from(elf.e_type)));
    }
    if elf.e_phentsize != class.program_header_size() {
        return Err(invalid("e_phentsize", u64::from(elf.e_phentsize)));
    }
    let os_abi = ident(header::EI_OSABI);
    let identity = Identity { class, endian, machine: elf.e_machine, flags: elf.e_flags, os_abi };
    Ok((elf, identity))
}

fn decode_tables(prefix: &[u8], elf: &Header, identity: Identity) -> Result<DumpHead, Stop> {
    let context = identity.context();
    let segment_count = segment_count(prefix, elf, identity)?;
    let table_size = segment_count.saturating_mul(u64::from(elf.e_phentsize));
    let table = part(prefix, "program headers", elf.e_phoff, table_size)?;

    let mut notes = Vec::new();
    let mut segments = Vec::new();
    let mut head_end = end("program headers", elf.e_phoff, table_size)?
        .max(u64::from(identity.class.header_size()));
    for entry in table.chunks_exact(usize::from(elf.e_phentsize)) {
        let entry: ProgramHeader = entry.pread_with(0, context).map_err(|_| {
            DumpHeadError::Header { field: "e_phentsize", found: u64::from(elf.e_phentsize) }
        })?;
        match entry.p_type {
            // QEMU writes one. Several could name the same bytes again and again.
            program_header::PT_NOTE if !notes.is_empty() => {
                let field = "offset of a second PT_NOTE";
                return Err(DumpHeadError::Header { field, found: entry.p_offset }.into());
            }
            program_header::PT_NOTE => {
                part(prefix, "notes", entry.p_offset, entry.p_filesz)?;
                let note_end = end("notes", entry.p_offset, entry.p_filesz)?;
                notes.push(to_usize(entry.p_offset)?..to_usize(note_end)?);
                head_end = head_end.max(note_end);
            }
            program_header::PT_LOAD => segments.push(segment(&entry)?),
            _ => {}
        }
    }
    if elf.e_phnum == PN_XNUM {
        let size = u64::from(identity.class.section_header_size());
        head_end = head_end.max(end("section header 0", elf.e_shoff, size)?);
    }
    segments.sort_by_key(|segment| segment.offset);
    let memory = check_order(&segments, head_end)?;
    let sections = sections(prefix, elf, identity, &memory)?;
    let memory_end = memory.end;
    head_end = head_end.max(sections.head_end);
    let stream_length = memory_end.max(head_end).max(sections.end);
    Ok(DumpHead {
        identity,
        notes,
        segments,
        head_length: head_end,
        stream_length,
        trailing_sections: sections.trailing,
    })
}

fn segment_count(prefix: &[u8], elf: &Header, identity: Identity) -> Result<u64, Stop> {
    if elf.e_phnum != PN_XNUM {
        return Ok(u64::from(elf.e_phnum));
    }
    let size = u64::from(identity.class.section_header_size());
    let bytes = part(prefix, "section header 0", elf.e_shoff, size)?;
    let first: SectionHeader = bytes
        .pread_with(0, identity.context())
        .map_err(|_| DumpHeadError::Header { field: "e_shoff", found: elf.e_shoff })?;
    Ok(u64::from(first.sh_info))
}

pub(super) fn segment(entry: &ProgramHeader) -> Result<Segment, DumpHeadError> {
    let out_of_bounds = |offset, size| DumpHeadError::OutOfBounds { what: "memory", offset, size };
    end("memory", entry.p_offset, entry.p_filesz)?;
    if entry.p_filesz > entry.p_memsz || entry.p_paddr.checked_add(entry.p_memsz).is_none() {
        return Err(out_of_bounds(entry.p_paddr, entry.p_memsz));
    }
    Ok(Segment {
        physical: PhysAddr(entry.p_paddr),
        virtual_address: entry.p_vaddr,
        flags: entry.p_flags,
        offset: entry.p_offset,
        file_size: entry.p_filesz,
        memory_size: entry.p_memsz,
    })
}

/// Checks that the memory follows the head, one segment after the other.
/// Returns its range in the stream.
fn check_order(segments: &[Segment], head_end: u64) -> Result<Range<u64>, DumpHeadError> {
    let first = segments.iter().find(|segment| segment.file_size > 0);
    let start = first.ok_or(DumpHeadError::NoMemory)?.offset;
    let mut end = head_end;
    for segment in segments.iter().filter(|segment| segment.file_size > 0) {
        if segment.offset < end {
            return Err(DumpHeadError::Overlap {
                at: segment.physical,
                offset: segment.offset,
                end,
            });
        }
        end = segment.offset.saturating_add(segment.file_size);
    }
    Ok(start..end)
}

/// The bytes of a part of the head, or how many bytes of the stream they need.
pub(super) fn part<'a>(
    prefix: &'a [u8],
    what: &'static str,
    offset: u64,
    size: u64,
) -> Result<&'a [u8], Stop> {
    let end = end(what, offset, size)?;
    if end > MAX_HEAD {
        return Err(DumpHeadError::OutOfBounds { what, offset, size }.into());
    }
    prefix.get(to_usize(offset)?..to_usize(end)?).ok_or(Stop::Incomplete { needed: end })
}

pub(super) fn end(what: &'static str, offset: u64, size: u64) -> Result<u64, DumpHeadError> {
    // Files end below 2^63: a larger offset is damage.
    offset
        .checked_add(size)
        .filter(|end| i64::try_from(*end).is_ok())
        .ok_or(DumpHeadError::OutOfBounds { what, offset, size })
}

fn to_usize(value: u64) -> Result<usize, DumpHeadError> {
    usize::try_from(value).map_err(|_| DumpHeadError::OutOfBounds {
        what: "head",
        offset: value,
        size: 0,
    })
}

#[cfg(test)]
#[path = "dump_head_tests.rs"]
mod tests;
