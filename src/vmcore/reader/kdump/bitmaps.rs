//! The two bitmaps of a kdump-compressed file, read piece by piece.
//!
//! ```text
//! first     pages that the guest has     ──► its ranges of memory
//! second    pages that the file has      ──► PageBitmap
//! ```
//!
//! A page that only the second has is memory, too. The first versions wrote one bitmap.

use vmcore_formats::addr::PhysAddr;

use super::KdumpFileError;
use super::page_bitmap::{BLOCK_BYTES, PageBitmap, words};
use crate::corefile::read::bytes::Bytes;
use crate::vmcore::memory::MemoryRange;

/// The most runs of memory that a guest may have.
pub(super) const MAX_RANGES: usize = 1 << 20;
/// How many bytes of a bitmap are read at a time. Whole blocks.
const PIECE: u64 = 128 << 10;

/// What the bitmaps say.
pub(super) struct Bitmaps {
    /// The pages that the file has.
    pub(super) dumped: PageBitmap,
    /// The memory that the guest has.
    pub(super) ranges: Vec<MemoryRange>,
}

/// Reads the bitmaps of `pages` pages: one, or two.
pub(super) fn read(
    bytes: &dyn Bytes,
    (first, second): (u64, Option<u64>),
    pages: u64,
    page_size: u64,
) -> Result<Bitmaps, KdumpFileError> {
    let (mut dumped, mut runs) = (PageBitmap::of_pages(pages), Runs::default());
    let length = pages.div_ceil(8);
    let (mut all_piece, mut dumped_piece) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < length {
        let size = usize::try_from(length.saturating_sub(at).min(PIECE)).unwrap_or_default();
        let read = |offset: u64, piece: &mut Vec<u8>| {
            piece.resize(size, 0);
            bytes.read(offset.saturating_add(at), piece).map_err(KdumpFileError::Bitmaps)
        };
        read(first, &mut all_piece)?;
        match second {
            Some(second) => read(second, &mut dumped_piece)?,
            None => dumped_piece.clone_from(&all_piece),
        }
        let mut page = at.saturating_mul(8);
        for (all, held) in all_piece.chunks(BLOCK_BYTES).zip(dumped_piece.chunks(BLOCK_BYTES)) {
            let (mut all, held) = (words(all, page, pages), words(held, page, pages));
            dumped.push(&held);
            all.iter_mut().zip(&held).for_each(|(word, more)| *word |= more);
            for word in all {
                runs.add(page, word)?;
                page = page.saturating_add(64);
            }
        }
        at = at.saturating_add(PIECE);
    }
    let ranges = runs.end(pages)?;
    let range = |(start, end): (u64, u64)| MemoryRange {
        start: PhysAddr(start.saturating_mul(page_size)),
        length: end.saturating_sub(start).saturating_mul(page_size),
    };
    Ok(Bitmaps { dumped, ranges: ranges.into_iter().map(range).collect() })
}

/// Runs of pages: the first of each, and the one after its last.
#[derive(Debug, Default)]
struct Runs {
    whole: Vec<(u64, u64)>,
    /// Where the run begins that has not ended.
    begun: Option<u64>,
}

impl Runs {
    /// Adds the 64 pages from `first` on.
    fn add(&mut self, first: u64, word: u64) -> Result<(), KdumpFileError> {
        let mut from = 0;
        while from < 64 {
            let wanted = if self.begun.is_some() { !word } else { word };
            let edge = (wanted & (u64::MAX << from)).trailing_zeros();
            if edge == 64 {
                break;
            }
            self.edge(first.saturating_add(u64::from(edge)))?;
            from = edge;
        }
        Ok(())
    }

    fn edge(&mut self, page: u64) -> Result<(), KdumpFileError> {
        match self.begun.take() {
            None => self.begun = Some(page),
            Some(_) if self.whole.len() >= MAX_RANGES => return Err(KdumpFileError::Scattered),
            Some(start) => self.whole.push((start, page)),
        }
        Ok(())
    }

    fn end(mut self, pages: u64) -> Result<Vec<(u64, u64)>, KdumpFileError> {
        if self.begun.is_some() {
            self.edge(pages)?;
        }
        Ok(self.whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_the_runs_of_both_bitmaps() {
        // Pages 0 to 11, 60 to 69 and 99 of the guest; the file has 99 and 100.
        let mut bits = vec![0; 26];
        (bits[0], bits[1], bits[7], bits[8], bits[12]) = (0xff, 0x0f, 0xf0, 0x3f, 0x08);
        bits[13 + 12] = 0xf8;
        let bitmaps = read(&bits, (0, Some(13)), 101, 4096).unwrap();
        let ranges: Vec<_> =
            bitmaps.ranges.iter().map(|range| (range.start.0 >> 12, range.end().0 >> 12)).collect();
        assert_eq!(ranges, [(0, 12), (60, 70), (99, 101)]);
        assert_eq!((bitmaps.dumped.set(), bitmaps.dumped.next_run(0)), (2, Some((99, 101))));
    }

    #[test]
    fn runs_go_on_across_pieces() {
        let pages = PIECE * 8 * 2 + 7;
        let mut bits = vec![0xff; pages.div_ceil(8) as usize];
        bits[0] = 0xfe;
        let bitmaps = read(&bits, (0, None), pages, 1).unwrap();
        let range = bitmaps.ranges.first().unwrap();
        assert_eq!((bitmaps.ranges.len(), range.start.0, range.end().0), (1, 1, pages));
        assert_eq!(bitmaps.dumped.set(), pages - 1);
    }

    #[test]
    fn memory_in_more_pieces_than_any_machine_s_is_an_error() {
        let bits = vec![0x55; MAX_RANGES / 2];
        let pages = bits.length() * 8;
        assert!(matches!(read(&bits, (0, None), pages, 1), Err(KdumpFileError::Scattered)));
    }
}
