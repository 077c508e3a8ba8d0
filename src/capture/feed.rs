//! Hands the writer the memory of a held guest, as it is read range by range.
//!
//! The thread that talks to QEMU reads: between two ranges it looks at everything that it
//! looks at during a dump. It reads no further while the writer has a piece that it did not
//! begin with.

use std::time::Duration;

use crossbeam_channel::Sender;

use super::outcome::with_causes;
use super::session::Session;
use crate::corefile::write::MemoryPiece;
use crate::held::ranged::{self, Requests};
use crate::monitor::MonitorError;

/// How often it is looked whether the writer took the last piece.
const TICK: Duration = Duration::from_millis(2);

/// What is still to be read.
#[derive(Debug)]
pub(super) struct Feed {
    requests: Requests,
    /// How many of them were read.
    done: usize,
    /// `None` once nothing more will come.
    writer: Option<Sender<MemoryPiece>>,
    /// Why the ranges are not to be trusted.
    doubt: Option<String>,
}

impl Feed {
    /// These ranges, for who takes them out of the channel, which has room for one.
    pub(super) fn new(requests: Requests, writer: Sender<MemoryPiece>) -> Self {
        Self { requests, done: 0, writer: Some(writer), doubt: None }
    }

    fn is_done(&self) -> bool {
        self.done >= self.requests.ranges().len()
    }

    /// Why the whole dump is to be taken instead, if it is.
    pub(super) fn doubt(&self) -> Option<&str> {
        self.doubt.as_deref()
    }

    /// Whether the writer waits for a range.
    pub(super) fn is_wanted(&self) -> bool {
        !self.is_done() && self.writer.as_ref().is_some_and(|writer| !writer.is_full())
    }

    /// When it is to be looked again, if there is something left.
    pub(super) fn tick(&self) -> Option<Duration> {
        (!self.is_done() && self.writer.is_some()).then_some(TICK)
    }

    /// Gives the writer nothing more.
    pub(super) fn stop(&mut self) {
        self.writer = None;
    }

    /// Reads the next range. What QEMU refuses, or does not give as it was asked for, is a doubt.
    ///
    /// # Errors
    /// Fails if the monitor does not answer: the range is still to be read then.
    pub(super) fn read_next(&mut self, session: &mut Session<'_>) -> Result<(), MonitorError> {
        let Some(range) = self.requests.ranges().get(self.done).copied() else { return Ok(()) };
        let limits = session.limits();
        match ranged::read(session.monitor.as_mut(), range, &limits) {
            Ok(bytes) => {
                self.done = self.done.saturating_add(1);
                let piece = MemoryPiece { start: range.start, bytes };
                let taken = self.writer.as_ref().is_some_and(|writer| writer.send(piece).is_ok());
                // A writer that is gone reports itself why.
                if !taken || self.is_done() {
                    self.stop();
                }
                Ok(())
            }
            Err(problem) => match problem.into_monitor_error() {
                Ok(error) => Err(error),
                // That the guest changed is found out by the caller, who has its events, too.
                Err(doubt) => {
                    self.doubt = Some(with_causes(&doubt));
                    self.stop();
                    Ok(())
                }
            },
        }
    }
}
