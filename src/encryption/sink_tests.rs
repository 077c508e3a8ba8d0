use std::sync::Arc;

use super::*;
use crate::corefile::read::bytes::{Bytes, PlainFile, read_vec};
use crate::encryption::file::AgeFile;
use crate::encryption::identities::tests::pair;

fn sink() -> (EncryptedSink, File, SealedHeader) {
    let file = tempfile::tempfile().unwrap();
    let header = SealedHeader::new(&pair().0).unwrap();
    (EncryptedSink::begin(file.try_clone().unwrap(), header.clone()).unwrap(), file, header)
}

/// What is in the file, after it was opened.
fn read(file: &File, header: &SealedHeader) -> Vec<u8> {
    let plain = PlainFile::new(file.try_clone().unwrap()).unwrap();
    let opened = AgeFile::with_key(Arc::new(plain), header.key()).unwrap();
    read_vec(&opened, 0, opened.length()).unwrap()
}

/// The sealed chunk of this number, as it is in the file.
fn chunk(file: &File, sink: &EncryptedSink, number: u64) -> Vec<u8> {
    let mut chunk = vec![0; SEALED];
    let read = file.read_at(&mut chunk, sink.start + number * SEALED as u64).unwrap();
    chunk.truncate(read);
    chunk
}

fn text(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|at| (at / 3 % 255) as u8 ^ seed).collect()
}

#[test]
fn what_is_written_in_any_pieces_comes_back() {
    for (length, piece) in [
        (0, 1),
        (1, 1),
        (CHUNK, CHUNK),
        (CHUNK + 1, CHUNK),
        (3 * CHUNK, 1000),
        (5 * CHUNK + 17, 3 * CHUNK),
        (2 * CHUNK, 2 * CHUNK),
    ] {
        let (mut sink, file, header) = sink();
        let text = text(length, 0);
        for piece in text.chunks(piece) {
            sink.write_all(piece).unwrap();
        }
        sink.finish().unwrap();
        sink.finish().unwrap();
        sink.trim();
        assert!(read(&file, &header) == text, "{length} in pieces of {piece}");
    }
}

#[test]
fn what_was_taken_back_is_gone_and_no_chunk_is_sealed_twice_with_one_key() {
    let size = CHUNK as u64;
    for kept in [0, 1, size - 1, size, size + 1, 2 * size, 3 * size, 3 * size + 10] {
        for ended in [false, true] {
            let (mut sink, file, header) = sink();
            let first = text(4 * CHUNK + 100, 0);
            sink.write_all(&first).unwrap();
            if ended {
                sink.finish().unwrap();
            }
            let before: Vec<_> = (0..5).map(|number| chunk(&file, &sink, number)).collect();
            sink.truncate(kept).unwrap();
            let second = text(2 * CHUNK, 1);
            sink.write_all(&second).unwrap();
            sink.finish().unwrap();
            let expected = [&first[..kept as usize], &second].concat();
            assert!(read(&file, &header) == expected, "{kept} kept");
            for number in 0..4 {
                let now = chunk(&file, &sink, number);
                // With one key, equal plain bytes would be equal sealed bytes.
                let same = now.get(..8) == before[number as usize].get(..8);
                assert!(now.is_empty() || !same, "{kept} kept, chunk {number}");
            }
        }
    }
}

#[test]
fn what_is_taken_back_from_memory_costs_nothing() {
    let (mut sink, file, header) = sink();
    sink.write_all(&text(2 * CHUNK + 100, 0)).unwrap();
    let before = chunk(&file, &sink, 0);
    sink.truncate(2 * CHUNK as u64 + 1).unwrap();
    sink.truncate(2 * CHUNK as u64 + 1).unwrap();
    sink.write_all(b"more").unwrap();
    sink.finish().unwrap();
    assert!(chunk(&file, &sink, 0) == before);
    let expected = [&text(2 * CHUNK + 1, 0)[..], b"more"].concat();
    assert!(read(&file, &header) == expected);
}

/// A full disk: the write fails half-way, and the tail of an incomplete core still fits.
#[test]
fn a_write_that_failed_leaves_what_was_written_before() {
    let (mut sink, file, header) = sink();
    let first = text(3 * CHUNK + 5, 0);
    sink.write_all(&first).unwrap();
    // A file that was opened for reading alone refuses.
    let writable = std::mem::replace(&mut sink.file, File::open("/dev/null").unwrap());
    assert!(sink.write_all(&text(2 * CHUNK, 1)).is_err());
    sink.file = writable;
    sink.take_back().unwrap();
    sink.truncate(first.len() as u64).unwrap();
    sink.write_all(b"tail").unwrap();
    sink.finish().unwrap();
    assert!(read(&file, &header) == [&first[..], b"tail"].concat());
}

#[test]
fn the_room_that_is_reserved_is_that_of_the_sealed_bytes() {
    let (mut sink, file, header) = sink();
    let length = 10 * CHUNK as u64;
    if sink.reserve(0, length).unwrap() {
        use std::os::unix::fs::MetadataExt;
        let blocks = file.metadata().unwrap().blocks() * 512;
        assert!(blocks >= sealed_length(length) + header.bytes_in_front() as u64, "{blocks}");
    }
    let available = CoreSink::available(&sink).unwrap();
    assert!(available < CoreSink::available(&file).unwrap());
}
