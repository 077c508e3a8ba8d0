//! The dump: QEMU's stream through a pipe into the store.
//!
//! Needs: a stopped guest. Gives: what was written, and whether it is the whole
//! core. The guest is not released here.

use std::os::fd::AsFd;
use std::time::Instant;

use jiff::Timestamp;

use super::attempt::{Attempt, in_time};
use super::disk::on_disk;
use super::dump_completion::{DumpCompletion, follow, give_up};
use super::outcome::CaptureError;
use super::session::Session;
use super::{direct_dump, facts, guard, other_dump, plan, ranged_dump, store_limit};
use crate::corefile::write::{CoreSink, PipeSource, Pipeline, SpoolLimit, StreamOptions};
use crate::encryption::{EntryEncryption, Sealed};
use crate::host_memory::HostMemory;
use crate::monitor::dump_pipe::large_pipe;
use crate::monitor::{DumpPart, DumpReply, MonitorError, WaitResult};
use crate::store::StoreError;
use crate::store::staging::{Form, Staging};

/// Dumps the guest into a new entry.
pub(crate) fn attempt(session: &mut Session<'_>) -> Attempt {
    let mut attempt = Attempt::new("prepare");
    let prepared = prepare(session, &mut attempt);
    session.clock.lap("prepare");
    let outcome = prepared.and_then(|(sink, reserve)| {
        let outcome = dump(session, &mut attempt, sink, reserve);
        // A guest that stays waited for the file, too.
        session.clock.lap(if session.clock.last_is("dump") { "write" } else { "dump" });
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

fn prepare(
    session: &mut Session<'_>,
    attempt: &mut Attempt,
) -> Result<(Box<dyn CoreSink>, u64), CaptureError> {
    let limits = session.limits();
    session.monitor.close_stale_pipe(&limits)?;
    other_dump::wait(session, &limits)?;
    facts::ask_before(session)?;
    let reserve = store_limit::space_for_dump(session)?;
    Ok((create_entry(session, attempt)?, reserve))
}

/// Makes room for the entry, and opens its core.
pub(super) fn create_entry(
    session: &mut Session<'_>,
    attempt: &mut Attempt,
) -> Result<Box<dyn CoreSink>, CaptureError> {
    let destination = session.request.destination.clone();
    let mut metadata = session.metadata.clone();
    let encryption = session.request.encryption.clone();
    let create = move || -> Result<_, StoreError> {
        let encryption = encryption.as_deref();
        let guest = metadata.guest.name.as_deref();
        let guest = encryption.map_or(guest.map(str::to_owned), |it| it.guest(guest));
        let form = encryption.map_or(Form::Plain, |_: &EntryEncryption| Form::Encrypted);
        let now = Timestamp::now();
        let (staging, file) = Staging::create_as(form, &destination, guest.as_deref(), now)?;
        metadata.id = staging.id().to_owned();
        metadata.warnings.extend(staging.lock_warning());
        let sink = encryption.sink(file);
        let files = sink.and_then(|sink| Ok((sink, encryption.metadata_files(&metadata, None)?)));
        let failed = |source| StoreError::io("write", staging.staged(), source);
        // Not synced: it only describes what a killed capture left.
        let written = files.map_err(failed).and_then(|(sink, files)| {
            staging.write_metadata(&files, false)?;
            Ok(sink)
        });
        Ok((staging, written))
    };
    let undo = |created: Result<(Staging, _), _>| {
        if let Ok((staging, _)) = created {
            staging.discard();
        }
    };
    let (staging, written) = on_disk(session, create, undo)??;
    session.metadata.id = staging.id().to_owned();
    if let Some(warning) = staging.lock_warning() {
        session.warn(warning);
    }
    session.observer.step(&format!("the entry goes to {}", staging.staged().display()));
    attempt.staging = Some(staging);
    Ok(written?)
}

fn dump(
    session: &mut Session<'_>,
    attempt: &mut Attempt,
    sink: Box<dyn CoreSink>,
    reserve: u64,
) -> Result<(), CaptureError> {
    attempt.stage = "dump";
    let options = StreamOptions {
        level: session.request.level,
        threads: session.request.threads,
        reserve,
        memory: session.metadata.guest.memory_bytes.unwrap_or(0),
        spool: SpoolLimit::of(session.request.spool, &HostMemory::of_this_process()),
    };
    let Some(sink) = direct_dump::attempt(session, attempt, sink, options)? else {
        return Ok(());
    };
    plan::before_dump(session, None)?;
    let Some(sink) = ranged_dump::attempt(session, attempt, sink, options)? else {
        return Ok(());
    };
    let (read_end, write_end) = large_pipe().map_err(CaptureError::Pipe)?;
    let source = PipeSource::new(read_end).without(session.left_out.clone());
    let pipeline = Pipeline::start(source, sink, options).map_err(CaptureError::Pipe)?;
    let pipeline = attempt.pipeline.insert(pipeline);
    session.metadata.request.threads = pipeline.threads();
    guard::check_events(session)?;

    let limits = session.limits();
    let taken = session.monitor.pass_pipe(write_end.as_fd(), &limits);
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
    let reply = session.monitor.dump_reply();
    if reply == DumpReply::AtEndOfItsOwn {
        // libvirt stops a guest that runs, dumps it and resumes it.
        if let Err(error) = guard::check(session, &limits) {
            take_back_descriptor(session);
            return Err(error);
        }
    }
    session.observer.step("the dump begins");
    let detached = reply == DumpReply::AtStart;
    let command = session.monitor.begin_dump(DumpPart::Whole { detached }, &limits)?;
    let mut completion = DumpCompletion::new(command, detached);
    if !detached {
        guard::dump_begins(session);
    }
    if detached {
        let started = await_start(session, &mut completion);
        if let Err(error) = started {
            // QEMU keeps the pipe of a dump that it refused.
            take_back_descriptor(session);
            // Without its refusal, the dump may have begun, or begin any moment.
            if error.refusal().is_none() {
                give_up(session, pipeline, &mut completion);
            }
            return Err(error.into());
        }
        // What happened to the guest before QEMU took the command is known by now.
        let limits = session.limits();
        match guard::check(session, &limits) {
            Err(error @ CaptureError::GuestChanged { .. }) => {
                give_up(session, pipeline, &mut completion);
                return Err(error);
            }
            // A monitor that is lost is connected again, and asked then.
            _ => guard::dump_begins(session),
        }
    }
    if reply != DumpReply::AtEnd {
        facts::ask_during(session);
    }
    let outcome = follow(session, pipeline, &mut completion);
    attempt.stream = completion.stream;
    attempt.output = completion.output;
    attempt.lost_monitor = completion.lost_monitor;
    outcome
}

/// Has QEMU close the pipe that it keeps. The answer is not awaited: QEMU may
/// be silent, and the guest is to be released.
fn take_back_descriptor(session: &mut Session<'_>) {
    let limits = session.release_limits();
    session.monitor.take_back_pipe(&limits);
}

/// Waits until QEMU took the command: what it refuses, it refuses here.
fn await_start(
    session: &mut Session<'_>,
    completion: &mut DumpCompletion,
) -> Result<(), MonitorError> {
    let limits = session.limits();
    let deadline = limits.deadline();
    // Looked at after the reply: what they are about may have to be asked.
    let mut events = Vec::new();
    loop {
        match session.monitor.wait("dump-guest-memory", &limits, &[])? {
            WaitResult::Event(event) => events.push(event),
            WaitResult::Reply(id, result) if Some(id) == completion.command => {
                if result.is_ok() {
                    events.iter().for_each(|event| completion.take_event(session, event));
                }
                return result.map(|_| ()).map_err(|refusal| MonitorError::Refused {
                    by: session.monitor.manager(),
                    command: "dump-guest-memory".to_owned(),
                    refusal,
                });
            }
            _ => {}
        }
        if Instant::now() >= deadline {
            let waited = limits.timeout;
            return Err(MonitorError::TimedOut {
                by: session.monitor.manager(),
                command: "dump-guest-memory".to_owned(),
                waited,
            });
        }
    }
}
