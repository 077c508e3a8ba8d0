//! Serves the memory of a held guest to whoever reads it on another thread.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::partial_dump::{self, PartialDumpError};
use crate::monitor::{Monitor, MonitorError, WaitLimits};
use crate::vmcore::MemoryRange;

/// How often the limit and signals are looked at while nobody asks for anything.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Somebody wants a range of memory.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) range: MemoryRange,
    /// Where it should go: all of it, or why not.
    pub(super) answer: Sender<Result<Vec<u8>, String>>,
}

/// Serves until nobody is left who could ask, or the limits are reached.
///
/// What QEMU refuses is the answer to that one request. A monitor that is lost, and a
/// guest that somebody let go, end everything.
pub(super) fn serve(
    monitor: &mut dyn Monitor,
    limits: &WaitLimits<'_>,
    requests: &Receiver<Request>,
) -> Result<(), PartialDumpError> {
    let started = Instant::now();
    loop {
        if let Some(interrupt) = limits.interrupt.filter(|interrupt| interrupt.is_raised()) {
            let (signal, during) = (interrupt.signal_name(), "reading the held guest".to_owned());
            return Err(MonitorError::Interrupted { signal, during }.into());
        }
        if limits.until.is_some_and(|until| Instant::now() >= until) {
            let command = "reading the held guest".to_owned();
            return Err(MonitorError::TimedOut { command, waited: started.elapsed() }.into());
        }
        let request = match requests.recv_timeout(LOOK_INTERVAL) {
            Ok(request) => request,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        let answer = match partial_dump::memory(monitor, request.range, limits) {
            Ok(part) => {
                let mut bytes = vec![0; usize::try_from(request.range.length).unwrap_or_default()];
                let copied = part.copy_to(request.range, &mut bytes);
                copied.map(|()| bytes).ok_or_else(|| {
                    format!("QEMU's partial dump of {} does not have all of it", request.range)
                })
            }
            Err(PartialDumpError::Monitor(error @ MonitorError::Refused { .. })) => {
                Err(error.to_string())
            }
            Err(error) => {
                let _ = request.answer.send(Err(error.to_string()));
                return Err(error);
            }
        };
        // Events of our own dumps, and of nobody else's.
        monitor.forget_events();
        let _ = request.answer.send(answer);
    }
}
