use super::super::dump_head::Progress;
use super::super::synthetic::{Layout, Stream};
use super::*;
use goblin::elf::Elf;
use proptest::prelude::*;

fn head_of(stream: &[u8]) -> DumpHead {
    match DumpHead::decode(stream).unwrap() {
        Progress::Complete(head) => head,
        Progress::Incomplete { needed: bytes } => panic!("wants {bytes} bytes"),
    }
}

/// Normalises a whole stream in memory, by nothing but the plan.
fn normalise(stream: &[u8]) -> Vec<u8> {
    let head = head_of(stream);
    let core = StoredCore::plan(&head).unwrap();
    let mut bytes = core.encode_head(&head, stream);
    for piece in core.pieces(&head) {
        bytes.resize(usize::try_from(piece.core_offset).unwrap(), 0);
        let from = usize::try_from(piece.stream_offset).unwrap();
        bytes.extend(&stream[from..from + usize::try_from(piece.length).unwrap()]);
    }
    assert_eq!(bytes.len() as u64, core.length());
    bytes
}

#[test]
fn each_layout_of_qemu_becomes_the_same_core() {
    let new = normalise(&Stream::default().build());
    let old = Stream { layout: Layout::ProgramHeadersFirst, ..Stream::default() };
    assert_eq!(normalise(&old.build()), new);
    let extended = Stream { extended: true, ..Stream::default() };
    assert_eq!(normalise(&extended.build()), new);
}

#[test]
fn program_headers_follow_the_elf_header_and_notes_come_first() {
    for class in [Class::Elf64, Class::Elf32] {
        let stream = Stream { class, ..Stream::default() };
        let bytes = normalise(&stream.build());
        let elf = Elf::parse(&bytes).unwrap();
        assert_eq!(elf.header.e_phoff, u64::from(class.header_size()));
        assert_eq!(elf.header.e_ehsize, class.header_size());
        assert_eq!((elf.header.e_shnum, elf.header.e_shoff), (0, 0));
        assert_eq!(elf.program_headers.len(), 4);
        let notes = &elf.program_headers[0];
        assert_eq!(notes.p_type, program_header::PT_NOTE);
        assert_eq!(bytes[notes.file_range()], stream.notes);
    }
}

#[test]
fn no_page_of_memory_lies_across_two_pages_of_the_file() {
    let blocks = vec![(0, 0x1234), (0x2468, 0x10), (0x1_0000_0000, 0x5001)];
    let bytes = normalise(&Stream { blocks: blocks.clone(), ..Stream::default() }.build());
    let elf = Elf::parse(&bytes).unwrap();
    for (header, (physical, size)) in elf.program_headers[1..].iter().zip(blocks) {
        assert_eq!((header.p_paddr, header.p_filesz), (physical, size));
        assert_eq!(header.p_offset % PAGE, physical % PAGE, "{header:?}");
        assert_eq!(header.p_align, 0, "crash would look for a netdump core");
    }
}

#[test]
fn segments_without_bytes_take_no_room() {
    let memory = [(0x1800, 0x1000), (0xfffc_0000, 0x1000)];
    let without = normalise(&Stream { blocks: memory.to_vec(), ..Stream::default() }.build());
    // Each has another place in its page.
    let empty = (1..1000).map(|index| (0x10_0000 + index * 0x1100, 0));
    let blocks = [memory[0]].into_iter().chain(empty).chain([memory[1]]).collect();
    let bytes = normalise(&Stream { blocks, ..Stream::default() }.build());
    let headers = 999 * usize::from(Class::Elf64.program_header_size());
    assert!(bytes.len() <= without.len() + headers + 4096, "{} bytes", bytes.len());
    assert_eq!(normalise(&bytes), bytes);
}

#[test]
fn a_core_of_the_other_byte_order_stays_in_it() {
    let stream =
        Stream { endian: Endian::Big, machine: 22, notes: Vec::new(), ..Stream::default() };
    let bytes = normalise(&stream.build());
    let elf = Elf::parse(&bytes).unwrap();
    assert!(!elf.little_endian);
    assert_eq!(elf.header.e_machine, 22);
    assert_eq!(elf.program_headers[3].p_paddr, 0xfffc_0000);
}

#[test]
fn more_segments_than_16_bits_count_are_numbered_in_section_0() {
    let blocks: Vec<_> = (0..65_535).map(|index| (index * 0x2000, 1)).collect();
    let stream = Stream { blocks, extended: true, ..Stream::default() };
    let bytes = normalise(&stream.build());
    let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    assert_eq!((half(56), half(58), half(60)), (0xffff, 64, 1), "e_phnum, e_shentsize, e_shnum");
    let section = usize::try_from(u64::from_le_bytes(bytes[40..48].try_into().unwrap())).unwrap();
    assert_eq!(section, 64 + 65_536 * 56, "straight after the program headers");
    let info = u32::from_le_bytes(bytes[section + 44..section + 48].try_into().unwrap());
    assert_eq!(info, 65_536, "sh_info counts the notes, too");
}

#[test]
fn a_32_bit_core_past_4_gib_is_refused() {
    let mut head = head_of(&Stream { class: Class::Elf32, ..Stream::default() }.build());
    head.segments[0].file_size = u64::from(u32::MAX);
    let error = StoredCore::plan(&head).unwrap_err();
    assert!(matches!(error, StoredCoreError::TooLarge { bytes } if bytes > u64::from(u32::MAX)));
}

#[test]
fn memory_without_a_stream_is_laid_out_like_a_dump() {
    let identity = head_of(&Stream::default().build()).identity;
    let notes = [7; 12];
    let memory = [(PhysAddr(0x1000), 0x2000), (PhysAddr(0x1_0000_0000), 0x1000)];
    let core = StoredCore::of_memory(identity, 12, memory).unwrap();
    let mut bytes = core.encode_head_with(&notes);
    bytes.resize(usize::try_from(core.length()).unwrap(), 0);
    let elf = Elf::parse(&bytes).unwrap();
    assert_eq!(bytes[elf.program_headers[0].file_range()], notes);
    for (header, (start, size)) in elf.program_headers[1..].iter().zip(memory) {
        assert_eq!((header.p_paddr, header.p_vaddr), (start.0, start.0));
        assert_eq!((header.p_filesz, header.p_memsz), (size, size));
        assert_eq!(header.p_offset % PAGE, 0);
    }
}

proptest! {
    #[test]
    fn normalising_twice_changes_nothing(
        sizes in prop::collection::vec((0_u64..0x100, 1_u64..0x3000), 1..8),
        layout in prop::sample::select(vec![Layout::SectionsFirst, Layout::ProgramHeadersFirst]),
    ) {
        let mut end = 0;
        let blocks = sizes
            .into_iter()
            .map(|(gap, size)| {
                let block = (end + gap * 0x800, size);
                end = block.0 + size;
                block
            })
            .collect();
        let once = normalise(&Stream { layout, blocks, ..Stream::default() }.build());
        prop_assert_eq!(&normalise(&once), &once);
    }
}
