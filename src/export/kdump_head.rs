//! Everything of a kdump-compressed file but its pages.

use vmcore_formats::elf::note::NT_PRSTATUS;
use vmcore_formats::kdump::Codec;
use vmcore_formats::kdump::header::Header;
use vmcore_formats::kdump::page::DESCRIPTOR_LENGTH;
use vmcore_formats::kdump::sub_header::{Extent, SUB_HEADER_LENGTH, SubHeader};
use vmcore_formats::vmcoreinfo::VmcoreInfo;

use super::{ExportError, uts};
use crate::vmcore::Vmcore;
use crate::vmcore::memory::{MemoryRange, held_ranges};

/// The longest bitmap that is written, in bytes: of 8 TiB of memory in pages of 4 KiB.
const MAX_BITMAP: u64 = 256 << 20;
/// The most runs of memory that are exported: makedumpfile leaves pages out one by one.
const MAX_RUNS: usize = 8 << 20;
/// What version of the header is written.
const VERSION: u32 = 6;

/// The plan of a kdump-compressed file.
#[derive(Debug)]
pub(super) struct KdumpHead {
    header: Header,
    sub_header: SubHeader,
    /// Length of each bitmap, in bytes.
    bitmap_bytes: u64,
    /// The memory in the file, in whole pages.
    pub(super) ranges: Vec<MemoryRange>,
    /// Length of a page, in bytes.
    pub(super) page_size: u64,
    /// How many pages are in the file.
    pages: u64,
}

impl KdumpHead {
    /// Plans the file of a core.
    pub(super) fn plan(core: &Vmcore, codec: Codec) -> Result<Self, ExportError> {
        let info = core.vmcoreinfo_note();
        let page_size = info.as_ref().and_then(VmcoreInfo::page_size).unwrap_or(4096);
        let all = core.memory().ranges();
        let end = all.last().map_or(0, |range| range.end().0);
        let max_mapnr = end.div_ceil(page_size);
        let bitmap_bytes = max_mapnr.div_ceil(8).next_multiple_of(page_size);
        if bitmap_bytes > MAX_BITMAP {
            return Err(ExportError::TooLarge { what: "the guest's memory", bytes: end });
        }
        let mut ranges = Vec::new();
        let mut pages = 0_u64;
        for range in held_ranges(core.memory()) {
            // A page that is not there from end to end is left out.
            let first = range.start.0.div_ceil(page_size);
            let last = range.end().0 / page_size;
            if let Some(count) = last.checked_sub(first).filter(|count| *count > 0) {
                if ranges.len() >= MAX_RUNS {
                    return Err(ExportError::TooLarge {
                        what: "a memory of so many pieces",
                        bytes: end,
                    });
                }
                pages = pages.saturating_add(count);
                ranges.push(MemoryRange {
                    start: vmcore_formats::addr::PhysAddr(first.saturating_mul(page_size)),
                    length: count.saturating_mul(page_size),
                });
            }
        }
        if pages == 0 {
            return Err(ExportError::Empty);
        }
        let notes = core.note_bytes().len() as u64;
        let block = |bytes: u64, what| {
            let blocks = u32::try_from(bytes.div_ceil(page_size));
            blocks.map_err(|_| ExportError::TooLarge { what, bytes })
        };
        let header = Header {
            class: core.identity().class,
            endian: core.identity().endian,
            version: VERSION,
            uts: uts::of(core, info.as_ref()),
            status: codec.flag(),
            block_size: u32::try_from(page_size).unwrap_or_default(),
            sub_header_blocks: block(notes.saturating_add(SUB_HEADER_LENGTH as u64), "its notes")?,
            bitmap_blocks: block(bitmap_bytes.saturating_mul(2), "its bitmap")?,
            max_mapnr: u32::try_from(max_mapnr).unwrap_or(u32::MAX),
            current_cpu: 0,
            cpu_count: u32::try_from(cpus(core)).unwrap_or(u32::MAX),
        };
        let note_offset = page_size.saturating_add(SUB_HEADER_LENGTH as u64);
        let sub_header = SubHeader {
            phys_base: phys_base(core, info.as_ref()),
            dump_level: core.left_out().map_or(0, |record| record.classes.makedumpfile_level()),
            part: None,
            vmcoreinfo: vmcoreinfo_extent(core, note_offset),
            notes: Extent { offset: note_offset, length: notes },
            eraseinfo: Extent::default(),
            max_mapnr: Some(max_mapnr),
        };
        Ok(Self { header, sub_header, bitmap_bytes, ranges, page_size, pages })
    }

    /// The bytes before the descriptors, in parts and with their places.
    pub(super) fn parts(&self, core: &Vmcore) -> Vec<(u64, Vec<u8>)> {
        let (class, endian) = (self.header.class, self.header.endian);
        let padded = |mut bytes: Vec<u8>| {
            let block = usize::try_from(self.page_size).unwrap_or(usize::MAX);
            bytes.resize(bytes.len().next_multiple_of(block), 0);
            bytes
        };
        let mut second = self.sub_header.encode(class, endian);
        second.resize(SUB_HEADER_LENGTH, 0);
        second.extend(core.note_bytes());
        vec![(0, padded(self.header.encode())), (self.page_size, padded(second))]
    }

    /// The bitmaps in pieces, with their places: which pages the guest has, and which of them
    /// are in the file.
    pub(super) fn bitmaps<'a>(
        &'a self,
        core: &'a Vmcore,
    ) -> impl Iterator<Item = (u64, Vec<u8>)> + 'a {
        const PIECE: u64 = 1 << 20;
        let step = usize::try_from(PIECE).unwrap_or(usize::MAX);
        let offset = self.header.bitmap_offset();
        let bitmaps = [core.memory().ranges(), self.ranges.as_slice()];
        bitmaps.into_iter().zip([0, self.bitmap_bytes]).flat_map(move |(ranges, skip)| {
            (0..self.bitmap_bytes).step_by(step).map(move |at| {
                let length = self.bitmap_bytes.saturating_sub(at).min(PIECE);
                let place = offset.saturating_add(skip).saturating_add(at);
                (place, bits(ranges, self.page_size, at.saturating_mul(8), length))
            })
        })
    }

    /// Byte order of the descriptors.
    pub(super) fn endian(&self) -> vmcore_formats::endian::Endian {
        self.header.endian
    }

    /// Where the first descriptor goes.
    pub(super) fn descriptors(&self) -> u64 {
        self.header.descriptor_offset()
    }

    /// Where the first page goes.
    pub(super) fn data(&self) -> u64 {
        let table = self.pages.saturating_mul(DESCRIPTOR_LENGTH as u64);
        self.descriptors().saturating_add(table)
    }
}

/// So many bytes of the bitmap that has the pages of `ranges`, from the page `first` on.
fn bits(ranges: &[MemoryRange], page_size: u64, first: u64, bytes: u64) -> Vec<u8> {
    let mut bits = vec![0; usize::try_from(bytes).unwrap_or_default()];
    let end = first.saturating_add(bytes.saturating_mul(8));
    let last = |range: &MemoryRange| range.end().0.div_ceil(page_size);
    let skip = ranges.partition_point(|range| last(range) <= first);
    for range in ranges.iter().skip(skip) {
        let start = range.start.0 / page_size;
        if start >= end {
            break;
        }
        let page = |page: u64| page.clamp(first, end).saturating_sub(first);
        set(&mut bits, page(start), page(last(range)));
    }
    bits
}

/// Sets the bits of the pages from `first` up to `end`.
fn set(bitmap: &mut [u8], first: u64, end: u64) {
    let mut page = first;
    while page < end {
        let byte = usize::try_from(page / 8).ok().and_then(|index| bitmap.get_mut(index));
        let Some(byte) = byte else { return };
        if page.is_multiple_of(8) && end.saturating_sub(page) >= 8 {
            *byte = 0xff;
            page = page.saturating_add(8);
        } else {
            *byte |= 1 << (page % 8);
            page = page.saturating_add(1);
        }
    }
}

fn cpus(core: &Vmcore) -> usize {
    let notes = core.notes().filter_map(Result::ok);
    notes.filter(|note| note.name == b"CORE" && note.kind == NT_PRSTATUS).count()
}

/// Where the kernel is in physical memory, if VMCOREINFO says so; else, for machines whose
/// memory does not begin at zero, where the memory begins.
fn phys_base(core: &Vmcore, info: Option<&VmcoreInfo>) -> u64 {
    let number = |name| info.and_then(|info| info.number(name));
    let start = core.memory().ranges().first().map_or(0, |range| range.start.0);
    match core.identity().machine_name() {
        Some("x86_64") => number("phys_base").unwrap_or_default(),
        Some("aarch64" | "arm") => number("PHYS_OFFSET").unwrap_or(start),
        Some("riscv64") => number("phys_ram_base").unwrap_or(start),
        _ => 0,
    }
}

/// Where VMCOREINFO's text is in the file, if the notes have it.
fn vmcoreinfo_extent(core: &Vmcore, note_offset: u64) -> Extent {
    let mut notes = core.notes().filter_map(Result::ok);
    let Some(note) = notes.find(|note| note.name == b"VMCOREINFO") else {
        return Extent::default();
    };
    let skip = note.descriptor.as_ptr().addr().saturating_sub(core.note_bytes().as_ptr().addr());
    Extent { offset: note_offset.saturating_add(skip as u64), length: note.descriptor.len() as u64 }
}
