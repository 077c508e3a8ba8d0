//! The kernel's log out of its memory.
//!
//! Needs: the kernel's addresses and its VMCOREINFO. Gives: the records that can be read,
//! in their order, and what is missing between them. Does not format them
//! ([`crate::render::dmesg`]) and does not look for panics.
//!
//! Only what records in use take is read: one range of each table, two where it wraps.

use std::ops::Range;
use std::thread;

use thiserror::Error;
use vmcore_formats::addr::VirtAddr;
use vmcore_formats::printk::record_buffer::{self, RecordBuffer, RecordError, RecordLayout};
use vmcore_formats::printk::ring::{Gap, MissingRecord, RingError, RingLayout};
use vmcore_formats::printk::{LayoutError, LogMemory, LogPart, Record};
use vmcore_formats::vmcoreinfo::VmcoreInfo;

use super::page_tables::{AddressSpace, ReadError};
use crate::vmcore::pages::read_what_is_there;

/// How many unreadable records are findings of their own; the rest is counted.
const MAX_FINDINGS: usize = 100;

/// Why a log cannot be read at all.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum LogError {
    /// VMCOREINFO names no log.
    #[error(
        "VMCOREINFO names neither prb nor log_buf: the kernel keeps no log, or does not tell where"
    )]
    NoLog,
    /// VMCOREINFO says too little of it.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// What describes the log is missing.
    #[error("the kernel's log cannot be found: {what} is missing: {source}")]
    Missing {
        /// What was to be read.
        what: &'static str,
        /// Why it cannot be.
        source: ReadError,
    },
    /// What describes the log cannot be.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// A buffer that no kernel has.
    #[error(
        "a log of {length} bytes with records from {first} to {next}: no kernel has such a one"
    )]
    Buffer {
        /// Its length.
        length: u32,
        /// Index of the first record.
        first: u32,
        /// Index behind the last record.
        next: u32,
    },
}

/// The kernel's log.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// The records, oldest first.
    pub records: Vec<Record>,
    /// What is missing or damaged, as sentences.
    pub findings: Vec<String>,
}

impl Log {
    /// Reads the log.
    ///
    /// # Errors
    /// Fails if it cannot be found, or nothing can be made of what describes it. Records
    /// that cannot be read are [`Self::findings`].
    pub fn read(space: &AddressSpace, info: &VmcoreInfo) -> Result<Self, LogError> {
        if let Some(prb) = info.symbol("prb") {
            ring(space, info, prb)
        } else if let Some(log_buf) = info.symbol("log_buf") {
            buffer(space, info, log_buf)
        } else {
            Err(LogError::NoLog)
        }
    }

    fn find(&mut self, finding: String) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        }
    }
}

fn ring(space: &AddressSpace, info: &VmcoreInfo, prb: VirtAddr) -> Result<Log, LogError> {
    let missing = |what| move |source| LogError::Missing { what, source };
    let layout = RingLayout::of(info, space.endian())?;
    let at = space.read_u64(prb).map_err(missing("prb"))?;
    let length = usize::try_from(layout.ring_size).unwrap_or_default();
    let header = space
        .read_vec(VirtAddr(at), length)
        .map_err(missing("the printk_ringbuffer that prb points to"))?;
    let ring = layout.ring(&header)?;
    let table = |part, at: VirtAddr| Table::read(space, at, &layout.ranges(&ring, part));
    // They are in different chunks of a compressed core, as a rule.
    let memory = thread::scope(|scope| {
        let descriptors = scope.spawn(|| table(LogPart::Descriptors, ring.descs));
        let (infos, text) = (table(LogPart::Infos, ring.infos), table(LogPart::Text, ring.data));
        let descriptors = descriptors.join().unwrap_or_default();
        Tables { descriptors, infos, text }
    });
    let mut log = Log::default();
    let mut missing_count = 0_usize;
    layout.records(&ring, &memory, |record| match record {
        Ok(record) => log.records.push(record),
        Err(missing) => {
            missing_count = missing_count.saturating_add(1);
            let finding = sentence(&missing);
            log.find(finding);
        }
    });
    if let Some(more) = missing_count.checked_sub(MAX_FINDINGS).filter(|more| *more > 0) {
        log.findings.push(format!("{more} more log records are unreadable"));
    }
    Ok(log)
}

fn buffer(space: &AddressSpace, info: &VmcoreInfo, log_buf: VirtAddr) -> Result<Log, LogError> {
    let missing = |what| move |source| LogError::Missing { what, source };
    let layout = RecordLayout::of(info, space.endian())?;
    let int = |name, what| -> Result<u32, LogError> {
        let symbol = info.symbol(name);
        let at = symbol.ok_or_else(|| LayoutError { key: format!("SYMBOL({name})") })?;
        space.read_u32(at).map_err(missing(what))
    };
    let at = VirtAddr(space.read_u64(log_buf).map_err(missing("log_buf"))?);
    let (length, first, next) = (
        int("log_buf_len", "log_buf_len")?,
        int("log_first_idx", "log_first_idx")?,
        int("log_next_idx", "log_next_idx")?,
    );
    let whole = RecordBuffer { length: length.into(), first: first.into(), next: next.into() };
    let inside = first < length && next <= length;
    if whole.length > record_buffer::MAX_LENGTH || !inside {
        return Err(LogError::Buffer { length, first, next });
    }
    let text = Table::read(space, at, &whole.ranges());
    let memory = Tables { text, ..Tables::default() };
    let mut log = Log::default();
    let ended = layout.records(&whole, &memory, |record| log.records.push(record));
    if let Err(error) = ended {
        let why = match &error {
            RecordError::Missing { error, .. } => format!(": {error}"),
            _ => String::new(),
        };
        log.find(format!("{error}{why}; where the records after it begin is not known"));
    }
    Ok(log)
}

fn sentence(missing: &MissingRecord<PartError>) -> String {
    let MissingRecord { id, seq, gap } = missing;
    let record = match seq {
        Some(seq) => format!("record {seq} of the log"),
        None => format!("the log's record with id {id:#x}"),
    };
    match gap {
        Gap::Missing(part, error) => {
            let part = match part {
                LogPart::Descriptors => "descriptor",
                LogPart::Infos => "time and level",
                LogPart::Text => "text",
            };
            format!("{record} cannot be read: its {part}: {error}")
        }
        Gap::Reserved => format!("{record} was being written when the guest stopped"),
        Gap::Lost => format!("{record} has no text: the log had no room for it"),
        Gap::Stale { state_var } => {
            format!("{record} is damaged: its descriptor says {state_var:#x}")
        }
        Gap::Block { begin, next } => {
            format!("{record} is damaged: its text would be from {begin:#x} to {next:#x}")
        }
        Gap::Foreign { id } => {
            format!("{record} is damaged: where its text should be is that of id {id:#x}")
        }
        Gap::Overlapping => {
            format!("{record} is damaged: the texts of all together are longer than the log")
        }
        Gap::Sequence { seq } => format!("{record} is missing: the next one is number {seq}"),
        other => format!("{record} is damaged: {other:?}"),
    }
}

/// Why bytes of a table are not there.
#[derive(Clone, Debug, Error)]
enum PartError {
    /// No record in use may be there.
    #[error("it would be outside of what is in use")]
    Outside,
    #[error("{0}")]
    Missing(ReadError),
}

/// The parts of a log that were read.
#[derive(Debug, Default)]
struct Tables {
    descriptors: Table,
    infos: Table,
    text: Table,
}

impl LogMemory for Tables {
    type Error = PartError;

    fn bytes(&self, part: LogPart, offset: u64, length: u64) -> Result<&[u8], PartError> {
        match part {
            LogPart::Descriptors => self.descriptors.bytes(offset, length),
            LogPart::Infos => self.infos.bytes(offset, length),
            LogPart::Text => self.text.bytes(offset, length),
        }
    }
}

/// Ranges of a table in memory, as far as they can be read.
#[derive(Debug, Default)]
struct Table {
    spans: Vec<Span>,
}

#[derive(Debug)]
struct Span {
    /// Where it begins in the table.
    offset: u64,
    bytes: Vec<u8>,
    /// Where in the span something is missing, and why.
    holes: Vec<(Range<usize>, ReadError)>,
}

impl Table {
    /// Reads ranges of a table. Callers bound their lengths.
    fn read(space: &AddressSpace, at: VirtAddr, ranges: &[(u64, u64)]) -> Self {
        let spans = ranges.iter().map(|(offset, length)| {
            let start = at.wrapping_add(*offset);
            let mut bytes = vec![0; usize::try_from(*length).unwrap_or_default()];
            let mut holes = Vec::new();
            let read = |at, buffer: &mut [u8]| space.read(VirtAddr(at), buffer);
            read_what_is_there(start.0, &mut bytes, read, |hole, error| holes.push((hole, error)));
            Span { offset: *offset, bytes, holes }
        });
        Self { spans: spans.collect() }
    }

    fn bytes(&self, offset: u64, length: u64) -> Result<&[u8], PartError> {
        let span = |span: &&Span| {
            let skip = offset.checked_sub(span.offset)?;
            skip.checked_add(length).filter(|end| *end <= span.bytes.len() as u64)?;
            Some(skip)
        };
        let (span, skip) = self
            .spans
            .iter()
            .find_map(|found| Some((found, span(&found)?)))
            .ok_or(PartError::Outside)?;
        let end = usize::try_from(skip.saturating_add(length)).map_err(|_| PartError::Outside)?;
        let skip = usize::try_from(skip).map_err(|_| PartError::Outside)?;
        if let Some((_, error)) =
            span.holes.iter().find(|(hole, _)| hole.start < end && skip < hole.end)
        {
            return Err(PartError::Missing(error.clone()));
        }
        span.bytes.get(skip..end).ok_or(PartError::Outside)
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
