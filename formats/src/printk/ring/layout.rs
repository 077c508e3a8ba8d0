//! The offsets of the fields of printk's ring, and how the fields are decoded.

use super::{ID_MASK, MAX_COUNT_BITS, MAX_INFOS, MAX_SIZE_BITS, Ring, RingError};
use crate::addr::VirtAddr;
use crate::cursor::{Cursor, ParseError};
use crate::endian::Endian;
use crate::printk::{Caller, Keys, LayoutError, Record, at, facility_level_flags};
use crate::vmcoreinfo::VmcoreInfo;

/// The offset of each field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingLayout {
    /// `SIZE(printk_ringbuffer)`.
    pub ring_size: u64,
    pub(super) count_bits: u64,
    pub(super) descs: u64,
    pub(super) infos: u64,
    pub(super) head_id: u64,
    pub(super) tail_id: u64,
    pub(super) size_bits: u64,
    pub(super) data: u64,
    pub(super) head_lpos: u64,
    pub(super) tail_lpos: u64,
    pub(super) desc_size: u64,
    pub(super) state_var: u64,
    pub(super) begin: u64,
    pub(super) next: u64,
    pub(super) info_size: u64,
    pub(super) seq: u64,
    pub(super) ts_nsec: u64,
    pub(super) text_len: u64,
    pub(super) caller_id: u64,
    /// Offset and length of the device's subsystem and name, if VMCOREINFO has them.
    pub(super) device: Option<[(u64, u64); 2]>,
    pub(super) endian: Endian,
}

/// A descriptor, as it is stored.
pub(super) struct Descriptor {
    pub(super) state_var: u64,
    pub(super) begin: u64,
    pub(super) next: u64,
}

impl RingLayout {
    /// The layout that a kernel's VMCOREINFO describes.
    ///
    /// # Errors
    /// Fails if a key is missing, or its value is impossible.
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
        let (count, bytes) =
            (ring.in_use(), ring.in_use().saturating_mul(self.info_size.max(self.desc_size)));
        if bytes > MAX_INFOS {
            return Err(RingError::Long { count, bytes });
        }
        Ok(ring)
    }

    pub(super) fn descriptor(&self, bytes: &[u8]) -> Result<Descriptor, ParseError> {
        let long = |offset, what| at(bytes, offset, self.endian)?.u64(what);
        Ok(Descriptor {
            state_var: long(self.state_var, "prb_desc.state_var")?,
            begin: long(self.begin, "prb_data_blk_lpos.begin")?,
            next: long(self.next, "prb_data_blk_lpos.next")?,
        })
    }

    pub(super) fn sequence(&self, bytes: &[u8]) -> Result<u64, ParseError> {
        at(bytes, self.seq, self.endian)?.u64("printk_info.seq")
    }

    /// A record without its text, and the text's length.
    pub(super) fn info(&self, bytes: &[u8]) -> Result<(Record, u64), ParseError> {
        let field = |offset| at(bytes, offset, self.endian);
        let mut text_len = field(self.text_len)?;
        let length = text_len.u16("printk_info.text_len")?;
        // VMCOREINFO has no offsets of these; they have always followed `text_len`.
        let (facility, level, flags) = facility_level_flags(&mut text_len, self.endian)?;
        let dictionary = self.device.map(|[subsystem, device]| {
            [("SUBSYSTEM", subsystem), ("DEVICE", device)]
                .into_iter()
                .filter_map(|(key, range)| Some((key.to_owned(), text(bytes, range)?)))
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

/// Offset and length of the names of the device in an info, if VMCOREINFO has all of them.
fn device(info: &VmcoreInfo, keys: &Keys<'_>) -> Option<[(u64, u64); 2]> {
    let base = keys.offset("printk_info.dev_info").ok()?;
    let range = |field: &str, length: &str| {
        let offset = keys.offset(&format!("dev_printk_info.{field}")).ok()?;
        Some((base.saturating_add(offset), info.length(length)?))
    };
    Some([range("subsystem", "printk_info_subsystem")?, range("device", "printk_info_device")?])
}

/// Text up to a NUL. `None` if it is empty.
fn text(bytes: &[u8], (offset, length): (u64, u64)) -> Option<String> {
    let mut cursor = Cursor::new(bytes, Endian::Little);
    cursor.take(offset, "device").ok()?;
    let field = cursor.take(length, "device").ok()?;
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    let text = String::from_utf8_lossy(field.get(..end)?).into_owned();
    (!text.is_empty()).then_some(text)
}
