use vmcore_formats::addr::PhysAddr;
use vmcore_formats::elf::stored_core::StoredCore;
use vmcore_formats::kdump::flattened::encode_start;

use super::*;
use crate::vmcore::reader::kdump::sample::{BLOCK, Page, Sample, address, bytes_of, open};
use crate::vmcore::verify::verify;

/// A flattened file of these segments, by none of the decoder's code.
fn flatten(segments: &[(u64, &[u8])], end: bool) -> Vec<u8> {
    let mut file = encode_start();
    for (offset, bytes) in segments {
        file.extend(offset.to_be_bytes());
        file.extend((bytes.len() as u64).to_be_bytes());
        file.extend(*bytes);
    }
    if end {
        file.extend([0xff; 16]);
    }
    file
}

fn rearrange(file: Vec<u8>) -> FlattenedFile {
    FlattenedFile::open(Arc::new(file)).unwrap()
}

fn all(file: &FlattenedFile) -> Vec<u8> {
    let mut bytes = vec![0xee; file.length() as usize];
    file.read(0, &mut bytes).unwrap();
    bytes
}

#[test]
fn segments_go_where_they_say_and_the_later_one_counts() {
    let orders: [&[(u64, &[u8])]; 4] = [
        &[(0, b"abc"), (3, b"def")],
        &[(3, b"def"), (0, b"abc")],
        &[(0, b"______"), (3, b"def"), (0, b"abc")],
        &[(2, b"__"), (0, b"ab"), (1, b"x"), (2, b"_d_f"), (1, b"bc"), (4, b"e")],
    ];
    for segments in &orders[..3] {
        assert_eq!(all(&rearrange(flatten(segments, true))), b"abcdef");
    }
    assert_eq!(all(&rearrange(flatten(orders[3], true))), b"abcdef");
}

#[test]
fn any_order_of_overlapping_segments_is_what_writing_them_gives() {
    let mut state = 1_u32;
    let mut random = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % below
    };
    for _ in 0..200 {
        let mut expected = Vec::new();
        let mut written = Vec::new();
        for number in 1..=12_u8 {
            let (offset, length) = (random(60) as usize, 1 + random(20) as usize);
            expected.resize(expected.len().max(offset + length), 0);
            expected[offset..offset + length].fill(number);
            written.push((offset as u64, vec![number; length]));
        }
        let segments: Vec<_> = written.iter().map(|(at, bytes)| (*at, bytes.as_slice())).collect();
        let file = rearrange(flatten(&segments, true));
        assert_eq!(all(&file), expected);
        for (start, byte) in expected.iter().enumerate() {
            let mut one = [0xee];
            file.read(start as u64, &mut one).unwrap();
            assert_eq!(one[0], *byte);
        }
    }
}

#[test]
fn a_hole_is_zeros_if_the_file_is_whole_and_missing_if_not() {
    let segments: &[(u64, &[u8])] = &[(0, b"a"), (5, b"b")];
    let whole = rearrange(flatten(segments, true));
    assert_eq!((all(&whole), whole.zeros(1), whole.zeros(0)), (b"a\0\0\0\0b".to_vec(), 4, 0));
    assert_eq!(whole.cut_off(), None);
    let cut = rearrange(flatten(segments, false));
    assert!(cut.cut_off().is_some() && cut.zeros(1) == 0);
    assert!(cut.read(0, &mut [0; 6]).is_err());
    cut.read(5, &mut [0; 1]).unwrap();
    assert!(whole.read(5, &mut [0; 2]).is_err());
}

#[test]
fn every_truncation_opens_as_far_as_it_goes() {
    let file = flatten(&[(0, b"abc"), (3, b"def")], true);
    for len in 0..file.len() {
        let opened = FlattenedFile::open(Arc::new(file[..len].to_vec()));
        let Ok(opened) = opened else {
            assert!(len < 32, "cut at {len}");
            continue;
        };
        assert!(opened.cut_off().is_some(), "cut at {len}");
        assert!(b"abcdef".starts_with(&all(&opened)[..]));
    }
}

#[test]
fn a_flattened_dump_is_the_dump_itself() {
    let sample = Sample::default();
    let plain = sample.build();
    // As QEMU writes it: in pieces, the pages' bytes before their descriptors.
    let mut segments: Vec<_> = (0_u64..).step_by(1000).zip(plain.chunks(1000)).collect();
    segments.reverse();
    let core = open(&flatten(&segments, true)).unwrap();
    assert!(core.format().ends_with(", flattened"), "{}", core.format());
    assert_eq!(core.findings().len(), 1, "{:?}", core.findings());
    for (page, kind) in sample.pages.iter().enumerate().filter(|(page, _)| sample.holds(*page)) {
        let mut bytes = vec![0xee; BLOCK];
        core.memory().read(address(page), &mut bytes).unwrap();
        assert!(bytes == bytes_of(*kind), "page {page}");
    }
}

#[test]
fn a_flattened_dump_that_was_cut_off_says_so() {
    let sample = Sample { pages: vec![Page::Filled(9); 64], ..Sample::default() };
    let plain = sample.build();
    let segments: Vec<_> = (0_u64..).step_by(1000).zip(plain.chunks(1000)).collect();
    let whole = flatten(&segments, true);
    let core = open(&whole[..whole.len() - 3000]).unwrap();
    assert!(core.findings()[0].contains("not whole"), "{:?}", core.findings());
    assert!(core.memory().truncated() > 0);
    core.memory().read(address(0), &mut [0; BLOCK]).unwrap();
}

#[test]
fn memory_that_was_cut_off_is_not_held_however_much_the_headers_promise() {
    use crate::vmcore::memory::held_ranges;
    let memory = (PhysAddr(0x1000), 1 << 50);
    let identity = open(&Sample::default().build()).unwrap().identity();
    let stored = StoredCore::of_memory(identity, 0, [memory]).unwrap();
    let head = stored.encode_head_with([]);
    let start = stored.segments()[0].offset;
    let segments: &[(u64, &[u8])] =
        &[(0, &head), (start + 4096, b"abc"), (start + (1 << 49), b"d")];
    let core = open(&flatten(segments, false)).unwrap();
    let held: Vec<_> =
        held_ranges(core.memory()).map(|range| (range.start.0, range.length)).collect();
    assert_eq!(held, [(0x2000, 3), (0x1000 + (1 << 49), 1)]);
    let found = verify(&core, 1);
    assert!(!found.damage.is_empty() || !found.missing.is_empty(), "{found:?}");

    // In a whole file, the same hole is zeros.
    let core = open(&flatten(segments, true)).unwrap();
    assert_eq!(held_ranges(core.memory()).count(), 1);
}
