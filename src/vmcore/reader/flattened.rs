//! A file of the flattened form, as the file that it would be if rearranged.
//!
//! Needs: the bytes of a dump that was written through a pipe (`makedumpfile -F`,
//! or QEMU's kdump formats). Gives: the bytes of the dump itself. Its segments
//! are found once, by their headers; nothing is copied.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use thiserror::Error;
use vmcore_formats::kdump::flattened::{
    CHECKED_LENGTH, FlattenedError, SEGMENT_HEADER_LENGTH, START_LENGTH, SegmentHeader, check_start,
};

use crate::corefile::read::bytes::{Bytes, DataError, read_vec};

/// The most segments that are read. QEMU's have 16 KiB, so this is enough for 64 GiB of
/// pages.
const MAX_SEGMENTS: usize = 4 << 20;

/// Why a file of the flattened form cannot be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum FlattenedFileError {
    /// It is none.
    #[error(transparent)]
    Start(#[from] FlattenedError),
    /// It cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
}

/// Bytes written at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    /// Where they go.
    offset: u64,
    /// Where they are in the flattened file.
    at: u64,
    /// How many there are.
    size: u64,
}

impl Segment {
    fn end(&self) -> u64 {
        self.offset.saturating_add(self.size)
    }

    /// The part of it from `start` to `end`, if there is one.
    fn part(&self, start: u64, end: u64) -> Option<Self> {
        let (start, end) = (start.max(self.offset), end.min(self.end()));
        let size = end.checked_sub(start).filter(|size| *size > 0)?;
        let at = self.at.saturating_add(start.saturating_sub(self.offset));
        Some(Self { offset: start, at, size })
    }
}

/// A file of the flattened form.
#[derive(Debug)]
pub(crate) struct FlattenedFile {
    file: Arc<dyn Bytes>,
    /// By offset, and apart.
    segments: Vec<Segment>,
    length: u64,
    /// What ends the file too early, if something does.
    cut_off: Option<String>,
}

impl FlattenedFile {
    /// Finds the segments of a file.
    ///
    /// # Errors
    /// Fails if it is of another form. One that was cut off, or is damaged, is
    /// opened up to there.
    pub(crate) fn open(file: Arc<dyn Bytes>) -> Result<Self, FlattenedFileError> {
        check_start(&read_vec(&*file, 0, file.length().min(CHECKED_LENGTH as u64))?)?;
        let (mut written, mut at) = (Vec::new(), START_LENGTH as u64);
        let cut_off = loop {
            let mut header = [0; SEGMENT_HEADER_LENGTH];
            let Some(left) = file.length().checked_sub(at.saturating_add(header.len() as u64))
            else {
                break Some(format!("it ends at byte {:#x}, without its end mark", file.length()));
            };
            file.read(at, &mut header)?;
            match SegmentHeader::decode(&header) {
                Ok(SegmentHeader::End) => break None,
                Ok(SegmentHeader::Bytes { .. }) if written.len() == MAX_SEGMENTS => {
                    break Some(format!(
                        "it has more than {MAX_SEGMENTS} segments; makedumpfile -R can rearrange it"
                    ));
                }
                Ok(SegmentHeader::Bytes { offset, size }) => {
                    at = at.saturating_add(header.len() as u64);
                    let there = size.min(left);
                    if there > 0 {
                        written.push(Segment { offset, at, size: there });
                    }
                    if there < size {
                        break Some(format!(
                            "it ends within a segment, at byte {:#x}",
                            file.length()
                        ));
                    }
                    at = at.saturating_add(size);
                }
                Err(error) => break Some(format!("at byte {at:#x} there is {error}")),
            }
        };
        let segments = rearranged(written);
        let length = segments.last().map_or(0, Segment::end);
        Ok(Self { file, segments, length, cut_off })
    }

    /// What ends the file too early, if something does.
    pub(crate) fn cut_off(&self) -> Option<&str> {
        self.cut_off.as_deref()
    }

    /// The segment that has the byte at `offset`, from there on; or else where the next begins.
    fn segment_at(&self, offset: u64) -> Result<Segment, u64> {
        let next = self.segments.partition_point(|segment| segment.offset <= offset);
        let segment = next.checked_sub(1).and_then(|index| self.segments.get(index));
        let found = segment.and_then(|segment| segment.part(offset, u64::MAX));
        found.ok_or_else(|| self.segments.get(next).map_or(self.length, |next| next.offset))
    }
}

/// The segments by offset, and apart: what was written last counts.
fn rearranged(written: Vec<Segment>) -> Vec<Segment> {
    let mut sorted = written;
    let pairs = || sorted.iter().zip(sorted.iter().skip(1));
    if pairs().all(|(before, after)| before.end() <= after.offset) {
        return sorted;
    }
    let written = sorted.clone();
    sorted.sort_by_key(|segment| segment.offset);
    let pairs = || sorted.iter().zip(sorted.iter().skip(1));
    if pairs().all(|(before, after)| before.end() <= after.offset) {
        return sorted;
    }
    drop(sorted);
    let mut kept: BTreeMap<u64, Segment> = BTreeMap::new();
    for segment in written {
        let before = kept.range(..segment.offset).next_back().map(|(_, before)| *before);
        let hit = before
            .into_iter()
            .chain(kept.range(segment.offset..segment.end()).map(|(_, inside)| *inside));
        let hit: Vec<_> = hit.filter(|old| old.end() > segment.offset).collect();
        for old in hit {
            kept.remove(&old.offset);
            let rest = [old.part(0, segment.offset), old.part(segment.end(), u64::MAX)];
            kept.extend(rest.into_iter().flatten().map(|part| (part.offset, part)));
        }
        kept.insert(segment.offset, segment);
    }
    kept.into_values().collect()
}

impl Bytes for FlattenedFile {
    fn length(&self) -> u64 {
        self.length
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DataError> {
        let (mut offset, mut rest) = (offset, buffer);
        while !rest.is_empty() {
            let there = |length: u64| usize::try_from(length).unwrap_or(usize::MAX).min(rest.len());
            let take = match self.segment_at(offset) {
                Ok(segment) => {
                    let take = there(segment.size);
                    self.file.read(segment.at, rest.get_mut(..take).unwrap_or_default())?;
                    take
                }
                Err(next) if next <= offset => {
                    return Err(DataError::PastEnd { offset, length: self.length });
                }
                Err(_) if self.cut_off.is_some() => {
                    let problem = "it was not written before the file was cut off".to_owned();
                    return Err(DataError::Damaged { unit: "part", offset, problem });
                }
                // A rearranged file has a hole there.
                Err(next) => {
                    let take = there(next.saturating_sub(offset));
                    rest.get_mut(..take).unwrap_or_default().fill(0);
                    take
                }
            };
            offset = offset.saturating_add(take as u64);
            rest = rest.get_mut(take..).unwrap_or_default();
        }
        Ok(())
    }

    fn next_held(&self, offset: u64) -> Option<Range<u64>> {
        let start = match self.segment_at(offset) {
            // A hole is zeros, unless what belongs there was cut off.
            Err(next) if self.cut_off.is_some() => next,
            _ => offset,
        };
        let end = match self.segment_at(start) {
            Ok(segment) if self.cut_off.is_some() => segment.end(),
            _ => self.length,
        };
        Some(start..end).filter(|held| !held.is_empty())
    }

    fn unit_end(&self, offset: u64) -> u64 {
        const UNIT: u64 = 1 << 20;
        match self.segment_at(offset) {
            Ok(segment) => segment.end().min(offset.saturating_add(UNIT)),
            Err(next) => next.max(offset.saturating_add(1)),
        }
    }

    fn zeros(&self, offset: u64) -> u64 {
        match self.segment_at(offset) {
            Err(next) if self.cut_off.is_none() => next.saturating_sub(offset),
            _ => 0,
        }
    }

    fn spend(&self, bytes: u64) -> Result<(), DataError> {
        self.file.spend(bytes)
    }

    fn read_without_limit(&self) {
        self.file.read_without_limit();
    }
}

#[cfg(test)]
#[path = "flattened_tests.rs"]
mod tests;
