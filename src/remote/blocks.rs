//! Bytes of a remote file that were fetched, and are kept to be read again.
//!
//! Kept in blocks of 8 KiB: what is fetched beyond a frame of a core is 8 KiB on average. No block
//! is fetched twice at the same time: a second thread waits.
//!
//! ```text
//! prefetch   what a reader knows that it reads next     exactly that, all ranges at once
//! read       what is missing, each stretch at once      and ahead, once a reader goes on and on
//! ```
//!
//! What is guessed costs bytes, and what is not guessed costs round trips. Frames of a core are
//! known, so nothing is added to them; small reads are of formats that are read page by page, and
//! get 512 KiB. A reader that goes on where it ended gets ahead as much as it has read so far.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// The size of a block.
pub(super) const BLOCK: u64 = 8 << 10;
/// How many blocks are kept: 64 MiB.
const KEPT: usize = 8192;
/// How many blocks a request has at most: 4 MiB.
const MOST: u64 = 512;
/// How many blocks a read is at least that is not one of pages.
const SMALL: u64 = 4;
/// How many blocks are fetched for a small read, and for one of the file's head: 512 and 136 KiB. The
/// head has two chunks of an encrypted file, and the header in front of them.
const AROUND: u64 = 64;
const HEAD: u64 = 17;
/// How many blocks a reader may leave out and still go on: frames of zeros are not fetched.
const SKIPPED: u64 = 4;
/// How many requests a reader makes that goes on, before more than it wants is fetched.
const ALONE: u32 = 3;
/// Ranges are fetched in one request if no more blocks than this are between them.
const GAP: u64 = 4;
/// How many blocks are asked for and not yet here at most: 32 MiB.
const ASKED: u64 = 4096;

/// What blocks are fetched from.
pub(super) trait Source {
    type Error;

    /// Asks for bytes by offset and length: gives the number of the request.
    fn begin(&self, offset: u64, length: u64) -> Result<u64, Self::Error>;

    /// Waits for what was asked for.
    fn finish(&self, request: u64, offset: u64, length: u64) -> Result<Vec<u8>, Self::Error>;
}

/// The blocks of one file.
#[derive(Debug)]
pub(super) struct Blocks {
    length: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    blocks: HashMap<u64, Block>,
    /// Requests that no thread waits for yet.
    asked: HashMap<u64, Range<u64>>,
    /// Counts uses: the block with the lowest count was not used for longest.
    clock: u64,
    run: Run,
    /// Blocks that are fetched at once, as far as they are missing.
    together: Range<u64>,
}

/// A reader that goes on where it ended.
#[derive(Debug, Default)]
struct Run {
    /// Where the last request ended.
    end: u64,
    /// How many requests there were up to there without a break, and how many blocks they had.
    requests: u32,
    blocks: u64,
}

#[derive(Debug)]
enum Block {
    /// It was asked for: in this request, or a thread waits for it.
    Asked(Option<u64>),
    Here {
        bytes: Arc<[u8]>,
        used: u64,
    },
}

/// What a thread has to do next.
enum Step {
    Done,
    Wait,
    Ask(Range<u64>),
    Finish(u64, Range<u64>),
}

impl Blocks {
    /// No blocks yet of a file of this length.
    pub(super) fn new(length: u64) -> Self {
        Self { length, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Keeps the first bytes of the file: the blocks that are whole.
    pub(super) fn keep_start(&self, bytes: &[u8]) {
        let whole = match bytes.len() as u64 {
            all if all == self.length => all.div_ceil(BLOCK),
            some => some / BLOCK,
        };
        self.lock().land(&(0..whole), Some(bytes));
    }

    /// Keeps the last bytes of the file: the blocks that are whole.
    pub(super) fn keep_end(&self, bytes: &[u8]) {
        let start = self.length.saturating_sub(bytes.len() as u64).div_ceil(BLOCK);
        let skip = (bytes.len() as u64)
            .saturating_sub(self.length.saturating_sub(start.saturating_mul(BLOCK)));
        let kept = usize::try_from(skip).ok().and_then(|skip| bytes.get(skip..));
        self.lock().land(&(start..self.count()), kept);
    }

    /// Has what is missing of this part of the file fetched in one request, when some of it is read.
    pub(super) fn fetch_together(&self, part: Range<u64>) {
        self.lock().together = part.start / BLOCK..part.end.div_ceil(BLOCK);
    }

    /// Begins to fetch what is missing of these ranges. What fails is tried again by its reader.
    pub(super) fn prefetch<S: Source>(&self, ranges: &[Range<u64>], source: &S) {
        let mut wanted: Vec<Range<u64>> = ranges
            .iter()
            .map(|range| range.start / BLOCK..range.end.min(self.length).div_ceil(BLOCK))
            .filter(|range| !range.is_empty())
            .collect();
        wanted.sort_unstable_by_key(|range| range.start);
        let mut joined: Vec<Range<u64>> = Vec::new();
        for range in wanted {
            match joined.last_mut() {
                Some(last) if range.start <= last.end.saturating_add(GAP) => {
                    last.end = last.end.max(range.end);
                }
                _ => joined.push(range),
            }
        }
        let mut state = self.lock();
        for mut range in joined {
            while let Some(missing) = state.first_missing(&range) {
                let blocks = match state.together.contains(&missing.start) {
                    true => state.extent(&missing, self.count()),
                    false => missing.start..state.go_on(&missing, self.count()),
                };
                range.start = blocks.end;
                let all = state.asked.values().chain([&blocks]);
                let all = all.map(|range| range.end.saturating_sub(range.start));
                let is_too_much = all.fold(0, u64::saturating_add) > ASKED;
                if is_too_much || state.ask(blocks, self.length, source).is_err() {
                    return;
                }
            }
        }
    }

    /// Reads bytes, which have to be in the file.
    pub(super) fn read<S: Source>(
        &self,
        offset: u64,
        buffer: &mut [u8],
        source: &S,
    ) -> Result<(), S::Error> {
        // No more at a time than are kept: others would displace them before they are copied.
        let size = usize::try_from(MOST.saturating_mul(BLOCK)).unwrap_or(usize::MAX);
        let mut at = offset;
        for piece in buffer.chunks_mut(size) {
            self.read_piece(at, piece, source)?;
            at = at.saturating_add(piece.len() as u64);
        }
        Ok(())
    }

    fn read_piece<S: Source>(
        &self,
        offset: u64,
        piece: &mut [u8],
        source: &S,
    ) -> Result<(), S::Error> {
        let end = offset.saturating_add(piece.len() as u64);
        let wanted = offset / BLOCK..end.div_ceil(BLOCK);
        let mut state = self.lock();
        loop {
            match state.step(&wanted, self.count()) {
                Step::Done => {
                    state.copy(offset, piece);
                    return Ok(());
                }
                Step::Wait => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                Step::Ask(blocks) => state.ask(blocks, self.length, source)?,
                Step::Finish(request, blocks) => {
                    drop(state);
                    let (start, length) = bytes_of(&blocks, self.length);
                    let fetched = source.finish(request, start, length);
                    state = self.lock();
                    state.land(&blocks, fetched.as_deref().ok());
                    self.changed.notify_all();
                    fetched?;
                }
            }
        }
    }

    fn count(&self) -> u64 {
        self.length.div_ceil(BLOCK)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Offset and length of blocks of a file of this length.
fn bytes_of(blocks: &Range<u64>, length: u64) -> (u64, u64) {
    let start = blocks.start.saturating_mul(BLOCK);
    let end = blocks.end.saturating_mul(BLOCK).min(length);
    (start, end.saturating_sub(start))
}

impl State {
    /// What is to be done before all blocks `wanted` of a file of `count` are here.
    fn step(&mut self, wanted: &Range<u64>, count: u64) -> Step {
        if let Some(missing) = self.first_missing(wanted) {
            return Step::Ask(self.extent(&missing, count));
        }
        let mut waits = false;
        for block in wanted.clone() {
            match self.blocks.get(&block) {
                Some(Block::Asked(Some(request))) => {
                    let request = *request;
                    let Some(blocks) = self.asked.remove(&request) else {
                        self.blocks.remove(&block);
                        return Step::Ask(block..block.saturating_add(1));
                    };
                    for block in blocks.clone() {
                        self.blocks.insert(block, Block::Asked(None));
                    }
                    return Step::Finish(request, blocks);
                }
                Some(Block::Asked(None)) => waits = true,
                Some(Block::Here { .. }) | None => {}
            }
        }
        if waits { Step::Wait } else { Step::Done }
    }

    /// What is asked for when these blocks are missing.
    fn extent(&mut self, missing: &Range<u64>, count: u64) -> Range<u64> {
        let first = missing.start;
        if self.together.contains(&first) {
            // What precedes it, too: another thread may want that.
            let before = self.together.start..first;
            let before = before.rev().take_while(|block| !self.blocks.contains_key(block));
            let start = before.last().unwrap_or(first);
            let end = self.together.end.max(missing.end).min(count);
            return start..self.end_of_missing(first, end);
        }
        let small = missing.end.saturating_sub(first) <= SMALL;
        let around = match (small, first) {
            (true, 0) => HEAD,
            (true, _) => first.saturating_add(AROUND),
            (false, _) => missing.end,
        };
        let ahead = self.go_on(missing, count);
        let end = self.end_of_missing(first, around.max(ahead).min(count)).max(ahead);
        self.run.end = end;
        self.run.blocks = self.run.blocks.saturating_add(end.saturating_sub(ahead));
        first..end
    }

    fn end_of_missing(&self, first: u64, end: u64) -> u64 {
        (first..end).find(|block| self.blocks.contains_key(block)).unwrap_or(end)
    }

    /// Notes that these blocks are read. Gives how far to read ahead: not at all at first, and as
    /// far again as a reader has come that went on several times.
    fn go_on(&mut self, blocks: &Range<u64>, count: u64) -> u64 {
        let from = self.run.end.saturating_sub(1)..=self.run.end.saturating_add(SKIPPED);
        if self.run.end == 0 || !from.contains(&blocks.start) {
            self.run = Run::default();
        }
        let ahead = match self.run.requests >= ALONE {
            true => blocks.start.saturating_add(self.run.blocks.min(MOST)).min(count),
            false => blocks.end,
        };
        let end = self.end_of_missing(blocks.end, ahead.max(blocks.end));
        self.run.end = end;
        self.run.requests = self.run.requests.saturating_add(1);
        self.run.blocks = self.run.blocks.saturating_add(end.saturating_sub(blocks.start));
        end
    }

    /// The first stretch of blocks that nobody asked for.
    fn first_missing(&self, range: &Range<u64>) -> Option<Range<u64>> {
        let start = range.clone().find(|block| !self.blocks.contains_key(block))?;
        Some(start..self.end_of_missing(start, range.end))
    }

    /// Asks for blocks that are missing, in requests of a bounded size.
    fn ask<S: Source>(
        &mut self,
        blocks: Range<u64>,
        length: u64,
        source: &S,
    ) -> Result<(), S::Error> {
        let most = if self.together.contains(&blocks.start) { ASKED } else { MOST };
        let mut at = blocks.start;
        while at < blocks.end {
            let part = at..at.saturating_add(most).min(blocks.end);
            let (start, bytes) = bytes_of(&part, length);
            let request = source.begin(start, bytes)?;
            self.blocks.extend(part.clone().map(|block| (block, Block::Asked(Some(request)))));
            at = part.end;
            self.asked.insert(request, part);
        }
        Ok(())
    }

    /// Keeps what was fetched; forgets the blocks if that failed.
    fn land(&mut self, blocks: &Range<u64>, fetched: Option<&[u8]>) {
        let size = usize::try_from(BLOCK).unwrap_or(usize::MAX);
        let mut pieces = fetched.unwrap_or_default().chunks(size);
        for block in blocks.clone() {
            match pieces.next() {
                Some(bytes) => {
                    let used = self.tick();
                    self.blocks.insert(block, Block::Here { bytes: bytes.into(), used });
                }
                None => drop(self.blocks.remove(&block)),
            }
        }
        self.forget();
    }

    fn tick(&mut self) -> u64 {
        self.clock = self.clock.saturating_add(1);
        self.clock
    }

    /// Forgets what was not used for longest: half of all, so that it is seldom done.
    fn forget(&mut self) {
        let here = |block: &Block| match block {
            Block::Here { used, .. } => Some(*used),
            Block::Asked(_) => None,
        };
        let mut used: Vec<u64> = self.blocks.values().filter_map(here).collect();
        if used.len() <= KEPT {
            return;
        }
        used.sort_unstable();
        let middle = used.get(used.len() / 2).copied().unwrap_or_default();
        self.blocks.retain(|_, block| here(block).is_none_or(|used| used >= middle));
    }

    /// Copies bytes, all of which are here.
    fn copy(&mut self, offset: u64, piece: &mut [u8]) {
        let mut at = offset;
        let mut rest = piece;
        while !rest.is_empty() {
            let now = self.tick();
            let skip = usize::try_from(at % BLOCK).unwrap_or_default();
            let Some(Block::Here { bytes, used }) = self.blocks.get_mut(&(at / BLOCK)) else {
                return;
            };
            *used = now;
            let bytes = bytes.get(skip..).unwrap_or_default();
            let take = bytes.len().min(rest.len());
            if take == 0 {
                return;
            }
            let (copied, later) = rest.split_at_mut(take);
            copied.copy_from_slice(bytes.get(..take).unwrap_or_default());
            at = at.saturating_add(take as u64);
            rest = later;
        }
    }
}

#[cfg(test)]
#[path = "blocks_tests.rs"]
mod tests;
