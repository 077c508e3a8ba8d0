//! Memory that has holes: what there is of it, page by page.
//!
//! Needs: how to read at an address, physical or virtual. Whatever is missing is missing
//! by whole pages.

use std::ops::Range;

/// The smallest page of all machines: what is missing of larger ones is missing in all
/// their parts.
const PAGE: u64 = 4096;

/// Cuts a range where pages end: the address and the length of each piece. Addresses wrap.
pub fn page_pieces(start: u64, length: usize) -> impl Iterator<Item = (u64, usize)> {
    let (mut at, mut left) = (start, length);
    std::iter::from_fn(move || {
        let in_page = usize::try_from(PAGE - at % PAGE).unwrap_or(usize::MAX);
        let piece = (at, in_page.min(left));
        at = at.wrapping_add(piece.1 as u64);
        left = left.saturating_sub(piece.1);
        (piece.1 > 0).then_some(piece)
    })
}

/// Fills `buffer` with what there is from `start` on.
///
/// What cannot be read is zeros; `missing` hears of each piece, by its place in the buffer,
/// and why.
pub fn read_what_is_there<E>(
    start: u64,
    buffer: &mut [u8],
    read: impl Fn(u64, &mut [u8]) -> Result<(), E>,
    mut missing: impl FnMut(Range<usize>, E),
) {
    if read(start, buffer).is_ok() {
        return;
    }
    let mut done = 0_usize;
    for (at, length) in page_pieces(start, buffer.len()) {
        let end = done.saturating_add(length);
        let piece = buffer.get_mut(done..end).unwrap_or_default();
        if let Err(error) = read(at, piece) {
            piece.fill(0);
            missing(done..end, error);
        }
        done = end;
    }
}

/// Reads up to `length` bytes from `start` on: those before the first that is missing.
/// Callers bound `length`.
pub fn read_before_gap<E>(
    start: u64,
    length: usize,
    read: impl Fn(u64, &mut [u8]) -> Result<(), E>,
) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut end = length;
    read_what_is_there(start, &mut bytes, read, |gap, _| end = end.min(gap.start));
    bytes.truncate(end);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each byte is the number of its page; pages 2 and 5 are missing.
    fn read(at: u64, buffer: &mut [u8]) -> Result<(), u64> {
        for (index, byte) in buffer.iter_mut().enumerate() {
            let page = at.wrapping_add(index as u64) / PAGE;
            if [2, 5].contains(&page) {
                return Err(page);
            }
            *byte = page as u8;
        }
        Ok(())
    }

    #[test]
    fn pieces_end_with_pages() {
        let pieces: Vec<_> = page_pieces(0x1800, 0x2000).collect();
        assert_eq!(pieces, [(0x1800, 0x800), (0x2000, 0x1000), (0x3000, 0x800)]);
        assert_eq!(page_pieces(0x1fff, 0).count(), 0);
        let wrapped: Vec<_> = page_pieces(u64::MAX, 3).collect();
        assert_eq!(wrapped, [(u64::MAX, 1), (0, 2)]);
    }

    #[test]
    fn what_is_missing_is_zeros_and_reported() {
        let mut buffer = [0xee; 0x5800];
        let mut gaps = Vec::new();
        read_what_is_there(0x1800, &mut buffer, read, |gap, page| gaps.push((gap, page)));
        assert_eq!(gaps, [(0x800..0x1800, 2), (0x3800..0x4800, 5)]);
        let at = |offset: usize| buffer[offset];
        assert_eq!([at(0x7ff), at(0x800), at(0x17ff), at(0x1800), at(0x57ff)], [1, 0, 0, 3, 6]);
    }

    #[test]
    fn nothing_behind_the_first_gap_counts() {
        assert_eq!(read_before_gap(0x1800, 0x5000, read), [1; 0x800]);
        assert_eq!(read_before_gap(0x3000, 0x10, read), [3; 0x10]);
        assert!(read_before_gap(0x2800, 0x1000, read).is_empty());
    }
}
