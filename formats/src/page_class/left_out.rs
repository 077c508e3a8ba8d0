//! The record of what was left out of a core: an ELF note in the core itself.
//!
//! ```text
//! note    name "VMCORECTL", type 1
//! 0   version  u8   1
//! 1   classes  u8   which were to be left out, a bit each
//! 2   shift    u8   12: the unit below is a page of 4 KiB
//! 3   unused   u8   0
//! 4   ranges without a gap to the end of the descriptor, by address:
//!       skipped  varint   pages from the end of the range before
//!       range    varint   pages * 8 + class
//! ```
//!
//! A class has the number of its bit: 0 zero, 1 free, 2 cache, 3 cache-private, 4 user,
//! 5 hugetlb, 6 offline, 7 poison. A varint has 7 bits in each byte, the lowest first; the
//! last one has its high bit clear. crash, drgn, gdb and makedumpfile skip notes of names that
//! they do not have.
//!
//! ```
//! use vmcore_formats::addr::PhysAddr;
//! use vmcore_formats::page_class::left_out::{ClassRun, LeftOut};
//! use vmcore_formats::page_class::{PageClass, PageClasses};
//!
//! let run = ClassRun { start: PhysAddr(0x8000), length: 0x3000, class: PageClass::User };
//! let left_out = LeftOut { classes: PageClasses::kernel(), runs: vec![run] };
//! let bytes = left_out.encode();
//! assert_eq!(bytes, [1, 0x7f, 12, 0, 8, 3 * 8 + 4]);
//! assert_eq!(LeftOut::decode(&bytes)?, left_out);
//! # Ok::<_, vmcore_formats::page_class::left_out::LeftOutError>(())
//! ```

use thiserror::Error;

use super::{PageClass, PageClasses};
use crate::addr::PhysAddr;
use crate::cursor::{Cursor, ParseError};
use crate::elf::Segment;
use crate::elf::note::Note;
use crate::endian::Endian;

/// The name of the note.
pub const NOTE_NAME: &[u8] = b"VMCORECTL";
/// Its type.
pub const NOTE_KIND: u32 = 1;
/// The most ranges that are written and read: they take 64 MiB of memory.
pub const MAX_RUNS: usize = 4 << 20;
/// How many stretches of pages are left out of a core at most. Each makes a segment, and with
/// 65,535 of them some tools do not find the segments any more.
pub const MAX_STRETCHES: usize = 32 << 10;
/// The unit of addresses and lengths.
pub const PAGE: u64 = 1 << SHIFT;

const VERSION: u8 = 1;
const SHIFT: u8 = 12;

/// Pages of one class, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassRun {
    /// Where they begin.
    pub start: PhysAddr,
    /// How many bytes they have. Never zero.
    pub length: u64,
    /// Their class.
    pub class: PageClass,
}

impl ClassRun {
    /// The address after the last byte.
    pub fn end(&self) -> PhysAddr {
        self.start.saturating_add(self.length)
    }
}

/// What was left out of a core.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// The classes that were to be left out.
    pub classes: PageClasses,
    /// The pages that were, by ascending address, apart.
    pub runs: Vec<ClassRun>,
}

/// Why a record cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LeftOutError {
    /// It ends early.
    #[error("the record of pages left out is cut off: {0}")]
    Short(#[from] ParseError),
    /// Of a later version, or damaged.
    #[error("the record of pages left out has {what} {found}, which is not understood")]
    Unknown {
        /// Which field.
        what: &'static str,
        /// Its value.
        found: u64,
    },
    /// Damaged.
    #[error("the record of pages left out is damaged at byte {at:#x}")]
    Damaged {
        /// Where in the descriptor.
        at: u64,
    },
    /// More ranges than are read.
    #[error("the record of pages left out has more than {MAX_RUNS} ranges")]
    TooMany,
}

impl LeftOut {
    /// The note's descriptor. Ranges past [`MAX_RUNS`], and parts of pages, are not in it.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION, self.classes.0, SHIFT, 0];
        let mut end = 0_u64;
        for run in joined(&self.runs).take(MAX_RUNS) {
            let start = run.start.0.div_ceil(PAGE).max(end);
            let Some(pages) = (run.end().0 / PAGE).checked_sub(start).filter(|pages| *pages > 0)
            else {
                continue;
            };
            put_varint(&mut bytes, start.saturating_sub(end));
            put_varint(&mut bytes, pages.saturating_mul(8) | u64::from(run.class.number()));
            end = start.saturating_add(pages);
        }
        bytes
    }

    /// The note. `None` if it is too long for one.
    pub fn note(&self, endian: Endian) -> Option<Vec<u8>> {
        let descriptor = self.encode();
        Note { name: NOTE_NAME, kind: NOTE_KIND, descriptor: &descriptor }.encode(endian)
    }

    /// Reads a note's descriptor.
    pub fn decode(descriptor: &[u8]) -> Result<Self, LeftOutError> {
        let unknown = |what, found: u8| LeftOutError::Unknown { what, found: u64::from(found) };
        let mut cursor = Cursor::new(descriptor, Endian::Little);
        match cursor.u8("version")? {
            VERSION => {}
            other => return Err(unknown("version", other)),
        }
        let classes = PageClasses(cursor.u8("classes")? & !PageClass::Poison.bit());
        match cursor.u8("page shift")? {
            SHIFT => {}
            other => return Err(unknown("page shift", other)),
        }
        cursor.u8("unused byte")?;
        let mut runs = Vec::new();
        let mut end = 0_u64;
        while cursor.left() > 0 {
            if runs.len() >= MAX_RUNS {
                return Err(LeftOutError::TooMany);
            }
            let damaged = LeftOutError::Damaged { at: cursor.at() };
            let skipped = varint(&mut cursor)?;
            let range = varint(&mut cursor)?;
            let run = run(end, skipped, range).ok_or(damaged)?;
            end = run.end().0;
            runs.push(run);
        }
        Ok(Self { classes, runs })
    }

    /// The class of the page at `at`, if it was left out, and where the range ends.
    pub fn class_at(&self, at: PhysAddr) -> Option<(PageClass, PhysAddr)> {
        let index = self.runs.partition_point(|run| run.end() <= at);
        let run = self.runs.get(index).filter(|run| run.start <= at)?;
        Some((run.class, run.end()))
    }

    /// The first range that overlaps what a segment has in the file.
    pub fn first_in(&self, segment: &Segment) -> Option<&ClassRun> {
        let end = segment.physical.saturating_add(segment.file_size);
        let index = self.runs.partition_point(|run| run.end() <= segment.physical);
        self.runs.get(index).filter(|run| run.start < end)
    }

    /// How many bytes of each class were left out: classes without any are not in it.
    pub fn bytes_by_class(&self) -> Vec<(PageClass, u64)> {
        let sum = |class| {
            let of_class = self.runs.iter().filter(|run| run.class == class);
            of_class.fold(0_u64, |sum, run| sum.saturating_add(run.length))
        };
        let sums = PageClass::ALL.into_iter().map(|class| (class, sum(class)));
        sums.filter(|(_, bytes)| *bytes > 0).collect()
    }
}

/// Runs of one class that touch, as one.
fn joined(runs: &[ClassRun]) -> impl Iterator<Item = ClassRun> + '_ {
    let mut runs = runs.iter().copied().peekable();
    std::iter::from_fn(move || {
        let mut run = runs.next()?;
        while let Some(next) =
            runs.next_if(|next| next.class == run.class && next.start == run.end())
        {
            run.length = run.length.saturating_add(next.length);
        }
        Some(run)
    })
}

/// The run that two numbers describe, `end` being that of the run before.
fn run(end: u64, skipped: u64, range: u64) -> Option<ClassRun> {
    let number = u8::try_from(range & 7).ok()?;
    let class = PageClass::ALL.into_iter().find(|class| class.number() == number)?;
    let start = end.checked_add(skipped.checked_mul(PAGE)?)?;
    let length = (range >> 3).checked_mul(PAGE).filter(|length| *length > 0)?;
    start.checked_add(length)?;
    Some(ClassRun { start: PhysAddr(start), length, class })
}

fn put_varint(bytes: &mut Vec<u8>, value: u64) {
    let mut rest = value;
    loop {
        let low = u8::try_from(rest & 0x7f).unwrap_or_default();
        rest >>= 7;
        if rest == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

fn varint(cursor: &mut Cursor<'_>) -> Result<u64, LeftOutError> {
    let damaged = LeftOutError::Damaged { at: cursor.at() };
    let mut value = 0_u64;
    for shift in (0..u64::BITS).step_by(7) {
        let byte = cursor.u8("number")?;
        let low = u64::from(byte & 0x7f);
        let shifted = low << shift;
        if shifted >> shift != low {
            return Err(damaged);
        }
        value |= shifted;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(damaged)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(start: u64, length: u64, class: PageClass) -> ClassRun {
        ClassRun { start: PhysAddr(start), length, class }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            numbers in prop::collection::vec((0_u64..1 << 30, 1_u64..1 << 20, 0_usize..8), 0..50)
        ) {
            let mut end = 0;
            let mut runs: Vec<ClassRun> = Vec::new();
            for (skipped, pages, class) in numbers {
                let class = PageClass::ALL[class];
                // Runs of one class that touch are one.
                let apart = runs.last().is_some_and(|last| last.class == class) as u64;
                let start = end + (skipped + apart) * PAGE;
                runs.push(run(start, pages * PAGE, class));
                end = start + pages * PAGE;
            }
            let left_out = LeftOut { classes: PageClasses::kernel(), runs };
            prop_assert_eq!(LeftOut::decode(&left_out.encode()), Ok(left_out));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut record = vec![VERSION, 0x7f, SHIFT, 0];
            record.extend(&bytes);
            for bytes in [&bytes, &record] {
                if let Ok(read) = LeftOut::decode(bytes) {
                    let apart = |pair: &[ClassRun]| pair[0].end() <= pair[1].start;
                    prop_assert!(read.runs.windows(2).all(apart));
                    prop_assert!(read.runs.iter().all(|run| run.length > 0));
                }
            }
        }
    }

    #[test]
    fn every_truncation_is_an_error_or_a_shorter_record() {
        let runs = vec![
            run(0x1000, 0x2000, PageClass::Free),
            run(0x10_0000_0000, 0x4000_0000, PageClass::User),
        ];
        let bytes = LeftOut { classes: PageClasses::kernel(), runs: runs.clone() }.encode();
        for length in 0..bytes.len() {
            match LeftOut::decode(&bytes[..length]) {
                Ok(read) => assert!(runs.starts_with(&read.runs), "{length}"),
                Err(error) => assert!(matches!(error, LeftOutError::Short(_)), "{length}: {error}"),
            }
        }
    }

    #[test]
    fn ranges_that_cannot_be_are_refused() {
        let head = [VERSION, 0, SHIFT, 0];
        let empty: &[u8] = &[1, 4];
        let past_the_end: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 8];
        let too_long: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 8];
        for ranges in [empty, past_the_end, too_long] {
            let result = LeftOut::decode(&[&head, ranges].concat());
            assert_eq!(result, Err(LeftOutError::Damaged { at: 4 }), "{ranges:x?}");
        }
        let other = LeftOut::decode(&[2, 0, SHIFT, 0]);
        assert_eq!(other, Err(LeftOutError::Unknown { what: "version", found: 2 }));
        let other = LeftOut::decode(&[VERSION, 0, 14, 0]);
        assert_eq!(other, Err(LeftOutError::Unknown { what: "page shift", found: 14 }));
    }

    #[test]
    fn parts_of_pages_are_kept_and_touching_runs_are_joined() {
        let runs = vec![
            run(0x800, 0x1000, PageClass::Free),
            run(0x2000, 0x1000, PageClass::User),
            run(0x3000, 0x1800, PageClass::User),
        ];
        let read = LeftOut::decode(&LeftOut { classes: PageClasses::ALL, runs }.encode()).unwrap();
        assert_eq!(read.runs, [run(0x2000, 0x2000, PageClass::User)]);
    }

    #[test]
    fn the_class_of_an_address_is_found() {
        let runs = vec![
            run(0x1000, 0x2000, PageClass::Free),
            run(0x3000, 0x1000, PageClass::User),
            run(0x8000, 0x1000, PageClass::User),
        ];
        let left_out = LeftOut { classes: PageClasses::kernel(), runs };
        let at = |at| left_out.class_at(PhysAddr(at)).map(|(class, end)| (class, end.0));
        assert_eq!((at(0xfff), at(0x4000), at(0x9000)), (None, None, None));
        assert_eq!(at(0x2fff), Some((PageClass::Free, 0x3000)));
        assert_eq!(at(0x3000), Some((PageClass::User, 0x4000)));
        let bytes = [(PageClass::Free, 0x2000), (PageClass::User, 0x2000)];
        assert_eq!(left_out.bytes_by_class(), bytes);
    }
}
