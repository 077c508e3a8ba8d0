//! The lockless ring of printk.
//!
//! ```text
//! printk_ringbuffer
//!   desc_ring   count_bits, descs, infos, head_id, tail_id
//!   text ring   size_bits, data, head_lpos, tail_lpos
//!
//! descs[id % 2^count_bits]   state_var   63..62 state, 61..0 id
//!                            begin, next logical positions of the text's block
//! infos[id % 2^count_bits]   seq, ts_nsec, text_len, facility, flags:5 level:3, caller_id, dev_info
//! data[lpos % 2^size_bits]   id (8 bytes), text, padding to 8 bytes
//! ```
//!
//! Descriptors from `tail_id` to `head_id` are in use; ids count modulo 2^62, logical
//! positions modulo 2^64 (and begin shortly before they wrap).
//! A block that does not fit before the end of the ring is stored at its start, with its id.
//! A block without data has odd positions: 3 for an empty line, 1 for a lost text.
//!
//! Source: Linux `kernel/printk/printk_ringbuffer.{h,c}`, `Documentation/admin-guide/kdump/vmcoreinfo.rst`.
//!
//! ```
//! use vmcore_formats::endian::Endian;
//! use vmcore_formats::printk::ring::RingLayout;
//! use vmcore_formats::vmcoreinfo::VmcoreInfo;
//!
//! // From Linux 6.1 on x86-64.
//! let info = "SIZE(printk_ringbuffer)=80 OFFSET(printk_ringbuffer.desc_ring)=0 \
//!     OFFSET(printk_ringbuffer.text_data_ring)=40 OFFSET(atomic_long_t.counter)=0 \
//!     OFFSET(prb_desc_ring.count_bits)=0 OFFSET(prb_desc_ring.descs)=8 \
//!     OFFSET(prb_desc_ring.infos)=16 OFFSET(prb_desc_ring.head_id)=24 \
//!     OFFSET(prb_desc_ring.tail_id)=32 OFFSET(prb_data_ring.size_bits)=0 \
//!     OFFSET(prb_data_ring.data)=8 OFFSET(prb_data_ring.head_lpos)=16 \
//!     OFFSET(prb_data_ring.tail_lpos)=24 SIZE(prb_desc)=24 OFFSET(prb_desc.state_var)=0 \
//!     OFFSET(prb_desc.text_blk_lpos)=8 OFFSET(prb_data_blk_lpos.begin)=0 \
//!     OFFSET(prb_data_blk_lpos.next)=8 SIZE(printk_info)=88 OFFSET(printk_info.seq)=0 \
//!     OFFSET(printk_info.ts_nsec)=8 OFFSET(printk_info.text_len)=16 \
//!     OFFSET(printk_info.caller_id)=20";
//! let info = VmcoreInfo::parse(info.replace(' ', "\n").as_bytes());
//! let layout = RingLayout::of(&info, Endian::Little)?;
//!
//! let mut bytes = [0; 80];
//! (bytes[0], bytes[40]) = (13, 18); // count_bits, size_bits
//! (bytes[24], bytes[32]) = (0x52, 0x10); // head_id, tail_id
//! let ring = layout.ring(&bytes)?;
//! assert_eq!((ring.count(), ring.text_size()), (8192, 256 << 10));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod layout;

pub use layout::RingLayout;

use layout::Descriptor;
use thiserror::Error;

use super::{LogMemory, LogPart, Record};
use crate::addr::VirtAddr;
use crate::cursor::ParseError;

/// The most descriptors that a ring may have, as a power of two.
pub const MAX_COUNT_BITS: u32 = 21;
/// The longest text ring, as a power of two: twice the limit of Kconfig.
pub const MAX_SIZE_BITS: u32 = 26;
/// The most bytes of infos that are read: those of a million records.
pub const MAX_INFOS: u64 = 128 << 20;

const ID_MASK: u64 = u64::MAX >> 2;
const ID_SIZE: u64 = 8;
/// Both positions of a record whose text was lost.
const FAILED_LPOS: u64 = 1;
/// Both positions of an empty line.
const EMPTY_LPOS: u64 = 3;

/// A ring's own fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ring {
    /// The number of descriptors and infos, as a power of two.
    pub count_bits: u32,
    /// Address of the descriptors.
    pub descs: VirtAddr,
    /// Address of the infos.
    pub infos: VirtAddr,
    /// The newest descriptor's id.
    pub head_id: u64,
    /// The oldest descriptor's id.
    pub tail_id: u64,
    /// Length of the text ring, as a power of two.
    pub size_bits: u32,
    /// Address of the text ring.
    pub data: VirtAddr,
    /// Logical position of the next text.
    pub head_lpos: u64,
    /// Logical position of the oldest text.
    pub tail_lpos: u64,
}

/// Why a ring cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RingError {
    /// The bytes end too early.
    #[error(transparent)]
    Short(#[from] ParseError),
    /// A size that no kernel has.
    #[error(
        "a log with 2^{count_bits} records and 2^{size_bits} bytes of text: kernels have at most 2^{MAX_COUNT_BITS} and 2^{MAX_SIZE_BITS}"
    )]
    Size {
        /// Its number of records, as a power of two.
        count_bits: u32,
        /// Its length of text, as a power of two.
        size_bits: u32,
    },
    /// More infos than are read.
    #[error(
        "a log of {count} records, {bytes} bytes without their text: at most {MAX_INFOS} are read"
    )]
    Long {
        /// How many records are in use.
        count: u64,
        /// How many bytes their infos take.
        bytes: u64,
    },
    /// More records in use than the ring has.
    #[error("the log has records {tail_id:#x} to {head_id:#x} in use, but room for {count} only")]
    InUse {
        /// The oldest one's id.
        tail_id: u64,
        /// The newest one's id.
        head_id: u64,
        /// How many the ring has.
        count: u64,
    },
}

/// Why a record cannot be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Gap<E> {
    /// Memory of its descriptor, info or text is missing.
    Missing(LogPart, E),
    /// It was being written.
    Reserved,
    /// Its descriptor belongs to another record.
    Stale {
        /// The state and id in the descriptor.
        state_var: u64,
    },
    /// The ring had no room for its text.
    Lost,
    /// The position of its text is impossible.
    Block {
        /// The logical position of its first byte.
        begin: u64,
        /// The logical position after its last byte.
        next: u64,
    },
    /// The texts of all records together are longer than the ring: some overlap.
    Overlapping,
    /// The text at its position belongs to another record.
    Foreign {
        /// The id of that record.
        id: u64,
    },
    /// Its number does not follow that of the record before.
    Sequence {
        /// The number that was found.
        seq: u64,
    },
}

/// A record in use that cannot be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingRecord<E> {
    /// Its descriptor's id.
    pub id: u64,
    /// Its sequence number, if that can be read.
    pub seq: Option<u64>,
    /// Why.
    pub gap: Gap<E>,
}

/// The location of a block in the text ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    Empty,
    Lost,
    /// Its offset, and its length with the id.
    At(u64, u64),
    Impossible,
}

impl RingLayout {
    /// The ranges of a part that may contain records in use, as offset and length: one, or
    /// two if they wrap.
    pub fn ranges(&self, ring: &Ring, part: LogPart) -> Vec<(u64, u64)> {
        let (size, total, first, used) = match part {
            LogPart::Descriptors => (self.desc_size, ring.count(), ring.tail_id, ring.in_use()),
            LogPart::Infos => (self.info_size, ring.count(), ring.tail_id, ring.in_use()),
            LogPart::Text => {
                let used = ring.head_lpos.wrapping_sub(ring.tail_lpos);
                (1, ring.text_size(), ring.tail_lpos, used)
            }
        };
        let used = used.min(total);
        // Both are powers of two.
        let first = first & total.wrapping_sub(1);
        let until_end = total.saturating_sub(first);
        let mut ranges = vec![(first, used.min(until_end))];
        // A block that wraps is at the start of the ring. So may be one that ends at its end.
        ranges.push((0, used.saturating_sub(until_end)));
        ranges.retain(|(_, length)| *length > 0);
        for (offset, length) in &mut ranges {
            *offset = offset.saturating_mul(size);
            *length = length.saturating_mul(size);
        }
        ranges
    }

    /// Reads the records in use, oldest first, and gives each to `take`: an error for one that
    /// cannot be shown.
    pub fn records<M: LogMemory>(
        &self,
        ring: &Ring,
        memory: &M,
        mut take: impl FnMut(Result<Record, MissingRecord<M::Error>>),
    ) {
        let mut expected: Option<u64> = None;
        let mut room = ring.text_size();
        for step in 0..ring.in_use() {
            let id = ring.tail_id.wrapping_add(step) & ID_MASK;
            let record = match self.record(ring, memory, id) {
                Ok(record) => record,
                // The oldest one may have been freed already; at boot it always is.
                Err(MissingRecord { gap: Gap::Stale { state_var }, .. })
                    if expected.is_none() && state_var >> 62 == 3 && state_var & ID_MASK == id =>
                {
                    continue;
                }
                Err(missing) => {
                    expected = expected.map(|seq| seq.wrapping_add(1)).or(missing.seq);
                    take(Err(missing));
                    continue;
                }
            };
            if let (Some(wanted), Some(seq)) = (expected, record.seq)
                && wanted != seq
            {
                take(Err(MissingRecord { id, seq: expected, gap: Gap::Sequence { seq } }));
            }
            expected = record.seq.map(|seq| seq.wrapping_add(1));
            // The texts of overlapping blocks could be a thousand times as long as the ring.
            match room.checked_sub(record.text.len() as u64) {
                Some(left) => {
                    room = left;
                    take(Ok(record));
                }
                None => take(Err(MissingRecord { id, seq: record.seq, gap: Gap::Overlapping })),
            }
        }
    }

    fn record<M: LogMemory>(
        &self,
        ring: &Ring,
        memory: &M,
        id: u64,
    ) -> Result<Record, MissingRecord<M::Error>> {
        let index = id & ring.count().wrapping_sub(1);
        let element = |part, size: u64| {
            memory
                .bytes(part, index.saturating_mul(size), size)
                .map_err(|error| Gap::Missing(part, error))
        };
        let info = element(LogPart::Infos, self.info_size);
        let seq = info.as_ref().ok().and_then(|info| self.sequence(info).ok());
        let missing = |gap| MissingRecord { id, seq, gap };

        let bytes = element(LogPart::Descriptors, self.desc_size).map_err(missing)?;
        let descriptor = self.descriptor(bytes).unwrap_or(Descriptor {
            state_var: 0,
            begin: FAILED_LPOS,
            next: FAILED_LPOS,
        });
        let stale = Gap::Stale { state_var: descriptor.state_var };
        match (descriptor.state_var & ID_MASK == id, descriptor.state_var >> 62) {
            (true, 1 | 2) => {}
            (true, 0) => return Err(missing(Gap::Reserved)),
            // The info belongs to another record, too.
            _ => return Err(MissingRecord { id, seq: None, gap: stale }),
        }
        let info = info.map_err(missing)?;
        let (mut record, length) =
            self.info(info).map_err(|_| MissingRecord { id, seq, gap: stale })?;
        let Descriptor { begin, next, .. } = descriptor;
        match block(ring, begin, next) {
            Block::Empty => {}
            Block::Lost => return Err(missing(Gap::Lost)),
            Block::Impossible => return Err(missing(Gap::Block { begin, next })),
            Block::At(start, size) => {
                // A text that was truncated when it was written is shorter than `text_len`.
                let wanted = size.min(length.saturating_add(ID_SIZE));
                let bytes = memory
                    .bytes(LogPart::Text, start, wanted)
                    .map_err(|error| missing(Gap::Missing(LogPart::Text, error)))?;
                let Some((found, text)) = bytes.split_first_chunk() else {
                    return Err(missing(Gap::Block { begin, next }));
                };
                let found = self.endian.u64(*found);
                if found != id {
                    return Err(missing(Gap::Foreign { id: found }));
                }
                record.text = text.to_vec();
            }
        }
        Ok(record)
    }
}

impl Ring {
    /// The number of descriptors.
    pub fn count(&self) -> u64 {
        1_u64.checked_shl(self.count_bits).unwrap_or_default()
    }

    /// The length of the text ring, in bytes.
    pub fn text_size(&self) -> u64 {
        1_u64.checked_shl(self.size_bits).unwrap_or_default()
    }

    /// The number of descriptors in use.
    fn in_use(&self) -> u64 {
        (self.head_id.wrapping_sub(self.tail_id) & ID_MASK).saturating_add(1)
    }
}

/// The location of the block from `begin` to `next`.
///
/// Positions wrap at 2^64, and do so soon after boot. Since Linux commit 67e1b0052f6b
/// "`printk_ringbuffer`: don't needlessly wrap data blocks around" a block may end at the end
/// of the ring, with `next` in the next lap: so the lap of the last byte decides, not that of
/// `next`. Tests: `positions_wrap_at_2_to_the_64`, `a_block_may_end_where_the_ring_does`.
fn block(ring: &Ring, begin: u64, next: u64) -> Block {
    if begin & 1 == 1 && next & 1 == 1 {
        return match (begin, next) {
            (EMPTY_LPOS, EMPTY_LPOS) => Block::Empty,
            (FAILED_LPOS, FAILED_LPOS) => Block::Lost,
            _ => Block::Impossible,
        };
    }
    let size = ring.text_size();
    let (index, lap) = (size.wrapping_sub(1), |at: u64| at.checked_shr(ring.size_bits));
    let last = next.wrapping_sub(1);
    let (start, length) = if lap(begin) == lap(last) {
        (begin & index, next.wrapping_sub(begin))
    } else if lap(begin.wrapping_add(size)) == lap(last) {
        (0, (last & index).saturating_add(1))
    } else {
        return Block::Impossible;
    };
    let aligned = begin.is_multiple_of(ID_SIZE) && next.is_multiple_of(ID_SIZE);
    if aligned && length >= ID_SIZE && length <= size {
        Block::At(start, length)
    } else {
        Block::Impossible
    }
}

#[cfg(test)]
mod tests;
