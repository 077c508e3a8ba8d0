//! The dump without QEMU's stream: its memory is read in its own process.
//!
//! Needs: a stopped guest, and a sink. Gives: a whole core, or the sink back and the reason
//! why the stream is to be used. As with the stream, the core is whole only if the guest
//! stayed as it was found; here, QEMU's memory map and some of its pages have to be the same
//! afterwards, too.

use std::time::{Duration, Instant};

use super::attempt::Attempt;
use super::dump_completion::{DumpCompletion, follow, split};
use super::lost_monitor::{Lost, monitor_was_lost};
use super::outcome::{CaptureError, with_causes};
use super::request::Source;
use super::session::Session;
use super::{facts, guard, plan};
use crate::corefile::write::{CoreSink, HeldSource, Pipeline, StreamOptions};
use crate::held::direct::{Direct, NotDirect};
use crate::metadata::{MemorySource, SourceUsed};
use crate::monitor::{MonitorError, WaitLimits};

/// How often a monitor that is lost at the end is connected again to compare.
const CONFIRMATIONS: u32 = 3;
/// How long the writer may take to give back the sink of a core that is given up.
const GIVEN_BACK: Duration = Duration::from_secs(5);

/// Dumps the guest directly. Gives the sink back, empty, if the stream is to be used.
pub(super) fn attempt(
    session: &mut Session<'_>,
    attempt: &mut Attempt,
    sink: Box<dyn CoreSink>,
    options: StreamOptions,
) -> Result<Option<Box<dyn CoreSink>>, CaptureError> {
    if session.request.source == Source::Stream {
        session.metadata.source = Some(MemorySource { used: SourceUsed::Stream, reason: None });
        return Ok(Some(sink));
    }
    let limits = session.limits();
    let found = Direct::find(session.monitor.as_mut(), &limits);
    guard::check_events(session)?;
    let direct = match found.map_err(NotDirect::into_monitor_error) {
        Ok(direct) => direct,
        Err(Ok(error)) => return Err(error.into()),
        Err(Err(reason)) => {
            note_stream(session, &reason);
            return Ok(Some(sink));
        }
    };
    session.clock.lap("map");
    plan::before_dump(session, Some(&direct))?;
    match read(session, attempt, &direct, sink, options) {
        Ok(()) => {
            session.metadata.source = Some(MemorySource { used: SourceUsed::Direct, reason: None });
            Ok(None)
        }
        Err(Unread::Capture(error)) => Err(error),
        Err(Unread::Doubt(doubt)) => fall_back(session, attempt, &doubt).map(Some),
    }
}

/// Why a core that was read directly is not whole.
enum Unread {
    /// By what ends the capture, whatever the way.
    Capture(CaptureError),
    /// By what the stream may do better.
    Doubt(NotDirect),
}

impl From<CaptureError> for Unread {
    fn from(error: CaptureError) -> Self {
        Self::Capture(error)
    }
}

fn read(
    session: &mut Session<'_>,
    attempt: &mut Attempt,
    direct: &Direct,
    sink: Box<dyn CoreSink>,
    options: StreamOptions,
) -> Result<(), Unread> {
    let (core, summary) = direct
        .core(session.left_out.as_ref())
        .map_err(|error| CaptureError::Stream(error.into()))?;
    let limits = session.limits();
    guard::check(session, &limits)?;
    guard::dump_begins(session);
    session.observer.step("the memory is read in QEMU's process");
    let pipeline = Pipeline::start(HeldSource { core, summary }, sink, options);
    let pipeline = attempt.pipeline.insert(pipeline.map_err(CaptureError::Threads)?);
    session.metadata.request.threads = pipeline.threads();
    if let Err(error) = facts::ask_during(session)
        && !error.is_connection_lost()
        && !matches!(error, MonitorError::Interrupted { .. })
    {
        session.warn(format!("not everything about the guest could be asked: {error}"));
    }
    let mut completion = DumpCompletion::of_direct();
    let outcome = follow(session, pipeline, &mut completion);
    attempt.stream = completion.stream.take();
    attempt.output = completion.output.take();
    attempt.lost_monitor = completion.lost_monitor;
    let mut lost = completion.lost();
    match outcome {
        // Whether that is QEMU's end, or another client's doing, is found out below.
        Err(CaptureError::Write(_) | CaptureError::Stream(_))
            if direct.memory().failure().is_some() => {}
        other => other?,
    }
    confirm(session, direct, &mut lost)
}

/// Fails if what was read may not be the guest's memory.
fn confirm(
    session: &mut Session<'_>,
    direct: &Direct,
    lost: &mut Option<Lost>,
) -> Result<(), Unread> {
    for _ in 0..CONFIRMATIONS {
        match lost {
            // Only the stream says by itself that all of it came.
            Some(Lost::Gone) => return Err(CaptureError::GuestGone.into()),
            Some(Lost::Silent) => break,
            None => {}
        }
        match compare(session, direct) {
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
fn compare(session: &mut Session<'_>, direct: &Direct) -> Result<(), Unread> {
    // The longest hold may just be over, and a core that is whole is not given up for this.
    let limits = WaitLimits { interrupt: None, until: None, ..session.limits() };
    guard::check(session, &limits)?;
    let confirmed = direct.confirm(session.monitor.as_mut(), &limits);
    guard::check_events(session)?;
    match confirmed.map_err(NotDirect::into_monitor_error) {
        Ok(()) => Ok(guard::check(session, &limits)?),
        Err(Ok(error)) => Err(CaptureError::from(error).into()),
        Err(Err(doubt)) => Err(Unread::Doubt(doubt)),
    }
}

/// The sink, empty, if the stream may still give a whole core.
fn fall_back(
    session: &mut Session<'_>,
    attempt: &mut Attempt,
    doubt: &NotDirect,
) -> Result<Box<dyn CoreSink>, CaptureError> {
    note_stream(session, doubt);
    let given_up = || CaptureError::NotTrusted { reason: with_causes(doubt) };
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

/// Records why the stream is used.
fn note_stream(session: &mut Session<'_>, reason: &NotDirect) {
    let reason = with_causes(reason);
    let text = format!("the memory comes through QEMU's dump: {reason}");
    if session.request.source == Source::Direct {
        session.warn(text);
    } else {
        session.observer.step(&text);
    }
    session.metadata.source = Some(MemorySource { used: SourceUsed::Stream, reason: Some(reason) });
}
