//! A kdump-compressed file for tests, built field by field, by none of the encoders.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::Path;

use rustix::fs::{MemfdFlags, memfd_create};
use vmcore_formats::addr::PhysAddr;
use vmcore_formats::kdump::Codec;

use super::page_codec::PagePacker;
use crate::vmcore::{OpenError, Vmcore};

/// A page of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// The guest has none there.
    Absent,
    /// It was filtered.
    LeftOut,
    /// All zeros.
    Zeros,
    /// Filled from a number.
    Filled(u8),
}

use Page::{Absent, Filled, LeftOut, Zeros};

/// What to build.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) codec: Option<Codec>,
    pub(crate) version: u32,
    pub(crate) big_endian: bool,
    pub(crate) wide: bool,
    pub(crate) machine: &'static str,
    pub(crate) status: u32,
    pub(crate) pages: Vec<Page>,
    pub(crate) part: Option<(u64, u64)>,
}

pub(crate) const BLOCK: usize = 4096;
pub(crate) const INFO: &[u8] = b"OSRELEASE=6.1.0-test\nPAGESIZE=4096\n";

impl Default for Sample {
    fn default() -> Self {
        // Runs of every kind, across words of the bitmap and pieces of a scan.
        let kinds = [Filled(1), Zeros, Filled(200), LeftOut, Zeros, Filled(7), Absent];
        let pages = (0..700_usize).map(|page| kinds[page / 3 % 7 * usize::from(page % 50 != 0)]);
        Self {
            codec: Some(Codec::Zlib),
            version: 6,
            big_endian: false,
            wide: true,
            machine: "x86_64",
            status: 0,
            pages: pages.collect(),
            part: None,
        }
    }
}

/// The bytes of a page.
pub(crate) fn bytes_of(page: Page) -> Vec<u8> {
    match page {
        Filled(seed) => {
            let byte = |index: usize| (index / 9).wrapping_mul(usize::from(seed)) as u8 ^ seed;
            (0..BLOCK).map(byte).collect()
        }
        _ => vec![0; BLOCK],
    }
}

/// Bytes with numbers of one byte order.
struct Numbers {
    bytes: Vec<u8>,
    big_endian: bool,
}

impl Numbers {
    fn put(&mut self, value: u64, length: usize) {
        let little = value.to_le_bytes();
        let number = little.get(..length).unwrap();
        if self.big_endian {
            self.bytes.extend(number.iter().rev());
        } else {
            self.bytes.extend(number);
        }
    }

    fn pad(&mut self, to: usize) {
        assert!(self.bytes.len() <= to, "{} > {to}", self.bytes.len());
        self.bytes.resize(to, 0);
    }
}

impl Sample {
    /// The notes: VMCOREINFO alone.
    pub(crate) fn notes(&self) -> Vec<u8> {
        let mut to = Numbers { bytes: Vec::new(), big_endian: self.big_endian };
        for number in [11, INFO.len() as u64, 0] {
            to.put(number, 4);
        }
        to.bytes.extend(b"VMCOREINFO\0\0");
        to.bytes.extend(INFO);
        to.pad(24 + INFO.len().next_multiple_of(4));
        to.bytes
    }

    /// Whether this file has a page's bytes.
    pub(crate) fn holds(&self, page: usize) -> bool {
        let inside = self.part.is_none_or(|(start, end)| (start..end).contains(&(page as u64)));
        inside && matches!(self.pages[page], Zeros | Filled(_))
    }

    /// The whole file.
    pub(crate) fn build(&self) -> Vec<u8> {
        let long = if self.wide { 8 } else { 4 };
        let count = self.pages.len() as u64;
        let mut to = Numbers { bytes: b"KDUMP   ".to_vec(), big_endian: self.big_endian };
        to.put(u64::from(self.version), 4);
        to.pad(12 + 4 * 65);
        to.bytes.extend(self.machine.as_bytes());
        to.pad(if self.wide { 424 } else { 412 });
        let status = self.status | self.codec.map_or(0, Codec::flag);
        for field in [u64::from(status), BLOCK as u64, 1, 2, count, 0, 0, 0, 0, 1] {
            to.put(field, 4);
        }
        to.pad(BLOCK);
        to.put(0x100_0000, long);
        to.put(31, 4);
        to.put(u64::from(self.part.is_some()), 4);
        let (start, end) = self.part.unwrap_or_default();
        to.put(start, long);
        to.put(end, long);
        let notes = self.notes();
        // VMCOREINFO, notes, what was erased: where, and how long.
        for (offset, length) in [(24, INFO.len()), (0, notes.len()), (0, 0)] {
            to.put(if length > 0 { 0x1100 + offset } else { 0 }, 8);
            to.put(length as u64, long);
        }
        for number in [start, end, count] {
            to.put(number, 8);
        }
        to.pad(0x1100);
        to.bytes.extend(notes);
        to.pad(2 * BLOCK);
        for bitmap in 0..2 {
            for eight in self.pages.chunks(8) {
                let has = |page: &Page| match page {
                    Absent => false,
                    LeftOut => bitmap == 0,
                    Zeros | Filled(_) => true,
                };
                let bits = eight.iter().enumerate().map(|(bit, page)| u8::from(has(page)) << bit);
                to.bytes.push(bits.sum());
            }
            to.pad((3 + bitmap) * BLOCK);
        }
        self.put_pages(&mut to);
        to.bytes
    }

    fn put_pages(&self, to: &mut Numbers) {
        let held: Vec<_> = (0..self.pages.len()).filter(|page| self.holds(*page)).collect();
        let zeros = (to.bytes.len() + 24 * held.len()) as u64;
        let mut data = vec![0; BLOCK];
        for page in held {
            let mut place = (zeros, BLOCK as u64, 0);
            if self.pages[page] != Zeros {
                let bytes = bytes_of(self.pages[page]);
                let packed = self.codec.and_then(|codec| {
                    let mut packer = PagePacker::new(codec).unwrap();
                    packer.pack(&bytes).map(<[u8]>::to_vec)
                });
                assert_eq!(packed.is_some(), self.codec.is_some(), "the codec is put to use");
                let flags = packed.as_ref().map_or(0, |_| self.codec.unwrap().flag());
                let packed = packed.unwrap_or(bytes);
                place = (zeros + data.len() as u64, packed.len() as u64, u64::from(flags));
                data.extend(packed);
            }
            to.put(place.0, 8);
            to.put(place.1, 4);
            to.put(place.2, 4);
            to.put(0, 8);
        }
        to.bytes.extend(data);
    }
}

/// Opens bytes as a file. It is in no directory: that takes longer than the tests.
pub(crate) fn open(bytes: &[u8]) -> Result<Vmcore, OpenError> {
    let file = memfd_create("core", MemfdFlags::CLOEXEC).unwrap();
    let mut file = File::from(file);
    file.write_all(bytes).unwrap();
    Vmcore::open(Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd())))
}

/// The address of a page.
pub(crate) fn address(page: usize) -> PhysAddr {
    PhysAddr((page * BLOCK) as u64)
}
