//! Brings an entry to its end, after the guest was released.
//!
//! Needs: what the dump left. Gives: a published entry, or an incomplete one
//! with the same parts ([`crate::corefile::write::tail`]), or nothing. What is on disk in the end
//! says what it is, as far as the disk allows.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::attempt::Attempt;
use super::core_metadata::{describe, files, warn_of_contents};
use super::disk::in_time;
use super::outcome::{CaptureError, Problem};
use super::session::Session;
use crate::corefile::write::Written;
use crate::corefile::write::tail;
use crate::metadata::CaptureResult;
use crate::store::StoreError;
use crate::store::staging::Staging;

/// How long after a signal a disk that takes nothing is waited for.
const STILL_MOVES: Duration = Duration::from_millis(500);

/// What is on disk in the end.
#[derive(Debug, Default)]
pub(super) struct Finished {
    pub(super) entry: Option<PathBuf>,
    pub(super) incomplete: Option<PathBuf>,
    /// The numbers of the chunks that got less work than was asked for.
    pub(super) lighter: Vec<u32>,
}

/// Ends the entry: published if the dump is whole, incomplete if a part is worth
/// keeping, and removed if not.
pub(super) fn finish(
    session: &mut Session<'_>,
    mut attempt: Attempt,
    keep: bool,
    problems: &mut Vec<Problem>,
) -> Finished {
    session.metadata.result = CaptureResult::Incomplete;
    let Some(staging) = attempt.staging.take() else {
        session.metadata.phases = session.clock.phases();
        return Finished::default();
    };
    let written = take_written(session, &mut attempt);
    if attempt.outcome.is_ok() && !session.clock.has("write") {
        session.clock.lap("write");
    }
    let whole = attempt.outcome.is_ok() && matches!(written, Some(Ok(_)));
    let written = match written {
        Some(Ok(written)) => Some(written),
        Some(Err((error, written))) => {
            note_failure(session, &error, "write", problems);
            Some(written)
        }
        None => {
            // All was read, and a signal ended the wait for the disk.
            if attempt.outcome.is_ok() {
                let signal = session.interrupt.signal_name();
                note_failure(session, &CaptureError::Interrupted { signal }, "write", problems);
            }
            None
        }
    };
    let hangs = written.is_none() && attempt.pipeline.is_some();
    let Some(mut written) = written.filter(|written| keep && !written.table.is_empty()) else {
        session.metadata.phases = session.clock.phases();
        if keep && hangs {
            return leave_to_writer(session, staging);
        }
        staging.discard();
        session.metadata.id.clear();
        return Finished::default();
    };
    if whole {
        session.metadata.result = CaptureResult::Complete;
    }
    let staged = staging.staged().to_owned();
    match complete(session, &attempt, &staging, &mut written, whole) {
        Ok(Some(entry)) => {
            session.observer.step(&format!("published {}", entry.display()));
            Finished { entry: Some(entry), incomplete: None, lighter: written.lighter }
        }
        Ok(None) => Finished { incomplete: Some(staged), ..Finished::default() },
        Err(error) => {
            session.metadata.result = CaptureResult::Incomplete;
            note_failure(session, &CaptureError::Store(error), "finish", problems);
            correct(session, &attempt, &staging, &mut written);
            Finished { incomplete: Some(staged), ..Finished::default() }
        }
    }
}

/// Reports an error to the user and in the metadata, where the first one counts.
pub(super) fn note_failure(
    session: &mut Session<'_>,
    error: &CaptureError,
    stage: &str,
    problems: &mut Vec<Problem>,
) {
    problems.push(Problem::new(error, error.hint()));
    session.metadata.failure.get_or_insert_with(|| error.as_failure(stage));
}

/// What is in the file. The writer may still be at it: it is waited for as long
/// as a whole core may come of it, and a while if only a part can. What is in memory is all
/// that is left of a guest that was released: after a signal it is written with as little work
/// as possible, and waited for as long as the disk takes it.
fn take_written(
    session: &Session<'_>,
    attempt: &mut Attempt,
) -> Option<Result<Written, (CaptureError, Written)>> {
    let started = Instant::now();
    let mut moved = (started, 0);
    while let Some(pipeline) = &attempt.pipeline {
        let ended = pipeline.take_ended();
        attempt.stream = attempt.stream.take().or(ended.stream);
        attempt.output = attempt.output.take().or(ended.output);
        let written = pipeline.progress().bytes_written;
        // A worker takes its time for a chunk; a disk that hangs never gives a write back.
        if written != moved.1 || !pipeline.is_writing() {
            moved = (Instant::now(), written);
        }
        let waits = match attempt.outcome {
            Ok(()) if session.interrupt.is_raised() => {
                pipeline.hurry(true);
                moved.0.elapsed() < STILL_MOVES
            }
            Ok(()) => true,
            Err(_) => started.elapsed() < session.request.timeout,
        };
        if (attempt.output.is_some() && attempt.stream.is_some()) || !waits {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Some(attempt.output.take()?.map_err(super::dump_completion::split))
}

/// Leaves the core of a writer that has not come back from the disk. What it
/// wrote may be all that is left of the guest's memory.
fn leave_to_writer(session: &Session<'_>, staging: Staging) -> Finished {
    let staged = staging.staged().to_owned();
    if let Ok(files) = files(session, &session.metadata, None) {
        in_time(session.request.timeout, move || {
            let _ = staging.write_metadata(&files, true);
        });
    }
    Finished { incomplete: Some(staged), ..Finished::default() }
}

fn complete(
    session: &mut Session<'_>,
    attempt: &Attempt,
    staging: &Staging,
    written: &mut Written,
    whole: bool,
) -> Result<Option<PathBuf>, StoreError> {
    let core_error = |source| StoreError::io("complete", staging.staged(), source);
    warn_of_contents(session, attempt);
    // The large part first, so that its time is in the metadata.
    written.sink.sync_data().map_err(core_error)?;
    session.clock.lap("sync");
    session.observer.step("the core is on the disk");
    session.metadata.phases = session.clock.phases();
    session.metadata.core = Some(describe(attempt, written, staging));
    let mut json = session.metadata.to_json();
    if let Err(error) = tail::append(written, &json) {
        if whole || error.kind() != io::ErrorKind::StorageFull {
            return Err(core_error(error));
        }
        tail::give_up_chunks(written);
        session.metadata.core = Some(describe(attempt, written, staging));
        json = session.metadata.to_json();
        tail::append(written, &json).map_err(core_error)?;
    }
    written.sink.sync_all().map_err(core_error)?;
    let files = files(session, &session.metadata, staging.core_bytes()).map_err(core_error)?;
    staging.write_metadata(&files, true)?;
    if !whole {
        return Ok(None);
    }
    let (entry, synced) = staging.publish()?;
    if let Err(error) = synced {
        let text = super::outcome::with_causes(&error);
        session
            .warn(format!("the entry is whole, but may not outlive a crash of the host: {text}"));
    }
    Ok(Some(entry))
}

/// Has an entry that could not be completed say so, where it may have said
/// `complete` or nothing yet. The disk has refused something already: what it
/// refuses now is not reported again.
fn correct(session: &mut Session<'_>, attempt: &Attempt, staging: &Staging, written: &mut Written) {
    session.metadata.phases = session.clock.phases();
    session.metadata.core = Some(describe(attempt, written, staging));
    let mut json = session.metadata.to_json();
    if tail::append(written, &json).is_err() {
        tail::give_up_chunks(written);
        session.metadata.core = Some(describe(attempt, written, staging));
        json = session.metadata.to_json();
        let _ = tail::append(written, &json);
    }
    if let Ok(files) = files(session, &session.metadata, staging.core_bytes()) {
        let _ = staging.write_metadata(&files, false);
    }
}
