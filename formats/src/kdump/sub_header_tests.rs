use super::*;

/// The offset of each field, and whether it is a long, by class and padding.
fn build(class: Class, endian: Endian, padded: bool) -> Vec<u8> {
    let offsets: [usize; 14] = match (class, padded) {
        (Class::Elf64, _) => [0, 8, 12, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96],
        (Class::Elf32, false) => [0, 4, 8, 12, 16, 20, 28, 32, 40, 44, 52, 56, 64, 72],
        (Class::Elf32, true) => [0, 4, 8, 12, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88],
    };
    let long = if class == Class::Elf64 { 8 } else { 4 };
    let lengths = [long, 4, 4, long, long, 8, long, 8, long, 8, long, 8, 8, 8];
    let values: [u64; 14] = [
        0x100_0000, 31, 1, 0x10, 0x20, 0x1100, 0x40, 0x1080, 0x100, 0x1180, 0x10, 0x11, 0x22, 0x33,
    ];
    let mut bytes = vec![0; SUB_HEADER_LENGTH];
    for ((offset, length), value) in offsets.into_iter().zip(lengths).zip(values) {
        let number = match endian {
            Endian::Little => value.to_le_bytes()[..length].to_vec(),
            Endian::Big => value.to_be_bytes()[8 - length..].to_vec(),
        };
        bytes[offset..offset + length].copy_from_slice(&number);
    }
    bytes
}

fn decode(
    bytes: &[u8],
    class: Class,
    endian: Endian,
    version: u32,
) -> Result<SubHeader, KdumpError> {
    SubHeader::decode(bytes, class, endian, version, 0x1000, 0x2000)
}

#[test]
fn each_layout_is_read_in_both_byte_orders() {
    for (class, padded) in [(Class::Elf64, false), (Class::Elf32, false), (Class::Elf32, true)] {
        for endian in [Endian::Little, Endian::Big] {
            let bytes = build(class, endian, padded);
            let header = decode(&bytes, class, endian, 6).unwrap();
            assert_eq!((header.phys_base, header.dump_level), (0x100_0000, 31));
            assert_eq!(header.part, Some((Pfn(0x11), Pfn(0x22))), "the 64-bit numbers count");
            assert_eq!(header.vmcoreinfo, Extent { offset: 0x1100, length: 0x40 });
            assert_eq!(header.notes, Extent { offset: 0x1080, length: 0x100 });
            assert_eq!(header.eraseinfo, Extent { offset: 0x1180, length: 0x10 });
            assert_eq!(header.max_mapnr, Some(0x33));
        }
    }
}

#[test]
fn what_a_version_does_not_have_is_not_read() {
    let bytes = build(Class::Elf64, Endian::Little, false);
    let version = |version| decode(&bytes, Class::Elf64, Endian::Little, version).unwrap();
    assert_eq!((version(1).dump_level, version(1).part), (31, None));
    assert_eq!(version(2).part, Some((Pfn(0x10), Pfn(0x20))));
    assert_eq!(version(2).vmcoreinfo, Extent::default());
    assert_eq!((version(3).vmcoreinfo.length, version(3).notes.length), (0x40, 0));
    assert_eq!((version(4).notes.length, version(4).eraseinfo.length), (0x100, 0));
    assert_eq!((version(5).eraseinfo.length, version(5).max_mapnr), (0x10, None));
    assert_eq!(version(5).part, Some((Pfn(0x10), Pfn(0x20))));
}

#[test]
fn every_truncation_is_an_error_and_never_a_panic() {
    for (class, length) in [(Class::Elf64, 104), (Class::Elf32, 80)] {
        let bytes = build(class, Endian::Little, false);
        for len in 0..length {
            assert!(decode(&bytes[..len], class, Endian::Little, 6).is_err(), "cut at {len}");
        }
        assert!(decode(&bytes[..length], class, Endian::Little, 6).is_ok());
    }
}

#[test]
fn a_sub_header_comes_back_as_it_was() {
    let header = SubHeader {
        phys_base: 4096_u64.wrapping_neg(),
        dump_level: 1,
        part: None,
        vmcoreinfo: Extent { offset: 0x1080, length: 9 },
        notes: Extent { offset: 0x1068, length: 0x40 },
        eraseinfo: Extent::default(),
        max_mapnr: Some(1 << 33),
    };
    for endian in [Endian::Little, Endian::Big] {
        let bytes = header.encode(Class::Elf64, endian);
        assert_eq!(bytes.len(), SUB_HEADER_LENGTH);
        assert_eq!(decode(&bytes, Class::Elf64, endian, 6), Ok(header));
        let narrow = decode(&header.encode(Class::Elf32, endian), Class::Elf32, endian, 6).unwrap();
        assert_eq!(narrow, SubHeader { phys_base: 0xffff_f000, ..header });
    }
}
