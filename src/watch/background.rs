//! Work that may hang, on a thread of its own: disks, and programs of others.
//!
//! The supervisor queues it and goes on. A queue that is full drops what comes, and counts it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

/// How much work may wait.
const QUEUE: usize = 1024;

type Work = Box<dyn FnOnce() + Send>;

/// A thread and its queue.
pub(super) struct Background {
    work: Sender<Work>,
    dropped: Arc<AtomicU64>,
    /// Disconnected once all is done.
    ended: Receiver<()>,
}

impl Background {
    pub(super) fn start(name: &str) -> std::io::Result<Self> {
        let (work, queue) = bounded::<Work>(QUEUE);
        let (alive, ended) = bounded(0);
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            queue.iter().for_each(|work| work());
            drop(alive);
        })?;
        Ok(Self { work, dropped: Arc::default(), ended })
    }

    /// Has something done. Never waits.
    pub(super) fn queue(&self, work: impl FnOnce() + Send + 'static) {
        if self.work.try_send(Box::new(work)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How much was dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Ends once all is done, or after this time.
    pub(super) fn end(self, limit: Duration) {
        drop(self.work);
        let _ = self.ended.recv_deadline(Instant::now() + limit);
    }
}
