use std::fs;
use std::os::unix::fs::MetadataExt;

use super::*;
use crate::vmcore::elf_image::ElfImage;
use crate::vmcore::reader::kdump::sample::{BLOCK, Page, Sample, address, bytes_of, open};

fn both(core: &crate::vmcore::Vmcore) -> (Vec<u8>, tempfile::NamedTempFile) {
    let image = ElfImage::new(core).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut stream = Vec::new();
    let written = to_file(&image, file.as_file(), 2).unwrap();
    assert_eq!(to_stream(&image, &mut stream, 3).unwrap().bytes, written.bytes);
    assert_eq!(written.bytes, stream.len() as u64);
    (stream, file)
}

#[test]
fn a_file_and_a_stream_have_the_same_bytes_and_all_of_the_memory() {
    let sample = Sample::default();
    let core = open(&sample.build()).unwrap();
    let (stream, file) = both(&core);
    assert!(fs::read(file.path()).unwrap() == stream);
    let again = open(&stream).unwrap();
    assert_eq!((again.note_bytes(), again.identity()), (core.note_bytes(), core.identity()));
    for (page, kind) in sample.pages.iter().enumerate() {
        let mut bytes = vec![0xee; BLOCK];
        let read = again.memory().read(address(page), &mut bytes);
        assert_eq!(read.is_ok(), sample.holds(page), "page {page}");
        assert!(read.is_err() || bytes == bytes_of(*kind), "page {page}");
    }
}

#[test]
fn zeros_take_no_room_in_a_file() {
    let mut pages = vec![Page::Zeros; 2000];
    pages[1000] = Page::Filled(5);
    let sample = Sample { pages, ..Sample::default() };
    let (stream, file) = both(&open(&sample.build()).unwrap());
    assert!(stream.len() > 2000 * BLOCK);
    let blocks = file.as_file().metadata().unwrap().blocks() * 512;
    assert!(blocks < 200 * BLOCK as u64, "{blocks}");
}

#[test]
fn zeros_are_left_out_wherever_they_stand() {
    for (zeros, expected) in [
        (vec![], 0),
        (vec![0], BLOCK),
        (vec![3], BLOCK),
        (vec![1, 2], 2 * BLOCK),
        (vec![0, 1, 2, 3], 4 * BLOCK),
        (vec![0, 2], 2 * BLOCK),
    ] {
        let mut bytes = vec![7; 4 * BLOCK];
        for block in zeros {
            bytes[block * BLOCK..(block + 1) * BLOCK].fill(0);
        }
        let file = tempfile::tempfile().unwrap();
        file.set_len(5 * BLOCK as u64).unwrap();
        assert_eq!(write_sparse(&file, BLOCK as u64, &bytes).unwrap(), expected as u64);
        let mut found = vec![1; 5 * BLOCK];
        file.read_exact_at(&mut found, 0).unwrap();
        assert!(found[BLOCK..] == bytes && is_zeros(&found[..BLOCK]));
    }
    assert!(!is_zeros(&[0, 0, 1]) && is_zeros(&[]));
}

#[test]
fn damage_ends_an_export() {
    let mut bytes = Sample::default().build();
    let last = bytes.len() - 40;
    bytes[last..].fill(0xff);
    let core = open(&bytes).unwrap();
    let image = ElfImage::new(&core).unwrap();
    assert!(to_stream(&image, &mut Vec::new(), 2).is_err());
}
