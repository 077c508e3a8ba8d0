use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Flags as objtool packs them.
fn entry(sp_offset: i16, bp_offset: i16, flags: u16) -> [u8; 6] {
    let [a, b] = sp_offset.to_le_bytes();
    let [c, d] = bp_offset.to_le_bytes();
    let [e, f] = flags.to_le_bytes();
    [a, b, c, d, e, f]
}

fn flags(bases: (u16, u16), rest: u16) -> u16 {
    bases.0 | bases.1 << 4 | rest << 8
}

#[test]
fn a_function_that_pushed_bp_is_the_same_in_each_version() {
    // sp + 16, and bp saved at the caller's sp - 16.
    let expected = OrcEntry {
        sp: Base::Sp,
        sp_offset: 16,
        bp: Base::PreviousSp,
        bp_offset: -16,
        kind: Kind::Call,
        signal: false,
    };
    for (version, bases, rest) in [
        (OrcVersion::V1, (5, 1), 0),
        (OrcVersion::V2, (5, 1), 0),
        (OrcVersion::V3, (5, 1), 2),
        (OrcVersion::V4, (3, 8), 2),
    ] {
        let decoded = OrcEntry::decode(entry(16, -16, flags(bases, rest)), version);
        assert_eq!(decoded, Some(expected), "{version:?}");
    }
}

#[test]
fn registers_come_with_a_signal_where_there_is_a_bit_for_it_and_always_before() {
    for (version, sp, rest) in [
        (OrcVersion::V1, 5, 1),
        (OrcVersion::V2, 5, 1 | 1 << 2),
        (OrcVersion::V3, 5, 3 | 1 << 3),
        (OrcVersion::V4, 3, 3 | 1 << 3),
    ] {
        let decoded = OrcEntry::decode(entry(0, 0, flags((sp, 0), rest)), version).unwrap();
        assert_eq!((decoded.kind, decoded.signal), (Kind::Regs, true), "{version:?}");
    }
    let partial = OrcEntry::decode(entry(0, 0, flags((5, 0), 4)), OrcVersion::V3).unwrap();
    assert_eq!((partial.kind, partial.signal), (Kind::PartialRegs, false));
}

#[test]
fn code_without_a_base_ends_the_stack_or_says_nothing() {
    let kind =
        |rest, version| OrcEntry::decode(entry(0, 0, flags((0, 0), rest)), version).unwrap().kind;
    assert_eq!(kind(1 << 2, OrcVersion::V1), Kind::End);
    assert_eq!(kind(0, OrcVersion::V1), Kind::Undefined);
    assert_eq!(kind(1 << 3, OrcVersion::V2), Kind::End);
    assert_eq!(kind(1 << 2, OrcVersion::V2), Kind::Undefined);
    assert_eq!(kind(1, OrcVersion::V3), Kind::End);
    assert_eq!(kind(0, OrcVersion::V4), Kind::Undefined);
}

#[test]
fn what_no_objtool_writes_is_no_entry() {
    assert_eq!(OrcEntry::decode(entry(8, 0, flags((10, 0), 0)), OrcVersion::V1), None);
    assert_eq!(OrcEntry::decode(entry(8, 0, flags((5, 0), 3)), OrcVersion::V2), None);
    assert_eq!(OrcEntry::decode(entry(8, 0, flags((5, 0), 5)), OrcVersion::V3), None);
    assert_eq!(OrcEntry::decode(entry(8, 0, flags((3, 11), 2)), OrcVersion::V4), None);
}

/// A table like a kernel's: mostly calls from sp, some from bp, a few of registers.
fn table(version: OrcVersion) -> Vec<u8> {
    let (sp, bp, call, regs) = match version {
        OrcVersion::V1 => (5, 4, 0, 1),
        OrcVersion::V2 => (5, 4, 0, 5),
        OrcVersion::V3 => (5, 4, 2, 11),
        OrcVersion::V4 => (3, 4, 2, 11),
    };
    let mut bytes = Vec::new();
    for index in 0..400 {
        let flags = match index % 20 {
            0 => flags((sp, 0), regs),
            1..=4 => flags((bp, 0), call),
            _ => flags((sp, 0), call),
        };
        bytes.extend(entry(8, 0, flags));
    }
    bytes
}

#[test]
fn entries_tell_their_version() {
    for version in [OrcVersion::V1, OrcVersion::V2, OrcVersion::V3, OrcVersion::V4] {
        assert_eq!(OrcVersion::of_entries(&table(version)), Some(version));
    }
    assert_eq!(OrcVersion::of_entries(&[]), None);
    assert_eq!(OrcVersion::of_entries(&[0xff; 600]), None);
    assert_eq!(OrcVersion::of_entries(&[0; 600]), None);
}

#[test]
fn the_types_shape_decides_and_entries_only_what_it_leaves_open() {
    let shape = |signal, end| OrcShape { signal, end };
    let garbage = [0xff; 600];
    assert_eq!(OrcVersion::of_shape(shape(false, true), &garbage), Some(OrcVersion::V1));
    assert_eq!(OrcVersion::of_shape(shape(true, true), &garbage), Some(OrcVersion::V2));
    for version in [OrcVersion::V3, OrcVersion::V4] {
        assert_eq!(OrcVersion::of_shape(shape(true, false), &table(version)), Some(version));
    }
    assert_eq!(OrcVersion::of_shape(shape(false, false), &table(OrcVersion::V1)), None);
}

#[test]
fn hashes_are_known_by_all_of_their_bytes() {
    let mut hash = [
        0xfe, 0x5d, 0x32, 0xbf, 0x58, 0x1b, 0xd6, 0x3b, 0x2c, 0xa9, 0xa5, 0xc6, 0x5b, 0xa5, 0xa6,
        0x25, 0xea, 0xb3, 0xfe, 0x24,
    ];
    assert_eq!(OrcVersion::of_hash(&hash), Some(OrcVersion::V3));
    assert_eq!(OrcVersion::of_hash(&hash[..19]), None);
    hash[19] ^= 1;
    assert_eq!(OrcVersion::of_hash(&hash), None);
}

const START: u64 = 0xffff_ffff_8200_0000;

/// A table of addresses, each written relative to its own place.
fn ips(addresses: &[u64]) -> Vec<u8> {
    let place = |index: usize| START + index as u64 * 4;
    let relative = |(index, address): (usize, &u64)| address.wrapping_sub(place(index)) as u32;
    addresses.iter().enumerate().map(relative).flat_map(u32::to_le_bytes).collect()
}

#[test]
fn the_last_entry_at_or_before_an_address_is_found() {
    let code = 0xffff_ffff_8100_0000;
    let bytes = ips(&[code, code + 0x10, code + 0x10, code + 0x40]);
    let table = IpTable::new(VirtAddr(START), &bytes);
    let find = |offset: u64| table.find(VirtAddr(code + offset));
    assert_eq!(table.count(), 4);
    assert_eq!(table.address(3), Some(VirtAddr(code + 0x40)));
    assert_eq!(table.find(VirtAddr(code - 1)), None);
    assert_eq!((find(0), find(0xf)), (Some(0), Some(0)));
    // Of two for the same address, the later one.
    assert_eq!((find(0x10), find(0x3f)), (Some(2), Some(2)));
    assert_eq!((find(0x40), find(0x1000)), (Some(3), Some(3)));
    assert_eq!(IpTable::new(VirtAddr(START), &[]).find(VirtAddr(code)), None);
}

#[test]
fn a_table_that_was_cut_off_has_the_entries_that_are_whole() {
    let bytes = ips(&[START - 0x30, START - 0x20, START - 0x10]);
    for length in 0..=bytes.len() {
        let table = IpTable::new(VirtAddr(START), &bytes[..length]);
        assert_eq!(table.count(), length / 4);
        assert_eq!(table.find(VirtAddr(START)), (length / 4).checked_sub(1));
    }
}

proptest! {
    #[test]
    fn random_bytes_are_decoded_without_a_panic(bytes: [u8; 6], table in vec(any::<u8>(), 0..200), ip: u64, start: u64) {
        for version in [OrcVersion::V1, OrcVersion::V2, OrcVersion::V3, OrcVersion::V4] {
            let _ = OrcEntry::decode(bytes, version);
        }
        let _ = OrcVersion::of_entries(&table);
        let _ = OrcVersion::of_hash(&table);
        let found = IpTable::new(VirtAddr(start), &table).find(VirtAddr(ip));
        prop_assert!(found.is_none_or(|index| index < table.len() / 4));
    }
}
