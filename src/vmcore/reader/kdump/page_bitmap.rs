//! Which pages a file has, one bit each, and how many there are before any of them.

use vmcore_formats::endian::Endian;

/// Pages for which one count is kept: 512 bytes of bits.
const COUNTED: u64 = 4096;

/// A bitmap of pages that can be counted from its start in constant time.
#[derive(Debug, Default)]
pub(super) struct PageBitmap {
    /// 64 pages each, the first in the lowest bit.
    words: Vec<u64>,
    /// How many bits are set before each [`COUNTED`] pages.
    counts: Vec<u64>,
    pages: u64,
    set: u64,
}

impl PageBitmap {
    /// The bitmap in `bytes`, as a kdump-compressed file has it, up to the page `pages`.
    pub(super) fn new(bytes: &[u8], pages: u64) -> Self {
        let pages = pages.min((bytes.len() as u64).saturating_mul(8));
        let count = usize::try_from(pages.div_ceil(64)).unwrap_or(usize::MAX);
        let mut words: Vec<u64> = bytes
            .chunks(8)
            .take(count)
            .map(|chunk| {
                // The last word may have fewer bytes; its other bits are then 0.
                Endian::Little.number(chunk).unwrap_or_default()
            })
            .collect();
        if let (Some(last), rest @ 1..) = (words.last_mut(), pages % 64) {
            *last &= !(u64::MAX << rest);
        }
        Self::of_words(words, pages)
    }

    fn of_words(words: Vec<u64>, pages: u64) -> Self {
        let mut set = 0_u64;
        let mut counts = Vec::with_capacity(words.len() / 64 + 1);
        for block in words.chunks(64) {
            counts.push(set);
            let ones: u32 = block.iter().map(|word| word.count_ones()).sum();
            set = set.saturating_add(u64::from(ones));
        }
        Self { words, counts, pages, set }
    }

    /// How many pages it speaks of.
    pub(super) fn pages(&self) -> u64 {
        self.pages
    }

    /// How many of them are set.
    pub(super) fn set(&self) -> u64 {
        self.set
    }

    /// Whether a page is set.
    pub(super) fn has(&self, page: u64) -> bool {
        self.word(page).is_some_and(|word| word >> (page % 64) & 1 == 1)
    }

    /// How many pages before `page` are set.
    pub(super) fn before(&self, page: u64) -> u64 {
        if page >= self.pages {
            return self.set;
        }
        let block = page / COUNTED;
        let counted = usize::try_from(block).ok().and_then(|block| self.counts.get(block));
        let first = usize::try_from(block.saturating_mul(64)).unwrap_or(usize::MAX);
        let whole = usize::try_from(page / 64).unwrap_or(usize::MAX);
        let ones: u32 = self
            .words
            .get(first..whole)
            .unwrap_or_default()
            .iter()
            .map(|word| word.count_ones())
            .sum();
        let partly = self.word(page).unwrap_or_default() & !(u64::MAX << (page % 64));
        counted
            .copied()
            .unwrap_or_default()
            .saturating_add(u64::from(ones))
            .saturating_add(u64::from(partly.count_ones()))
    }

    /// The first page from `page` on, and before `limit`, that is set, or that is not.
    pub(super) fn next(&self, page: u64, limit: u64, set: bool) -> Option<u64> {
        let limit = limit.min(self.pages);
        let flip = if set { 0 } else { u64::MAX };
        let mut start = page - page % 64;
        let mut mask = u64::MAX << (page % 64);
        while start < limit {
            let word = (self.word(start)? ^ flip) & mask;
            if word != 0 {
                let found = start.saturating_add(u64::from(word.trailing_zeros()));
                return Some(found).filter(|found| *found < limit);
            }
            mask = u64::MAX;
            start = start.saturating_add(64);
        }
        None
    }

    /// The first run of pages from `page` on that are set: its first page, and the
    /// one after its last.
    pub(super) fn next_run(&self, page: u64) -> Option<(u64, u64)> {
        let start = self.next(page, self.pages, true)?;
        Some((start, self.next(start, self.pages, false).unwrap_or(self.pages)))
    }

    /// The pages that either has.
    pub(super) fn union(mut self, other: &Self) -> Self {
        self.words.resize(self.words.len().max(other.words.len()), 0);
        for (word, more) in self.words.iter_mut().zip(&other.words) {
            *word |= more;
        }
        Self::of_words(self.words, self.pages.max(other.pages))
    }

    /// The same, without the pages that `out` is true for.
    pub(super) fn without(&self, mut out: impl FnMut(u64) -> bool) -> Self {
        let mut words = self.words.clone();
        for (index, word) in words.iter_mut().enumerate() {
            let mut left = *word;
            while left != 0 {
                let bit = left.trailing_zeros();
                left &= left.wrapping_sub(1);
                if out((index as u64).saturating_mul(64).saturating_add(u64::from(bit))) {
                    *word &= !(1 << bit);
                }
            }
        }
        Self::of_words(words, self.pages)
    }

    fn word(&self, page: u64) -> Option<u64> {
        self.words.get(usize::try_from(page / 64).ok()?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bitmap with some order in it, and what each bit should be.
    fn sample(pages: u64) -> (PageBitmap, Vec<bool>) {
        let bytes: Vec<u8> = (0..2000_u32)
            .map(|index| match index / 300 % 3 {
                0 => 0xff,
                1 => 0,
                _ => (index.wrapping_mul(2_654_435_761) >> 24) as u8,
            })
            .collect();
        let bits = (0..pages as usize).map(|page| bytes[page / 8] >> (page % 8) & 1 == 1).collect();
        (PageBitmap::new(&bytes, pages), bits)
    }

    #[test]
    fn counting_is_what_counting_one_by_one_gives() {
        for pages in [0, 1, 63, 64, 65, 4096, 4097, 15_999, 16_000] {
            let (bitmap, bits) = sample(pages);
            let mut count = 0;
            for (page, bit) in bits.iter().enumerate() {
                assert_eq!(bitmap.before(page as u64), count, "{page} of {pages}");
                assert_eq!(bitmap.has(page as u64), *bit);
                count += u64::from(*bit);
            }
            assert_eq!(
                (bitmap.set(), bitmap.before(pages), bitmap.before(u64::MAX)),
                (count, count, count)
            );
            assert!(!bitmap.has(pages), "bits behind the last page do not count");
        }
    }

    #[test]
    fn runs_are_all_that_is_set() {
        let (bitmap, bits) = sample(15_999);
        let mut found = vec![false; bits.len()];
        let mut page = 0;
        while let Some((start, end)) = bitmap.next_run(page) {
            assert!(start >= page && end > start);
            found[start as usize..end as usize].fill(true);
            page = end;
        }
        assert_eq!(found, bits);
        assert_eq!(bitmap.next_run(u64::MAX), None);
    }

    #[test]
    fn pages_are_taken_out_and_put_together() {
        let (bitmap, bits) = sample(5000);
        let odd = bitmap.without(|page| page % 2 == 0);
        let even = bitmap.without(|page| page % 2 == 1);
        for (page, bit) in bits.iter().enumerate() {
            assert_eq!(odd.has(page as u64), *bit && page % 2 == 1);
        }
        let both = odd.union(&even);
        assert_eq!((both.words, both.set), (bitmap.words, bitmap.set));
    }
}
