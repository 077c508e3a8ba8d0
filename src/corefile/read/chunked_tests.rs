use std::io::Write;
use std::os::unix::fs::FileExt;

use vmcore_formats::seekable::{FrameEntry, SeekTable};

use super::*;

/// Three chunks of so many bytes, that do not compress to nothing.
fn chunks(length: usize) -> Vec<Vec<u8>> {
    let noise = |seed: u64| {
        let mut random = seed;
        let byte = move |_| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 59) as u8
        };
        (0..length).map(byte).collect()
    };
    (1..=3).map(noise).collect()
}

/// A file of chunks, its bytes, and where the second chunk's are.
fn file(length: usize) -> (File, Vec<u8>, Range<usize>) {
    let (mut bytes, mut table) = (Vec::new(), SeekTable::default());
    let mut second = 0..0;
    for (index, chunk) in chunks(length).iter().enumerate() {
        let mut zstd = zstd::bulk::Compressor::new(1).unwrap();
        zstd.include_checksum(true).unwrap();
        let packed = zstd.compress(chunk).unwrap();
        if index == 1 {
            second = bytes.len()..bytes.len() + packed.len();
        }
        table.push(FrameEntry {
            compressed: packed.len() as u32,
            decompressed: length as u32,
            checksum: Some(xxhash_rust::xxh64::xxh64(chunk, 0) as u32),
        });
        bytes.extend(packed);
    }
    bytes.extend(table.encode().unwrap());
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    (file, bytes, second)
}

/// The sizes of chunks of captures, and of other writers.
const LENGTHS: [usize; 3] = [64 << 10, 1 << 20, 8 << 20];

#[test]
fn a_chunk_that_was_not_unpacked_is_not_tried_again_and_others_are_read() {
    for length in LENGTHS {
        let (file, bytes, second) = file(length);
        let damaged = second.start + second.len() / 2;
        file.write_all_at(&[!bytes[damaged]], damaged as u64).unwrap();
        let core = ChunkedFile::open(file.try_clone().unwrap()).unwrap();
        let at = length as u64 + 4096;
        let error = core.read(at, &mut [0; 64]).unwrap_err().to_string();
        // With its bytes put right it could be read, if it were tried.
        file.write_all_at(&bytes[damaged..=damaged], damaged as u64).unwrap();
        for (at, size) in [(at, 64), (at + 9, 4096), (length as u64, length), (10, 2 * length)] {
            let again = core.read(at, &mut vec![0; size]).unwrap_err().to_string();
            assert_eq!(again, error, "{size} bytes at {at:#x}");
        }
        let mut page = [0; 4096];
        for (index, chunk) in chunks(length).iter().enumerate().filter(|(index, _)| *index != 1) {
            core.read((index * length) as u64, &mut page).unwrap();
            assert_eq!(page, chunk[..4096]);
        }
        assert!(ChunkedFile::open(file).unwrap().read(at, &mut page).is_ok());
    }
}

#[test]
fn what_cannot_be_read_of_the_file_is_not_tried_again_either() {
    for length in LENGTHS {
        let (file, bytes, second) = file(length);
        let core = ChunkedFile::open(file.try_clone().unwrap()).unwrap();
        file.set_len(second.start as u64 + 10).unwrap();
        let error = core.read(length as u64, &mut [0; 8]).unwrap_err();
        assert!(matches!(error, DataError::PastEnd { .. }), "{error}");
        file.write_all_at(&bytes, 0).unwrap();
        assert!(core.read(length as u64, &mut [0; 8]).is_err());
        assert!(core.read(2 * length as u64, &mut [0; 8]).is_ok());
    }
}

#[test]
fn a_file_is_unpacked_as_often_as_it_is_worth() {
    let (file, _, _) = file(1 << 20);
    let core = ChunkedFile::open(file).unwrap();
    core.spend((8 << 30) - (2 << 20)).unwrap();
    let mut chunk = vec![0; 1 << 20];
    assert!(core.read(0, &mut chunk).is_ok());
    let error = core.read(0, &mut chunk).unwrap_err();
    assert!(matches!(error, DataError::TooMuch { .. }), "{error}");
    core.read_without_limit();
    assert!(core.read(0, &mut chunk).is_ok());
}
