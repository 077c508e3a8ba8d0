//! The normalised core: one layout for dumps of all QEMU versions.
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
//! The program headers follow the ELF header immediately, because makedumpfile
//! expects them there. A segment's file offset is congruent to its guest address
//! modulo the page, so that each page is in one chunk. The memory keeps the order
//! of the stream: the core is written while the dump is received.
//!
//! ```
//! use vmcore_formats::addr::PhysAddr;
//! use vmcore_formats::elf::stored_core::StoredCore;
//! use vmcore_formats::elf::{Class, Identity, note::Note};
//! use vmcore_formats::endian::Endian;
//!
//! let (class, endian) = (Class::Elf64, Endian::Little);
//! let identity = Identity { class, endian, machine: 62, flags: 0, os_abi: 0 };
//! let note = Note { name: b"VMCOREINFO", kind: 0, descriptor: b"OSRELEASE=6.1\n" };
//! let notes = note.encode(endian).unwrap();
//!
//! let memory = [(PhysAddr(0), 0x3000), (PhysAddr(0x10_0000), 0x1000)];
//! let core = StoredCore::of_memory(identity, notes.len() as u64, memory)?;
//! assert_eq!(core.segments().iter().map(|it| it.offset).collect::<Vec<_>>(), [0x1000, 0x4000]);
//! assert_eq!(core.length(), 0x5000);
//!
//! let head = core.encode_head_with(&notes);
//! assert!(head.starts_with(b"\x7fELF") && head.ends_with(&notes));
//! # Ok::<_, vmcore_formats::elf::stored_core::StoredCoreError>(())
//! ```

use super::dump_head::DumpHead;
use super::{Class, Header, Identity, PN_XNUM, ProgramHeader, SectionHeader, Segment};
use crate::addr::PhysAddr;
use crate::endian::Endian;
use goblin::elf::{header, program_header};
use scroll::Pwrite;
use thiserror::Error;

/// The alignment of file offsets, in bytes.
///
/// The smallest page of all architectures: each block of guest memory begins at a
/// page, so with this alignment no page is divided between chunks.
pub const PAGE: u64 = 4096;

/// `p_align` of a memory segment. It is 0 although segments are aligned.
///
/// An ELF core whose first segment is aligned and has `p_align` set is taken for a
/// netdump core by crash, which then ignores VMCOREINFO and cannot find a kernel that
/// KASLR has moved. The cores of the kernel and of QEMU have 0, too.
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

/// A run of memory that is copied from the stream into the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its offset in the stream.
    pub stream_offset: u64,
    /// Its offset in the core.
    pub core_offset: u64,
    /// Its length in bytes.
    pub length: u64,
}

/// The layout of a normalised core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCore {
    identity: Identity,
    segments: Vec<Segment>,
    note_offset: u64,
    note_size: u64,
    length: u64,
}

impl StoredCore {
    /// The core of a dump.
    ///
    /// # Errors
    /// Fails if it is too large for an ELF file of its class.
    pub fn plan(head: &DumpHead) -> Result<Self, StoredCoreError> {
        let note_size =
            head.notes.iter().fold(0_u64, |sum, note| sum.saturating_add(note.len() as u64));
        Self::lay_out(head.identity, note_size, head.segments.clone())
    }

    /// The core of memory that is not a dump of QEMU's.
    ///
    /// `memory` are ranges that do not overlap, by ascending address: the start and the
    /// length of each. As in QEMU's own cores, `p_vaddr` repeats `p_paddr`.
    ///
    /// # Errors
    /// Fails if it is too large for an ELF file of its class.
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
            // An empty segment is not aligned and takes no bytes.
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

    /// The machine.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The length of the whole core, in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The memory segments, in file order, with their offsets in this core.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The runs to copy from the stream into the core, in the order of both.
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
    pub fn encode_head(&self, head: &DumpHead, prefix: &[u8]) -> Vec<u8> {
        let notes =
            head.notes.iter().flat_map(|range| prefix.get(range.clone()).unwrap_or_default());
        self.encode_head_with(notes)
    }

    /// Everything before the memory, with these notes. Bytes past the planned length
    /// of the notes are ignored.
    pub fn encode_head_with<'a>(&self, notes: impl IntoIterator<Item = &'a u8>) -> Vec<u8> {
        let context = self.identity.context();
        let segment_count = self.segments.len().saturating_add(1);
        let extended = is_extended(self.segments.len());
        let size = self.note_offset.saturating_add(self.note_size);
        let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];

        // `gwrite_with` advances `at`. The buffer has the planned size, so that every
        // write fits.
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

/// The first offset from `end` on that is congruent to `address` modulo the page.
fn align_like(end: u64, address: u64) -> u64 {
    let missing = address.wrapping_sub(end) % PAGE;
    end.saturating_add(missing)
}

#[cfg(test)]
#[path = "stored_core_tests.rs"]
mod tests;
