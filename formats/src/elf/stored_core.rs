//! The normalised core: one layout, whatever QEMU wrote.
//!
//! ```text
//! 0     ELF header, with a true e_ehsize
//! 64    program headers (52 in a 32-bit core): PT_NOTE, then PT_LOAD by offset
//!       section header 0, only for 65,535 program headers and more
//!       notes, on 4 bytes
//!       zeros up to the page
//!       memory of the first segment, on its page
//!       zeros up to the page, memory of the second segment, ...
//! ```
//!
//! The program headers stand straight after the ELF header because makedumpfile
//! looks nowhere else. A segment's file offset is congruent to its guest address
//! modulo the page, so that no page lies across two chunks. The memory keeps
//! the order of the stream: a core is written while it is read.

use super::dump_head::DumpHead;
use super::{Class, Header, Identity, PN_XNUM, ProgramHeader, SectionHeader, Segment};
use crate::addr::PhysAddr;
use crate::cursor::Endian;
use goblin::elf::{header, program_header};
use scroll::Pwrite;
use thiserror::Error;

/// What file offsets are aligned to, in bytes.
///
/// The smallest page of all architectures: each block of guest memory begins on
/// a page, so alignment to this one keeps every page whole in its chunk.
pub const PAGE: u64 = 4096;

/// `p_align` of a memory segment: none is promised, although there is one.
///
/// crash takes an ELF core whose first segment is aligned and says so for one
/// of netdump's, in which it looks for no VMCOREINFO, and then cannot find a
/// kernel that KASLR has moved. The kernel's and QEMU's own cores have 0, too.
const NO_ALIGNMENT: u64 = 0;

/// Why a core cannot be laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StoredCoreError {
    /// A 32-bit ELF file ends at 4 GiB.
    #[error("a 32-bit core cannot hold {bytes:#x} bytes")]
    TooLarge {
        /// How long the core would be.
        bytes: u64,
    },
}

/// A run of memory on its way from the stream into the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where it begins in the stream.
    pub stream_offset: u64,
    /// Where it goes in the core.
    pub core_offset: u64,
    /// How many bytes it has.
    pub length: u64,
}

/// The plan of a normalised core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCore {
    identity: Identity,
    segments: Vec<Segment>,
    note_offset: u64,
    note_size: u64,
    length: u64,
}

impl StoredCore {
    /// Lays out the core of a dump.
    ///
    /// # Errors
    /// Fails if it would not fit into an ELF file of its class.
    pub fn plan(head: &DumpHead) -> Result<Self, StoredCoreError> {
        let note_size =
            head.notes.iter().fold(0_u64, |sum, note| sum.saturating_add(note.len() as u64));
        Self::lay_out(head.identity, note_size, head.segments.clone())
    }

    /// Lays out the core of memory that is no dump of QEMU's.
    ///
    /// `memory` are the ranges, by address and apart: where each begins, and how
    /// many bytes it has. As in QEMU's own cores, `p_vaddr` repeats `p_paddr`.
    ///
    /// # Errors
    /// Fails if it would not fit into an ELF file of its class.
    pub fn of_memory(
        identity: Identity,
        note_size: u64,
        memory: impl IntoIterator<Item = (PhysAddr, u64)>,
    ) -> Result<Self, StoredCoreError> {
        let segment = |(physical, size): (PhysAddr, u64)| Segment {
            physical,
            virtual_address: physical.0,
            flags: 0,
            offset: 0,
            file_size: size,
            memory_size: size,
        };
        Self::lay_out(identity, note_size, memory.into_iter().map(segment).collect())
    }

    fn lay_out(
        identity: Identity,
        note_size: u64,
        mut segments: Vec<Segment>,
    ) -> Result<Self, StoredCoreError> {
        let class = identity.class;
        let note_offset = align(tables_end(class, segments.len()), 4);
        let mut end = note_offset.saturating_add(note_size);
        for segment in &mut segments {
            // One without bytes has nothing to align, and takes no room.
            if segment.file_size == 0 {
                segment.offset = end;
                continue;
            }
            segment.offset = align_like(end, segment.physical.0);
            end = segment.offset.saturating_add(segment.file_size);
        }
        let limit = match class {
            Class::Elf32 => u64::from(u32::MAX),
            Class::Elf64 => i64::MAX.unsigned_abs(),
        };
        if end > limit {
            return Err(StoredCoreError::TooLarge { bytes: end });
        }
        Ok(Self { identity, segments, note_offset, note_size, length: end })
    }

    /// What machine it is of.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// How many bytes the whole core has.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The memory segments, in file order, with their offsets in this core.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// How each segment gets from the stream into the core, in the order of both.
    pub fn pieces<'a>(&'a self, head: &'a DumpHead) -> impl Iterator<Item = Piece> + 'a {
        let pairs = head.segments.iter().zip(&self.segments);
        pairs.filter(|(from, _)| from.file_size > 0).map(|(from, to)| Piece {
            stream_offset: from.offset,
            core_offset: to.offset,
            length: from.file_size,
        })
    }

    /// Everything before the memory: headers, tables and notes.
    ///
    /// `prefix` are the bytes that `head` was decoded from.
    #[must_use]
    pub fn encode_head(&self, head: &DumpHead, prefix: &[u8]) -> Vec<u8> {
        let notes =
            head.notes.iter().flat_map(|range| prefix.get(range.clone()).unwrap_or_default());
        self.encode_head_with(notes)
    }

    /// Everything before the memory, with these notes. As many bytes of them
    /// count as were planned.
    #[must_use]
    pub fn encode_head_with<'a>(&self, notes: impl IntoIterator<Item = &'a u8>) -> Vec<u8> {
        let context = self.identity.context();
        let segment_count = self.segments.len().saturating_add(1);
        let extended = is_extended(self.segments.len());
        let size = self.note_offset.saturating_add(self.note_size);
        let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];

        // `gwrite_with` moves `at`. The buffer was sized by the same plan, so a
        // write that does not fit cannot happen; it would leave zeros.
        let at = &mut 0;
        let _ = bytes.gwrite_with(self.header(segment_count, extended), at, context.le);
        let _ = bytes.gwrite_with(self.note_header(), at, context);
        for segment in &self.segments {
            let _ = bytes.gwrite_with(load_header(segment), at, context);
        }
        if extended {
            let count = u32::try_from(segment_count).unwrap_or(u32::MAX);
            let _ = bytes.gwrite_with(
                SectionHeader { sh_info: count, ..SectionHeader::default() },
                at,
                context,
            );
        }
        let note_offset = usize::try_from(self.note_offset).unwrap_or_default();
        for (to, from) in bytes.iter_mut().skip(note_offset).zip(notes) {
            *to = *from;
        }
        bytes
    }

    fn header(&self, segment_count: usize, extended: bool) -> Header {
        let class = self.identity.class;
        let mut ident = [0; header::SIZEOF_IDENT];
        let signature = header::ELFMAG.iter().copied().chain([
            match class {
                Class::Elf32 => header::ELFCLASS32,
                Class::Elf64 => header::ELFCLASS64,
            },
            match self.identity.endian {
                Endian::Little => header::ELFDATA2LSB,
                Endian::Big => header::ELFDATA2MSB,
            },
            header::EV_CURRENT,
            self.identity.os_abi,
        ]);
        for (to, from) in ident.iter_mut().zip(signature) {
            *to = from;
        }
        let e_shoff = if extended { section_offset(class, self.segments.len()) } else { 0 };
        Header {
            e_ident: ident,
            e_type: header::ET_CORE,
            e_machine: self.identity.machine,
            e_version: u32::from(header::EV_CURRENT),
            e_entry: 0,
            e_phoff: u64::from(class.header_size()),
            e_shoff,
            e_flags: self.identity.flags,
            e_ehsize: class.header_size(),
            e_phentsize: class.program_header_size(),
            e_phnum: if extended {
                PN_XNUM
            } else {
                u16::try_from(segment_count).unwrap_or(PN_XNUM)
            },
            e_shentsize: if extended { class.section_header_size() } else { 0 },
            e_shnum: u16::from(extended),
            e_shstrndx: 0,
        }
    }

    fn note_header(&self) -> ProgramHeader {
        ProgramHeader {
            p_type: program_header::PT_NOTE,
            p_offset: self.note_offset,
            p_filesz: self.note_size,
            p_memsz: self.note_size,
            p_align: 4,
            p_flags: 0,
            p_vaddr: 0,
            p_paddr: 0,
        }
    }
}

fn load_header(segment: &Segment) -> ProgramHeader {
    ProgramHeader {
        p_type: program_header::PT_LOAD,
        p_flags: segment.flags,
        p_offset: segment.offset,
        p_vaddr: segment.virtual_address,
        p_paddr: segment.physical.0,
        p_filesz: segment.file_size,
        p_memsz: segment.memory_size,
        p_align: NO_ALIGNMENT,
    }
}

/// Whether the count of program headers, notes included, does not fit `e_phnum`.
fn is_extended(load_count: usize) -> bool {
    load_count.saturating_add(1) >= usize::from(PN_XNUM)
}

fn section_offset(class: Class, load_count: usize) -> u64 {
    let count = (load_count as u64).saturating_add(1);
    let table = count.saturating_mul(u64::from(class.program_header_size()));
    table.saturating_add(u64::from(class.header_size()))
}

fn tables_end(class: Class, load_count: usize) -> u64 {
    let section = if is_extended(load_count) { class.section_header_size() } else { 0 };
    section_offset(class, load_count).saturating_add(u64::from(section))
}

fn align(offset: u64, to: u64) -> u64 {
    offset.checked_next_multiple_of(to).unwrap_or(u64::MAX)
}

/// The first offset from `end` on that has the place in its page that `address` has.
fn align_like(end: u64, address: u64) -> u64 {
    let missing = address.wrapping_sub(end) % PAGE;
    end.saturating_add(missing)
}

#[cfg(test)]
#[path = "stored_core_tests.rs"]
mod tests;
