//! Small kdump-compressed files of terabytes: each command ends soon, and in little memory.

use vmcore_formats::elf::Class;
use vmcore_formats::endian::Endian;
use vmcore_formats::kdump::flattened::{SegmentHeader, encode_start};
use vmcore_formats::kdump::header::{Header, UtsName};
use vmcore_formats::kdump::sub_header::{Extent, SubHeader};

use crate::hostile_files::{Hostile, frame, seekable};

const BLOCK: usize = 4096;
/// Lengths of one bitmap: of 8 TiB in pages of 4 KiB, and of 2 TiB.
const LONG: usize = 256 << 20;
const SHORT: usize = 64 << 20;
/// The longest chunk that is read.
const CHUNK: usize = 64 << 20;

/// Header and sub header of a file with two bitmaps of this length.
fn head(bitmap: usize) -> Vec<u8> {
    let pages = bitmap as u64 * 8;
    let name = |text: &str| text.as_bytes().to_vec();
    let header = Header {
        class: Class::Elf64,
        endian: Endian::Little,
        version: 6,
        uts: UtsName {
            sysname: name("Linux"),
            nodename: name("guest"),
            release: name("6.1.0"),
            version: name("#1"),
            machine: name("x86_64"),
            domainname: name("(none)"),
        },
        status: 1,
        block_size: u32::try_from(BLOCK).unwrap(),
        sub_header_blocks: 1,
        bitmap_blocks: u32::try_from(bitmap * 2 / BLOCK).unwrap(),
        max_mapnr: u32::try_from(pages).unwrap(),
        current_cpu: 0,
        cpu_count: 1,
    };
    let sub_header = SubHeader {
        phys_base: 0,
        dump_level: 0,
        part: None,
        vmcoreinfo: Extent::default(),
        notes: Extent::default(),
        eraseinfo: Extent::default(),
        max_mapnr: Some(pages),
    };
    let mut head = header.encode();
    head.resize(BLOCK, 0);
    head.extend(sub_header.encode(Class::Elf64, Endian::Little));
    head.resize(2 * BLOCK, 0);
    head
}

/// A compressed kdump file: its bitmaps are these bytes, and `descriptors` chunks of zeros follow.
fn file(length: usize, bitmaps: [u8; 2], descriptors: usize) -> Vec<u8> {
    let head = head(length);
    let chunk = |byte: u8| frame(&vec![byte; CHUNK]);
    let [all, held] = bitmaps.map(chunk);
    let zeros = chunk(0);
    let whole = length / CHUNK;
    let chunks =
        [vec![frame(&head)], vec![all; whole], vec![held; whole], vec![zeros; descriptors]];
    let (frames, entries): (Vec<_>, Vec<_>) = chunks.concat().into_iter().unzip();
    seekable(&frames, &entries)
}

#[test]
fn bitmaps_are_looked_at_in_pieces() {
    let hostile = Hostile::new();
    for bitmaps in [[0xff, 0xff], [0xff, 0x55]] {
        let file = file(LONG, bitmaps, 0);
        assert!(file.len() < 64 << 10);
        let path = hostile.file(&file);
        hostile.run(&["info", path.to_str().unwrap()]).expect(0);
    }
    for bitmaps in [[0xff, 0xff], [0xff, 0]] {
        let path = hostile.file(&file(SHORT, bitmaps, 0));
        let path = path.to_str().unwrap();
        for command in ["report", "bt", "verify"] {
            hostile.run(&[command, path]);
        }
        let output = hostile.path("output");
        let output = output.to_str().unwrap();
        hostile.run(&["export", path, "--format", "kdump-zlib", "-o", output]);
        hostile.run(&["import", path, "--output", output, "--quiet"]);
    }
}

#[test]
fn every_other_page_is_too_many_runs() {
    let hostile = Hostile::new();
    let path = hostile.file(&file(SHORT, [0x55, 0x55], 0));
    let ran = hostile.run(&["info", path.to_str().unwrap()]).expect(1);
    assert!(ran.stderr.contains("runs of memory"), "{ran:#?}");
}

/// Descriptors of 12 GiB, all of them of a page without bytes.
#[test]
fn pages_without_bytes_are_work_too() {
    let hostile = Hostile::new();
    let path = hostile.file(&file(SHORT, [0xff, 0x55], 12 * 16));
    let path = path.to_str().unwrap();
    hostile.run(&["report", path]);
    let ran = hostile.run(&["search", path, "needle", "--count"]).expect(3);
    assert!(ran.stderr.contains("could not be searched"), "{ran:#?}");
}

#[test]
fn a_flattened_file_that_writes_far_away_is_a_hole() {
    let hostile = Hostile::new();
    let mut bytes = encode_start();
    let mut put = |offset, part: &[u8]| {
        bytes.extend(SegmentHeader::Bytes { offset, size: part.len() as u64 }.encode());
        bytes.extend_from_slice(part);
    };
    let length = 1 << 60;
    put(0, &crate::hostile_files::elf_head(&[(4096, 0, length, length)]));
    put(4096 + length - 6, b"needle");
    bytes.extend(SegmentHeader::End.encode());
    let core = hostile.file(&bytes);
    let ran = hostile.run(&["search", core.to_str().unwrap(), "needle", "--count"]).expect(0);
    assert_eq!(ran.stdout, "1\n");
    hostile.all_commands(&core);
}
