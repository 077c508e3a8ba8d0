//! Memory that is read otherwise than by the whole dump: whether it is to be trusted, and what
//! follows if not.
//!
//! Needs: what was read. Gives: a whole core, or the sink back and the reason for the stream.
//! QEMU's dump says by itself that all of it came; what is read piece by piece is compared
//! again afterwards, and counts only if the guest stayed as it was found.

use std::io;
use std::time::{Duration, Instant};

use super::attempt::Attempt;
use super::dump_completion::{DumpCompletion, follow, split};
use super::lost_monitor::{Lost, monitor_was_lost};
use super::outcome::CaptureError;
use super::request::Source;
use super::session::Session;
use super::{facts, guard};
use crate::corefile::write::{CoreSink, Pipeline, StreamEnd};
use crate::metadata::{MemorySource, SourceUsed};
use crate::monitor::{Monitor, MonitorError, WaitLimits};

/// How often a monitor that is lost at the end is connected again to compare.
const CONFIRMATIONS: u32 = 3;
/// How long the writer may take to give back the sink of a core that is given up.
const GIVEN_BACK: Duration = Duration::from_secs(5);

/// Why a core that was read so is not whole.
pub(super) enum Unread {
    /// By what ends the capture, whatever the way.
    Capture(CaptureError),
    /// By what the stream may do better.
    Doubt(String),
}

impl From<CaptureError> for Unread {
    fn from(error: CaptureError) -> Self {
        Self::Capture(error)
    }
}

impl From<MonitorError> for Unread {
    fn from(error: MonitorError) -> Self {
        Self::Capture(error.into())
    }
}

/// Has a pipeline write the core, and asks the guest for facts meanwhile. Gives how that ended, and
/// what is known of it.
pub(super) fn write_core(
    session: &mut Session<'_>,
    attempt: &mut Attempt,
    pipeline: io::Result<Pipeline<StreamEnd>>,
    mut completion: DumpCompletion,
) -> Result<(Result<(), CaptureError>, DumpCompletion), CaptureError> {
    let pipeline = attempt.pipeline.insert(pipeline.map_err(CaptureError::Threads)?);
    session.metadata.request.threads = pipeline.threads();
    facts::ask_during(session);
    let outcome = follow(session, pipeline, &mut completion);
    attempt.stream = completion.stream.take();
    attempt.output = completion.output.take();
    attempt.lost_monitor = completion.lost_monitor;
    Ok((outcome, completion))
}

/// Fails if what was read may not be the guest's memory. `compare` asks QEMU for what has to
/// be the same.
pub(super) fn confirm(
    session: &mut Session<'_>,
    lost: &mut Option<Lost>,
    compare: impl Fn(&mut dyn Monitor, &WaitLimits<'_>) -> Result<(), Unread>,
) -> Result<(), Unread> {
    for _ in 0..CONFIRMATIONS {
        match lost {
            // Only the stream says by itself that all of it came.
            Some(Lost::Gone) => return Err(CaptureError::GuestGone.into()),
            Some(Lost::Silent) => break,
            None => {}
        }
        match compare_held(session, &compare) {
            Err(Unread::Capture(CaptureError::Monitor(error))) if error.is_connection_lost() => {
                monitor_was_lost(session, lost, &error)?;
            }
            Err(Unread::Capture(CaptureError::Monitor(error))) => {
                return Err(CaptureError::StateUnknown(error).into());
            }
            other => return other,
        }
    }
    Err(CaptureError::Unconfirmed.into())
}

/// The run state before and behind what is compared: a guest that was resumed has another
/// memory, whatever the map says.
fn compare_held(
    session: &mut Session<'_>,
    compare: impl Fn(&mut dyn Monitor, &WaitLimits<'_>) -> Result<(), Unread>,
) -> Result<(), Unread> {
    // The longest hold may just be over, and a core that is whole is not given up for this.
    let limits = WaitLimits { interrupt: None, until: None, ..session.limits() };
    guard::check(session, &limits)?;
    let compared = compare(session.monitor.as_mut(), &limits);
    guard::check_events(session)?;
    compared?;
    Ok(guard::check(session, &limits)?)
}

/// The sink, empty, if the stream may still give a whole core.
pub(super) fn fall_back(
    session: &mut Session<'_>,
    attempt: &mut Attempt,
    doubt: &str,
) -> Result<Box<dyn CoreSink>, CaptureError> {
    note_stream(session, doubt);
    let given_up = || CaptureError::NotTrusted { reason: doubt.to_owned() };
    if session.clock.is_over() || session.interrupt.is_raised() {
        return Err(given_up());
    }
    let started = Instant::now();
    while let Some(pipeline) = &attempt.pipeline
        && attempt.output.is_none()
        && started.elapsed() < GIVEN_BACK
    {
        pipeline.discard();
        attempt.output = pipeline.take_ended().output;
        std::thread::sleep(Duration::from_millis(1));
    }
    let output = attempt.output.take().ok_or_else(given_up)?;
    let written = output.unwrap_or_else(|error| split(error).1);
    let mut sink = written.sink;
    sink.truncate(0).map_err(CaptureError::Write)?;
    (attempt.pipeline, attempt.stream) = (None, None);
    guard::dump_is_over(session);
    session.clock.lap("dump");
    Ok(sink)
}

/// Records why the stream is used, after what was recorded of other ways before.
pub(super) fn note_stream(session: &mut Session<'_>, reason: &str) {
    let text = format!("the memory comes through QEMU's dump: {reason}");
    if session.request.source == Source::Direct {
        session.warn(text);
    } else {
        session.observer.step(&text);
    }
    let before = session.metadata.source.take().and_then(|source| source.reason);
    let reasons: Vec<_> = before.into_iter().chain([reason.to_owned()]).collect();
    let reason = Some(reasons.join("; "));
    session.metadata.source = Some(MemorySource { used: SourceUsed::Stream, reason });
}
