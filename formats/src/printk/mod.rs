//! The kernel's log as it is in memory.
//!
//! [`ring`] is the lockless ring of Linux 5.10 and newer, [`record_buffer`] what was
//! there before. Both take their layouts from VMCOREINFO's `OFFSET` and `SIZE`.
//! Whoever reads the memory does so by [`Part`], and may find some of it missing:
//! what can be read is.

pub mod record_buffer;
pub mod ring;
#[cfg(test)]
mod synthetic;

use thiserror::Error;

use crate::cursor::{Cursor, Endian, ParseError};
use crate::vmcoreinfo::VmcoreInfo;

/// The longest element of a table, in bytes, that a layout may have. Linux's have 16 to 112.
const MAX_ELEMENT: u64 = 4096;

/// VMCOREINFO lacks a value of the log's layout, or has one that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("VMCOREINFO says nothing usable of {key}, which is needed to read the kernel's log")]
pub struct LayoutError {
    /// The key.
    pub key: String,
}

/// Who printed a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The thread with this id.
    Thread(u32),
    /// This processor, in no thread's context.
    Cpu(u32),
}

impl Caller {
    /// `printk_info.caller_id`: the highest bit says that it is a processor.
    #[must_use]
    pub fn of(id: u32) -> Self {
        const CPU: u32 = 1 << 31;
        if id & CPU == 0 { Self::Thread(id) } else { Self::Cpu(id & !CPU) }
    }
}

/// A record of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number, from 0 at boot. `None` in a buffer that does not tell.
    pub seq: Option<u64>,
    /// When, in nanoseconds of the kernel's log clock: since boot.
    pub time_ns: u64,
    /// 0 for the kernel, others for what was written to `/dev/kmsg`.
    pub facility: u8,
    /// 0 (emergency) to 7 (debug).
    pub level: u8,
    /// `LOG_NEWLINE` (2), `LOG_CONT` (8) and others.
    pub flags: u8,
    /// Who printed it, where the kernel keeps it.
    pub caller: Option<Caller>,
    /// The text, without a newline at its end. Not always text.
    pub text: Vec<u8>,
    /// What else it says, for example `SUBSYSTEM` and `DEVICE`.
    pub dictionary: Vec<(String, String)>,
}

/// What a part of the log in memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `prb_desc[]`.
    Descriptors,
    /// `printk_info[]`.
    Infos,
    /// The text ring, or the record buffer.
    Text,
}

/// Memory that a log is in.
pub trait LogMemory {
    /// Why something is missing.
    type Error;

    /// Bytes of a part.
    ///
    /// # Errors
    /// Fails if one of them is missing.
    fn bytes(&self, part: Part, offset: u64, length: u64) -> Result<&[u8], Self::Error>;
}

/// The names of levels, as `dmesg --level` has them.
pub const LEVELS: [&str; 8] = ["emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"];

/// Sizes and offsets out of VMCOREINFO.
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

/// `u8 facility; u8 flags:5; u8 level:3;`: bit fields begin where the byte order does.
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
