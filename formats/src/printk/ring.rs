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

use thiserror::Error;

use super::{Caller, Keys, LayoutError, LogMemory, Part, Record, at, facility_level_flags};
use crate::addr::VirtAddr;
use crate::cursor::{Cursor, Endian, ParseError};
use crate::vmcoreinfo::VmcoreInfo;

/// The most descriptors that a ring may have, as a power of two.
pub const MAX_COUNT_BITS: u32 = 21;
/// The longest text ring, as a power of two: twice what Kconfig can ask for.
pub const MAX_SIZE_BITS: u32 = 26;

const ID_MASK: u64 = u64::MAX >> 2;
const ID_SIZE: u64 = 8;
/// Both positions of a record whose text was lost.
const FAILED_LPOS: u64 = 1;
/// Both positions of an empty line.
const EMPTY_LPOS: u64 = 3;

/// Where each field is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingLayout {
    /// `SIZE(printk_ringbuffer)`.
    pub ring_size: u64,
    count_bits: u64,
    descs: u64,
    infos: u64,
    head_id: u64,
    tail_id: u64,
    size_bits: u64,
    data: u64,
    head_lpos: u64,
    tail_lpos: u64,
    desc_size: u64,
    state_var: u64,
    begin: u64,
    next: u64,
    info_size: u64,
    seq: u64,
    ts_nsec: u64,
    text_len: u64,
    caller_id: u64,
    /// Offset and length of the device's subsystem and name, where the kernel tells.
    device: Option<[(u64, u64); 2]>,
    endian: Endian,
}

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

struct Descriptor {
    state_var: u64,
    begin: u64,
    next: u64,
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
    /// The layout that a kernel's VMCOREINFO describes.
    ///
    /// # Errors
    /// Fails if a key is missing, or its value cannot be.
    pub fn of(info: &VmcoreInfo, endian: Endian) -> Result<Self, LayoutError> {
        let keys = Keys(info);
        let desc_ring = keys.offset("printk_ringbuffer.desc_ring")?;
        let text_ring = keys.offset("printk_ringbuffer.text_data_ring")?;
        let counter = keys.offset("atomic_long_t.counter")?;
        let block = keys.offset("prb_desc.text_blk_lpos")?;
        let within = |outer: u64, inner| Ok(outer.saturating_add(keys.offset(inner)?));
        let atomic = |outer, inner| within(outer, inner).map(|at: u64| at.saturating_add(counter));
        Ok(Self {
            ring_size: keys.size("printk_ringbuffer")?,
            count_bits: within(desc_ring, "prb_desc_ring.count_bits")?,
            descs: within(desc_ring, "prb_desc_ring.descs")?,
            infos: within(desc_ring, "prb_desc_ring.infos")?,
            head_id: atomic(desc_ring, "prb_desc_ring.head_id")?,
            tail_id: atomic(desc_ring, "prb_desc_ring.tail_id")?,
            size_bits: within(text_ring, "prb_data_ring.size_bits")?,
            data: within(text_ring, "prb_data_ring.data")?,
            head_lpos: atomic(text_ring, "prb_data_ring.head_lpos")?,
            tail_lpos: atomic(text_ring, "prb_data_ring.tail_lpos")?,
            desc_size: keys.size("prb_desc")?,
            state_var: atomic(0, "prb_desc.state_var")?,
            begin: within(block, "prb_data_blk_lpos.begin")?,
            next: within(block, "prb_data_blk_lpos.next")?,
            info_size: keys.size("printk_info")?,
            seq: keys.offset("printk_info.seq")?,
            ts_nsec: keys.offset("printk_info.ts_nsec")?,
            text_len: keys.offset("printk_info.text_len")?,
            caller_id: keys.offset("printk_info.caller_id")?,
            device: device(info, &keys),
            endian,
        })
    }

    /// Decodes `struct printk_ringbuffer`.
    ///
    /// # Errors
    /// Fails if it is too short or describes a log that no kernel has.
    pub fn ring(&self, bytes: &[u8]) -> Result<Ring, RingError> {
        let long = |offset, what| at(bytes, offset, self.endian)?.u64(what);
        let int = |offset, what| at(bytes, offset, self.endian)?.u32(what);
        let ring = Ring {
            count_bits: int(self.count_bits, "prb_desc_ring.count_bits")?,
            descs: VirtAddr(long(self.descs, "prb_desc_ring.descs")?),
            infos: VirtAddr(long(self.infos, "prb_desc_ring.infos")?),
            head_id: long(self.head_id, "prb_desc_ring.head_id")? & ID_MASK,
            tail_id: long(self.tail_id, "prb_desc_ring.tail_id")? & ID_MASK,
            size_bits: int(self.size_bits, "prb_data_ring.size_bits")?,
            data: VirtAddr(long(self.data, "prb_data_ring.data")?),
            head_lpos: long(self.head_lpos, "prb_data_ring.head_lpos")?,
            tail_lpos: long(self.tail_lpos, "prb_data_ring.tail_lpos")?,
        };
        let Ring { count_bits, size_bits, tail_id, head_id, .. } = ring;
        if count_bits > MAX_COUNT_BITS || size_bits > MAX_SIZE_BITS {
            return Err(RingError::Size { count_bits, size_bits });
        }
        if ring.in_use() > ring.count() {
            return Err(RingError::InUse { tail_id, head_id, count: ring.count() });
        }
        Ok(ring)
    }

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
            take(Ok(record));
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

    fn descriptor(&self, bytes: &[u8]) -> Result<Descriptor, ParseError> {
        let long = |offset, what| at(bytes, offset, self.endian)?.u64(what);
        Ok(Descriptor {
            state_var: long(self.state_var, "prb_desc.state_var")?,
            begin: long(self.begin, "prb_data_blk_lpos.begin")?,
            next: long(self.next, "prb_data_blk_lpos.next")?,
        })
    }

    fn sequence(&self, bytes: &[u8]) -> Result<u64, ParseError> {
        at(bytes, self.seq, self.endian)?.u64("printk_info.seq")
    }

    /// A record without its text, and the text's length.
    fn info(&self, bytes: &[u8]) -> Result<(Record, u64), ParseError> {
        let field = |offset| at(bytes, offset, self.endian);
        let mut text_len = field(self.text_len)?;
        let length = text_len.u16("printk_info.text_len")?;
        // VMCOREINFO does not name these; they follow the length since 5.10.
        let (facility, level, flags) = facility_level_flags(&mut text_len, self.endian)?;
        let dictionary = self.device.map(|[subsystem, device]| {
            [("SUBSYSTEM", subsystem), ("DEVICE", device)]
                .into_iter()
                .filter_map(|(key, place)| Some((key.to_owned(), text(bytes, place)?)))
                .collect()
        });
        let record = Record {
            seq: Some(self.sequence(bytes)?),
            time_ns: field(self.ts_nsec)?.u64("printk_info.ts_nsec")?,
            facility,
            level,
            flags,
            caller: Some(Caller::of(field(self.caller_id)?.u32("printk_info.caller_id")?)),
            text: Vec::new(),
            dictionary: dictionary.unwrap_or_default(),
        };
        Ok((record, u64::from(length)))
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

/// Where the names of the device are in an info, if VMCOREINFO says it all.
fn device(info: &VmcoreInfo, keys: &Keys<'_>) -> Option<[(u64, u64); 2]> {
    let base = keys.offset("printk_info.dev_info").ok()?;
    let place = |field: &str, length: &str| {
        let offset = keys.offset(&format!("dev_printk_info.{field}")).ok()?;
        Some((base.saturating_add(offset), info.length(length)?))
    };
    Some([place("subsystem", "printk_info_subsystem")?, place("device", "printk_info_device")?])
}

/// Text up to a NUL, unless there is none.
fn text(bytes: &[u8], (offset, length): (u64, u64)) -> Option<String> {
    let mut cursor = Cursor::new(bytes, Endian::Little);
    cursor.take(offset, "device").ok()?;
    let field = cursor.take(length, "device").ok()?;
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    let text = String::from_utf8_lossy(field.get(..end)?).into_owned();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
#[path = "ring_tests.rs"]
mod tests;
