//! The kdump-compressed file, plain or flattened.
//!
//! Pages are compressed by all threads, and written in their order. All pages of
//! zeros share the first place after the descriptors. Nothing is written twice or
//! out of its order but the descriptors, so the flattened form can go into a pipe.

use std::fs::File;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use vmcore_formats::addr::PhysAddr;
use vmcore_formats::kdump::Codec;
use vmcore_formats::kdump::flattened::{SegmentHeader, encode_start};
use vmcore_formats::kdump::page::PageDescriptor;

use super::elf::is_zeros;
use super::kdump_head::KdumpHead;
use super::{ExportError, Exported};
use crate::vmcore::Vmcore;
use crate::vmcore::memory::{MemoryError, MemoryRange, PhysMemory};
use crate::vmcore::reader::kdump::page_codec::PagePacker;
use crate::vmcore::scan::{Content, scan};

/// How many bytes that are read are as much work as one that is compressed by itself.
const WRITTEN: u64 = 2;

/// Where the file goes.
pub enum Target<'a> {
    /// Into an empty file, each part where it belongs.
    File(&'a File),
    /// One part after the other, in the flattened form.
    Flattened(&'a mut dyn Write),
}

impl std::fmt::Debug for Target<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::File(_) => "File",
            Self::Flattened(_) => "Flattened",
        })
    }
}

impl Target<'_> {
    fn put(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.write_all_at(bytes, offset),
            Self::Flattened(_) if bytes.is_empty() => Ok(()),
            Self::Flattened(out) => {
                let size = bytes.len() as u64;
                out.write_all(&SegmentHeader::Bytes { offset, size }.encode())?;
                out.write_all(bytes)
            }
        }
    }

    /// The same for bytes that may all be zeros, which a file need not have written.
    fn put_sparse(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::File(_) if is_zeros(bytes) => Ok(()),
            _ => self.put(offset, bytes),
        }
    }

    fn begin(&mut self) -> io::Result<()> {
        match self {
            Self::File(_) => Ok(()),
            Self::Flattened(out) => out.write_all(&encode_start()),
        }
    }

    fn end(&mut self) -> io::Result<()> {
        match self {
            Self::File(_) => Ok(()),
            Self::Flattened(out) => {
                out.write_all(&SegmentHeader::End.encode())?;
                out.flush()
            }
        }
    }
}

/// Pages that were read at once, compressed.
#[derive(Debug, Default)]
struct Packed {
    /// How many pages of zeros come first, which were not read.
    zeros: u64,
    pages: Vec<PackedPage>,
    /// Their bytes, one after the other.
    bytes: Vec<u8>,
}

#[derive(Debug)]
enum PackedPage {
    Zeros,
    Bytes { size: u32, flags: u32 },
}

/// Writes the memory that `core` holds.
pub fn write(
    core: &Vmcore,
    codec: Codec,
    mut target: Target<'_>,
    threads: usize,
) -> Result<Exported, ExportError> {
    let head = KdumpHead::plan(core, codec)?;
    // Pages of zeros are not read, but each has a descriptor.
    let table = head.data().saturating_sub(head.descriptors());
    let spend =
        |bytes| core.memory().spend(bytes).map_err(|error| ExportError::Data(Arc::new(error)));
    spend(table.saturating_mul(WRITTEN))?;
    write_head(core, &head, &mut target).map_err(ExportError::Write)?;
    let packers = Packers { codec, idle: Mutex::default() };
    let memory = WholePages { memory: core.memory(), page_size: head.page_size };
    let mut writer = PageWriter {
        head: &head,
        target: &mut target,
        descriptors: head.descriptors(),
        data: head.data().saturating_add(head.page_size),
        zeros: 0,
    };
    let mut result = Ok(());
    let work = |piece: MemoryRange, content: Content<'_>| match content {
        Content::Zeros => Ok(zeros(piece.length, head.page_size)),
        Content::Bytes(bytes) => {
            spend((bytes.len() as u64).saturating_mul(WRITTEN))?;
            packers.pack(bytes, head.page_size)
        }
        Content::Missing(error) => Err(ExportError::Memory(error)),
    };
    scan(&memory, &head.ranges, threads, work, |packed| {
        result = packed.and_then(|packed| writer.write(&packed).map_err(ExportError::Write));
        if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    result?;
    let exported = Exported { bytes: writer.data, zeros: writer.zeros };
    target.end().map_err(ExportError::Write)?;
    Ok(exported)
}

fn write_head(core: &Vmcore, head: &KdumpHead, target: &mut Target<'_>) -> io::Result<()> {
    target.begin()?;
    for (offset, bytes) in head.parts(core) {
        target.put(offset, &bytes)?;
    }
    for (offset, bytes) in head.bitmaps(core) {
        target.put_sparse(offset, &bytes)?;
    }
    let zeros = vec![0; usize::try_from(head.page_size).unwrap_or_default()];
    target.put(head.data(), &zeros)
}

fn zeros(length: u64, page_size: u64) -> Packed {
    Packed { zeros: length / page_size, ..Packed::default() }
}

/// Compressors that no thread uses just now.
struct Packers {
    codec: Codec,
    idle: Mutex<Vec<PagePacker>>,
}

impl Packers {
    fn pack(&self, memory: &[u8], page_size: u64) -> Result<Packed, ExportError> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let packer = idle().pop();
        let mut packer = match packer {
            Some(packer) => packer,
            None => PagePacker::new(self.codec).map_err(ExportError::Compressor)?,
        };
        let mut packed = Packed::default();
        for page in memory.chunks(usize::try_from(page_size).unwrap_or(usize::MAX)) {
            if is_zeros(page) {
                packed.pages.push(PackedPage::Zeros);
                continue;
            }
            let (bytes, flags) = match packer.pack(page) {
                Some(bytes) => (bytes, self.codec.flag()),
                None => (page, 0),
            };
            let size = u32::try_from(bytes.len()).unwrap_or_default();
            packed.pages.push(PackedPage::Bytes { size, flags });
            packed.bytes.extend_from_slice(bytes);
        }
        idle().push(packer);
        Ok(packed)
    }
}

/// Puts pages and their descriptors where they belong.
struct PageWriter<'a, 'b> {
    head: &'a KdumpHead,
    target: &'a mut Target<'b>,
    /// Where the next descriptor goes.
    descriptors: u64,
    /// Where the next page goes.
    data: u64,
    /// How many bytes of memory share the page of zeros.
    zeros: u64,
}

impl PageWriter<'_, '_> {
    /// Writes the descriptors of so many pages of zeros.
    fn unread_zeros(&mut self, count: u64, zeros: PageDescriptor) -> io::Result<()> {
        const BATCH: u64 = 4096;
        let mut left = count;
        while left > 0 {
            let batch = left.min(BATCH);
            let table =
                zeros.encode(self.head.endian()).repeat(usize::try_from(batch).unwrap_or(0));
            self.target.put(self.descriptors, &table)?;
            self.descriptors = self.descriptors.saturating_add(table.len() as u64);
            left = left.saturating_sub(batch);
        }
        self.zeros = self.zeros.saturating_add(count.saturating_mul(self.head.page_size));
        Ok(())
    }

    fn write(&mut self, packed: &Packed) -> io::Result<()> {
        let page_size = u32::try_from(self.head.page_size).unwrap_or_default();
        let zeros = PageDescriptor { offset: self.head.data(), size: page_size, flags: 0 };
        self.unread_zeros(packed.zeros, zeros)?;
        let start = self.data;
        let mut table = Vec::new();
        for page in &packed.pages {
            let descriptor = match *page {
                PackedPage::Zeros => {
                    self.zeros = self.zeros.saturating_add(self.head.page_size);
                    zeros
                }
                PackedPage::Bytes { size, flags } => {
                    PageDescriptor { offset: self.data, size, flags }
                }
            };
            if matches!(page, PackedPage::Bytes { .. }) {
                self.data = descriptor.end();
            }
            table.extend(descriptor.encode(self.head.endian()));
        }
        self.target.put(self.descriptors, &table)?;
        self.target.put(start, &packed.bytes)?;
        self.descriptors = self.descriptors.saturating_add(table.len() as u64);
        Ok(())
    }
}

/// Memory whose pieces end with its pages.
#[derive(Debug)]
struct WholePages<'a> {
    memory: &'a dyn PhysMemory,
    page_size: u64,
}

impl PhysMemory for WholePages<'_> {
    fn ranges(&self) -> &[MemoryRange] {
        self.memory.ranges()
    }

    fn read(&self, at: PhysAddr, buffer: &mut [u8]) -> Result<(), MemoryError> {
        self.memory.read(at, buffer)
    }

    fn piece_end(&self, at: PhysAddr) -> PhysAddr {
        let end = self.memory.piece_end(at).0;
        PhysAddr(end.checked_next_multiple_of(self.page_size).unwrap_or(u64::MAX))
    }

    fn zeros(&self, at: PhysAddr) -> u64 {
        self.memory.zeros(at)
    }
}

#[cfg(test)]
#[path = "kdump_tests.rs"]
mod tests;
