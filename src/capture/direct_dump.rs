//! The dump without QEMU's stream: its memory is read in its own process.
//!
//! Needs: a stopped guest, and a sink. Gives: a whole core, or the sink back and the reason
//! why the stream is to be used. As with the stream, the core is whole only if the guest
//! stayed as it was found; here, QEMU's memory map and some of its pages have to be the same
//! afterwards, too.

use super::attempt::Attempt;
use super::dump_completion::DumpCompletion;
use super::outcome::{CaptureError, with_causes};
use super::read_memory::{Unread, confirm, fall_back, note_stream, write_core};
use super::request::Source;
use super::session::Session;
use super::{guard, plan};
use crate::corefile::write::{CoreSink, HeldSource, Pipeline, StreamOptions};
use crate::held::direct::{Direct, NotDirect};
use crate::metadata::{MemorySource, SourceUsed};

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
            note_stream(session, &with_causes(&reason));
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
    let (outcome, completion) =
        write_core(session, attempt, pipeline, DumpCompletion::of_direct())?;
    let mut lost = completion.lost();
    match outcome {
        // Whether that is QEMU's end, or another client's doing, is found out below.
        Err(CaptureError::Memory(_) | CaptureError::Stream(_))
            if direct.memory().failure().is_some() => {}
        other => other?,
    }
    confirm(session, &mut lost, |monitor, limits| {
        let confirmed = direct.confirm(monitor, limits).map_err(NotDirect::into_monitor_error);
        confirmed.map_err(|error| match error {
            Ok(error) => error.into(),
            Err(doubt) => Unread::Doubt(with_causes(&doubt)),
        })
    })
}
