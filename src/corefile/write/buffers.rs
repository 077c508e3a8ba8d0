//! The buffers that chunks travel in, and the bound on all of them.
//!
//! The one that came back last goes out first: while the workers keep up, a few
//! buffers are used again and again and stay in the cache, and the others are
//! never allocated. Each is a mapping of its own, so that what the spool no longer needs
//! goes back to the system at once.

use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use memmap2::{Advice, MmapMut};

use super::CHUNK;
use super::spool::{Fill, Spool};

/// A buffer for a chunk, or for the frame that it becomes.
#[derive(Debug)]
pub(super) struct Buffer {
    memory: MmapMut,
    /// Whether the system has given it memory for a chunk already.
    populated: bool,
}

impl Buffer {
    fn new(size: usize) -> io::Result<Self> {
        Ok(Self { memory: MmapMut::map_anon(size)?, populated: false })
    }

    /// Has the system give it memory for a chunk at once, if it has none yet.
    ///
    /// For one page after the other, as they are written to, that takes twice as long: a guest
    /// waits for it when a spool grows.
    pub(super) fn populate(&mut self) {
        if !self.populated {
            self.populated = true;
            // A kernel before 5.14 cannot, and gives the pages as they are written to.
            let _ = self.memory.advise_range(Advice::PopulateWrite, 0, CHUNK);
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory
    }
}

/// The buffers that are free.
#[derive(Debug)]
pub(super) struct Buffers {
    state: Mutex<State>,
    returned: Condvar,
    size: usize,
    /// How many there may be beside the spool.
    base: usize,
}

#[derive(Debug)]
struct State {
    free: Vec<Buffer>,
    allocated: usize,
    spool: Spool,
    /// Whether no more will be taken.
    drained: bool,
    closed: bool,
}

impl Buffers {
    /// Room for `count` buffers of `size` bytes, and for those of the spool.
    pub(super) fn new(count: usize, size: usize, spool: Spool) -> Self {
        let state = State { free: Vec::new(), allocated: 0, spool, drained: false, closed: false };
        Self { state: Mutex::new(state), returned: Condvar::new(), size, base: count }
    }

    /// A buffer, if there is one now.
    pub(super) fn try_take(&self) -> Option<Buffer> {
        let mut state = self.lock();
        if state.closed { None } else { self.take_from(&mut state) }
    }

    /// A buffer, as soon as there is one. `None` once closed.
    pub(super) fn take(&self) -> Option<Buffer> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(buffer) = self.take_from(&mut state) {
                return Some(buffer);
            }
            if state.allocated == 0 {
                // The system has no memory at all: none would ever come back.
                return None;
            }
            state = self.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Gives a buffer back.
    pub(super) fn give(&self, buffer: Buffer) {
        let mut state = self.lock();
        if state.drained && state.allocated > self.base {
            state.allocated = state.allocated.saturating_sub(1);
            drop(state);
            drop(buffer);
            return;
        }
        state.free.push(buffer);
        drop(state);
        self.returned.notify_one();
    }

    /// A buffer beside those that are counted, for a worker to keep.
    pub(super) fn extra(&self) -> io::Result<Buffer> {
        Buffer::new(self.size)
    }

    /// No more buffers will be taken: those of the spool go as they come back.
    pub(super) fn drain(&self) {
        let mut state = self.lock();
        state.drained = true;
        let kept = self.base.min(state.free.len());
        let spare = state.free.split_off(kept);
        state.allocated = state.allocated.saturating_sub(spare.len());
        drop(state);
        drop(spare);
    }

    /// Ends every wait.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.returned.notify_all();
    }

    /// How full the spool is.
    pub(super) fn fill(&self) -> Fill {
        let state = self.lock();
        state.spool.fill(self.base, state.allocated, state.free.len())
    }

    fn take_from(&self, state: &mut State) -> Option<Buffer> {
        if let Some(buffer) = state.free.pop() {
            return Some(buffer);
        }
        let beyond = state.allocated.checked_sub(self.base);
        if beyond.is_some_and(|beyond| !state.spool.may_grow(beyond)) {
            return None;
        }
        let Ok(buffer) = self.extra() else {
            state.spool.is_short();
            return None;
        };
        state.allocated = state.allocated.saturating_add(1);
        Some(buffer)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
