//! What is made of types for other programs: debug information, volatility3's symbols, C.
//!
//! Those who read it trust it. So no name in it does anything to a terminal or to C, no reference
//! leads nowhere or back to itself, and members are inside of their structures.

use std::collections::HashMap;

use gimli::{AttributeValue, DebuggingInformationEntry, EndianSlice, LittleEndian, UnitOffset};
use serde_json::Value;
use vmcore_formats::btf::Btf;
use vmcore_formats::endian::Endian;
use vmcorectl::vmlinux::types_alone;

use crate::limits::{FILE, within};
use crate::output;

type Slice<'a> = EndianSlice<'a, LittleEndian>;
type Entry<'a> = DebuggingInformationEntry<Slice<'a>>;

/// What an input of some kilobytes may become.
const MOST: usize = 128 << 20;
/// The deepest nesting of types by value.
const MAX_DEPTH: usize = 256;

/// The types of a kernel.
pub(crate) fn run(input: &[u8]) {
    within(FILE, || {
        let Ok(types) = Btf::parse(input.to_vec(), Endian::Little) else { return };
        debug_information(&types);
        let mut json = Vec::new();
        output::json(MOST, |out| {
            types_alone::isf(&types, &mut json)?;
            out.write_all(&json)
        });
        isf(&serde_json::from_slice(&json).expect("an ISF that is no JSON"));
        header(&types.c_header().text);
    });
}

fn debug_information(types: &Btf) {
    let sections = types_alone::debug_sections(types);
    let section = |id: gimli::SectionId| {
        let found = sections.iter().find(|(name, _)| *name == id.name());
        let bytes = found.map(|(_, bytes)| bytes.as_slice()).unwrap_or_default();
        Ok::<_, gimli::Error>(Slice::new(bytes, LittleEndian))
    };
    let dwarf = gimli::Dwarf::load(section).expect("sections");
    let header = dwarf.units().next().expect("a unit").expect("a unit");
    let unit = dwarf.unit(header).expect("a unit");
    let mut by_value: HashMap<UnitOffset, Vec<UnitOffset>> = HashMap::new();
    let mut structure = None;
    let mut cursor = unit.entries();
    while let Some(entry) = cursor.next_dfs().expect("an entry") {
        for attribute in entry.attrs() {
            match attribute.value() {
                AttributeValue::UnitRef(offset) => {
                    unit.entry(offset).expect("a reference to no entry");
                }
                value if attribute.name() == gimli::DW_AT_name => {
                    let name = dwarf.attr_string(&unit, value).expect("a name");
                    let is_harmless = |byte: &u8| (b' '..=b'~').contains(byte);
                    assert!(name.iter().all(is_harmless), "a name with a control character");
                    assert!(name.len() <= 512, "a name of {} bytes", name.len());
                }
                _ => {}
            }
        }
        let size = number(entry, gimli::DW_AT_byte_size);
        match entry.tag() {
            gimli::DW_TAG_structure_type | gimli::DW_TAG_union_type => {
                structure = Some((entry.offset(), size.unwrap_or(0)));
            }
            gimli::DW_TAG_member => {
                let (owner, room) = structure.expect("a member of a structure");
                let of = reference(entry).expect("a member's type");
                by_value.entry(owner).or_default().push(of);
                let start = number(entry, gimli::DW_AT_data_member_location).unwrap_or(0);
                let bit = number(entry, gimli::DW_AT_data_bit_offset).unwrap_or(0);
                let bits = number(entry, gimli::DW_AT_bit_size).unwrap_or(0);
                let end = start.saturating_mul(8).saturating_add(bit).saturating_add(bits);
                assert!(end <= room.saturating_mul(8), "a member outside of its structure");
            }
            gimli::DW_TAG_typedef
            | gimli::DW_TAG_const_type
            | gimli::DW_TAG_volatile_type
            | gimli::DW_TAG_restrict_type
            | gimli::DW_TAG_array_type => {
                by_value.entry(entry.offset()).or_default().extend(reference(entry));
            }
            _ => {}
        }
    }
    nothing_contains_itself(&by_value);
}

fn number(entry: &Entry<'_>, name: gimli::DwAt) -> Option<u64> {
    entry.attr_value(name)?.udata_value()
}

fn reference(entry: &Entry<'_>) -> Option<UnitOffset> {
    match entry.attr_value(gimli::DW_AT_type)? {
        AttributeValue::UnitRef(offset) => Some(offset),
        _ => None,
    }
}

/// A walk of each type to its end, as debuggers do it.
fn nothing_contains_itself(by_value: &HashMap<UnitOffset, Vec<UnitOffset>>) {
    // The depth of each type, once it is known; 0 while it is looked at.
    let mut depths: HashMap<UnitOffset, usize> = HashMap::new();
    for root in by_value.keys() {
        let mut stack = vec![(*root, false)];
        while let Some((at, is_done)) = stack.pop() {
            let inner = by_value.get(&at).map(Vec::as_slice).unwrap_or_default();
            if is_done {
                let depth = inner.iter().filter_map(|of| depths.get(of)).max().unwrap_or(&0) + 1;
                assert!(depth <= MAX_DEPTH, "types nested too deep");
                depths.insert(at, depth);
                continue;
            }
            match depths.get(&at) {
                Some(0) => panic!("a type that contains itself"),
                Some(_) => continue,
                None => {}
            }
            depths.insert(at, 0);
            stack.push((at, true));
            for of in inner {
                match depths.get(of) {
                    Some(0) => panic!("a type that contains itself"),
                    Some(_) => {}
                    None => stack.push((*of, false)),
                }
            }
        }
    }
}

/// Members are inside of their structures, and their types are there.
fn isf(isf: &Value) {
    let named = |kind: &str, name: &Value| {
        let table = match kind {
            "base" => "base_types",
            "enum" => "enums",
            _ => "user_types",
        };
        let name = name.as_str().expect("a type's name");
        assert!(isf[table].get(name).is_some(), "a type that is not there: {kind} {name:?}");
    };
    for structure in isf["user_types"].as_object().expect("structures").values() {
        let room = structure["size"].as_u64().expect("a size");
        for field in structure["fields"].as_object().expect("fields").values() {
            assert!(field["offset"].as_u64().expect("an offset") <= room, "a member outside");
            let mut of = &field["type"];
            loop {
                match of["kind"].as_str().expect("a kind") {
                    "pointer" | "array" => of = &of["subtype"],
                    "bitfield" => of = &of["type"],
                    "function" => break,
                    kind => {
                        named(kind, &of["name"]);
                        break;
                    }
                }
            }
        }
    }
}

/// C without anything that a name could have brought in.
fn header(text: &str) {
    let is_harmless = |c: char| matches!(c, '\n' | '\t' | ' '..='~');
    assert!(text.chars().all(is_harmless), "a control character in the header");
    assert!(!text.contains(['\\', '\'', '`', '?']), "a quote in the header");
    for line in text.lines().filter(|line| line.trim_start().starts_with('#')) {
        let known = ["#ifndef ", "#define ", "#if ", "#endif", "#pragma "];
        assert!(known.iter().any(|known| line.starts_with(known)), "{line:?} in the header");
    }
}
