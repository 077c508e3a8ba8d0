//! The dump: QEMU's stream through a pipe into the store.
//!
//! Needs: a guest that stands still. Gives: what was written, and whether it is
//! the whole core. The guest is not let go here.

use std::fs::File;
use std::os::fd::AsFd;
use std::time::Instant;

use jiff::Timestamp;
use serde_json::json;

use super::disk::on_disk;
use super::dump_settling::{Settling, follow, give_up};
use super::outcome::CaptureError;
use super::session::Session;
use super::{facts, forecast, guard, other_dump};
use crate::corefile::write::{
    OutputError, PipeSource, Pipeline, StreamEnd, StreamOptions, Written,
};
use crate::monitor::dump_pipe::{DESCRIPTOR, large_pipe};
use crate::monitor::qmp::{Happening, QmpError, Version};
use crate::store::StoreError;
use crate::store::staging::Staging;

/// `detach` came with this version.
const DETACH: Version = Version { major: 2, minor: 6, micro: 0 };

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
    /// The step that decided.
    pub(super) stage: &'static str,
    /// Whether the dump is whole.
    pub(super) outcome: Result<(), CaptureError>,
}

/// Dumps the guest into a new entry.
pub(crate) fn attempt(session: &mut Session<'_>) -> Attempt {
    let mut attempt = Attempt::new("prepare");
    let prepared = prepare(session, &mut attempt);
    session.clock.lap("prepare");
    let outcome = prepared.and_then(|(file, reserve)| {
        let outcome = dump(session, &mut attempt, file, reserve);
        session.clock.lap("dump");
        if outcome.is_ok() {
            session.observer.step("the dump is whole");
        }
        outcome
    });
    attempt.outcome = outcome.map_err(|error| in_time(session, error));
    if let (Err(_), Some(pipeline)) = (&attempt.outcome, &attempt.pipeline) {
        pipeline.abort();
    }
    attempt
}

impl Attempt {
    fn new(stage: &'static str) -> Self {
        Self { staging: None, pipeline: None, stream: None, output: None, stage, outcome: Ok(()) }
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

fn prepare(session: &mut Session<'_>, attempt: &mut Attempt) -> Result<(File, u64), CaptureError> {
    let patience = session.patience();
    session.client.ask("closefd", json!({ "fdname": DESCRIPTOR }), &patience)?;
    other_dump::wait(session, &patience)?;
    facts::ask_before(session)?;
    let reserve = forecast::check_space(session)?;
    let place = session.request.place.clone();
    let mut metadata = session.metadata.clone();
    let create = move || -> Result<_, StoreError> {
        let guest = metadata.guest.name.as_deref();
        let (staging, file) = Staging::create(&place, guest, Timestamp::now())?;
        metadata.id = staging.id().to_owned();
        metadata.warnings.extend(staging.lock_warning());
        // Not synced: it only helps whoever finds what a killed capture left.
        let written = staging.write_metadata(&metadata.to_json(), false);
        Ok((staging, file, written))
    };
    let undo = |created: Result<(Staging, _, _), _>| {
        if let Ok((staging, ..)) = created {
            staging.discard();
        }
    };
    let (staging, file, written) = on_disk(session, create, undo)??;
    session.metadata.id = staging.id().to_owned();
    if let Some(warning) = staging.lock_warning() {
        session.warn(warning);
    }
    session.observer.step(&format!("the core goes to {}", staging.staged().display()));
    attempt.staging = Some(staging);
    written?;
    Ok((file, reserve))
}

fn dump(
    session: &mut Session<'_>,
    attempt: &mut Attempt,
    file: File,
    reserve: u64,
) -> Result<(), CaptureError> {
    attempt.stage = "dump";
    let (read_end, write_end) = large_pipe().map_err(CaptureError::Pipe)?;
    let options = StreamOptions {
        level: session.request.level,
        threads: session.request.threads,
        reserve,
        memory: session.metadata.guest.memory_bytes.unwrap_or(0),
    };
    let pipeline = Pipeline::start(PipeSource(read_end), Box::new(file), options)
        .map_err(CaptureError::Pipe)?;
    let pipeline = attempt.pipeline.insert(pipeline);
    session.metadata.request.threads = pipeline.threads();
    guard::check_events(session)?;

    let patience = session.patience();
    let name = json!({ "fdname": DESCRIPTOR });
    let taken = session.client.execute_with_descriptor("getfd", name, write_end.as_fd(), &patience);
    // QEMU has its own now. The stream would not end as long as this one is open.
    drop(write_end);
    if let Err(error) = taken {
        if error.refusal().is_none() {
            take_back_descriptor(session);
        }
        return Err(error.into());
    }
    if let Err(error) = guard::check_events(session) {
        take_back_descriptor(session);
        return Err(error);
    }
    let mut arguments = json!({
        "paging": false, "protocol": format!("fd:{DESCRIPTOR}"), "format": "elf",
    });
    let detached = session.client.version() >= DETACH;
    if detached && let Some(arguments) = arguments.as_object_mut() {
        arguments.insert("detach".to_owned(), true.into());
    }
    session.observer.step("the dump begins");
    let command = session.client.begin("dump-guest-memory", &arguments, &patience)?;
    let mut settling = Settling::new(command, detached);
    if !detached {
        guard::dump_begins(session);
    }
    if detached {
        let started = await_start(session, &mut settling);
        if let Err(error) = started {
            // QEMU keeps the pipe of a dump that it refused.
            take_back_descriptor(session);
            // Without its refusal, the dump may have begun, or begin any moment.
            if error.refusal().is_none() {
                give_up(session, pipeline, &mut settling);
                attempt.stream = settling.stream;
                attempt.output = settling.output;
            }
            return Err(error.into());
        }
        // What happened to the guest before QEMU took the command is known by now.
        let patience = session.patience();
        match guard::check(session, &patience) {
            Err(error @ CaptureError::GuestChanged { .. }) => {
                give_up(session, pipeline, &mut settling);
                return Err(error);
            }
            // A monitor that is lost is connected again, and asked then.
            _ => guard::dump_begins(session),
        }
        if let Err(error) = facts::ask_during(session)
            && !error.is_connection_lost()
            && !matches!(error, QmpError::Interrupted { .. })
        {
            session.warn(format!("not everything about the guest could be asked: {error}"));
        }
    }
    let outcome = follow(session, pipeline, &mut settling);
    attempt.stream = settling.stream;
    attempt.output = settling.output;
    outcome
}

/// Has QEMU close the pipe that it keeps. Nobody waits for the answer: QEMU may
/// be silent, and the guest is to be let go.
fn take_back_descriptor(session: &mut Session<'_>) {
    let patience = session.release_patience();
    let _ = session.client.begin("closefd", &json!({ "fdname": DESCRIPTOR }), &patience);
}

/// Waits until QEMU took the command: what it refuses, it refuses here.
fn await_start(session: &mut Session<'_>, settling: &mut Settling) -> Result<(), QmpError> {
    let patience = session.patience();
    let deadline = patience.deadline();
    loop {
        match session.client.wait("dump-guest-memory", &patience, &[])? {
            Happening::Event(event) => settling.take_event(&event),
            Happening::Reply(id, result) if id == settling.command => {
                return result.map(|_| ()).map_err(|refusal| QmpError::Refused {
                    command: "dump-guest-memory".to_owned(),
                    refusal,
                });
            }
            _ => {}
        }
        if Instant::now() >= deadline {
            let waited = patience.timeout;
            return Err(QmpError::TimedOut { command: "dump-guest-memory".to_owned(), waited });
        }
    }
}

/// A wait that ended because the hold was up, or by a signal, is told as such.
fn in_time(session: &Session<'_>, error: CaptureError) -> CaptureError {
    match (error, session.request.max_hold) {
        (CaptureError::Monitor(QmpError::Interrupted { signal, .. }), _) => {
            CaptureError::Interrupted { signal }
        }
        (
            CaptureError::Monitor(QmpError::TimedOut { .. } | QmpError::NoTime { .. })
            | CaptureError::Busy { .. },
            Some(limit),
        ) if session.clock.is_over() => CaptureError::HoldLimit { limit },
        (error, _) => error,
    }
}
