use super::super::synthetic::{Layout, Stream, note};
use super::*;
use proptest::prelude::*;

/// Decodes as a reader of a stream would: only ever with the bytes asked for.
fn decode(stream: &[u8]) -> Result<DumpHead, DumpHeadError> {
    let mut have = 0;
    loop {
        match DumpHead::decode(&stream[..have])? {
            Progress::Complete(head) => return Ok(head),
            Progress::Incomplete { needed: bytes } => {
                let bytes = usize::try_from(bytes).unwrap();
                assert!(bytes > have, "asks for {bytes} bytes and has {have}");
                assert!(bytes <= stream.len(), "asks for more than there is");
                have = bytes;
            }
        }
    }
}

#[test]
fn each_layout_of_qemu_tells_its_own_length() {
    for layout in [Layout::SectionsFirst, Layout::ProgramHeadersFirst] {
        for class in [Class::Elf64, Class::Elf32] {
            for extended in [false, true] {
                let stream = Stream { layout, class, extended, ..Stream::default() };
                let bytes = stream.build();
                let head = decode(&bytes).unwrap_or_else(|error| panic!("{stream:?}: {error}"));
                assert_eq!(head.stream_length, bytes.len() as u64, "{stream:?}");
                assert_eq!(head.memory_bytes(), 0x6800);
                assert_eq!(head.segments.len(), 3);
                assert_eq!(head.segments[2].physical, PhysAddr(0xfffc_0000));
                assert_eq!(head.trailing_sections, 0);
            }
        }
    }
}

#[test]
fn a_string_table_header_in_the_hosts_byte_order_is_understood() {
    for class in [Class::Elf64, Class::Elf32] {
        let stream = Stream {
            class,
            endian: Endian::Big,
            machine: 22,
            notes: Vec::new(),
            swapped_string_table: true,
            ..Stream::default()
        };
        let bytes = stream.build();
        let head = decode(&bytes).unwrap();
        assert_eq!(head.stream_length, bytes.len() as u64);
        assert_eq!(head.identity.endian, Endian::Big);
    }
}

#[test]
fn the_count_past_the_16_bit_limit_is_in_section_0() {
    let blocks: Vec<_> = (0..70_000).map(|index| (index * 0x2000, 1)).collect();
    let bytes = Stream { blocks, extended: true, ..Stream::default() }.build();
    let head = decode(&bytes).unwrap();
    assert_eq!(head.segments.len(), 70_000);
    assert_eq!(head.stream_length, bytes.len() as u64);
}

#[test]
fn every_truncation_of_the_head_wants_more_and_never_panics() {
    let bytes = Stream::default().build();
    let head = decode(&bytes).unwrap();
    for len in 0..usize::try_from(head.head_length).unwrap() {
        assert!(
            matches!(DumpHead::decode(&bytes[..len]), Ok(Progress::Incomplete { needed: bytes }) if bytes > len as u64),
            "cut at {len}"
        );
    }
}

#[test]
fn notes_are_summarised() {
    let bytes = Stream::default().build();
    let head = decode(&bytes).unwrap();
    let summary = head.summarise_notes(&bytes);
    let release = Some("6.1".to_owned());
    let expected =
        NoteSummary { cpus: 1, vmcoreinfo: true, consistent: true, release, build_id: None };
    assert_eq!(summary, expected);
}

#[test]
fn notes_that_do_not_end_with_their_segment_are_reported() {
    let mut notes = note(b"CORE\0", 1, &[0; 336]);
    notes.extend([0xff; 20]);
    let bytes = Stream { notes, ..Stream::default() }.build();
    let summary = decode(&bytes).unwrap().summarise_notes(&bytes);
    assert_eq!(summary, NoteSummary { cpus: 1, ..NoteSummary::default() });
}

#[test]
fn what_is_no_elf_core_is_refused_by_its_first_bytes() {
    let error = DumpHead::decode(b"makedumpfile\0\0\0\0").unwrap_err();
    assert_eq!(error, DumpHeadError::NotElf { found: *b"make" });

    let mut program = Stream::default().build();
    program[16] = 2;
    let error = DumpHead::decode(&program).unwrap_err();
    assert_eq!(error, DumpHeadError::Header { field: "e_type", found: 2 });
}

#[test]
fn a_dump_without_memory_is_refused() {
    let bytes = Stream { blocks: Vec::new(), ..Stream::default() }.build();
    assert_eq!(decode(&bytes), Err(DumpHeadError::NoMemory));
}

#[test]
fn blocks_that_share_bytes_are_refused() {
    let mut bytes = Stream::default().build();
    // p_offset of the second PT_LOAD: 64 + 2 sections, the third program header.
    let field = 64 + 2 * 64 + 2 * 56 + 8;
    let offset = u64::from_le_bytes(bytes[field..field + 8].try_into().unwrap());
    bytes[field..field + 8].copy_from_slice(&(offset - 1).to_le_bytes());
    assert!(matches!(decode(&bytes), Err(DumpHeadError::Overlap { .. })));
}

#[test]
fn a_section_table_amid_the_memory_is_refused() {
    let original = Stream::default().build();
    let head = decode(&original).unwrap();
    let memory = head.segments[0].offset;
    let last = head.segments[2].offset + head.segments[2].file_size;
    // In the first block, before it but reaching into it, and between blocks.
    for offset in [memory, memory + 0x100, memory - 64, head.segments[1].offset, last - 1] {
        let mut bytes = original.clone();
        bytes[40..48].copy_from_slice(&offset.to_le_bytes());
        let error = DumpHead::decode(&bytes).unwrap_err();
        assert_eq!(
            error,
            DumpHeadError::AmidMemory { what: "section headers", offset, memory },
            "{offset:#x}"
        );
    }
}

#[test]
fn the_section_that_counts_segments_is_not_read_amid_the_memory() {
    let stream =
        Stream { layout: Layout::ProgramHeadersFirst, extended: true, ..Stream::default() };
    let mut bytes = stream.build();
    let memory = decode(&bytes).unwrap().segments[0].offset;
    let at = usize::try_from(memory).unwrap() + 0x100;
    let counted = 64 + 4 * 56;
    bytes.copy_within(counted..counted + 64, at);
    bytes[40..48].copy_from_slice(&(at as u64).to_le_bytes());
    // No sections are counted, only the first's offset is given.
    bytes[60..62].copy_from_slice(&[0, 0]);
    assert!(matches!(DumpHead::decode(&bytes), Err(DumpHeadError::Overlap { .. })));
}

#[test]
fn a_second_note_segment_is_refused() {
    let stream = Stream { layout: Layout::ProgramHeadersFirst, ..Stream::default() };
    let mut bytes = stream.build();
    // The second program header's p_type.
    bytes[64 + 56..][..4].copy_from_slice(&4_u32.to_le_bytes());
    let error = decode(&bytes).unwrap_err();
    assert!(error.to_string().contains("second PT_NOTE"), "{error}");
}

#[test]
fn sizes_that_no_stream_can_have_are_refused() {
    let head = 64 + 2 * 64;
    // p_offset and p_filesz of the notes, and of the first block.
    for field in [head + 8, head + 32, head + 56 + 8, head + 56 + 32] {
        for value in [u64::MAX, 1 << 63, (1 << 63) - 1] {
            let mut bytes = Stream::default().build();
            bytes[field..field + 8].copy_from_slice(&value.to_le_bytes());
            assert!(decode(&bytes).is_err(), "{value:#x} at {field}");
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_without_a_panic(
        noise in prop::collection::vec((0_usize..600, any::<u8>()), 0..12),
        class in prop::sample::select(vec![Class::Elf32, Class::Elf64]),
    ) {
        let mut bytes = Stream { class, ..Stream::default() }.build();
        for (at, value) in noise {
            bytes[at] = value;
        }
        match DumpHead::decode(&bytes) {
            Ok(Progress::Complete(head)) => {
                prop_assert!(head.head_length <= MAX_HEAD);
                prop_assert!(head.stream_length >= head.memory_bytes());
                prop_assert!(head.summarise_notes(&bytes).cpus < bytes.len());
            }
            Ok(Progress::Incomplete { needed: wanted }) => {
                prop_assert!(wanted > bytes.len() as u64 && wanted <= MAX_HEAD);
            }
            Err(_) => {}
        }
    }
}
