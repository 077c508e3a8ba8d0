//! A kdump-compressed file: its headers, notes, bitmaps and memory.

mod bitmaps;
mod memory;
mod page_bitmap;
mod page_cache;
pub mod page_codec;
mod pages;
#[cfg(test)]
pub(crate) mod sample;

use std::sync::Arc;

use thiserror::Error;
use vmcore_formats::elf::Identity;
use vmcore_formats::elf::note::{Note, Notes};
use vmcore_formats::kdump::header::{HEADER_LENGTH, Header};
use vmcore_formats::kdump::sub_header::{Extent, SUB_HEADER_LENGTH, SubHeader};
use vmcore_formats::kdump::{Codec, KdumpError};

use super::ReadError;
use crate::corefile::read::bytes::{Bytes, DataError, read_vec};
use crate::vmcore::dump::{Dump, MAX_NOTES};
use crate::vmcore::memory::PhysMemory;
use bitmaps::Bitmaps;
use memory::KdumpMemory;
use pages::KdumpLayout;

/// The longest bitmap that is read, in bytes: of 8 TiB of memory in pages of 4 KiB.
const MAX_BITMAP: u64 = 256 << 20;

/// Why a kdump-compressed file cannot be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KdumpFileError {
    /// Its head is wrong.
    #[error(transparent)]
    Head(#[from] KdumpError),
    /// It cannot be read, or was cut off before its bitmaps end.
    #[error("its bitmaps cannot be read: {0}")]
    Bitmaps(DataError),
    /// It cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// It describes more memory than is supported.
    #[error("its bitmaps have {bytes:#x} bytes, and {MAX_BITMAP:#x} are read at most for each")]
    TooLarge {
        /// Length of both.
        bytes: u64,
    },
    /// Its memory is in more pieces than any machine's.
    #[error("its first bitmap has more than {} runs of memory", bitmaps::MAX_RANGES)]
    Scattered,
    /// It has no memory at all.
    #[error("its bitmaps name no page")]
    Empty,
}

/// Opens a file that begins with `KDUMP`.
pub(super) fn open(bytes: Arc<dyn Bytes>) -> Result<Dump, ReadError> {
    let Content { header, memory, notes, mut findings } = read(&bytes)?;
    let machine = Identity::machine_of_name(&header.uts.machine);
    if machine.is_none() {
        let name = String::from_utf8_lossy(&header.uts.machine).into_owned();
        findings.push(format!("the machine {name:?} that the file names is unknown"));
    }
    let codec = Codec::of_flags(header.status).map_or("no codec", Codec::name);
    Ok(Dump {
        format: format!("kdump-compressed version {}, {codec}", header.version),
        identity: Identity {
            class: header.class,
            endian: header.endian,
            machine: machine.unwrap_or_default(),
            flags: 0,
            os_abi: 0,
        },
        notes,
        memory: Arc::new(memory),
        segments: Vec::new(),
        elf: None,
        findings,
    })
}

struct Content {
    header: Header,
    memory: KdumpMemory,
    notes: Vec<u8>,
    findings: Vec<String>,
}

fn read(bytes: &Arc<dyn Bytes>) -> Result<Content, KdumpFileError> {
    let start = |offset: u64, length: usize| {
        let there = bytes.length().saturating_sub(offset);
        read_vec(&**bytes, offset, there.min(length as u64))
    };
    let header = Header::decode(&start(0, HEADER_LENGTH)?)?;
    let block = u64::from(header.block_size);
    let sub_header = SubHeader::decode(
        &start(block, SUB_HEADER_LENGTH)?,
        header.class,
        header.endian,
        header.version,
        block,
        header.bitmap_offset(),
    )?;
    let mut findings = Vec::new();
    if header.is_incomplete() {
        findings.push(
            "the file is marked as incomplete: the disk was full when it was written".to_owned(),
        );
    }
    if header.is_without_vmemmap() {
        findings.push("struct pages (vmemmap) were left out along with their pages".to_owned());
    }
    if sub_header.eraseinfo.length > 0 {
        findings.push(
            "parts of the memory were erased on purpose (makedumpfile --config or --eppic)"
                .to_owned(),
        );
    }
    let notes = read_notes(&**bytes, &header, &sub_header, &mut findings);
    let memory = read_memory(bytes, &header, &sub_header, &mut findings)?;
    Ok(Content { header, memory, notes, findings })
}

fn read_memory(
    bytes: &Arc<dyn Bytes>,
    header: &Header,
    sub_header: &SubHeader,
    findings: &mut Vec<String>,
) -> Result<KdumpMemory, KdumpFileError> {
    let (offset, length) = (header.bitmap_offset(), header.bitmap_length());
    let pages = match sub_header.max_mapnr {
        Some(pages @ 1..) => pages,
        _ => u64::from(header.max_mapnr),
    };
    // One bitmap instead of two is what the first versions wrote.
    let half = length / 2;
    let two = pages <= half.saturating_mul(8);
    let each = if two { half } else { length };
    if each > MAX_BITMAP {
        return Err(KdumpFileError::TooLarge { bytes: length });
    }
    let block = u64::from(header.block_size);
    let covered = pages.min(each.saturating_mul(8));
    if pages > covered {
        findings.push(format!("the bitmaps cover {covered} of {pages} pages only"));
    }
    let second = two.then(|| offset.saturating_add(half));
    let Bitmaps { dumped, ranges } = bitmaps::read(&**bytes, (offset, second), covered, block)?;
    let held = match sub_header.part {
        None => dumped,
        Some((start, end)) => {
            findings.push(format!(
                "this is one part of a dump that was split: it has the memory from {} to {}",
                start.saturating_address(block),
                end.saturating_address(block),
            ));
            dumped.within(start.0, end.0)
        }
    };
    let layout = KdumpLayout {
        endian: header.endian,
        page_size: block,
        descriptors: header.descriptor_offset(),
    };
    let memory = KdumpMemory::new(Arc::clone(bytes), layout, held, ranges)?;
    if memory.ranges().is_empty() {
        return Err(KdumpFileError::Empty);
    }
    let (truncated, excluded) = (memory.truncated(), memory.excluded());
    if truncated > 0 {
        findings.push(format!("the file was cut off: {truncated} bytes of memory are missing"));
    }
    if excluded > 0 {
        findings
            .push(format!("{excluded} bytes of memory were left out when the core was written"));
    }
    Ok(memory)
}

/// The notes, with one of VMCOREINFO's text if the file has it elsewhere alone.
fn read_notes(
    bytes: &dyn Bytes,
    header: &Header,
    sub_header: &SubHeader,
    findings: &mut Vec<String>,
) -> Vec<u8> {
    let mut part = |what: &str, extent: Extent| {
        if extent.length > MAX_NOTES {
            findings.push(format!("{what} of {:#x} bytes were not read: too long", extent.length));
            return Vec::new();
        }
        read_vec(bytes, extent.offset, extent.length).unwrap_or_else(|error| {
            findings.push(format!("{what} cannot be read: {error}"));
            Vec::new()
        })
    };
    let mut notes = part("notes", sub_header.notes);
    let mut found = Notes::new(&notes, header.endian).filter_map(Result::ok);
    if !found.any(|note| note.name == b"VMCOREINFO") && sub_header.vmcoreinfo.length > 0 {
        let text = part("VMCOREINFO", sub_header.vmcoreinfo);
        let note = Note { name: b"VMCOREINFO", kind: 0, descriptor: &text };
        notes.resize(notes.len().next_multiple_of(4), 0);
        notes.extend(note.encode(header.endian).unwrap_or_default());
    }
    notes
}
