//! The file of a module: a relocatable ELF file, as `NAME.ko` is.
//!
//! ```text
//! ELF header
//! sections of the module    at address 0, without contents: memory has them
//! other sections            notes, symbols, debug information
//! .rela.debug_*             what is added to addresses: where a section is loaded
//! section headers
//! ```
//!
//! Nothing in it depends on where the module is loaded. Debuggers know where the kernel has each
//! section, and find it by its name.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use object::LittleEndian as LE;
use object::elf;
use object::endian::{U16, U32, U64};
use object::pod::bytes_of;

use super::dwarf::Address;
use super::elf::{Extra, extra_header, head, names_header, section_header};
use super::linked::Linked;
use crate::kernel::modules::ModuleSection;

const HEADER: u64 = 64;

/// The first symbols: none, and one for each section.
pub(super) fn symbols(
    linked: &Linked,
    sizes: &[u64],
    sections: &[ModuleSection],
) -> (Vec<u8>, u32) {
    let mut local = vec![0; 24];
    for number in 1..=sections.len() {
        let section = Place { number: u16::try_from(number).unwrap_or_default(), value: 0 };
        local.extend(symbol(0, elf::STB_LOCAL, elf::STT_SECTION, &section, 0));
    }
    let mut global = Vec::new();
    for (found, size) in linked.symbols.iter().zip(sizes) {
        let Some((place, section)) = place(sections, found.at, found.at) else { continue };
        let is_code = is_code(&section.name);
        let kind = match found.letter {
            b't' | b'T' | b'w' | b'W' if is_code => elf::STT_FUNC,
            _ if is_code => elf::STT_NOTYPE,
            _ => elf::STT_OBJECT,
        };
        let size = (*size).min(section.size.saturating_sub(place.value));
        match found.letter {
            b'w' | b'W' | b'v' | b'V' => {
                global.extend(symbol(found.name, elf::STB_WEAK, kind, &place, size));
            }
            letter if letter.is_ascii_uppercase() => {
                global.extend(symbol(found.name, elf::STB_GLOBAL, kind, &place, size));
            }
            _ => local.extend(symbol(found.name, elf::STB_LOCAL, kind, &place, size)),
        }
    }
    let first = u32::try_from(local.len() / 24).unwrap_or_default();
    local.extend(global);
    (local, first)
}

/// Whether a section has code.
pub(super) fn is_code(name: &str) -> bool {
    [".text", ".init.text", ".exit.text", ".noinstr.text"].iter().any(|code| {
        name.strip_prefix(code).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

/// A section's number, and how far something is in it.
struct Place {
    number: u16,
    value: u64,
}

/// The section that has `anchor`, or ends there, and where `value` is in it.
fn place(sections: &[ModuleSection], value: u64, anchor: u64) -> Option<(Place, &ModuleSection)> {
    let has = |section: &ModuleSection| anchor.wrapping_sub(section.at.0) < section.size;
    let ends = |section: &ModuleSection| section.at.0.saturating_add(section.size) == anchor;
    let position = sections.iter().position(has).or_else(|| sections.iter().rposition(ends))?;
    let section = sections.get(position)?;
    let value = value.checked_sub(section.at.0).filter(|value| *value <= section.size)?;
    Some((Place { number: u16::try_from(position.checked_add(1)?).ok()?, value }, section))
}

fn symbol(
    name: u32,
    binding: elf::SymbolBind,
    kind: elf::SymbolType,
    place: &Place,
    size: u64,
) -> Vec<u8> {
    let entry = elf::Sym64 {
        st_name: U32::new(LE, name),
        st_info: elf::SymbolInfo::new(binding, kind),
        st_other: elf::SymbolOther(0),
        st_shndx: U16::new(LE, elf::SymbolSection(place.number)),
        st_value: U64::new(LE, place.value),
        st_size: U64::new(LE, size),
    };
    bytes_of(&entry).to_vec()
}

/// Relocations of the addresses in `section`, which become zeros. Those in no section of the
/// module stay as they are.
///
/// ```text
/// 0   r_offset  u64   8   r_info  u64  symbol << 32 | type   16  r_addend  i64
/// ```
pub(super) fn relocate(
    section: &mut [u8],
    addresses: &[Address],
    sections: &[ModuleSection],
    kind: u32,
) -> Vec<u8> {
    let mut relocations = Vec::new();
    for address in addresses {
        let Some((place, _)) = place(sections, address.value, address.anchor) else { continue };
        let start = usize::try_from(address.offset).unwrap_or(usize::MAX);
        let there = section.get_mut(start..).and_then(|rest| rest.first_chunk_mut::<8>());
        let Some(there) = there else { continue };
        *there = [0; 8];
        relocations.extend(u64::from(address.offset).to_le_bytes());
        relocations.extend((u64::from(place.number) << 32 | u64::from(kind)).to_le_bytes());
        relocations.extend(place.value.to_le_bytes());
    }
    relocations
}

/// Writes the file.
pub(super) fn write(
    machine: elf::Machine,
    sections: &[ModuleSection],
    extra: &[Extra],
    file: &File,
) -> io::Result<()> {
    let mut names = vec![0];
    let mut headers = vec![section_header("", &mut names)];
    for section in sections {
        let mut header = section_header(&section.name, &mut names);
        let flags = match section.name.as_str() {
            name if is_code(name) => elf::SHF_ALLOC | elf::SHF_EXECINSTR,
            name if name.starts_with(".rodata") => elf::SHF_ALLOC,
            _ => elf::SHF_ALLOC | elf::SHF_WRITE,
        };
        header.sh_type = U32::new(LE, elf::SHT_NOBITS);
        header.sh_flags = U64::new(LE, flags);
        header.sh_offset = U64::new(LE, HEADER);
        header.sh_size = U64::new(LE, section.size);
        header.sh_addralign = U64::new(LE, 1);
        headers.push(header);
    }
    let mut end = HEADER;
    for section in extra {
        end = end.next_multiple_of(section.align.max(1));
        headers.push(extra_header(section, end, &mut names));
        file.write_all_at(&section.bytes, end)?;
        end = end.saturating_add(section.bytes.len() as u64);
    }
    headers.push(names_header(end, &mut names));
    file.write_all_at(&names, end)?;
    let at = end.saturating_add(names.len() as u64).next_multiple_of(8);
    let bytes: Vec<u8> = headers.iter().flat_map(|header| bytes_of(header).to_vec()).collect();
    file.write_all_at(&bytes, at)?;
    let count = u16::try_from(headers.len()).unwrap_or_default();
    file.write_all_at(bytes_of(&head(elf::ET_REL, machine, 0, at, count)), 0)
}
