//! The dump without what is left out of the core: only the rest is read, range by range.
//!
//! Needs: a stopped guest, the plan of its pages, and a sink. Gives: a whole core, or the sink
//! back and the reason why the stream is to be used. Of QEMU's own dump, head, notes and
//! ranges are the same; memory that is left out is not even sent.

use crossbeam_channel::bounded;

use super::attempt::Attempt;
use super::dump_completion::DumpCompletion;
use super::feed::Feed;
use super::guard;
use super::outcome::{CaptureError, with_causes};
use super::read_memory::{Unread, confirm, fall_back, note_stream, write_core};
use super::session::Session;
use crate::corefile::write::{CoreSink, Pipeline, RangedSource, StreamOptions};
use crate::held::ranged::{NotRanged, Ranged};
use crate::metadata::{MemorySource, SourceUsed};

/// Dumps what the guest's core is to have. Gives the sink back, empty, if the stream is to be
/// used: if nothing is left out, too.
pub(super) fn attempt(
    session: &mut Session<'_>,
    attempt: &mut Attempt,
    sink: Box<dyn CoreSink>,
    options: StreamOptions,
) -> Result<Option<Box<dyn CoreSink>>, CaptureError> {
    let Some(left_out) = session.left_out.clone() else { return Ok(Some(sink)) };
    let limits = session.limits();
    guard::check(session, &limits)?;
    let planned = Ranged::plan(session.monitor.as_mut(), &limits, &left_out);
    guard::check_events(session)?;
    let ranged = match planned.map_err(NotRanged::into_monitor_error) {
        Ok(ranged) => ranged,
        Err(Ok(error)) => return Err(error.into()),
        Err(Err(reason)) => {
            note_stream(session, &with_causes(&reason));
            return Ok(Some(sink));
        }
    };
    match read(session, attempt, &ranged, sink, options) {
        Ok(()) => {
            let reason = session.metadata.source.take().and_then(|source| source.reason);
            session.metadata.source = Some(MemorySource { used: SourceUsed::Ranges, reason });
            Ok(None)
        }
        Err(Unread::Capture(error)) => Err(error),
        Err(Unread::Doubt(doubt)) => fall_back(session, attempt, &doubt).map(Some),
    }
}

fn read(
    session: &mut Session<'_>,
    attempt: &mut Attempt,
    ranged: &Ranged,
    sink: Box<dyn CoreSink>,
    options: StreamOptions,
) -> Result<(), Unread> {
    let requests = ranged.requests();
    // One piece waits while the writer has another, and a third is read.
    let (writer, pieces) = bounded(1);
    let (layout, head, summary) = ranged.core();
    let source = RangedSource {
        head: head.to_vec(),
        segments: layout.segments().to_vec(),
        length: layout.length(),
        expected: requests.bytes(),
        pieces,
        summary: summary.clone(),
    };
    guard::dump_begins(session);
    session.observer.step(&format!("the memory is read in {} ranges", requests.ranges().len()));
    let pipeline = Pipeline::start(source, sink, options);
    let completion = DumpCompletion::of_ranges(Feed::new(requests.clone(), writer));
    let (outcome, completion) = write_core(session, attempt, pipeline, completion)?;
    let mut lost = completion.lost();
    match (outcome, completion.feed.as_ref().and_then(Feed::doubt)) {
        // Whether QEMU's answer or another client's doing is the reason is found out first.
        (Err(CaptureError::Stream(_)), Some(doubt)) => {
            let limits = session.limits();
            guard::check(session, &limits)?;
            return Err(Unread::Doubt(doubt.to_owned()));
        }
        (outcome, _) => outcome?,
    }
    confirm(session, &mut lost, |monitor, limits| {
        let confirmed = ranged.confirm(monitor, limits).map_err(NotRanged::into_monitor_error);
        confirmed.map_err(|error| match error {
            Ok(error) => error.into(),
            Err(doubt) => Unread::Doubt(with_causes(&doubt)),
        })
    })
}
