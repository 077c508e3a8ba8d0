//! The second block of a kdump-compressed file (`struct kdump_sub_header`).
//!
//! ```text
//!  64-bit  32-bit  32-bit, padded
//!    0       0       0    phys_base          long   version 1
//!    8       4       4    dump_level         u32
//!   12       8       8    split              u32            2
//!   16      12      12    start_pfn          long
//!   24      16      16    end_pfn            long
//!   32      20      24    offset_vmcoreinfo  u64            3
//!   40      28      32    size_vmcoreinfo    long
//!   48      32      40    offset_note        u64            4
//!   56      40      48    size_note          long
//!   64      44      56    offset_eraseinfo   u64            5
//!   72      52      64    size_eraseinfo     long
//!   80      56      72    start_pfn_64       u64            6
//!   88      64      80    end_pfn_64         u64
//!   96      72      88    max_mapnr_64       u64
//!  104      80      96
//! ```
//!
//! Fields that are newer than the version have undefined values. Where 64-bit values
//! are aligned to 64 bits (32-bit ARM), the 32-bit layout is padded; QEMU writes the
//! unpadded one for every 32-bit machine.
//!
//! ```
//! use vmcore_formats::elf::Class;
//! use vmcore_formats::endian::Endian;
//! use vmcore_formats::kdump::sub_header::{Extent, SubHeader};
//!
//! let notes = Extent { offset: 0x1068, length: 0x200 };
//! let header = SubHeader { notes, max_mapnr: Some(1 << 33), ..SubHeader::default() };
//! let bytes = header.encode(Class::Elf64, Endian::Little);
//! let found = SubHeader::decode(&bytes, Class::Elf64, Endian::Little, 6, 0x1000, 0x2000)?;
//! assert_eq!(found, header);
//! # Ok::<_, vmcore_formats::kdump::KdumpError>(())
//! ```

use super::{Encoder, KdumpError};
use crate::addr::Pfn;
use crate::cursor::Cursor;
use crate::elf::Class;
use crate::endian::Endian;

/// How many bytes [`SubHeader::decode`] needs at most.
pub const SUB_HEADER_LENGTH: usize = 104;

/// A range of bytes in the file. Empty if its length is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Its first byte.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
}

/// The sub header. Extents that its version does not have are empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubHeader {
    /// The kernel's displacement in physical memory; negative numbers wrap.
    pub phys_base: u64,
    /// The page classes that were excluded (`makedumpfile -d`).
    pub dump_level: u32,
    /// The pages of this part of a split dump: the first one, and the one after the last.
    pub part: Option<(Pfn, Pfn)>,
    /// The text of VMCOREINFO.
    pub vmcoreinfo: Extent,
    /// The ELF notes.
    pub notes: Extent,
    /// A list of erased data (`makedumpfile --config`).
    pub eraseinfo: Extent,
    /// One more than the last page's number. `None` before version 6.
    pub max_mapnr: Option<u64>,
}

impl SubHeader {
    /// Decodes the start of the second block.
    ///
    /// The blocks of the sub header begin at `block_size` in the file and end at
    /// `payload_end`. The right one of the 32-bit layouts has VMCOREINFO and the notes
    /// between the two.
    ///
    /// # Errors
    /// Fails if `bytes` are too short for the version.
    pub fn decode(
        bytes: &[u8],
        class: Class,
        endian: Endian,
        version: u32,
        block_size: u64,
        payload_end: u64,
    ) -> Result<Self, KdumpError> {
        let decode = |padded| Self::decode_as(bytes, class, endian, version, padded);
        let found = decode(false)?;
        let inside = |extent: Extent| {
            extent.length == 0 && extent.offset == 0
                || extent.offset > block_size
                    && extent.offset.saturating_add(extent.length) <= payload_end
        };
        let fits = |header: &Self| inside(header.vmcoreinfo) && inside(header.notes);
        if class == Class::Elf32 && version >= 3 && !fits(&found) {
            return Ok(decode(true).ok().filter(fits).unwrap_or(found));
        }
        Ok(found)
    }

    fn decode_as(
        bytes: &[u8],
        class: Class,
        endian: Endian,
        version: u32,
        padded: bool,
    ) -> Result<Self, KdumpError> {
        let mut at = Cursor::new(bytes, endian);
        let mut header = Self { phys_base: long(&mut at, class, "phys_base")?, ..Self::default() };
        header.dump_level = at.u32("dump_level")?;
        if version < 2 {
            return Ok(header);
        }
        let split = at.u32("split")? != 0;
        let part = (long(&mut at, class, "start_pfn")?, long(&mut at, class, "end_pfn")?);
        header.part = split.then_some(part).map(pages);
        let extent = |at: &mut Cursor<'_>, what| {
            pad(at, padded)?;
            let offset = at.u64(what)?;
            Ok::<_, KdumpError>(Extent { offset, length: long(at, class, what)? })
        };
        if version >= 3 {
            header.vmcoreinfo = extent(&mut at, "extent of VMCOREINFO")?;
        }
        if version >= 4 {
            header.notes = extent(&mut at, "extent of the notes")?;
        }
        if version >= 5 {
            header.eraseinfo = extent(&mut at, "extent of eraseinfo")?;
        }
        if version >= 6 {
            pad(&mut at, padded)?;
            let part = (at.u64("start_pfn_64")?, at.u64("end_pfn_64")?);
            header.part = split.then_some(part).map(pages);
            header.max_mapnr = Some(at.u64("max_mapnr_64")?);
        }
        Ok(header)
    }

    /// Encodes it in the unpadded layout of version 6. An unknown `max_mapnr` is written
    /// as 0, with which readers use that of the header.
    pub fn encode(&self, class: Class, endian: Endian) -> Vec<u8> {
        let mut to = Encoder::new(endian);
        let long = |to: &mut Encoder, value: u64| match class {
            Class::Elf64 => to.u64(value),
            // Of a wrapped negative number, the lower half is enough.
            Class::Elf32 => to.u32(u32::try_from(value & 0xffff_ffff).unwrap_or_default()),
        };
        let (Pfn(start), Pfn(end)) = self.part.unwrap_or_default();
        long(&mut to, self.phys_base);
        to.u32(self.dump_level);
        to.u32(u32::from(self.part.is_some()));
        long(&mut to, start.min(u64::from(u32::MAX)));
        long(&mut to, end.min(u64::from(u32::MAX)));
        for extent in [self.vmcoreinfo, self.notes, self.eraseinfo] {
            to.u64(extent.offset);
            long(&mut to, extent.length);
        }
        to.u64(start);
        to.u64(end);
        to.u64(self.max_mapnr.unwrap_or(0));
        to.bytes
    }
}

fn pages((start, end): (u64, u64)) -> (Pfn, Pfn) {
    (Pfn(start), Pfn(end))
}

fn long(at: &mut Cursor<'_>, class: Class, what: &'static str) -> Result<u64, KdumpError> {
    Ok(match class {
        Class::Elf64 => at.u64(what)?,
        Class::Elf32 => u64::from(at.u32(what)?),
    })
}

fn pad(at: &mut Cursor<'_>, padded: bool) -> Result<(), KdumpError> {
    if padded && !at.at().is_multiple_of(8) {
        at.take(4, "padding")?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "sub_header_tests.rs"]
mod tests;
