//! What the workers have to do, and in which order.
//!
//! While a guest waits, what is still to be read comes first, and is compressed when there is
//! nothing to read. QEMU and the reader of its pipe need processors, too: as long as the spool
//! has room, one worker compresses for each processor beyond these two, and one at
//! least: memory that compresses at once then stays in a few buffers, and the spool, whose
//! memory costs time when it is used first, stays small.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::buffers::Buffer;
use super::spool::Fill;
use crate::corefile::read::bytes::Bytes;

/// How many processors QEMU's dump and its reader use.
const OF_THE_DUMP: usize = 2;

/// A chunk to compress.
#[derive(Debug)]
pub(super) struct Job {
    /// Its number in the core.
    pub(super) index: u64,
    /// Its bytes, in front.
    pub(super) buffer: Buffer,
    /// How many bytes.
    pub(super) length: usize,
    /// Where they are still to be read from, and at which offset.
    pub(super) reader: Option<(Arc<dyn Bytes>, u64)>,
}

/// The jobs that wait for workers.
#[derive(Debug)]
pub(super) struct Work {
    state: Mutex<State>,
    changed: Condvar,
    workers: usize,
    processors: usize,
}

#[derive(Debug, Default)]
struct State {
    /// Chunks to be read, in the order of the core.
    unread: VecDeque<Job>,
    /// Chunks to be compressed.
    chunks: VecDeque<Job>,
    reading: usize,
    compressing: usize,
    /// Whether all was read.
    read: bool,
    /// Whether no more jobs come.
    ended: bool,
}

/// What a worker does next.
#[derive(Debug)]
pub(super) enum Task {
    /// The chunk is still to be read. [`Work::has_read`] follows.
    Read(Job),
    /// It is to be compressed. [`Work::has_compressed`] follows.
    Compress(Job),
}

impl Work {
    /// For this number of workers, on a host with this number of processors.
    pub(super) fn new(workers: usize, processors: usize) -> Self {
        let state = Mutex::new(State::default());
        Self { state, changed: Condvar::new(), workers, processors }
    }

    /// Adds a chunk that is to be read, if it has a reader, or else compressed.
    pub(super) fn add(&self, job: Job) {
        let mut state = self.lock();
        let queue = if job.reader.is_some() { &mut state.unread } else { &mut state.chunks };
        queue.push_back(job);
        drop(state);
        self.changed.notify_one();
    }

    /// The next task, as soon as there is one. `None` once there will be no more.
    pub(super) fn next(&self, fill: impl Fn() -> Fill) -> Option<Task> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.unread.pop_front() {
                state.reading = state.reading.saturating_add(1);
                return Some(Task::Read(job));
            }
            if !state.chunks.is_empty()
                && (state.read || state.compressing < self.most(fill()))
                && let Some(job) = state.chunks.pop_front()
            {
                state.compressing = state.compressing.saturating_add(1);
                return Some(Task::Compress(job));
            }
            if state.ended && state.chunks.is_empty() && state.reading == 0 {
                self.changed.notify_all();
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A chunk was read; what is to be compressed of it, if anything is.
    pub(super) fn has_read(&self, chunk: Option<Job>) {
        let mut state = self.lock();
        state.reading = state.reading.saturating_sub(1);
        state.chunks.extend(chunk);
        drop(state);
        self.changed.notify_all();
    }

    /// The source waits for a buffer: what was held back is not any more.
    pub(super) fn source_waits(&self) {
        self.changed.notify_all();
    }

    /// A chunk was compressed.
    pub(super) fn has_compressed(&self) {
        let mut state = self.lock();
        state.compressing = state.compressing.saturating_sub(1);
    }

    /// Waits until all that was to be read is.
    pub(super) fn await_reads(&self) {
        let mut state = self.lock();
        while state.reading > 0 || !state.unread.is_empty() {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// All was read: nothing is held back any more.
    pub(super) fn all_is_read(&self) {
        self.lock().read = true;
        self.changed.notify_all();
    }

    /// No more jobs come.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        (state.read, state.ended) = (true, true);
        drop(state);
        self.changed.notify_all();
    }

    /// How many may compress while something is read.
    fn most(&self, fill: Fill) -> usize {
        match fill {
            Fill::Roomy => self.processors.saturating_sub(OF_THE_DUMP).clamp(1, self.workers),
            Fill::NoSpool | Fill::Half | Fill::Full => self.workers,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dump_has_its_processors_as_long_as_the_spool_has_room() {
        for (workers, processors, roomy) in
            [(2, 1, 1), (2, 2, 1), (4, 4, 2), (2, 16, 2), (16, 16, 14)]
        {
            let work = Work::new(workers, processors);
            assert_eq!(work.most(Fill::Roomy), roomy, "{workers} of {processors}");
            for fill in [Fill::NoSpool, Fill::Half, Fill::Full] {
                assert_eq!(work.most(fill), workers);
            }
        }
    }
}
