//! The kernel's log in its memory.
//!
//! [`ring`] is the lockless ring, [`record_buffer`] its predecessor (replaced by Linux
//! commit 896fbe20b4e2 "printk: use the lockless ringbuffer", in v5.10). The layouts of
//! both come from `OFFSET` and `SIZE` in VMCOREINFO. Memory is read by [`LogPart`]; where
//! it is missing, the other records are read nevertheless.
//!
//! ```
//! use vmcore_formats::printk::{Caller, LEVELS};
//!
//! assert_eq!(Caller::of(1234), Caller::Thread(1234));
//! assert_eq!(Caller::of(0x8000_0003), Caller::Cpu(3));
//! assert_eq!(LEVELS[3], "err");
//! ```

pub mod record_buffer;
pub mod ring;
#[cfg(test)]
mod synthetic;

use thiserror::Error;

use crate::cursor::{Cursor, ParseError};
use crate::endian::Endian;
use crate::vmcoreinfo::VmcoreInfo;

/// The longest element of a table that a layout may have, in bytes. Linux's have 16 to 112.
const MAX_ELEMENT: u64 = 4096;

/// VMCOREINFO lacks a value of the log's layout, or has an impossible one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("VMCOREINFO has no usable {key}, which is needed to read the kernel's log")]
pub struct LayoutError {
    /// The key.
    pub key: String,
}

/// The context that printed a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The thread with this id.
    Thread(u32),
    /// This processor, outside of any thread.
    Cpu(u32),
}

impl Caller {
    /// Decodes `printk_info.caller_id`: the highest bit is set for a processor.
    pub fn of(id: u32) -> Self {
        const CPU: u32 = 1 << 31;
        if id & CPU == 0 { Self::Thread(id) } else { Self::Cpu(id & !CPU) }
    }
}

/// A record of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its sequence number, from 0 at boot. `None` in a record buffer, which has none.
    pub seq: Option<u64>,
    /// Its time in nanoseconds since boot.
    pub time_ns: u64,
    /// 0 for the kernel, others for text written to `/dev/kmsg`.
    pub facility: u8,
    /// 0 (emergency) to 7 (debug).
    pub level: u8,
    /// `LOG_NEWLINE` (2), `LOG_CONT` (8) and others.
    pub flags: u8,
    /// The context that printed it, where the kernel records that.
    pub caller: Option<Caller>,
    /// The text, without a newline at its end. Not always text.
    pub text: Vec<u8>,
    /// Further properties, for example `SUBSYSTEM` and `DEVICE`.
    pub dictionary: Vec<(String, String)>,
}

/// A part of the log in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogPart {
    /// `prb_desc[]`.
    Descriptors,
    /// `printk_info[]`.
    Infos,
    /// The text ring, or the record buffer.
    Text,
}

/// The memory of a log.
pub trait LogMemory {
    /// Why bytes are missing.
    type Error;

    /// Bytes of a part.
    ///
    /// # Errors
    /// Fails if one of them is missing.
    fn bytes(&self, part: LogPart, offset: u64, length: u64) -> Result<&[u8], Self::Error>;
}

/// The names of levels, as in `dmesg --level`.
pub const LEVELS: [&str; 8] = ["emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"];

/// Sizes and offsets in VMCOREINFO.
struct Keys<'a>(&'a VmcoreInfo);

impl Keys<'_> {
    fn offset(&self, name: &str) -> Result<u64, LayoutError> {
        bounded(self.0.offset(name), || format!("OFFSET({name})"))
    }

    fn size(&self, name: &str) -> Result<u64, LayoutError> {
        let size = self.0.size(name).filter(|size| *size > 0);
        bounded(size, || format!("SIZE({name})"))
    }
}

fn bounded(value: Option<u64>, key: impl Fn() -> String) -> Result<u64, LayoutError> {
    value.filter(|value| *value <= MAX_ELEMENT).ok_or_else(|| LayoutError { key: key() })
}

/// A cursor at `offset` in an element.
fn at(bytes: &[u8], offset: u64, endian: Endian) -> Result<Cursor<'_>, ParseError> {
    let mut cursor = Cursor::new(bytes, endian);
    cursor.take(offset, "field of the log")?;
    Ok(cursor)
}

/// `u8 facility; u8 flags:5; u8 level:3;`: big-endian compilers begin bit fields at the
/// highest bit.
fn facility_level_flags(
    cursor: &mut Cursor<'_>,
    endian: Endian,
) -> Result<(u8, u8, u8), ParseError> {
    let [facility, packed] = cursor.array("facility, level and flags")?;
    Ok(match endian {
        Endian::Little => (facility, packed >> 5, packed & 0x1f),
        Endian::Big => (facility, packed & 7, packed >> 3),
    })
}
