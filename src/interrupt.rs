//! What ends a wait early: a signal that asks the process to stop.
//!
//! The signal handler only writes a byte into a pipe and keeps the number. A wait
//! for something else polls the pipe's other end along with it, so that no signal is
//! missed and no wait needs a time slice of its own.
//!
//! A signal that the process inherited as ignored stays ignored: `nohup` ignores
//! SIGHUP, and a shell without job control ignores SIGINT and SIGQUIT in the
//! commands that it starts in the background.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXCPU};
use signal_hook::iterator::Signals;

/// Says whether the process was asked to stop.
#[derive(Debug)]
pub struct Interrupt {
    wake: UnixStream,
    signal: Arc<AtomicUsize>,
    // Keeps the pipe open where no handler holds its other end.
    _source: UnixStream,
}

impl Interrupt {
    /// An interrupt that SIGINT, SIGTERM and SIGHUP raise, from now on, but for those
    /// that are ignored.
    pub fn on_signals() -> io::Result<Self> {
        let interrupt = Self::never()?;
        for number in not_ignored(&[SIGINT, SIGTERM, SIGHUP]) {
            let value = usize::try_from(number).unwrap_or_default();
            signal_hook::flag::register_usize(number, Arc::clone(&interrupt.signal), value)?;
            signal_hook::low_level::pipe::register(number, interrupt._source.try_clone()?)?;
        }
        Ok(interrupt)
    }

    /// An interrupt that nothing raises.
    pub fn never() -> io::Result<Self> {
        let (wake, source) = UnixStream::pair()?;
        Ok(Self { wake, signal: Arc::default(), _source: source })
    }

    /// The descriptor that is readable once the interrupt was raised.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Whether it was raised. Once raised, it stays so.
    pub fn is_raised(&self) -> bool {
        let mut fds = [PollFd::new(&self.wake, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    /// The name of the signal that raised it, for messages.
    pub fn signal_name(&self) -> &'static str {
        name(i32::try_from(self.signal.load(Ordering::Relaxed)).unwrap_or_default())
    }
}

/// Gives `take` the name of each SIGINT, SIGTERM and SIGHUP, on a thread of its own, from now on,
/// but for those that are ignored.
pub fn on_each(mut take: impl FnMut(&'static str) + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new(not_ignored(&[SIGINT, SIGTERM, SIGHUP]))?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            take(name(signal));
        }
    })?;
    Ok(())
}

/// The end of the processor time that this process may use: the system reports it by SIGXCPU,
/// and ends the process some seconds later.
#[derive(Debug)]
pub struct TimeIsUp(Signals);

impl TimeIsUp {
    /// Waits for it from now on. To be called before the process confines itself.
    pub fn expect() -> io::Result<Self> {
        Signals::new([SIGXCPU]).map(Self)
    }

    /// Runs `end` then, on a thread of its own.
    pub fn then(mut self, end: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let thread = thread::Builder::new().name("processor time".to_owned());
        thread.spawn(move || {
            if self.0.forever().next().is_some() {
                end();
            }
        })?;
        Ok(())
    }
}

fn name(signal: i32) -> &'static str {
    match signal {
        SIGINT => "SIGINT",
        SIGTERM => "SIGTERM",
        SIGHUP => "SIGHUP",
        _ => "a signal",
    }
}

/// Those of these signals that the process does not ignore. Asked before a handler is
/// installed: a handler ends the ignoring.
pub fn not_ignored(numbers: &[i32]) -> Vec<i32> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    // Without /proc nothing is taken for ignored.
    let ignored = ignored(&status).unwrap_or(0);
    let is_ignored = |number: i32| {
        let bit = u32::try_from(number).ok().and_then(|number| number.checked_sub(1));
        bit.and_then(|bit| ignored.checked_shr(bit)).is_some_and(|mask| mask & 1 == 1)
    };
    numbers.iter().copied().filter(|number| !is_ignored(*number)).collect()
}

/// The mask of ignored signals in `/proc/PID/status`: bit 0 is signal 1.
fn ignored(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        // SIGHUP and SIGPIPE.
        let status = "Name:\tx\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n";
        assert_eq!(ignored(status), Some(0x1001));
        assert_eq!(ignored("Name:\tx\n"), None);
    }

    #[test]
    fn a_signal_that_nothing_ignores_is_handled() {
        assert_eq!(not_ignored(&[SIGTERM]), [SIGTERM]);
        // What the runtime of Rust ignores in every process.
        assert_eq!(not_ignored(&[signal_hook::consts::SIGPIPE]), [0_i32; 0]);
    }
}
