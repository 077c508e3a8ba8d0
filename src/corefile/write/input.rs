//! The read end of the pipe, read without losing time to wake-ups.
//!
//! QEMU writes one page at a time. A reader that sleeps in `read` is woken for
//! each of them, and both sides then pay for the switch. This one takes what is
//! there, and naps when nothing is: a nap is short against the time in which
//! QEMU fills the pipe, so QEMU never waits.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::end::StreamError;
use super::shared::Shared;

/// How long to nap when the pipe is empty.
const NAP: Duration = Duration::from_micros(100);
/// After how many naps in a row QEMU is thought to be busy elsewhere, and the
/// reader sleeps until there is something.
const NAPS: u32 = 20;

/// The dump as it comes out of the pipe.
pub(super) struct Input<'a> {
    pipe: BorrowedFd<'a>,
    shared: Arc<Shared>,
    position: u64,
    naps: u32,
}

impl<'a> Input<'a> {
    /// Reads from `pipe`, without blocking.
    pub(super) fn new(pipe: BorrowedFd<'a>, shared: Arc<Shared>) -> Self {
        // The flag is the read end's own: QEMU's end stays as it is.
        let flags = rustix::fs::fcntl_getfl(pipe).unwrap_or(rustix::fs::OFlags::empty());
        let _ = rustix::fs::fcntl_setfl(pipe, flags | rustix::fs::OFlags::NONBLOCK);
        Self { pipe, shared, position: 0, naps: 0 }
    }

    /// How many bytes came so far.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Reads some bytes to the front of `into`. Gives 0 at the end of the stream.
    pub(super) fn read(&mut self, into: &mut [u8]) -> Result<usize, StreamError> {
        loop {
            if self.shared.aborted.load(Ordering::Relaxed) {
                return Err(StreamError::Aborted { found: self.position });
            }
            match rustix::io::read(self.pipe, &mut *into) {
                Ok(count) => {
                    self.naps = 0;
                    self.position = self.position.saturating_add(count as u64);
                    self.shared.bytes_read.store(self.position, Ordering::Relaxed);
                    return Ok(count);
                }
                Err(Errno::AGAIN) if self.naps < NAPS => {
                    self.naps = self.naps.saturating_add(1);
                    std::thread::sleep(NAP);
                }
                Err(Errno::AGAIN) => self.sleep()?,
                Err(Errno::INTR) => {}
                Err(error) => return Err(StreamError::Read(error.into())),
            }
        }
    }

    fn sleep(&self) -> Result<(), StreamError> {
        let mut fds = [
            PollFd::from_borrowed_fd(self.pipe.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.shared.abort.as_fd(), PollFlags::IN),
        ];
        match poll(&mut fds, None::<&Timespec>) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(StreamError::Read(io::Error::from(error))),
        }
    }
}
