use std::os::unix::fs::FileExt;

use proptest::prelude::*;

use super::*;
use crate::corefile::read::bytes::PlainFile;

fn frame(compressed: u32, decompressed: u32) -> FrameEntry {
    FrameEntry { compressed, decompressed, checksum: Some(0) }
}

fn table(frames: &[FrameEntry]) -> FrameTable {
    let mut table = FrameTable::with_capacity(frames.len() as u64).unwrap();
    frames.iter().for_each(|frame| table.push(*frame).unwrap());
    table
}

/// The chunk of a compressed core of 16 TiB would be cut off at 10.7 TiB by a limit of 128 MiB
/// for its table. All entries but the first are zeros here, so that the file is a hole: they are
/// read, and as frames of nothing not kept.
#[test]
fn a_table_of_more_than_128_mib_is_read_and_the_file_is_not_cut_off() {
    const FRAMES: usize = 12 << 20;
    let file = tempfile::tempfile().unwrap();
    let footer = Footer::of_frames(FRAMES).unwrap();
    assert!(footer.table_length() > 128 << 20);
    let chunk = zstd::encode_all(&b"chunk"[..], 1).unwrap();
    let table_at = chunk.len() as u64;
    let first = frame(chunk.len() as u32, 5).encode().unwrap();
    let end = table_at + footer.table_length();
    let parts = [(0, &chunk[..]), (table_at, &footer.encode_header()), (table_at + 8, &first[..])];
    for (at, bytes) in parts {
        file.write_all_at(bytes, at).unwrap();
    }
    file.write_all_at(&footer.encode(), end - FOOTER_LENGTH as u64).unwrap();
    let table = FrameTable::read(&PlainFile::new(file).unwrap()).unwrap();
    assert_eq!(table.cut_off(), None);
    assert_eq!((table.frames().len(), table.unpacked_length()), (1, 5));
    assert_eq!(table.chunk_at(4).unwrap().index, 0);
    assert_eq!(table.chunk_at(5), None);
}

#[test]
fn a_table_that_memory_cannot_hold_is_an_error() {
    let error = FrameTable::with_capacity(u64::MAX / 16).unwrap_err();
    assert!(matches!(error, Error::Memory { .. }), "{error}");
}

#[test]
fn offsets_far_beyond_10_tib_are_found() {
    const CHUNK: u32 = MAX_CHUNK;
    let frames = vec![frame(100, CHUNK); 300_000];
    let table = table(&frames);
    assert!(table.unpacked_length() > 18 << 40);
    let last = table.chunk_at(table.unpacked_length() - 1).unwrap();
    assert_eq!((last.index, last.file_offset), (299_999, 29_999_900));
}

proptest! {
    #[test]
    fn each_byte_is_in_the_chunk_that_adding_up_gives(
        sizes in prop::collection::vec((1_u32..100, 0_u32..4), 0..400),
        lonely in 0_usize..200,
    ) {
        // Frames without content, more than there are from mark to mark.
        let mut frames: Vec<_> = sizes.iter().map(|(packed, size)| frame(*packed, *size)).collect();
        frames.splice(frames.len() / 2..frames.len() / 2, vec![frame(9, 0); lonely]);
        let table = table(&frames);
        let (mut offset, mut file_offset) = (0, 0);
        for (index, entry) in frames.iter().enumerate() {
            let chunk = Chunk { index, file_offset, offset, entry: *entry };
            prop_assert_eq!(table.chunk(index), Some(chunk));
            for at in offset..offset + u64::from(entry.decompressed) {
                prop_assert_eq!(table.chunk_at(at), Some(chunk));
            }
            offset += u64::from(entry.decompressed);
            file_offset += u64::from(entry.compressed);
        }
        prop_assert_eq!(table.chunk(frames.len()), None);
        prop_assert_eq!(table.chunk_at(offset), None);
        prop_assert_eq!(table.chunks().count(), frames.len());
    }
}
