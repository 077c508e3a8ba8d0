use vmcore_formats::elf::Class;
use vmcore_formats::kdump::Codec;

use super::*;
use crate::vmcore::memory::{held_ranges, pieces};
use crate::vmcore::reader::kdump::sample::{BLOCK, INFO, Page, Sample, address, bytes_of, open};
use crate::vmcore::{OpenError, Vmcore};

/// Checks each page of a core against the sample that it was built from.
fn check(core: &Vmcore, sample: &Sample) {
    for (page, kind) in sample.pages.iter().enumerate() {
        let at = address(page);
        let mut bytes = vec![0xee; BLOCK];
        let read = core.memory().read(at, &mut bytes);
        match (kind, sample.holds(page)) {
            (Page::Absent, _) => {
                assert!(matches!(read, Err(MemoryError::Absent { at: found }) if found == at));
            }
            (_, false) => {
                assert!(matches!(read, Err(MemoryError::Excluded { at: found }) if found == at));
            }
            (kind, true) => {
                read.unwrap();
                assert!(bytes == bytes_of(*kind), "page {page}");
                let mut few = [0; 9];
                core.memory().read(PhysAddr(at.0 + 1000), &mut few).unwrap();
                assert_eq!(few, bytes[1000..1009]);
            }
        }
    }
}

/// Reads all that is held in pieces, and checks it against single pages.
fn check_pieces(core: &Vmcore, sample: &Sample) {
    let held: Vec<_> = held_ranges(core.memory()).collect();
    let mut seen = vec![false; sample.pages.len()];
    for piece in pieces(core.memory(), &held) {
        let mut bytes = vec![0xee; piece.length as usize];
        core.memory().read(piece.start, &mut bytes).unwrap();
        let first = piece.start.0 as usize / BLOCK;
        for (page, bytes) in (first..).zip(bytes.chunks(BLOCK)) {
            assert!(bytes == bytes_of(sample.pages[page]), "page {page}");
            seen[page] = true;
        }
        let zeros = core.memory().zeros(piece.start) as usize;
        assert!(bytes.iter().take(zeros).all(|byte| *byte == 0));
        assert_eq!(zeros > 0, sample.pages[first] == Page::Zeros, "shared zeros are known");
    }
    let expected: Vec<_> = (0..sample.pages.len()).map(|page| sample.holds(page)).collect();
    assert_eq!(seen, expected);
}

#[test]
fn every_codec_in_every_layout_gives_each_page() {
    let codecs = [Codec::Zlib, Codec::Lzo, Codec::Snappy, Codec::Zstd].map(Some);
    for codec in codecs.into_iter().chain([None]) {
        for (wide, machine) in [(true, "x86_64"), (false, "i686")] {
            for big_endian in [false, true] {
                let sample = Sample { codec, wide, machine, big_endian, ..Sample::default() };
                let core = open(&sample.build()).unwrap();
                let class = if wide { Class::Elf64 } else { Class::Elf32 };
                assert_eq!(
                    (core.identity().class, core.identity().machine_name().is_some()),
                    (class, true)
                );
                assert_eq!(core.note_bytes(), sample.notes());
                check(&core, &sample);
                check_pieces(&core, &sample);
            }
        }
    }
}

#[test]
fn each_version_says_of_itself_what_it_can() {
    for version in 1..=6 {
        let sample = Sample { version, ..Sample::default() };
        let core = open(&sample.build()).unwrap();
        assert_eq!(core.format(), format!("kdump-compressed version {version}, zlib"));
        let info = core.vmcoreinfo_note();
        assert_eq!(info.is_some(), version >= 3, "version {version}");
        assert!(info.is_none_or(|info| info.text().as_bytes() == INFO));
        check(&core, &sample);
    }
}

#[test]
fn memory_without_zeros_has_none_that_are_known() {
    let sample = Sample { pages: vec![Page::Filled(3); 40], ..Sample::default() };
    let core = open(&sample.build()).unwrap();
    assert_eq!(core.memory().zeros(PhysAddr(0)), 0);
    check_pieces(&core, &sample);
    assert!(core.findings().is_empty(), "{:?}", core.findings());
}

#[test]
fn a_part_of_a_split_dump_has_its_own_pages() {
    for part in [(0, 333), (333, 700), (100, 101), (700, 700)] {
        let sample = Sample { part: Some(part), ..Sample::default() };
        let core = open(&sample.build()).unwrap();
        check(&core, &sample);
        check_pieces(&core, &sample);
        assert!(core.findings().iter().any(|finding| finding.contains("one part of a dump")));
    }
}

#[test]
fn what_the_writer_says_of_itself_is_found() {
    let sample = Sample { status: 0x18, ..Sample::default() };
    let findings = open(&sample.build()).unwrap().findings().join("\n");
    assert!(
        findings.contains("marked as incomplete") && findings.contains("vmemmap"),
        "{findings}"
    );
}

#[test]
fn a_file_that_was_cut_off_opens_as_far_as_it_goes() {
    let sample = Sample::default();
    let whole = sample.build();
    for len in (0..whole.len()).step_by(9973).chain([whole.len() - 1]) {
        let core = match open(&whole[..len]) {
            Ok(core) => core,
            Err(error) => {
                assert!(len < 4 * BLOCK, "cut at {len}: {error}");
                continue;
            }
        };
        assert!(core.memory().truncated() > 0, "cut at {len}");
        assert!(core.findings().iter().any(|finding| finding.contains("cut off")), "cut at {len}");
        let held: Vec<_> = held_ranges(core.memory()).collect();
        for (page, kind) in sample.pages.iter().enumerate() {
            let mut bytes = vec![0xee; BLOCK];
            let here = held.iter().any(|range| range.contains(address(page)));
            match core.memory().read(address(page), &mut bytes) {
                Ok(()) => assert!(here && bytes == bytes_of(*kind), "page {page}, cut at {len}"),
                Err(MemoryError::Truncated { at, .. }) => {
                    assert!(!here && at == address(page) && sample.holds(page));
                }
                Err(_) => assert!(!sample.holds(page), "page {page}, cut at {len}"),
            }
        }
    }
}

#[test]
fn a_damaged_page_is_an_error_and_the_others_are_not() {
    let sample = Sample::default();
    let mut bytes = sample.build();
    let last = bytes.len() - 40;
    bytes[last..].fill(0xff);
    let core = open(&bytes).unwrap();
    let failed = (0..sample.pages.len())
        .filter(|page| sample.holds(*page))
        .filter(|page| core.memory().read(address(*page), &mut [0; BLOCK]).is_err())
        .count();
    assert_eq!(failed, 1);
    // A descriptor that names a page of no bytes, and one of too many.
    for size in [[0, 0, 0, 0], [1, 0x10, 0, 0], [0xff; 4]] {
        let mut bytes = sample.build();
        bytes[4 * BLOCK + 8..][..4].copy_from_slice(&size);
        let core = open(&bytes).unwrap();
        assert!(core.memory().read(PhysAddr(0), &mut [0; 8]).is_err());
        assert!(core.memory().read(PhysAddr(0), &mut [0; 2 * BLOCK]).is_err());
    }
}

#[test]
fn any_byte_of_the_head_may_be_wrong() {
    let sample = Sample { pages: vec![Page::Filled(3); 20], ..Sample::default() };
    let whole = sample.build();
    for at in (0..480).chain(BLOCK..BLOCK + 110).chain(4 * BLOCK..4 * BLOCK + 480) {
        for value in [0, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            let Ok(core) = open(&bytes) else { continue };
            let held: Vec<_> = held_ranges(core.memory()).take(9).collect();
            for piece in pieces(core.memory(), &held).take(9) {
                let _ = core.memory().read(piece.start, &mut [0; 2 * BLOCK]);
                let _ = core.memory().zeros(piece.start);
            }
        }
    }
}

#[test]
fn a_windows_dump_is_named_as_what_it_is() {
    let error = open(b"PAGEDU64\x0f\0\0\0 and more").unwrap_err();
    assert!(matches!(error, OpenError::Format { .. }));
    assert!(error.to_string().contains("Windows"), "{error}");
}
