//! Disk work with a time limit: a disk that hangs must not hold the guest.
//!
//! A call into a file system that hangs does not return, and nothing ends it.
//! So it is made on a thread of its own, and its caller can give up.

use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, bounded};

use super::outcome::CaptureError;
use super::session::Session;

/// How often the hold's limit and signals are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// How many times the timeout a disk may do nothing. Writing back what others
/// wrote takes a slow one a while.
const DISK_TIMEOUTS: u32 = 4;

/// How long a disk may do nothing.
pub(super) fn disk_timeout(session: &Session<'_>) -> Duration {
    session.request.timeout.saturating_mul(DISK_TIMEOUTS)
}

/// Does `work` and gives its result, or gives up at the hold's limit, at a
/// signal, or when the disk is out of limits.
///
/// A result that comes after that is undone by `undo`.
pub(super) fn on_disk<T: Send + 'static>(
    session: &Session<'_>,
    work: impl FnOnce() -> T + Send + 'static,
    undo: fn(T),
) -> Result<T, CaptureError> {
    let started = Instant::now();
    // An unbuffered channel: a result is either taken or still the worker's.
    let (sender, results) = bounded(0);
    thread::Builder::new()
        .name("disk".to_owned())
        .spawn(move || {
            if let Err(unsent) = sender.send(work()) {
                undo(unsent.into_inner());
            }
        })
        .map_err(CaptureError::Threads)?;
    loop {
        match results.recv_timeout(LOOK_INTERVAL) {
            Ok(result) => return Ok(result),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(CaptureError::DiskHangs { waited: started.elapsed() });
            }
        }
        if session.interrupt.is_raised() {
            return Err(CaptureError::Interrupted { signal: session.interrupt.signal_name() });
        }
        if session.clock.is_over() {
            let limit = session.request.max_hold.unwrap_or_default();
            return Err(CaptureError::HoldLimit { limit });
        }
        if started.elapsed() > disk_timeout(session) {
            return Err(CaptureError::DiskHangs { waited: started.elapsed() });
        }
    }
}

/// Does `work` and gives its result, or gives up at this limit.
pub(super) fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (sender, results) = bounded(1);
    let worker = thread::Builder::new().name("disk".to_owned());
    worker.spawn(move || sender.send(work())).ok()?;
    results.recv_timeout(limit).ok()
}

/// Does `work`, and waits for it as long as `limit` says. What takes longer may
/// still be done, as long as the process lives.
pub(super) fn in_time(limit: Duration, work: impl FnOnce() + Send + 'static) {
    let (done, ended) = bounded::<()>(0);
    let started = thread::Builder::new().name("disk".to_owned()).spawn(move || {
        work();
        drop(done);
    });
    if started.is_ok() {
        let _ = ended.recv_timeout(limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_does_not_end_is_given_up() {
        let (end, awaited) = bounded::<()>(0);
        assert!(within(Duration::from_millis(20), move || awaited.recv()).is_none());
        drop(end);
        assert_eq!(within(Duration::from_secs(60), || 7), Some(7));
    }
}
