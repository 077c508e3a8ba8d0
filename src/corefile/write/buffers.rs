//! The buffers that chunks travel in, and the bound on all of them.
//!
//! The one that came back last goes out first: while the workers keep up, a few
//! buffers are used again and again and stay in the cache, and the others are
//! never allocated.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A buffer for a chunk, or for the frame that it becomes.
pub(super) type Buffer = Box<[u8]>;

/// The buffers that are free.
#[derive(Debug)]
pub(super) struct Buffers {
    state: Mutex<State>,
    returned: Condvar,
    size: usize,
}

#[derive(Debug)]
struct State {
    free: Vec<Buffer>,
    /// How many more may be allocated.
    unallocated: usize,
    closed: bool,
}

impl Buffers {
    /// Room for `count` buffers of `size` bytes.
    pub(super) fn new(count: usize, size: usize) -> Self {
        let state = State { free: Vec::new(), unallocated: count, closed: false };
        Self { state: Mutex::new(state), returned: Condvar::new(), size }
    }

    /// A buffer, if there is one now.
    pub(super) fn try_take(&self) -> Option<Buffer> {
        self.take_from(&mut self.lock())
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
            state = self.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Gives a buffer back.
    pub(super) fn give(&self, buffer: Buffer) {
        self.lock().free.push(buffer);
        self.returned.notify_one();
    }

    /// A buffer beside those that are counted, for a worker to keep.
    pub(super) fn extra(&self) -> Buffer {
        vec![0; self.size].into_boxed_slice()
    }

    /// Ends every wait.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.returned.notify_all();
    }

    fn take_from(&self, state: &mut State) -> Option<Buffer> {
        if let Some(buffer) = state.free.pop() {
            return Some(buffer);
        }
        state.unallocated = state.unallocated.checked_sub(1)?;
        Some(self.extra())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
