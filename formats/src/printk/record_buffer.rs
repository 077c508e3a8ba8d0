//! The record buffer of printk, before the lockless ring.
//!
//! ```text
//! struct printk_log, at log_buf + index
//!   ts_nsec    u64
//!   len        u16   of the whole record; 0: continue at the start of the buffer
//!   text_len   u16
//!   dict_len   u16
//!   facility   u8
//!   flags:5 level:3
//!   caller_id  u32   with CONFIG_PRINTK_CALLER, if the header has 20 bytes
//! text, dictionary ("KEY=value", separated by NUL), padding to 4 bytes
//! ```
//!
//! Records are at indices from `log_first_idx` to before `log_next_idx`.
//! Source: Linux 5.4 `kernel/printk/printk.c`.
//!
//! ```
//! use vmcore_formats::endian::Endian;
//! use vmcore_formats::printk::record_buffer::{RecordBuffer, RecordLayout};
//! use vmcore_formats::printk::{LogMemory, LogPart};
//! use vmcore_formats::vmcoreinfo::VmcoreInfo;
//!
//! struct Buffer(Vec<u8>);
//! impl LogMemory for Buffer {
//!     type Error = ();
//!     fn bytes(&self, _: LogPart, offset: u64, length: u64) -> Result<&[u8], ()> {
//!         self.0.get(offset as usize..(offset + length) as usize).ok_or(())
//!     }
//! }
//!
//! let info = VmcoreInfo::parse(
//!     b"SIZE(printk_log)=16\nOFFSET(printk_log.ts_nsec)=0\nOFFSET(printk_log.len)=8\n\
//!       OFFSET(printk_log.text_len)=10\nOFFSET(printk_log.dict_len)=12\n",
//! );
//! let layout = RecordLayout::of(&info, Endian::Little)?;
//! // 1 s; 24 bytes, 5 of text; facility 0; level 6 above flags 2.
//! let mut bytes = [0x00, 0xca, 0x9a, 0x3b, 0, 0, 0, 0, 24, 0, 5, 0, 0, 0, 0, 0xc2].to_vec();
//! bytes.extend(b"hello\0\0\0");
//! let buffer = RecordBuffer { length: 4096, first: 0, next: 24 };
//! let mut texts = Vec::new();
//! layout.records(&buffer, &Buffer(bytes), |record| texts.push((record.level, record.text))).unwrap();
//! assert_eq!(texts, [(6, b"hello".to_vec())]);
//! # Ok::<_, vmcore_formats::printk::LayoutError>(())
//! ```

use thiserror::Error;

use super::{Caller, Keys, LayoutError, LogMemory, LogPart, Record, at, facility_level_flags};
use crate::cursor::{Cursor, ParseError};
use crate::endian::Endian;
use crate::vmcoreinfo::VmcoreInfo;

/// The longest buffer that is read, in bytes: twice the limit of Kconfig.
pub const MAX_LENGTH: u64 = 64 << 20;
/// Length of a header with a caller.
const WITH_CALLER: u64 = 20;
/// Offset of the caller in such a header.
const CALLER: u64 = 16;

/// The offset of each field of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordLayout {
    header_size: u64,
    ts_nsec: u64,
    len: u64,
    text_len: u64,
    dict_len: u64,
    endian: Endian,
}

/// The extent of the log in its buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordBuffer {
    /// Length of the buffer, in bytes.
    pub length: u64,
    /// Index of the oldest record.
    pub first: u64,
    /// Index after the newest record.
    pub next: u64,
}

/// Why the rest of a log cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecordError<E> {
    /// Memory is missing.
    #[error("the log at byte {index} of its buffer is missing")]
    Missing {
        /// Its index in the buffer.
        index: u64,
        /// Why.
        error: E,
    },
    /// A damaged record.
    #[error("the log's record at byte {index} of its buffer is damaged: {problem}")]
    Damaged {
        /// Its index in the buffer.
        index: u64,
        /// What is wrong with it.
        problem: &'static str,
    },
}

struct Header {
    record: Record,
    len: u64,
    text_len: u64,
    dict_len: u64,
}

impl RecordLayout {
    /// The layout that a kernel's VMCOREINFO describes.
    ///
    /// # Errors
    /// Fails if a key is missing, or its value is impossible.
    pub fn of(info: &VmcoreInfo, endian: Endian) -> Result<Self, LayoutError> {
        let keys = Keys(info);
        Ok(Self {
            header_size: keys.size("printk_log")?,
            ts_nsec: keys.offset("printk_log.ts_nsec")?,
            len: keys.offset("printk_log.len")?,
            text_len: keys.offset("printk_log.text_len")?,
            dict_len: keys.offset("printk_log.dict_len")?,
            endian,
        })
    }

    /// Reads the records, oldest first, and gives each to `take`.
    ///
    /// # Errors
    /// Fails at the first record that is missing or damaged, because the start of the next
    /// one is then unknown.
    pub fn records<M: LogMemory>(
        &self,
        buffer: &RecordBuffer,
        memory: &M,
        mut take: impl FnMut(Record),
    ) -> Result<(), RecordError<M::Error>> {
        let mut index = buffer.first;
        let mut wrapped = false;
        // Each step advances by a header at least, except for the one that wraps.
        while index != buffer.next {
            let damaged = |problem| RecordError::Damaged { index, problem };
            let missing = |error| RecordError::Missing { index, error };
            let header = memory.bytes(LogPart::Text, index, self.header_size).map_err(missing)?;
            let header = self.header(header).map_err(|_| damaged("its header is too short"))?;
            if header.len == 0 {
                if wrapped || index < buffer.next {
                    return Err(damaged("its length is 0"));
                }
                wrapped = true;
                index = 0;
                continue;
            }
            let end = index.saturating_add(header.len);
            let parts =
                self.header_size.saturating_add(header.text_len).saturating_add(header.dict_len);
            if parts > header.len || end > buffer.length {
                return Err(damaged("it is longer than its length field or the buffer allows"));
            }
            if index < buffer.next && end > buffer.next {
                return Err(damaged("it reaches beyond the newest record"));
            }
            let bytes = memory.bytes(LogPart::Text, index, parts).map_err(missing)?;
            let mut cursor = Cursor::new(bytes, self.endian);
            let parts = cursor.take(self.header_size, "header").and_then(|_| {
                Ok((
                    cursor.take(header.text_len, "text")?,
                    cursor.take(header.dict_len, "dictionary")?,
                ))
            });
            let (text, dictionary) = parts.map_err(|_| damaged("it is too short"))?;
            take(Record { text: text.to_vec(), dictionary: pairs(dictionary), ..header.record });
            index = end;
        }
        Ok(())
    }

    fn header(&self, bytes: &[u8]) -> Result<Header, ParseError> {
        let field = |offset| at(bytes, offset, self.endian);
        let mut dict_len = field(self.dict_len)?;
        let dict = dict_len.u16("printk_log.dict_len")?;
        // VMCOREINFO has no offsets of these; they follow `dict_len` in all versions.
        let (facility, level, flags) = facility_level_flags(&mut dict_len, self.endian)?;
        let caller = if self.header_size >= WITH_CALLER {
            Some(Caller::of(field(CALLER)?.u32("printk_log.caller_id")?))
        } else {
            None
        };
        let record = Record {
            seq: None,
            time_ns: field(self.ts_nsec)?.u64("printk_log.ts_nsec")?,
            facility,
            level,
            flags,
            caller,
            text: Vec::new(),
            dictionary: Vec::new(),
        };
        Ok(Header {
            record,
            len: field(self.len)?.u16("printk_log.len")?.into(),
            text_len: field(self.text_len)?.u16("printk_log.text_len")?.into(),
            dict_len: dict.into(),
        })
    }
}

impl RecordBuffer {
    /// The ranges of the buffer that contain records, as offset and length.
    pub fn ranges(&self) -> Vec<(u64, u64)> {
        let mut ranges = if self.first > self.next {
            // The end of the last record before the wrap is unknown.
            vec![(self.first, self.length.saturating_sub(self.first)), (0, self.next)]
        } else {
            vec![(self.first, self.next.saturating_sub(self.first))]
        };
        ranges.retain(|(_, length)| *length > 0);
        ranges
    }
}

fn pairs(dictionary: &[u8]) -> Vec<(String, String)> {
    dictionary
        .split(|byte| *byte == 0)
        .filter_map(|line| {
            let line = String::from_utf8_lossy(line);
            line.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()))
        })
        .collect()
}

#[cfg(test)]
#[path = "record_buffer_tests.rs"]
mod tests;
