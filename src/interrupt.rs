//! What ends a wait early: a signal that asks the process to stop.
//!
//! The signal handler only writes a byte into a pipe and keeps the number.
//! Whoever waits for something else polls the pipe's other end along with it,
//! so no wait is missed and none needs a time slice of its own.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Says whether the process was asked to stop.
#[derive(Debug)]
pub struct Interrupt {
    wake: UnixStream,
    signal: Arc<AtomicUsize>,
    // Keeps the pipe open where no handler holds its other end.
    _source: UnixStream,
}

impl Interrupt {
    /// An interrupt that SIGINT, SIGTERM and SIGHUP raise, from now on.
    ///
    /// # Errors
    /// Fails if the handlers cannot be installed.
    pub fn on_signals() -> io::Result<Self> {
        let interrupt = Self::never()?;
        for number in [SIGINT, SIGTERM, SIGHUP] {
            let value = usize::try_from(number).unwrap_or_default();
            signal_hook::flag::register_usize(number, Arc::clone(&interrupt.signal), value)?;
            signal_hook::low_level::pipe::register(number, interrupt._source.try_clone()?)?;
        }
        Ok(interrupt)
    }

    /// An interrupt that nothing raises.
    ///
    /// # Errors
    /// Fails if the process has no descriptors left.
    pub fn never() -> io::Result<Self> {
        let (wake, source) = UnixStream::pair()?;
        Ok(Self { wake, signal: Arc::default(), _source: source })
    }

    /// The descriptor that is readable once the interrupt was raised.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Whether it was raised. Once raised, it stays so.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        let mut fds = [PollFd::new(&self.wake, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    /// The name of the signal that raised it, for messages.
    #[must_use]
    pub fn signal_name(&self) -> &'static str {
        match i32::try_from(self.signal.load(Ordering::Relaxed)) {
            Ok(SIGINT) => "SIGINT",
            Ok(SIGTERM) => "SIGTERM",
            Ok(SIGHUP) => "SIGHUP",
            _ => "a signal",
        }
    }
}
