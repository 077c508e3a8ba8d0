//! Headers of files: ELF, kdump, Windows, and Zstandard with its seek table.

use vmcore_formats::elf::build_id::{BuildId, NoteTables};
use vmcore_formats::elf::core_head::{CoreHeader, CoreTable};
use vmcore_formats::elf::dump_head::{DumpHead, MAX_HEAD, Progress};
use vmcore_formats::elf::stored_core::StoredCore;
use vmcore_formats::elf::{Class, MAGIC};
use vmcore_formats::kdump::flattened::{SegmentHeader, check_start};
use vmcore_formats::kdump::header::{Header, UtsName};
use vmcore_formats::kdump::page::PageDescriptor;
use vmcore_formats::kdump::sub_header::SubHeader;
use vmcore_formats::seekable::{SeekTable, skippable_content, skippable_length};
use vmcore_formats::windows_dump::WindowsDump;
use vmcore_formats::zstd_frame::{BlockHeader, FrameHeader};
use vmcore_formats::{seekable, windows_dump, zstd_frame};

use super::endian;
use crate::input::Input;
use crate::limits::{SMALL, within};
use crate::sparse;

/// A selector, and the bytes for the decoder that it selects.
pub(crate) fn run(input: &[u8]) {
    within(SMALL, || {
        let mut input = Input::new(input);
        match input.u8() % 6 {
            0 => dump_head(&elf(input.rest())),
            1 => core_head(&elf(input.rest())),
            2 => kdump(&mut input),
            3 => {
                let _ = WindowsDump::decode(&windows(input.rest()));
            }
            4 => zstd(input.rest()),
            _ => seek_table(input.rest()),
        }
    });
}

fn elf(bytes: &[u8]) -> Vec<u8> {
    [MAGIC, bytes].concat()
}

/// The head of a stream, as it comes in pieces, and the head that is stored for it.
fn dump_head(bytes: &[u8]) {
    for length in [0, 16, 64, bytes.len() / 2, bytes.len()] {
        let prefix = bytes.get(..length).unwrap_or(bytes);
        match DumpHead::decode(prefix) {
            Ok(Progress::Incomplete { needed }) => {
                assert!(needed > prefix.len() as u64 && needed <= MAX_HEAD, "{needed} needed");
            }
            Ok(Progress::Complete(head)) => {
                let _ = (head.summarise_notes(prefix), head.memory_bytes());
                if let Ok(core) = StoredCore::plan(&head) {
                    assert!(core.pieces(&head).count() <= head.segments.len());
                    let _ = (core.length(), core.encode_head(&head, prefix));
                }
            }
            Err(_) => {}
        }
    }
}

/// The head of a file, and its notes' build id.
fn core_head(bytes: &[u8]) {
    let part = |range: vmcore_formats::elf::core_head::FileRange| {
        let start = usize::try_from(range.offset).ok()?;
        bytes.get(start..start.checked_add(usize::try_from(range.length).ok()?)?)
    };
    if let Ok(header) = CoreHeader::decode(bytes) {
        let section = header.extended_count().and_then(part);
        if let Some(table) = header.table(section).ok().and_then(part) {
            let _ = CoreTable::decode(table, header.identity);
        }
    }
    if let Ok(tables) = NoteTables::decode(bytes) {
        let ranges: Vec<_> = tables.in_sections(bytes).chain(tables.in_segments(bytes)).collect();
        for notes in ranges.into_iter().filter_map(part) {
            let _ = BuildId::among(notes, endian(0)).map(|id| id.to_string());
        }
    }
}

fn kdump(input: &mut Input<'_>) {
    let selector = input.u8();
    let (endian, version) = (endian(selector), u32::from(selector >> 4));
    let class = if selector & 2 == 0 { Class::Elf64 } else { Class::Elf32 };
    let bytes = input.rest();
    let _ = check_start(bytes);
    if let Ok(segment) = SegmentHeader::decode(bytes) {
        assert_eq!(SegmentHeader::decode(&segment.encode()), Ok(segment));
    }
    if let Ok(header) = Header::decode(bytes) {
        let _ = (header.bitmap_offset(), header.bitmap_length(), header.descriptor_offset());
        let _ = header.encode();
    }
    let _ = UtsName::decode(bytes);
    for (block, end) in [(4096, 65536), (0, 0), (u64::MAX, u64::MAX)] {
        let _ = SubHeader::decode(bytes, class, endian, version, block, end)
            .map(|header| header.encode(class, endian));
    }
    if let Ok(page) = PageDescriptor::decode(bytes, endian) {
        let _ = (page.codec(), page.end());
        assert_eq!(PageDescriptor::decode(&page.encode(endian), endian), Ok(page));
    }
}

fn windows(bytes: &[u8]) -> Vec<u8> {
    let mut file = sparse::file(bytes);
    file.truncate(windows_dump::MAX_HEADER);
    let magic =
        if bytes.len().is_multiple_of(2) { windows_dump::MAGIC_64 } else { windows_dump::MAGIC_32 };
    for (to, from) in file.iter_mut().zip(magic) {
        *to = *from;
    }
    file
}

fn zstd(bytes: &[u8]) {
    let _ = FrameHeader::decode(bytes);
    let frame = [&zstd_frame::MAGIC.to_le_bytes(), bytes].concat();
    let _ = FrameHeader::decode(&frame);
    if let Some(block) = bytes.first_chunk() {
        let _ = BlockHeader::decode(*block);
    }
    let _ = skippable_length(bytes);
    let _ = skippable_content(seekable::METADATA_MAGIC, bytes);
}

fn seek_table(bytes: &[u8]) {
    if let Ok(table) = SeekTable::decode(bytes) {
        let _ = (table.compressed_length(), table.decompressed_length(), table.iter().count());
        // A bit that means nothing may be set in the table that was read.
        if let Some(encoded) = table.encode() {
            let again = SeekTable::decode(&encoded).expect("a table that was encoded");
            assert!(again.iter().eq(table.iter()), "a seek table that is encoded otherwise");
        }
    }
}
