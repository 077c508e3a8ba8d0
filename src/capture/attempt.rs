//! An attempt to dump a guest, or to make its report instead, and what it left.

use super::outcome::CaptureError;
use super::session::Session;
use crate::corefile::write::{OutputError, Pipeline, StreamEnd, Written};
use crate::monitor::MonitorError;
use crate::store::staging::Staging;

/// What an attempt to dump left.
pub(crate) struct Attempt {
    /// The entry, if it came so far.
    pub(super) staging: Option<Staging>,
    /// The pipeline, if it came so far.
    pub(super) pipeline: Option<Pipeline>,
    /// How the stream ended, if it did.
    pub(super) stream: Option<StreamEnd>,
    /// What is in the file, if the writer came to its end.
    pub(super) output: Option<Result<Written, OutputError>>,
    /// Whether the monitor was lost while the guest was dumped.
    pub(super) lost_monitor: bool,
    /// The step that decided.
    pub(super) stage: &'static str,
    /// Whether the dump is whole.
    pub(super) outcome: Result<(), CaptureError>,
}

impl Attempt {
    pub(super) fn new(stage: &'static str) -> Self {
        Self {
            staging: None,
            pipeline: None,
            stream: None,
            output: None,
            lost_monitor: false,
            stage,
            outcome: Ok(()),
        }
    }

    /// An attempt that was not made.
    pub(crate) fn given_up(stage: &'static str, error: CaptureError) -> Self {
        Self { outcome: Err(error), ..Self::new(stage) }
    }

    /// An attempt that failed before there was anything to dump.
    pub(crate) fn failed(session: &Session<'_>, stage: &'static str, error: CaptureError) -> Self {
        Self { outcome: Err(in_time(session, error)), ..Self::new(stage) }
    }
}

/// A wait that ended because the hold was up, or by a signal, is reported as such.
pub(super) fn in_time(session: &Session<'_>, error: CaptureError) -> CaptureError {
    match (error, session.request.max_hold) {
        (CaptureError::Monitor(MonitorError::Interrupted { signal, .. }), _) => {
            CaptureError::Interrupted { signal }
        }
        (
            CaptureError::Monitor(MonitorError::TimedOut { .. } | MonitorError::NoTime { .. })
            | CaptureError::Busy { .. },
            Some(limit),
        ) if session.clock.is_over() => CaptureError::HoldLimit { limit },
        (error, _) => error,
    }
}
