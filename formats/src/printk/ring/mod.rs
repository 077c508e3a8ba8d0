//! The lockless ring of printk (Linux 5.10 and newer).
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
//! A block that does not fit before the ring's end is at its start, with its id.
//! A block without data has odd positions: 3 is an empty line, 1 a text that was lost.
//!
//! Source: Linux `kernel/printk/printk_ringbuffer.{h,c}`, `Documentation/admin-guide/kdump/vmcoreinfo.rst`.

mod layout;

pub use layout::RingLayout;

use layout::Descriptor;
use thiserror::Error;

use super::{LogMemory, Part, Record};
use crate::addr::VirtAddr;
use crate::cursor::{Cursor, ParseError};

/// The most descriptors that a ring may have, as a power of two.
pub const MAX_COUNT_BITS: u32 = 21;
/// The longest text ring, as a power of two: twice what Kconfig can ask for.
pub const MAX_SIZE_BITS: u32 = 26;
/// How many bytes of infos are read: those of a million records.
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
    /// How many descriptors and infos there are, as a power of two.
    pub count_bits: u32,
    /// Where the descriptors are.
    pub descs: VirtAddr,
    /// Where the infos are.
    pub infos: VirtAddr,
    /// The newest descriptor's id.
    pub head_id: u64,
    /// The oldest descriptor's id.
    pub tail_id: u64,
    /// How long the text ring is, as a power of two.
    pub size_bits: u32,
    /// Where the text is.
    pub data: VirtAddr,
    /// Where the next text goes.
    pub head_lpos: u64,
    /// Where the oldest text is.
    pub tail_lpos: u64,
}

/// Why a ring is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RingError {
    /// Too short.
    #[error(transparent)]
    Short(#[from] ParseError),
    /// A size that no kernel has.
    #[error(
        "a log with 2^{count_bits} records and 2^{size_bits} bytes of text: no kernel's has more than 2^{MAX_COUNT_BITS} and 2^{MAX_SIZE_BITS}"
    )]
    Size {
        /// What the ring says.
        count_bits: u32,
        /// What the ring says.
        size_bits: u32,
    },
    /// More than is read.
    #[error("a log of {count} records, {bytes} bytes without their text: more than is read")]
    Long {
        /// How many are in use.
        count: u64,
        /// How many bytes their infos take.
        bytes: u64,
    },
    /// More records in use than there are.
    #[error(
        "the log says that records {tail_id:#x} to {head_id:#x} are in use, of {count} that there are"
    )]
    InUse {
        /// The oldest one's id.
        tail_id: u64,
        /// The newest one's id.
        head_id: u64,
        /// How many there are.
        count: u64,
    },
}

/// Why a record cannot be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Gap<E> {
    /// What describes it is missing.
    Missing(Part, E),
    /// It was being written.
    Reserved,
    /// Its descriptor is another one's.
    Stale {
        /// The state and id that are there.
        state_var: u64,
    },
    /// The ring had no room for its text.
    Lost,
    /// Its text is said to be where none can be.
    Block {
        /// The first logical position.
        begin: u64,
        /// The position behind.
        next: u64,
    },
    /// The texts of all records together are longer than the ring: some overlap.
    Overlapping,
    /// Where its text should be is another record's.
    Foreign {
        /// The id there.
        id: u64,
    },
    /// Its number is not the one after the record before.
    Sequence {
        /// The number there.
        seq: u64,
    },
}

/// A record that should be there, and is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingRecord<E> {
    /// Its descriptor's id.
    pub id: u64,
    /// Its number, if that can be read.
    pub seq: Option<u64>,
    /// Why.
    pub gap: Gap<E>,
}

/// Where the text of a block is in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    Empty,
    Lost,
    /// The id's place, and the length with the id.
    At(u64, u64),
    Impossible,
}

impl RingLayout {
    /// The ranges of a part that records in use may be in, as offset and length. One, or
    /// two where it wraps.
    #[must_use]
    pub fn ranges(&self, ring: &Ring, part: Part) -> Vec<(u64, u64)> {
        let (size, total, first, used) = match part {
            Part::Descriptors => (self.desc_size, ring.count(), ring.tail_id, ring.in_use()),
            Part::Infos => (self.info_size, ring.count(), ring.tail_id, ring.in_use()),
            Part::Text => {
                let used = ring.head_lpos.wrapping_sub(ring.tail_lpos);
                (1, ring.text_size(), ring.tail_lpos, used)
            }
        };
        let used = used.min(total);
        // Both are powers of two.
        let first = first & total.wrapping_sub(1);
        let until_end = total.saturating_sub(first);
        let mut ranges = vec![(first, used.min(until_end))];
        // A block that wraps begins at the start of the ring. So may one that ends at its end.
        ranges.push((0, used.saturating_sub(until_end)));
        ranges.retain(|(_, length)| *length > 0);
        for (offset, length) in &mut ranges {
            *offset = offset.saturating_mul(size);
            *length = length.saturating_mul(size);
        }
        ranges
    }

    /// Reads the records in use, oldest first. What should be there and is not comes as an error
    /// in its place.
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
                // The oldest one may be free already, and is at boot.
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
            let seq = record.seq.unwrap_or_default();
            if expected.is_some_and(|expected| expected != seq) {
                take(Err(MissingRecord { id, seq: expected, gap: Gap::Sequence { seq } }));
            }
            expected = Some(seq.wrapping_add(1));
            // Blocks that overlap could be a thousand times what the ring holds.
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
        let info = element(Part::Infos, self.info_size);
        let seq = info.as_ref().ok().and_then(|info| self.sequence(info).ok());
        let missing = |gap| MissingRecord { id, seq, gap };

        let bytes = element(Part::Descriptors, self.desc_size).map_err(missing)?;
        let descriptor = self.descriptor(bytes).unwrap_or(Descriptor {
            state_var: 0,
            begin: FAILED_LPOS,
            next: FAILED_LPOS,
        });
        let stale = Gap::Stale { state_var: descriptor.state_var };
        match (descriptor.state_var & ID_MASK == id, descriptor.state_var >> 62) {
            (true, 1 | 2) => {}
            (true, 0) => return Err(missing(Gap::Reserved)),
            // What the info says is another record's, too.
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
                // A text that was cut when it was written has a block that is shorter.
                let wanted = size.min(length.saturating_add(ID_SIZE));
                let bytes = memory
                    .bytes(Part::Text, start, wanted)
                    .map_err(|error| missing(Gap::Missing(Part::Text, error)))?;
                let mut cursor = Cursor::new(bytes, self.endian);
                let found = cursor.u64("id of the text").unwrap_or_default();
                if found != id {
                    return Err(missing(Gap::Foreign { id: found }));
                }
                let text = cursor.take(wanted.saturating_sub(ID_SIZE), "text");
                record.text = text.unwrap_or_default().to_vec();
            }
        }
        Ok(record)
    }
}

impl Ring {
    /// How many descriptors there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        1_u64.checked_shl(self.count_bits).unwrap_or_default()
    }

    /// How long the text ring is.
    #[must_use]
    pub fn text_size(&self) -> u64 {
        1_u64.checked_shl(self.size_bits).unwrap_or_default()
    }

    /// How many descriptors are in use.
    fn in_use(&self) -> u64 {
        (self.head_id.wrapping_sub(self.tail_id) & ID_MASK).saturating_add(1)
    }
}

/// Where the block from `begin` to `next` is.
///
/// Positions wrap at 2^64, and do so soon after boot. Since 6.18 a block may end
/// where the ring does, with `next` in the ring's next round: so the last byte decides,
/// not the one behind. Tests: `positions_wrap_at_2_to_the_64`, `a_block_may_end_where_the_ring_does`.
fn block(ring: &Ring, begin: u64, next: u64) -> Block {
    if begin & 1 == 1 && next & 1 == 1 {
        return match (begin, next) {
            (EMPTY_LPOS, EMPTY_LPOS) => Block::Empty,
            (FAILED_LPOS, FAILED_LPOS) => Block::Lost,
            _ => Block::Impossible,
        };
    }
    let size = ring.text_size();
    let (index, round) = (size.wrapping_sub(1), |at: u64| at.checked_shr(ring.size_bits));
    let last = next.wrapping_sub(1);
    let (start, length) = if round(begin) == round(last) {
        (begin & index, next.wrapping_sub(begin))
    } else if round(begin.wrapping_add(size)) == round(last) {
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
