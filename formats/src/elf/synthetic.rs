//! Streams built by hand, for tests: each layout that a QEMU ever wrote.
//!
//! The bytes are put together field by field and not by goblin, so that the
//! builder can disagree with the decoder.

use super::Class;
use crate::endian::Endian;

/// Where QEMU puts the section and program headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// QEMU 7.2 and newer: sections first, `.shstrtab` at the end, `e_ehsize` 8.
    SectionsFirst,
    /// Older: program headers at 64, no sections unless there are very many.
    ProgramHeadersFirst,
}

/// What the stream should be of.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) layout: Layout,
    pub(crate) class: Class,
    pub(crate) endian: Endian,
    pub(crate) machine: u16,
    pub(crate) notes: Vec<u8>,
    /// Physical address and size of each block.
    pub(crate) blocks: Vec<(u64, u64)>,
    /// Says the count of program headers in section 0 instead of `e_phnum`.
    pub(crate) extended: bool,
    /// Writes the string table's header in the order that the rest has not.
    pub(crate) swapped_string_table: bool,
}

impl Default for Stream {
    fn default() -> Self {
        let mut notes = Vec::new();
        for note in [note(b"CORE\0", 1, &[7; 336]), note(b"QEMU\0", 0, &[9; 440])] {
            notes.extend(note);
        }
        notes.extend(note(b"VMCOREINFO\0", 0, b"OSRELEASE=6.1\n"));
        Self {
            layout: Layout::SectionsFirst,
            class: Class::Elf64,
            endian: Endian::Little,
            machine: 62,
            notes,
            blocks: vec![(0, 0x3000), (0xc_0000, 0x1000), (0xfffc_0000, 0x2800)],
            extended: false,
            swapped_string_table: false,
        }
    }
}

const STRINGS: &[u8] = b"\0.shstrtab\0";

impl Stream {
    pub(crate) fn build(&self) -> Vec<u8> {
        let class = self.class;
        let header = u64::from(class.header_size());
        let section = u64::from(class.section_header_size());
        let program_headers = self.blocks.len() as u64 + 1;
        let table = program_headers * u64::from(class.program_header_size());
        let new = self.layout == Layout::SectionsFirst;
        let sections = if new { 2 } else { u64::from(self.extended) };
        let (phoff, shoff) =
            if new { (header + sections * section, header) } else { (header, header + table) };
        let notes_at = header + sections * section + table;
        let memory_at = notes_at + self.notes.len() as u64;
        let memory: u64 = self.blocks.iter().map(|block| block.1).sum();

        let mut out = Writer { bytes: vec![0x7f, b'E', b'L', b'F'], class, endian: self.endian };
        let little = self.endian == Endian::Little;
        out.bytes.extend([
            if class == Class::Elf64 { 2 } else { 1 },
            if little { 1 } else { 2 },
            1,
        ]);
        out.bytes.resize(16, 0);
        out.half(4).half(u64::from(self.machine)).word(1);
        out.address(0).address(phoff).address(if sections > 0 { shoff } else { 0 }).word(0);
        out.half(if new { 8 } else { header }).half(u64::from(class.program_header_size()));
        out.half(if self.extended { 0xffff } else { program_headers }).half(section);
        out.half(sections).half(if new { 1 } else { 0 });

        let program_headers = |out: &mut Writer| {
            out.program_header(4, notes_at, 0, self.notes.len() as u64);
            let mut at = memory_at;
            for (physical, size) in &self.blocks {
                out.program_header(1, at, *physical, *size);
                at += size;
            }
        };
        if !new {
            program_headers(&mut out);
        }
        if sections > 0 {
            out.section_header(
                0,
                0,
                0,
                if self.extended { self.blocks.len() as u64 + 1 } else { 0 },
            );
        }
        if new {
            let swapped = if little { Endian::Big } else { Endian::Little };
            out.endian = if self.swapped_string_table { swapped } else { self.endian };
            out.section_header(3, memory_at + memory, STRINGS.len() as u64, 0);
            out.endian = self.endian;
            program_headers(&mut out);
        }
        out.bytes.extend(&self.notes);
        for (index, (_, size)) in self.blocks.iter().enumerate() {
            out.bytes.extend((0..*size).map(|at| (at / 256) as u8 ^ (index as u8) << 4));
        }
        if new {
            out.bytes.extend(STRINGS);
        }
        out.bytes
    }
}

/// One little-endian note.
pub(crate) fn note(name: &[u8], kind: u32, descriptor: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in [name.len() as u32, descriptor.len() as u32, kind] {
        bytes.extend(number.to_le_bytes());
    }
    for part in [name, descriptor] {
        bytes.extend(part);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

struct Writer {
    bytes: Vec<u8>,
    class: Class,
    endian: Endian,
}

impl Writer {
    fn number(&mut self, value: u64, size: usize) -> &mut Self {
        match self.endian {
            Endian::Little => self.bytes.extend(&value.to_le_bytes()[..size]),
            Endian::Big => self.bytes.extend(&value.to_be_bytes()[8 - size..]),
        }
        self
    }

    fn half(&mut self, value: u64) -> &mut Self {
        self.number(value, 2)
    }

    fn word(&mut self, value: u64) -> &mut Self {
        self.number(value, 4)
    }

    fn address(&mut self, value: u64) -> &mut Self {
        self.number(value, if self.class == Class::Elf64 { 8 } else { 4 })
    }

    fn program_header(&mut self, kind: u64, offset: u64, physical: u64, size: u64) {
        self.word(kind);
        if self.class == Class::Elf64 {
            self.word(0);
        }
        self.address(offset).address(physical).address(physical).address(size).address(size);
        if self.class == Class::Elf32 {
            self.word(0);
        }
        self.address(0);
    }

    fn section_header(&mut self, kind: u64, offset: u64, size: u64, info: u64) {
        self.word(0).word(kind).address(0).address(0).address(offset).address(size);
        self.word(0).word(info).address(0).address(0);
    }
}
