//! The sections of a dump. Only their end is of interest.

use super::{Class, DumpHeadError, Header, Identity, SectionHeader, Stop, end, part};
use goblin::elf::section_header;
use scroll::Pread;
use std::ops::Range;

/// The extent of the sections.
pub(super) struct Sections {
    /// The end of their headers, if these are in the head, else 0.
    pub(super) head_end: u64,
    /// The end of the last section, or of the headers.
    pub(super) end: u64,
    /// How many bytes of sections follow the memory, without the string table.
    pub(super) trailing: u64,
}

/// Finds the end of the sections. Section headers in the head are decoded; of those
/// after the memory, only the length counts.
pub(super) fn sections(
    prefix: &[u8],
    elf: &Header,
    identity: Identity,
    memory: &Range<u64>,
) -> Result<Sections, Stop> {
    let mut found = Sections { head_end: 0, end: 0, trailing: 0 };
    if elf.e_shnum == 0 {
        return Ok(found);
    }
    let size = u64::from(identity.class.section_header_size());
    if u64::from(elf.e_shentsize) != size {
        return Err(DumpHeadError::Header {
            field: "e_shentsize",
            found: u64::from(elf.e_shentsize),
        }
        .into());
    }
    let table_size = size.saturating_mul(u64::from(elf.e_shnum));
    found.end = end("section headers", elf.e_shoff, table_size)?;
    if elf.e_shoff >= memory.end {
        return Ok(found);
    }
    // Section headers must not share bytes with memory.
    if found.end > memory.start {
        let (what, offset) = ("section headers", elf.e_shoff);
        return Err(DumpHeadError::AmidMemory { what, offset, memory: memory.start }.into());
    }
    found.head_end = found.end;
    let table = part(prefix, "section headers", elf.e_shoff, table_size)?;
    for (index, bytes) in table.chunks_exact(usize::from(elf.e_shentsize)).enumerate().skip(1) {
        let mut entry: SectionHeader = bytes
            .pread_with(0, identity.context())
            .map_err(|_| DumpHeadError::Header { field: "e_shoff", found: elf.e_shoff })?;
        if entry.sh_type.swap_bytes() == section_header::SHT_STRTAB {
            entry.sh_type = entry.sh_type.swap_bytes();
            entry.sh_offset = swap_word(entry.sh_offset, identity.class);
            entry.sh_size = swap_word(entry.sh_size, identity.class);
        }
        if entry.sh_type == section_header::SHT_NOBITS || entry.sh_size == 0 {
            continue;
        }
        let section_end = end("section", entry.sh_offset, entry.sh_size)?;
        if entry.sh_offset >= memory.end && index != usize::from(elf.e_shstrndx) {
            found.trailing = found.trailing.saturating_add(entry.sh_size);
        }
        found.end = found.end.max(section_end);
    }
    Ok(found)
}

fn swap_word(value: u64, class: Class) -> u64 {
    match class {
        Class::Elf64 => value.swap_bytes(),
        Class::Elf32 => value.swap_bytes() >> 32,
    }
}
