use gimli::{AttributeValue, DebuggingInformationEntry, LittleEndian as LE, Unit};
use vmcore_formats::endian::Endian;

use super::*;

type Slice<'a> = gimli::EndianSlice<'a, LE>;

/// BTF of these types and names, each type as its words.
fn btf(types: &[&[u32]], names: &str) -> Btf {
    let words: Vec<u32> = types.concat();
    let (length, text) = (words.len() as u32 * 4, names.len() as u32);
    let header = [0x0001_eb9f, 24, 0, length, length, text];
    let bytes = header.iter().chain(&words).flat_map(|word| word.to_le_bytes());
    Btf::parse(bytes.chain(names.bytes()).collect(), Endian::Little).unwrap()
}

const NAMES: &str = "\0int\0node\0next\0data\0low\0f\0\x1b[31m\0";
const INT: u32 = 1;
const NODE: u32 = 5;
const NEXT: u32 = 10;
const DATA: u32 = 15;
const LOW: u32 = 20;
const F: u32 = 24;
const RED: u32 = 26;

/// All entries, as lines: depth, tag, name, type's offset.
fn entries(sections: &Sections) -> Vec<String> {
    let section = |name: &str| {
        let found = sections.sections.iter().find(|(other, _)| *other == name);
        found.map(|(_, bytes)| bytes.as_slice()).unwrap_or_default()
    };
    let load = |id: gimli::SectionId| Ok::<_, gimli::Error>(Slice::new(section(id.name()), LE));
    let dwarf = gimli::Dwarf::load(load).unwrap();
    let header = dwarf.units().next().unwrap().unwrap();
    let unit = dwarf.unit(header).unwrap();
    let mut lines = Vec::new();
    let mut cursor = unit.entries();
    while let Some(entry) = cursor.next_dfs().unwrap() {
        lines.push(line(&dwarf, &unit, entry));
    }
    lines
}

fn line<'a>(
    dwarf: &gimli::Dwarf<Slice<'a>>,
    unit: &Unit<Slice<'a>>,
    entry: &DebuggingInformationEntry<Slice<'a>>,
) -> String {
    let mut text = entry.tag().to_string().trim_start_matches("DW_TAG_").to_owned();
    for attribute in entry.attrs() {
        match attribute.value() {
            AttributeValue::UnitRef(offset) => {
                assert!(unit.entry(offset).is_ok(), "a reference to no entry");
            }
            value if attribute.name() == gimli::DW_AT_name => {
                let name = dwarf.attr_string(unit, value).unwrap();
                text.push_str(&format!(" {}", name.to_string_lossy()));
            }
            value => {
                if let Some(number) = value.udata_value() {
                    text.push_str(&format!(" {number}"));
                }
            }
        }
    }
    text
}

fn written(btf: &Btf) -> (Vec<String>, Vec<String>) {
    let sections = Dwarf::of_kernel(btf, Vec::new()).finish();
    let own = entries(&sections).into_iter().filter(|line| !line.starts_with("base_type"));
    (own.skip(1).collect(), sections.findings)
}

#[test]
fn structures_have_their_members_where_btf_has_them() {
    let btf = btf(
        &[
            &[INT, 1 << 24, 4, 1 << 24 | 32],
            &[NODE, 4 << 24 | 1 << 31 | 3, 16, NEXT, 3, 0, DATA, 1, 64, LOW, 1, 3 << 24 | 101],
            &[0, 2 << 24, 2],
        ],
        NAMES,
    );
    let (lines, findings) = written(&btf);
    assert_eq!(
        lines,
        [
            "structure_type node 16",
            "member next 0",
            "member data 8",
            "member low 3 101",
            "pointer_type 8"
        ]
    );
    assert!(findings.is_empty(), "{findings:?}");
}

#[test]
fn members_outside_of_their_structure_are_left_out() {
    let btf = btf(
        &[&[INT, 1 << 24, 4, 32], &[NODE, 4 << 24 | 3, 8, NEXT, 1, 64, DATA, 9, 0, LOW, 1, 32]],
        NAMES,
    );
    let (lines, findings) = written(&btf);
    assert_eq!(lines, ["structure_type node 8", "member low 4"]);
    assert!(findings.iter().any(|finding| finding.contains("2 members")), "{findings:?}");
}

#[test]
fn cycles_of_types_are_cut() {
    let btf = btf(
        &[
            // A typedef of itself, two pointers to each other, and a structure in itself.
            &[F, 8 << 24, 1],
            &[0, 2 << 24, 3],
            &[0, 2 << 24, 2],
            &[NODE, 4 << 24 | 1, 8, NEXT, 4, 0],
            // A prototype with itself as its parameter.
            &[0, 13 << 24 | 1, 0, 0, 5],
            // An array of itself.
            &[0, 3 << 24, 0, 6, 6, 2],
        ],
        NAMES,
    );
    let (lines, findings) = written(&btf);
    assert_eq!(lines.len(), 8, "{lines:?}");
    assert!(findings.iter().any(|finding| finding.contains("5 references")), "{findings:?}");
}

#[test]
fn names_that_a_terminal_obeys_are_made_harmless() {
    let btf = btf(&[&[RED, 7 << 24, 0], &[9999, 7 << 24, 0]], NAMES);
    assert_eq!(written(&btf).0, ["structure_type _[31m", "structure_type "]);
}

#[test]
fn enumerations_and_functions_are_written() {
    let btf = btf(
        &[
            &[INT, 1 << 24, 4, 1 << 24 | 32],
            &[NODE, 6 << 24 | 1 << 31 | 1, 4, LOW, 0xffff_ffff],
            &[DATA, 19 << 24 | 1, 8, LOW, 1, 1],
            &[0, 13 << 24 | 2, 1, NEXT, 1, 0, 0],
            &[F, 12 << 24, 4],
        ],
        NAMES,
    );
    let code = std::iter::once(0x1000..0x2000).collect();
    let mut dwarf = Dwarf::of_kernel(&btf, code);
    let function = |name| Function { name, at: 0x1000, size: 16, global: true };
    let all = [&b"f"[..], b"unknown", b"vmemmap_populate"];
    dwarf.functions(all.into_iter().map(function));
    let lines = entries(&dwarf.finish());
    let own: Vec<_> = lines.iter().filter(|line| !line.starts_with("base_type")).skip(1).collect();
    assert_eq!(
        own,
        [
            "enumeration_type node 4",
            "enumerator low",
            "enumeration_type data 8",
            "enumerator low 4294967297",
            "subroutine_type",
            "formal_parameter",
            "unspecified_parameters",
            "subprogram f 16",
            "formal_parameter next",
            "unspecified_parameters",
            "subprogram vmemmap_populate 16"
        ]
    );
}

proptest::proptest! {
    #[test]
    fn random_types_give_sound_entries(words in proptest::collection::vec(proptest::prelude::any::<u32>(), 0..200)) {
        // Kinds that exist, and references to types that exist.
        let types: Vec<Vec<u32>> = words.iter().map(|word| {
            let (kind, id) = (word % 20, word >> 8 & 0x3f);
            let tail: &[u32] = match kind {
                1 | 14 | 17 => &[32],
                3 => &[*word >> 10 & 0x3f, 1, *word >> 16],
                4 | 5 | 15 | 19 => &[NEXT, *word >> 12 & 0x3f, *word >> 28],
                6 | 13 => &[NEXT, *word >> 9 & 0x3f],
                _ => &[],
            };
            let count = u32::from(matches!(kind, 4 | 5 | 6 | 13 | 15 | 19));
            [&[if word & 0x80 == 0 { NODE } else { 0 }, kind << 24 | count, id], tail].concat()
        }).collect();
        let types: Vec<&[u32]> = types.iter().map(Vec::as_slice).collect();
        let _ = written(&btf(&types, NAMES));
    }
}
