//! The debug information: DWARF 4, out of BTF.
//!
//! ```text
//! Btf ──► sound       what debuggers can follow to its end
//!     ──► strings     .debug_str
//!     ──► types       ──► entries ──► .debug_info      one unit: types, functions, variables
//!         functions                   .debug_ranges, .debug_aranges   where its code is
//!         variables
//! ```
//!
//! A module's file has the module's own types, and those of the kernel that they need (`needed`).
//!
//! Needs: BTF, the functions and variables with their addresses. Gives: the sections. DWARF 4 is
//! what all of crash, drgn and gdb read. Nothing is read from memory here.

mod abbreviations;
mod declaration;
mod declared;
mod entries;
mod functions;
mod needed;
mod sound;
mod strings;
mod types;
mod variables;

use std::ops::Range;

use gimli::constants::DW_LANG_C99;
use vmcore_formats::btf::Btf;

use abbreviations::Shape;
use entries::Entries;
use strings::Strings;
use types::Types;

pub(super) use declaration::Declaration;
pub(super) use entries::TypeRef;
pub(super) use functions::Function;
pub(super) use sound::Sound;
pub(super) use variables::Variable;

/// The sections of debug information, by their names.
#[derive(Debug, Default)]
pub(super) struct Sections {
    pub(super) sections: Vec<(&'static str, Vec<u8>)>,
    /// What was wrong with the types, as sentences.
    pub(super) findings: Vec<String>,
    /// Where addresses are, by section.
    pub(super) addresses: Vec<(&'static str, Vec<Address>)>,
}

/// An address in a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// Where it is in the section.
    pub(super) offset: u32,
    /// The address.
    pub(super) value: u64,
    /// An address in the section of code or data that it belongs to: where that section ends,
    /// the next one may begin.
    pub(super) anchor: u64,
}

/// Debug information that is being written.
#[derive(Debug)]
pub(super) struct Dwarf<'b> {
    types: Types<'b>,
    code: Vec<Range<u64>>,
}

impl<'b> Dwarf<'b> {
    /// All types of a kernel.
    pub(super) fn of_kernel(btf: &'b Btf, code: Vec<Range<u64>>) -> Self {
        let entries = header(btf, "vmlinux", !code.is_empty());
        let mut types = Types::new(btf, Sound::of(btf), Strings::all(btf), entries);
        for found in btf.types() {
            types.write(&found);
        }
        Self { types, code }
    }

    /// The types of a module, whose BTF continues the kernel's.
    pub(super) fn of_module(btf: &'b Btf, name: &str, code: Vec<Range<u64>>) -> Self {
        let entries = header(btf, name, !code.is_empty());
        let needed = needed::of_base(btf);
        let own = btf.first_id()..btf.next_id();
        let ids: Vec<u32> = needed.iter().map(|(id, _)| *id).chain(own).collect();
        let mut types = Types::new(btf, Sound::of_types(btf, &ids), Strings::used(), entries);
        for (id, need) in needed {
            match btf.by_id(id) {
                Some(found) if needed::is_name_only(&found, need) => types.declaration(&found),
                Some(found) => types.write(&found),
                None => {}
            }
        }
        for found in btf.types() {
            types.write(&found);
        }
        Self { types, code }
    }

    /// Adds functions.
    pub(super) fn functions<'a>(&mut self, functions: impl Iterator<Item = Function<'a>>) {
        functions::write(&mut self.types, functions);
    }

    /// Adds what is needed for a type that is written in C, if it is in BTF and has its place in
    /// this number of bytes.
    pub(super) fn declare(
        &mut self,
        declared: &Declaration<'_>,
        available: u64,
    ) -> Option<TypeRef> {
        declared::write(&mut self.types, declared, available)
    }

    /// Adds a variable.
    pub(super) fn variable(&mut self, variable: &Variable<'_>) {
        variables::write(&mut self.types, variable);
    }

    /// Adds a constant.
    pub(super) fn constant(&mut self, name: &str, value: i64) {
        variables::write_constant(&mut self.types, name, value);
    }

    /// The sections.
    pub(super) fn finish(mut self) -> Sections {
        self.types.entries.end_children();
        let findings = self.types.findings();
        let otherwise = match self.types.unknown {
            TypeRef::At(at) => at,
            TypeRef::Id(_) => 0,
        };
        let (info, addresses) = self.types.entries.finish(otherwise);
        let at = |(offset, value)| Address { offset, value, anchor: value };
        let addresses = vec![
            (".debug_aranges", pairs(&self.code, 16, false)),
            (".debug_info", addresses.into_iter().map(at).collect()),
            (".debug_ranges", pairs(&self.code, 0, true)),
        ];
        let sections = vec![
            (".debug_aranges", aranges(&self.code)),
            (".debug_info", info),
            (".debug_abbrev", abbreviations::section()),
            (".debug_str", self.types.strings.finish()),
            (".debug_ranges", ranges(&self.code)),
        ];
        Sections { sections, findings, addresses }
    }
}

/// The header of the unit, and the unit's own entry.
///
/// ```text
/// 0   unit_length    u32   filled in at the end
/// 4   version        u16   4
/// 6   abbrev_offset  u32   0
/// 10  address_size   u8    8
/// ```
fn header(btf: &Btf, name: &str, with_code: bool) -> Entries {
    let mut entries = Entries::new(btf.next_id());
    entries.word(0);
    entries.raw(&4_u16.to_le_bytes());
    entries.word(0);
    entries.byte(8);
    entries.begin(if with_code { Shape::Unit } else { Shape::UnitWithoutCode });
    entries.text(concat!("vmcorectl ", env!("CARGO_PKG_VERSION"), ", from BTF").as_bytes());
    entries.raw(&DW_LANG_C99.0.to_le_bytes());
    let harmless = name.bytes().map(|byte| if byte.is_ascii_graphic() { byte } else { b'_' });
    entries.text(&harmless.collect::<Vec<u8>>());
    if with_code {
        entries.address(0);
        entries.word(0);
    }
    entries
}

/// Where the addresses of `code` are in a list of pairs that begins at `first`: of each pair the
/// first, or both.
fn pairs(code: &[Range<u64>], first: u32, both: bool) -> Vec<Address> {
    let mut addresses = Vec::new();
    for (number, range) in (0_u32..).zip(code) {
        let offset = first.saturating_add(number.saturating_mul(16));
        let at = |offset, value| Address { offset, value, anchor: range.start };
        addresses.push(at(offset, range.start));
        if both {
            addresses.push(at(offset.saturating_add(8), range.end));
        }
    }
    addresses
}

/// Pairs of first and last address, from the unit's, which is 0; a pair of zeros at the end.
fn ranges(code: &[Range<u64>]) -> Vec<u8> {
    let pairs = code.iter().map(|range| (range.start, range.end)).chain([(0, 0)]);
    pairs.flat_map(|(start, end)| [start.to_le_bytes(), end.to_le_bytes()].concat()).collect()
}

/// ```text
/// 0   unit_length   u32
/// 4   version       u16   2
/// 6   info_offset   u32   0
/// 10  address_size  u8    8
/// 11  segment_size  u8    0
/// 12  padding to 16, then pairs of address and length, then a pair of zeros
/// ```
fn aranges(code: &[Range<u64>]) -> Vec<u8> {
    let pairs = code.iter().map(|range| (range.start, range.end.saturating_sub(range.start)));
    let mut rest = [2, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0].to_vec();
    for (start, length) in pairs.chain([(0, 0)]) {
        rest.extend(start.to_le_bytes());
        rest.extend(length.to_le_bytes());
    }
    let length = u32::try_from(rest.len()).unwrap_or_default();
    [length.to_le_bytes().to_vec(), rest].concat()
}

#[cfg(test)]
mod tests;
