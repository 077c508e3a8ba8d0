//! Which pages a file has, one bit each, and how many there are before any of them.
//!
//! ```text
//! block     4096 pages: none of them, all of them, or one bit each
//! counts    how many are set before each block
//! ```
//!
//! Memory is in long runs, so most blocks have no bits of their own: a guest of 8 TiB takes
//! 12 MiB here, and the bits of its bitmap 256 MiB.

use std::sync::Arc;

use vmcore_formats::endian::Endian;

/// Pages of a block.
const BLOCK: u64 = 4096;
/// Words of a block that has bits.
const WORDS: usize = 64;
/// Bytes of a block in a file.
pub(super) const BLOCK_BYTES: usize = 512;

/// The bits of a block, the first page in the lowest bit of the first word.
type Words = [u64; WORDS];

/// A block of pages.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Block {
    None,
    All,
    /// Shared by blocks that follow each other and are the same.
    Some(Arc<Words>),
}

impl Block {
    fn of(words: &Words) -> Self {
        match words {
            words if words.iter().all(|word| *word == 0) => Self::None,
            words if words.iter().all(|word| *word == u64::MAX) => Self::All,
            words => Self::Some(Arc::new(*words)),
        }
    }

    /// The word that has a page's bit; `page` counts from the block's first.
    fn word(&self, page: u64) -> u64 {
        match self {
            Self::None => 0,
            Self::All => u64::MAX,
            Self::Some(words) => {
                let index = usize::try_from(page / 64).unwrap_or(usize::MAX);
                words.get(index).copied().unwrap_or_default()
            }
        }
    }

    /// How many of its pages before `page` are set.
    fn before(&self, page: u64) -> u64 {
        match self {
            Self::None => 0,
            Self::All => page,
            Self::Some(words) => {
                let whole = usize::try_from(page / 64).unwrap_or(usize::MAX);
                let ones: u32 = words.iter().take(whole).map(|word| word.count_ones()).sum();
                let partly = self.word(page) & !(u64::MAX << (page % 64));
                u64::from(ones).saturating_add(u64::from(partly.count_ones()))
            }
        }
    }

    /// The first of its pages from `page` on that is set, or that is not.
    fn next(&self, page: u64, set: bool) -> Option<u64> {
        match (self, set) {
            (Self::None, false) | (Self::All, true) => Some(page),
            (Self::None, true) | (Self::All, false) => None,
            (Self::Some(_), _) => {
                let flip = if set { 0 } else { u64::MAX };
                let mut start = page - page % 64;
                let mut mask = u64::MAX << (page % 64);
                while start < BLOCK {
                    let word = (self.word(start) ^ flip) & mask;
                    if word != 0 {
                        return Some(start.saturating_add(u64::from(word.trailing_zeros())));
                    }
                    mask = u64::MAX;
                    start = start.saturating_add(64);
                }
                None
            }
        }
    }
}

/// A bitmap of pages that can be counted from its start in constant time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PageBitmap {
    blocks: Vec<Block>,
    /// How many bits are set before each block.
    counts: Vec<u64>,
    pages: u64,
    set: u64,
}

/// The block of a bitmap that begins with page `first`, in `bytes` as a kdump-compressed file
/// has it, up to the page `pages`.
pub(super) fn words(bytes: &[u8], first: u64, pages: u64) -> Words {
    let mut words = [0; WORDS];
    let mut left = pages.saturating_sub(first);
    for (word, bytes) in words.iter_mut().zip(bytes.chunks(8)) {
        // The last word may have fewer bytes; its other bits are then 0.
        let bits: u64 = Endian::Little.number(bytes).unwrap_or_default();
        *word = match left {
            64.. => bits,
            left => bits & !(u64::MAX << left),
        };
        left = left.saturating_sub(64);
    }
    words
}

impl PageBitmap {
    /// A bitmap of `pages` pages, whose blocks are appended one by one.
    pub(super) fn of_pages(pages: u64) -> Self {
        Self { blocks: Vec::new(), counts: Vec::new(), pages, set: 0 }
    }

    /// Appends a block: the pages that follow the last one.
    pub(super) fn push(&mut self, words: &Words) {
        self.push_block(Block::of(words));
    }

    fn push_block(&mut self, block: Block) {
        let block = match self.blocks.last() {
            Some(last) if *last == block => last.clone(),
            _ => block,
        };
        self.counts.push(self.set);
        self.set = self.set.saturating_add(block.before(BLOCK));
        self.blocks.push(block);
    }

    /// How many of the pages are set.
    pub(super) fn set(&self) -> u64 {
        self.set
    }

    /// Whether a page is set.
    pub(super) fn has(&self, page: u64) -> bool {
        self.block(page).is_some_and(|block| block.word(page % BLOCK) >> (page % 64) & 1 == 1)
    }

    /// How many pages before `page` are set.
    pub(super) fn before(&self, page: u64) -> u64 {
        let index = usize::try_from(page / BLOCK).unwrap_or(usize::MAX);
        match (self.blocks.get(index), self.counts.get(index)) {
            (Some(block), Some(count)) => count.saturating_add(block.before(page % BLOCK)),
            _ => self.set,
        }
    }

    /// The first page from `page` on, and before `limit`, that is set, or that is not.
    pub(super) fn next(&self, page: u64, limit: u64, set: bool) -> Option<u64> {
        let limit = limit.min(self.pages);
        let mut page = page;
        while page < limit {
            let start = page - page % BLOCK;
            if let Some(found) = self.block(page)?.next(page % BLOCK, set) {
                return Some(start.saturating_add(found)).filter(|found| *found < limit);
            }
            page = start.saturating_add(BLOCK);
        }
        None
    }

    /// The first run of pages from `page` on that are set: its first page, and the
    /// one after its last.
    pub(super) fn next_run(&self, page: u64) -> Option<(u64, u64)> {
        let start = self.next(page, self.pages, true)?;
        Some((start, self.next(start, self.pages, false).unwrap_or(self.pages)))
    }

    /// The same, with the pages from `start` to `end` alone.
    pub(super) fn within(&self, start: u64, end: u64) -> Self {
        let mut part = Self::of_pages(self.pages);
        for (index, block) in (0_u64..).zip(&self.blocks) {
            let first = index.saturating_mul(BLOCK);
            let (from, to) = (start.max(first), end.min(first.saturating_add(BLOCK)));
            part.push_block(match to.saturating_sub(from) {
                0 => Block::None,
                BLOCK => block.clone(),
                _ => block.keep(|page| (from..to).contains(&first.saturating_add(page))),
            });
        }
        part
    }

    /// The first `count` pages that are set, if `keep` is true for them: it gets their numbers
    /// among those that are set.
    pub(super) fn first(&self, count: u64, mut keep: impl FnMut(u64) -> bool) -> Self {
        let mut part = Self::of_pages(self.pages);
        for (block, before) in self.blocks.iter().zip(&self.counts) {
            let mut index = *before;
            part.push_block(match block {
                _ if index >= count => Block::None,
                block => block.keep(|_| {
                    let this = index;
                    index = index.saturating_add(1);
                    this < count && keep(this)
                }),
            });
        }
        part
    }

    fn block(&self, page: u64) -> Option<&Block> {
        self.blocks.get(usize::try_from(page / BLOCK).ok()?)
    }
}

impl Block {
    /// The same, without the pages that `keep` is false for.
    fn keep(&self, mut keep: impl FnMut(u64) -> bool) -> Self {
        let mut words = [0; WORDS];
        for (first, word) in (0..BLOCK).step_by(64).zip(&mut words) {
            let mut left = self.word(first);
            while left != 0 {
                let bit = left.trailing_zeros();
                left &= left.wrapping_sub(1);
                if keep(first.saturating_add(u64::from(bit))) {
                    *word |= 1 << bit;
                }
            }
        }
        Self::of(&words)
    }
}

#[cfg(test)]
#[path = "page_bitmap_tests.rs"]
mod tests;
