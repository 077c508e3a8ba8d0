use super::*;

/// A header, field by field, by no code of the decoder's.
fn build(class: Class, endian: Endian, machine: &[u8], fields: [u32; 10]) -> Vec<u8> {
    let number = |value: u32| match endian {
        Endian::Little => value.to_le_bytes(),
        Endian::Big => value.to_be_bytes(),
    };
    let mut bytes = b"KDUMP   ".to_vec();
    bytes.extend(number(6));
    for text in [&b"Linux"[..], b"host", b"6.1.0", b"#1 SMP", machine, b"(none)"] {
        bytes.extend(text);
        bytes.resize(bytes.len() + 65 - text.len(), 0);
    }
    assert_eq!(bytes.len(), 402);
    bytes.resize(if class == Class::Elf64 { 424 } else { 412 }, 0);
    for field in fields {
        bytes.extend(number(field));
    }
    bytes.resize(4096, 0);
    bytes
}

/// `status`, `block_size`, `sub_hdr_size`, `bitmap_blocks`, `max_mapnr`, three
/// counts, `current_cpu`, `nr_cpus`.
const FIELDS: [u32; 10] = [1, 4096, 2, 4, 65_536, 7, 8, 9, 1, 3];

#[test]
fn each_layout_and_byte_order_is_recognised_by_its_content() {
    for (class, machine) in [(Class::Elf64, &b"x86_64"[..]), (Class::Elf32, b"i686")] {
        for endian in [Endian::Little, Endian::Big] {
            for machine in [machine, b""] {
                let bytes = build(class, endian, machine, FIELDS);
                let header = Header::decode(&bytes[..HEADER_LENGTH]).unwrap();
                assert_eq!((header.class, header.endian, header.version), (class, endian, 6));
                assert_eq!(header.uts.release, b"6.1.0");
                assert_eq!(header.uts.machine, machine);
                assert_eq!((header.status, header.block_size), (1, 4096));
                assert_eq!((header.sub_header_blocks, header.bitmap_blocks), (2, 4));
                assert_eq!(
                    (header.max_mapnr, header.current_cpu, header.cpu_count),
                    (65_536, 1, 3)
                );
                assert_eq!(header.bitmap_offset(), 3 * 4096);
                assert_eq!(header.descriptor_offset(), 7 * 4096);
            }
        }
    }
}

#[test]
fn a_header_comes_back_as_it_was() {
    for class in [Class::Elf64, Class::Elf32] {
        for endian in [Endian::Little, Endian::Big] {
            let mut fields = FIELDS;
            fields[5..8].fill(0);
            let bytes = build(
                class,
                endian,
                b"armv7l".get(..if class == Class::Elf32 { 6 } else { 0 }).unwrap(),
                fields,
            );
            let encoded = Header::decode(&bytes).unwrap().encode();
            assert_eq!(encoded, bytes[..encoded.len()]);
        }
    }
}

#[test]
fn every_truncation_is_an_error_and_never_a_panic() {
    let bytes = build(Class::Elf64, Endian::Little, b"x86_64", FIELDS);
    for len in 0..HEADER_LENGTH {
        assert!(Header::decode(&bytes[..len]).is_err(), "cut at {len}");
    }
}

#[test]
fn sizes_that_no_dump_has_are_refused() {
    for (field, value) in [(1, 0), (1, 4097), (1, 2048), (1, 1 << 20), (3, 0), (4, u32::MAX)] {
        let mut fields = FIELDS;
        fields[field] = value;
        let bytes = build(Class::Elf64, Endian::Little, b"x86_64", fields);
        assert_eq!(Header::decode(&bytes), Err(KdumpError::Sizes), "{field}: {value:#x}");
    }
}

#[test]
fn an_unknown_version_is_refused() {
    let mut bytes = build(Class::Elf64, Endian::Little, b"x86_64", FIELDS);
    bytes[8] = 7;
    assert_eq!(Header::decode(&bytes), Err(KdumpError::Version { found: 7 }));
    bytes[0] = b'k';
    assert!(matches!(Header::decode(&bytes), Err(KdumpError::Signature { .. })));
}

#[test]
fn status_says_whether_the_file_is_whole() {
    let header = |status| {
        let mut fields = FIELDS;
        fields[0] = status;
        Header::decode(&build(Class::Elf64, Endian::Little, b"x86_64", fields)).unwrap()
    };
    assert!(!header(1).is_incomplete() && !header(1).is_without_vmemmap());
    assert!(header(9).is_incomplete() && header(0x11).is_without_vmemmap());
}
