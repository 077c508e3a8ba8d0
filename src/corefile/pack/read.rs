//! Bytes of a core's file, out of its triage pack and what is left of the core.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use thiserror::Error;
use vmcore_formats::endian::Endian;
use vmcore_formats::seekable::SKIPPABLE_HEADER_LENGTH;
use vmcore_formats::triage_pack::{PackError, PackHead, TAIL_MAGIC};

use crate::corefile::chunk_hash::digest_of_chunks;
use crate::corefile::read::bytes::{Bytes, DataError, read_vec};
use crate::corefile::read::frame_table::{self, FrameTable};
use crate::corefile::read::work::Work;

/// How many bytes of a pack say how long its head is.
const START: u64 = 16;

/// Why a file cannot be used as the triage pack of a core.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Its head is none.
    #[error(transparent)]
    Head(#[from] PackError),
    /// The seek table of the core in it is none.
    #[error("the core's seek table in the triage pack: {0}")]
    Table(#[from] frame_table::Error),
    /// Its parts are not of one core.
    #[error("the triage pack contradicts itself: {problem}")]
    Contradiction {
        /// What is wrong.
        problem: &'static str,
    },
}

/// The core that a pack is of.
pub trait RestOfCore: fmt::Debug + Send + Sync {
    /// The core's file; or why it cannot be had, as the end of a sentence.
    fn file(&self) -> Result<Arc<dyn Bytes>, String>;
}

/// The file of a core, of which a pack has a part.
#[derive(Debug)]
pub struct PackedCore {
    pack: Arc<dyn Bytes>,
    head: PackHead,
    /// What the pack has, by its offset in the core's file.
    parts: Vec<Part>,
    /// How much of the pack a report uses.
    of_report: u64,
    rest: Arc<dyn RestOfCore>,
    work: Work,
}

/// A stretch of the core's file.
#[derive(Clone, Copy, Debug)]
struct Part {
    offset: u64,
    length: u64,
    /// Where it is in the pack.
    in_pack: u64,
}

impl Part {
    fn end(&self) -> u64 {
        self.offset.saturating_add(self.length)
    }
}

/// No core.
#[derive(Debug)]
struct Nothing;

impl RestOfCore for Nothing {
    fn file(&self) -> Result<Arc<dyn Bytes>, String> {
        Err("it is not in the tail of the core".to_owned())
    }
}

impl PackedCore {
    /// Opens a pack, and has what it lacks come from `rest`.
    ///
    /// # Errors
    /// Fails if it cannot be read, or contradicts itself.
    pub fn open(pack: Arc<dyn Bytes>, rest: Arc<dyn RestOfCore>) -> Result<Self, OpenError> {
        let start = read_vec(&*pack, 0, START.min(pack.length()))?;
        let head = PackHead::decode(&read_vec(&*pack, 0, PackHead::length(&start)?)?)?;
        let contradiction = |problem| OpenError::Contradiction { problem };
        let tail = Part {
            offset: head.core_length.saturating_sub(u64::from(head.tail_length)),
            length: head.tail_length.into(),
            in_pack: head.tail_offset(),
        };
        let before = tail.in_pack.saturating_sub(SKIPPABLE_HEADER_LENGTH as u64);
        let header = read_vec(&*pack, before, SKIPPABLE_HEADER_LENGTH as u64)?;
        let (magic, size) = (Endian::Little.u32_at(&header, 0), Endian::Little.u32_at(&header, 4));
        if magic != Some(TAIL_MAGIC) || size != Some(head.tail_length) {
            return Err(contradiction("the core's tail is not behind the head"));
        }
        let work = Work::of_stored(head.core_length);
        let of_report = head.frames_offset();
        let rest_of_tail = Arc::new(Nothing);
        let mut packed =
            Self { pack, head, parts: vec![tail], of_report, rest: rest_of_tail, work };
        let table = FrameTable::read(&packed)?;
        if table.cut_off().is_some() || digest_of_chunks(table.frames()) != packed.head.chunks_hash
        {
            return Err(contradiction("its hash is not that of the core's seek table"));
        }
        packed.add_frames(&table, tail.offset)?;
        packed.rest = rest;
        Ok(packed)
    }

    fn add_frames(&mut self, table: &FrameTable, tail: u64) -> Result<(), OpenError> {
        let contradiction = |problem| OpenError::Contradiction { problem };
        let ends = self.head.frames.iter().skip(1).map(|next| next.offset);
        let ends = ends.chain([self.pack.length()]);
        for (number, (frame, end)) in self.head.frames.iter().zip(ends).enumerate() {
            let chunk = usize::try_from(frame.chunk).ok().and_then(|index| table.chunk(index));
            let chunk = chunk.filter(|chunk| chunk.entry.decompressed > 0);
            let chunk = chunk.ok_or_else(|| contradiction("the core has no chunk of a number"))?;
            let (length, in_pack) = (u64::from(chunk.entry.compressed), frame.offset);
            let part = Part { offset: chunk.file_offset, length, in_pack };
            if in_pack.saturating_add(length) > end || part.end() > tail {
                return Err(contradiction("a frame is longer than its place"));
            }
            if number < self.head.report_frames as usize {
                self.of_report = in_pack.saturating_add(length);
            }
            self.parts.push(part);
        }
        self.parts.sort_unstable_by_key(|part| part.offset);
        Ok(())
    }

    /// Its head.
    pub fn head(&self) -> &PackHead {
        &self.head
    }

    /// The part that has a byte of the core's file.
    fn part_at(&self, at: u64) -> Option<&Part> {
        let next = self.parts.partition_point(|part| part.offset <= at);
        let part = next.checked_sub(1).and_then(|index| self.parts.get(index));
        part.filter(|part| at < part.end())
    }

    /// Has a pack that is far away fetch all that a report uses at once, when some of it is read.
    pub fn read_report_together(&self) {
        self.pack.read_together(0..self.of_report);
    }

    /// The end of the core's file, as far as it is here: what follows the last chunk.
    pub fn end(&self) -> Vec<u8> {
        let tail = u64::from(self.head.tail_length);
        let at = self.head.core_length.saturating_sub(tail);
        read_vec(self, at, tail).unwrap_or_default()
    }

    /// Whether a file of this length that ends so can be the core that the pack is of.
    pub fn is_of(&self, length: u64, end: &[u8]) -> bool {
        let same = usize::try_from(self.head.tail_length).unwrap_or(usize::MAX).min(end.len());
        let end = end.get(end.len().saturating_sub(same)..).unwrap_or_default();
        let at = length.saturating_sub(end.len() as u64);
        length == self.head.core_length
            && read_vec(self, at, end.len() as u64).is_ok_and(|tail| tail == end)
    }
}

impl Bytes for PackedCore {
    fn length(&self) -> u64 {
        self.head.core_length
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DataError> {
        self.spend(buffer.len() as u64)?;
        let length = self.length();
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= length);
        end.ok_or(DataError::PastEnd { offset, length })?;
        let (mut at, mut left) = (offset, buffer);
        while !left.is_empty() {
            let part = self.part_at(at);
            let end = match part {
                Some(part) => part.end(),
                None => {
                    let next = self.parts.partition_point(|part| part.offset <= at);
                    self.parts.get(next).map_or(length, |part| part.offset)
                }
            };
            let take = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
            let (now, later) = left.split_at_mut(take.min(left.len()));
            match part {
                Some(part) => {
                    let skip = at.saturating_sub(part.offset);
                    self.pack.read(part.in_pack.saturating_add(skip), now)?;
                }
                None => {
                    let file = self.rest.file();
                    let file =
                        file.map_err(|problem| DataError::NotInPack { offset: at, problem })?;
                    file.read(at, now)?;
                }
            }
            at = at.saturating_add(now.len() as u64);
            left = later;
        }
        Ok(())
    }

    fn spend(&self, bytes: u64) -> Result<(), DataError> {
        self.work.spend(bytes).map_err(|error| DataError::TooMuch { limit: error.limit })
    }

    fn read_without_limit(&self) {
        self.work.unlimited();
        self.pack.read_without_limit();
    }

    fn work_done(&self) -> u64 {
        self.work.done()
    }

    fn prefetch(&self, ranges: &[Range<u64>]) {
        let (mut here, mut elsewhere) = (Vec::new(), Vec::new());
        for range in ranges {
            match self.part_at(range.start).filter(|part| range.end <= part.end()) {
                Some(part) => {
                    let start =
                        part.in_pack.saturating_add(range.start.saturating_sub(part.offset));
                    let length = range.end.saturating_sub(range.start);
                    here.push(start..start.saturating_add(length));
                }
                None => elsewhere.push(range.clone()),
            }
        }
        self.pack.prefetch(&here);
        if !elsewhere.is_empty()
            && let Ok(core) = self.rest.file()
        {
            core.prefetch(&elsewhere);
        }
    }

    /// What the pack has not may be on another machine, or nowhere.
    fn is_remote(&self) -> bool {
        true
    }
}
