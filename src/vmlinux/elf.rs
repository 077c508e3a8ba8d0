//! The file: an ELF executable with the layout of a vmlinux.
//!
//! ```text
//! ELF header · program headers
//! sections of the image      at the same offset in a page as in memory; holes for what is missing
//! other sections             notes, symbols, debug information
//! section headers
//! ```
//!
//! A segment is a run of sections of the image with the same rights, as a vmlinux has them:
//! constants with the code, per-CPU templates alone, what is freed and `.bss` together.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use object::LittleEndian as LE;
use object::elf;
use object::endian::{U16, U32, U64};
use object::pod::bytes_of;

use super::sections::{Content, Section};

const PAGE: u64 = 4096;
const HEADER: u64 = 64;

/// A section that is not in memory.
#[derive(Debug)]
pub(super) struct Extra {
    pub(super) name: &'static str,
    pub(super) kind: elf::SectionType,
    pub(super) bytes: Vec<u8>,
    pub(super) link: u32,
    pub(super) info: u32,
    pub(super) entry_size: u64,
    pub(super) align: u64,
}

impl Extra {
    /// A section of plain bytes.
    pub(super) fn plain(name: &'static str, bytes: Vec<u8>) -> Self {
        let kind = elf::SHT_PROGBITS;
        Self { name, kind, bytes, link: 0, info: 0, entry_size: 0, align: 1 }
    }
}

/// Where everything is in the file.
#[derive(Debug)]
pub(super) struct Layout {
    /// The offset of each section of the image.
    pub(super) image: Vec<u64>,
    /// The offset of each other section.
    extra: Vec<u64>,
    headers: u64,
    segments: Vec<elf::ProgramHeader64<LE>>,
}

/// The index of the first section of the image: 0 is none.
pub(super) const FIRST: u16 = 1;

fn group(section: &Section) -> u32 {
    match section.content {
        _ if section.name == ".data..percpu" => 2,
        Content::Code | Content::Constant => 0,
        Content::Data | Content::Table => 1,
        Content::Freed | Content::Zeros => 3,
    }
}

fn rights(section: &Section) -> elf::ProgramFlags {
    match group(section) {
        0 => elf::PF_R | elf::PF_X,
        3 => elf::PF_R | elf::PF_W | elf::PF_X,
        _ => elf::PF_R | elf::PF_W,
    }
}

impl Layout {
    /// Lays the file out. `physical` is where a link-time address is loaded.
    pub(super) fn new(
        image: &[Section],
        extra: &[Extra],
        note: Option<usize>,
        physical: impl Fn(u64) -> u64,
    ) -> Self {
        // Segments: first and last section of each.
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for (number, section) in image.iter().enumerate() {
            match runs.last_mut() {
                Some((first, last))
                    if image.get(*first).is_some_and(|one| group(one) == group(section)) =>
                {
                    *last = number;
                    debug_assert!(*first <= *last);
                }
                _ => runs.push((number, number)),
            }
        }
        // A vmlinux has the segment of per-CPU variables neither first nor last.
        if let Some(position) = runs.iter().position(|(first, _)| {
            image.get(*first).is_some_and(|one| one.name == ".data..percpu" && one.at == 0)
        }) && runs.len() > 2
        {
            let run = runs.remove(position);
            let last = runs.len().saturating_sub(1);
            runs.insert(last, run);
        }
        let mut layout =
            Self { image: vec![0; image.len()], extra: Vec::new(), headers: 0, segments: vec![] };
        let mut end = PAGE;
        for (first, last) in runs {
            let (Some(from), Some(to)) = (image.get(first), image.get(last)) else { continue };
            let start = end.next_multiple_of(PAGE).saturating_add(from.at % PAGE);
            let mut in_file = 0;
            for (number, section) in
                image.iter().enumerate().take(last.saturating_add(1)).skip(first)
            {
                let skip = section.at.saturating_sub(from.at);
                if let Some(offset) = layout.image.get_mut(number) {
                    *offset = start.saturating_add(skip);
                }
                if section.content != Content::Zeros {
                    in_file = skip.saturating_add(section.length);
                }
            }
            end = start.saturating_add(in_file);
            layout.segments.push(elf::ProgramHeader64 {
                p_type: U32::new(LE, elf::PT_LOAD),
                p_flags: U32::new(LE, rights(from)),
                p_offset: U64::new(LE, start),
                p_vaddr: U64::new(LE, from.at),
                p_paddr: U64::new(LE, physical(from.at)),
                p_filesz: U64::new(LE, in_file),
                p_memsz: U64::new(LE, to.end().saturating_sub(from.at)),
                p_align: U64::new(LE, PAGE),
            });
        }
        for (number, section) in extra.iter().enumerate() {
            end = end.next_multiple_of(section.align.max(1));
            layout.extra.push(end);
            if note == Some(number) {
                let length = section.bytes.len() as u64;
                layout.segments.push(elf::ProgramHeader64 {
                    p_type: U32::new(LE, elf::PT_NOTE),
                    p_flags: U32::new(LE, elf::PF_R),
                    p_offset: U64::new(LE, end),
                    p_vaddr: U64::new(LE, 0),
                    p_paddr: U64::new(LE, 0),
                    p_filesz: U64::new(LE, length),
                    p_memsz: U64::new(LE, length),
                    p_align: U64::new(LE, 4),
                });
            }
            end = end.saturating_add(section.bytes.len() as u64);
        }
        layout.headers = end.next_multiple_of(8);
        layout
    }

    /// Writes all but the contents of the image.
    pub(super) fn write(
        &self,
        machine: elf::Machine,
        image: &[Section],
        extra: &[Extra],
        file: &File,
    ) -> io::Result<()> {
        let mut names = vec![0];
        let mut headers = vec![section_header("", &mut names)];
        for (section, offset) in image.iter().zip(&self.image) {
            let mut header = section_header(section.name, &mut names);
            let kind = match section.content {
                Content::Zeros => elf::SHT_NOBITS,
                _ => elf::SHT_PROGBITS,
            };
            let flags = match section.content {
                Content::Code => elf::SHF_ALLOC | elf::SHF_EXECINSTR,
                Content::Constant | Content::Table => elf::SHF_ALLOC,
                Content::Freed if section.name == ".init.text" => {
                    elf::SHF_ALLOC | elf::SHF_EXECINSTR
                }
                _ => elf::SHF_ALLOC | elf::SHF_WRITE,
            };
            header.sh_type = U32::new(LE, kind);
            header.sh_flags = U64::new(LE, flags);
            header.sh_addr = U64::new(LE, section.at);
            header.sh_offset = U64::new(LE, *offset);
            header.sh_size = U64::new(LE, section.length);
            header.sh_addralign = U64::new(LE, 1);
            headers.push(header);
        }
        for (section, offset) in extra.iter().zip(&self.extra) {
            headers.push(extra_header(section, *offset, &mut names));
            file.write_all_at(&section.bytes, *offset)?;
        }
        let headers_length = (headers.len() as u64).saturating_add(1).saturating_mul(HEADER);
        let names_at = self.headers.saturating_add(headers_length);
        headers.push(names_header(names_at, &mut names));
        let bytes: Vec<u8> = headers.iter().flat_map(|header| bytes_of(header).to_vec()).collect();
        file.write_all_at(&bytes, self.headers)?;
        file.write_all_at(&names, names_at)?;
        let count = u16::try_from(headers.len()).unwrap_or_default();
        self.write_head(machine, count, file)
    }

    fn write_head(&self, machine: elf::Machine, sections: u16, file: &File) -> io::Result<()> {
        let segments = u16::try_from(self.segments.len()).unwrap_or_default();
        let header = head(elf::ET_EXEC, machine, segments, self.headers, sections);
        let segments = self.segments.iter().flat_map(|segment| bytes_of(segment).to_vec());
        let bytes: Vec<u8> = bytes_of(&header).iter().copied().chain(segments).collect();
        file.write_all_at(&bytes, 0)
    }
}

/// The ELF header. The names of sections are in the last section; program headers, if there are
/// any, follow the header.
pub(super) fn head(
    kind: elf::FileType,
    machine: elf::Machine,
    segments: u16,
    section_headers: u64,
    sections: u16,
) -> elf::FileHeader64<LE> {
    elf::FileHeader64 {
        e_ident: elf::Ident {
            magic: elf::ELFMAG,
            class: elf::ELFCLASS64,
            data: elf::ELFDATA2LSB,
            version: elf::EV_CURRENT,
            os_abi: elf::ELFOSABI_NONE,
            abi_version: 0,
            padding: [0; 7],
        },
        e_type: U16::new(LE, kind),
        e_machine: U16::new(LE, machine),
        e_version: U32::new(LE, 1),
        e_entry: U64::new(LE, 0),
        e_phoff: U64::new(LE, if segments > 0 { HEADER } else { 0 }),
        e_shoff: U64::new(LE, section_headers),
        e_flags: U32::new(LE, elf::FileFlags(0)),
        e_ehsize: U16::new(LE, 64),
        e_phentsize: U16::new(LE, if segments > 0 { 56 } else { 0 }),
        e_phnum: U16::new(LE, segments),
        e_shentsize: U16::new(LE, 64),
        e_shnum: U16::new(LE, sections),
        e_shstrndx: U16::new(LE, elf::SymbolSection(sections.saturating_sub(1))),
    }
}

/// A section header without anything but its name, which is added to `names`.
pub(super) fn section_header(name: &str, names: &mut Vec<u8>) -> elf::SectionHeader64<LE> {
    let zero = U64::new(LE, 0);
    let start = u32::try_from(names.len()).unwrap_or_default();
    if !name.is_empty() {
        names.extend(name.bytes().chain([0]));
    }
    elf::SectionHeader64 {
        sh_name: U32::new(LE, if name.is_empty() { 0 } else { start }),
        sh_type: U32::new(LE, elf::SHT_NULL),
        sh_flags: U64::new(LE, elf::SectionFlags(0)),
        sh_addr: zero,
        sh_offset: zero,
        sh_size: zero,
        sh_link: U32::new(LE, 0),
        sh_info: U32::new(LE, 0),
        sh_addralign: zero,
        sh_entsize: zero,
    }
}

/// The header of a section whose contents are at `offset`.
pub(super) fn extra_header(
    section: &Extra,
    offset: u64,
    names: &mut Vec<u8>,
) -> elf::SectionHeader64<LE> {
    elf::SectionHeader64 {
        sh_type: U32::new(LE, section.kind),
        sh_offset: U64::new(LE, offset),
        sh_size: U64::new(LE, section.bytes.len() as u64),
        sh_link: U32::new(LE, section.link),
        sh_info: U32::new(LE, section.info),
        sh_entsize: U64::new(LE, section.entry_size),
        sh_addralign: U64::new(LE, section.align.max(1)),
        ..section_header(section.name, names)
    }
}

/// The header of the last section, which has all names, its own included.
pub(super) fn names_header(offset: u64, names: &mut Vec<u8>) -> elf::SectionHeader64<LE> {
    let header = section_header(".shstrtab", names);
    elf::SectionHeader64 {
        sh_type: U32::new(LE, elf::SHT_STRTAB),
        sh_offset: U64::new(LE, offset),
        sh_size: U64::new(LE, names.len() as u64),
        sh_addralign: U64::new(LE, 1),
        ..header
    }
}
