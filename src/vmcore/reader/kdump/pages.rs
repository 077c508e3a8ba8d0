//! The pages of a kdump-compressed file, by the numbers of their descriptors.
//!
//! Needs: the file's bytes, and where its descriptors are. Gives: pages unpacked.
//! Pages that follow each other do so in the file, too, so many are fetched at once.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use vmcore_formats::endian::Endian;
use vmcore_formats::kdump::page::{DESCRIPTOR_LENGTH, PageDescriptor};

use super::page_codec::PageUnpacker;
use crate::corefile::read::bytes::{Bytes, DataError};

/// The largest gap in the file that is read along with what is around it.
const GAP: u64 = 16 << 10;

/// What the smallest read costs, in bytes.
const SMALLEST: u64 = 4096;

/// Where things are in a kdump-compressed file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KdumpLayout {
    /// Byte order of the descriptors.
    pub(crate) endian: Endian,
    /// Length of a page, in bytes. A power of two.
    pub(crate) page_size: u64,
    /// Where the first descriptor is in the file.
    pub(crate) descriptors: u64,
}

/// The pages of a file.
#[derive(Debug)]
pub(crate) struct KdumpPages {
    bytes: Arc<dyn Bytes>,
    layout: KdumpLayout,
    /// How many descriptors there should be.
    count: u64,
    /// The descriptor of all pages of zeros, if the first of its place is one of them.
    zeros: OnceLock<Option<PageDescriptor>>,
    /// What no thread is using.
    idle: Mutex<Vec<Scratch>>,
}

/// What a thread needs to read pages.
#[derive(Debug, Default)]
struct Scratch {
    unpacker: PageUnpacker,
    packed: Vec<u8>,
    table: Vec<u8>,
}

impl KdumpPages {
    /// The pages of a file with so many descriptors.
    pub(crate) fn new(bytes: Arc<dyn Bytes>, layout: KdumpLayout, count: u64) -> Self {
        Self { bytes, layout, count, zeros: OnceLock::new(), idle: Mutex::default() }
    }

    /// The file.
    pub(crate) fn bytes(&self) -> &dyn Bytes {
        &*self.bytes
    }

    /// Length of a page, in bytes.
    pub(crate) fn page_size(&self) -> u64 {
        self.layout.page_size
    }

    /// Length of the file, in bytes.
    pub(crate) fn file_length(&self) -> u64 {
        self.bytes.length()
    }

    /// For how many descriptors the file has room before it ends.
    pub(crate) fn descriptors_there(&self) -> u64 {
        let left = self.bytes.length().saturating_sub(self.layout.descriptors);
        left / DESCRIPTOR_LENGTH as u64
    }

    /// Where the pages' bytes begin: all pages of zeros are there, in one place.
    pub(crate) fn zero_page_offset(&self) -> u64 {
        let table = self.count.saturating_mul(DESCRIPTOR_LENGTH as u64);
        self.layout.descriptors.saturating_add(table)
    }

    /// Where a descriptor is in the file.
    pub(crate) fn descriptor_offset(&self, index: u64) -> u64 {
        let skip = index.saturating_mul(DESCRIPTOR_LENGTH as u64);
        self.layout.descriptors.saturating_add(skip)
    }

    /// Reads descriptors one after the other.
    pub(crate) fn descriptors(
        &self,
        first: u64,
        count: u64,
        table: &mut Vec<u8>,
    ) -> Result<Vec<PageDescriptor>, DataError> {
        let offset = self.descriptor_offset(first);
        let length = usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(DESCRIPTOR_LENGTH);
        table.resize(length, 0);
        self.bytes.read(offset, table)?;
        let decode = |bytes: &[u8]| PageDescriptor::decode(bytes, self.layout.endian);
        let pages: Result<Vec<_>, _> = table.chunks_exact(DESCRIPTOR_LENGTH).map(decode).collect();
        pages.map_err(|error| DataError::Damaged {
            unit: "descriptor",
            offset,
            problem: error.to_string(),
        })
    }

    /// Reads as many whole pages as `buffer` has room for, from descriptor `first` on.
    pub(crate) fn read(&self, first: u64, buffer: &mut [u8]) -> Result<(), DataError> {
        // A page of no bytes in the file is work, too: to look for it, and to find it damaged.
        self.bytes.spend((buffer.len() as u64).saturating_add(SMALLEST))?;
        self.with_scratch(|scratch| self.read_with(first, buffer, scratch))
    }

    /// How many pages, of `count` from descriptor `first` on, share the page of zeros.
    pub(crate) fn zeros(&self, first: u64, count: u64) -> u64 {
        self.with_scratch(|scratch| {
            let pages = self.descriptors(first, count, &mut scratch.table).unwrap_or_default();
            pages.iter().take_while(|page| self.is_zeros(page, scratch)).count() as u64
        })
    }

    fn read_with(
        &self,
        first: u64,
        buffer: &mut [u8],
        scratch: &mut Scratch,
    ) -> Result<(), DataError> {
        let size = usize::try_from(self.layout.page_size).unwrap_or(usize::MAX);
        let count = buffer.len() / size.max(1);
        let pages = self.descriptors(first, count as u64, &mut scratch.table)?;
        let (mut rest, mut buffer) = (pages.as_slice(), buffer);
        while let Some(page) = rest.first() {
            let zeros = self.is_zeros(page, scratch);
            let count = if zeros { 1 } else { close_together(rest) };
            let (now, later) = rest.split_at(count.min(rest.len()));
            let (to, next) = buffer.split_at_mut(size.saturating_mul(now.len()));
            if zeros {
                to.fill(0);
            } else {
                self.unpack(now, to, scratch)?;
            }
            (rest, buffer) = (later, next);
        }
        Ok(())
    }

    /// Whether a page is one of those of zeros that share a place.
    fn is_zeros(&self, page: &PageDescriptor, scratch: &mut Scratch) -> bool {
        if page.offset != self.zero_page_offset() {
            return false;
        }
        let known = self.zeros.get_or_init(|| {
            let mut bytes = vec![1; usize::try_from(self.layout.page_size).unwrap_or_default()];
            let read = self.unpack(std::slice::from_ref(page), &mut bytes, scratch);
            (read.is_ok() && bytes.iter().all(|byte| *byte == 0)).then_some(*page)
        });
        known.as_ref() == Some(page)
    }

    /// Unpacks pages whose bytes are close together in the file.
    fn unpack(
        &self,
        pages: &[PageDescriptor],
        buffer: &mut [u8],
        scratch: &mut Scratch,
    ) -> Result<(), DataError> {
        let (Some(first), Some(last)) = (pages.first(), pages.last()) else { return Ok(()) };
        for page in pages {
            if page.size == 0 || u64::from(page.size) > self.layout.page_size {
                let problem = format!("its descriptor says that it has {} bytes", page.size);
                return Err(DataError::Damaged { unit: "page", offset: page.offset, problem });
            }
        }
        let length = last.end().saturating_sub(first.offset);
        scratch.packed.resize(usize::try_from(length).unwrap_or(usize::MAX), 0);
        self.bytes.read(first.offset, &mut scratch.packed)?;
        let size = usize::try_from(self.layout.page_size).unwrap_or(usize::MAX);
        for (page, to) in pages.iter().zip(buffer.chunks_exact_mut(size)) {
            let start = usize::try_from(page.offset.saturating_sub(first.offset)).ok();
            let packed = start.and_then(|start| {
                scratch.packed.get(start..start.checked_add(page.size as usize)?)
            });
            let unpacked = match (packed, page.codec()) {
                (None, _) => Err("its bytes are elsewhere".to_owned()),
                (Some(packed), Some(codec)) => scratch.unpacker.unpack(codec, packed, to),
                (Some(packed), None) if packed.len() == to.len() => {
                    to.copy_from_slice(packed);
                    Ok(())
                }
                (Some(packed), None) => Err(format!("it has {} bytes", packed.len())),
            };
            unpacked.map_err(|problem| DataError::Damaged {
                unit: "page",
                offset: page.offset,
                problem,
            })?;
        }
        Ok(())
    }

    fn with_scratch<T>(&self, work: impl FnOnce(&mut Scratch) -> T) -> T {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scratch = idle().pop().unwrap_or_default();
        let result = work(&mut scratch);
        idle().push(scratch);
        result
    }
}

/// How many pages of the first ones have their bytes one after the other.
fn close_together(pages: &[PageDescriptor]) -> usize {
    let near = |(before, after): (&PageDescriptor, &PageDescriptor)| {
        let gap = after.offset.checked_sub(before.end());
        gap.is_some_and(|gap| gap <= GAP)
    };
    let pairs = pages.iter().zip(pages.iter().skip(1));
    pairs.take_while(|pair| near(*pair)).count().saturating_add(1)
}
