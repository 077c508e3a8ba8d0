//! When a dump is settled: QEMU says completed, the stream ended as its headers
//! promise, and everything is in the file, or in the spool with room for it in the file.
//!
//! The three come in any order. `DUMP_COMPLETED` may precede the reply and the
//! last bytes, or be lost with a connection; QEMU can be asked then. A dump
//! cannot be cancelled; closing the pipe makes QEMU's next write fail.

use std::time::{Duration, Instant};

use vmcore_formats::text::{MAX_TEXT, bounded};

use super::disk::disk_timeout;
use super::feed::Feed;
use super::guard;
use super::lost_monitor::{Lost, confirm, monitor_was_lost};
use super::outcome::CaptureError;
use super::request::Action;
use super::session::Session;
use crate::corefile::read::bytes::DataError;
use crate::corefile::write::{OutputError, Pipeline, Room, StreamEnd, StreamError, Written};
use crate::monitor::{CommandId, Event, Manager, MonitorError, Refusal, WaitLimits, WaitResult};
use crate::units::bytes;

/// How often progress is shown and QEMU's silence measured.
const TICK: Duration = Duration::from_millis(100);
/// How long after the stream's end QEMU may take to report how the dump went.
/// Then it is asked.
const REPORT: Duration = Duration::from_secs(1);

/// What is known about a dump under way.
#[derive(Debug)]
pub(super) struct DumpCompletion {
    /// The dump's command; `None` if there is none: the memory is read in QEMU's process.
    pub(super) command: Option<CommandId>,
    /// Whether the command's reply came long before the dump's end.
    detached: bool,
    /// What QEMU says of the dump; the text of its error.
    completed: Option<Result<(), String>>,
    pub(super) stream: Option<StreamEnd>,
    stream_ended: Option<Instant>,
    pub(super) output: Option<Result<Written, OutputError>>,
    /// What is still to be read, if that is done in ranges.
    pub(super) feed: Option<Feed>,
    lost: Option<Lost>,
    /// Whether the monitor was lost, for good or not.
    pub(super) lost_monitor: bool,
}

impl DumpCompletion {
    pub(super) fn new(command: CommandId, detached: bool) -> Self {
        Self { command: Some(command), detached, completed: None, ..Self::of_direct() }
    }

    /// Of memory that is read without a dump: QEMU has nothing to say of it.
    pub(super) fn of_direct() -> Self {
        Self {
            command: None,
            detached: false,
            completed: Some(Ok(())),
            stream: None,
            stream_ended: None,
            output: None,
            feed: None,
            lost: None,
            lost_monitor: false,
        }
    }

    /// Of memory that is read in ranges.
    pub(super) fn of_ranges(feed: Feed) -> Self {
        Self { feed: Some(feed), ..Self::of_direct() }
    }

    /// How the monitor was lost, if it was.
    pub(super) fn lost(&self) -> Option<Lost> {
        self.lost
    }

    /// Takes what QEMU reports of the dump.
    ///
    /// A failure that is reported while QEMU still dumps, or after it completed
    /// this dump, is that of a dump before this one: of a partial one, which a
    /// report was made from.
    pub(super) fn take_event(&mut self, session: &mut Session<'_>, event: &Event) {
        if event.name != "DUMP_COMPLETED" || self.command.is_none() {
            return;
        }
        let text = |key: &str| event.data.pointer(key).and_then(serde_json::Value::as_str);
        self.completed = Some(match text("/result/status") {
            Some("completed") => Ok(()),
            _ if is_well(session) => return,
            _ => Err(bounded(text("/error").unwrap_or("no reason given"), MAX_TEXT)),
        });
    }

    fn take_reply(&mut self, session: &mut Session<'_>, reply: Result<serde_json::Value, Refusal>) {
        match reply {
            Err(refusal) => {
                self.completed = Some(Err(refusal.description));
                match session.monitor.run_state(&session.limits()) {
                    Err(error) if error.is_end_of_qemu() => self.lost = Some(Lost::Gone),
                    // With its connection for the dump, libvirt closed this one.
                    Err(error) if error.is_connection_lost() => self.lost_monitor = true,
                    _ => {}
                }
            }
            Ok(_) if !self.detached => self.completed = Some(Ok(())),
            Ok(_) => {}
        }
    }

    fn look_at(&mut self, pipeline: &Pipeline) {
        let ended = pipeline.take_ended();
        if let Some(end) = ended.stream {
            self.stream_ended = Some(Instant::now());
            self.stream = Some(end);
        }
        self.output = ended.output.or(self.output.take());
    }

    /// Why the stream was not read on, if that was our doing. QEMU only reports
    /// the consequence: a broken pipe.
    fn take_refusal(&mut self) -> Option<StreamError> {
        let stream = self.stream.as_mut()?;
        let Err(
            StreamError::Head(_)
            | StreamError::Plan(_)
            | StreamError::TooLarge { .. }
            | StreamError::Behind { .. }
            | StreamError::Read(_),
        ) = &stream.outcome
        else {
            return None;
        };
        let again = Err(StreamError::Aborted { found: stream.bytes_read });
        std::mem::replace(&mut stream.outcome, again).err()
    }

    /// Whether the stream and QEMU agree that all came.
    fn is_read(&self) -> bool {
        let whole = self.stream.as_ref().is_some_and(|stream| stream.outcome.is_ok());
        whole && self.completed == Some(Ok(()))
    }
}

/// Follows a dump to its end.
///
/// Gives `Ok` if everything is read and, unless the hold was up before, written.
pub(super) fn follow(
    session: &mut Session<'_>,
    pipeline: &Pipeline,
    completion: &mut DumpCompletion,
) -> Result<(), CaptureError> {
    let outcome = follow_stream(session, pipeline, completion);
    // No guest waits for the file from here on.
    pipeline.hurry(false);
    if outcome.is_err() {
        give_up(session, pipeline, completion);
    }
    outcome
}

/// Ends a dump from our side.
pub(super) fn give_up(
    session: &mut Session<'_>,
    pipeline: &Pipeline,
    completion: &mut DumpCompletion,
) {
    // Whatever QEMU still has to say, it may not keep writing.
    pipeline.abort();
    if completion.lost.is_none() {
        await_quiet(session, completion);
    }
}

fn follow_stream(
    session: &mut Session<'_>,
    pipeline: &Pipeline,
    completion: &mut DumpCompletion,
) -> Result<(), CaptureError> {
    let mut moved = (Instant::now(), (0, 0));
    loop {
        completion.look_at(pipeline);
        let progress = pipeline.progress();
        session.observer.progress(progress);
        if progress.bytes_read > 0 && completion.command.is_some() {
            session.monitor.dump_sends();
        }
        if let Some(Err(_)) = &completion.output
            && let Some(Err(error)) = completion.output.take()
        {
            let (error, written) = split(error);
            completion.output = Some(Ok(written));
            return Err(error);
        }
        // A guest that is reset meanwhile is dumped on, and the dump `completed` in the end.
        guard::check_events(session)?;
        if completion.is_read() {
            let goes = goes(session);
            if !goes && !session.clock.last_is("dump") {
                session.clock.lap("dump");
            }
            if completion.output.is_some() || (goes && may_go(pipeline)) {
                let limits = WaitLimits { interrupt: None, ..session.limits() };
                return confirm(session, &mut completion.lost, &limits);
            }
        }
        if session.clock.is_over() {
            // The disk may take its time once everything is read, if the guest goes
            // after a good dump. One that would stay goes as after a failed one.
            let limit = session.request.max_hold.unwrap_or_default();
            return if completion.is_read() && goes(session) {
                let timeout = session.request.timeout.min(REPORT);
                confirm(
                    session,
                    &mut completion.lost,
                    &WaitLimits { timeout, until: None, interrupt: None },
                )
            } else {
                Err(CaptureError::HoldLimit { limit })
            };
        }
        if session.interrupt.is_raised() {
            return Err(CaptureError::Interrupted { signal: session.interrupt.signal_name() });
        }
        decide(session, completion)?;
        let waits_for_disk = progress.waits_for_output || completion.stream.is_some();
        let waited = moved.0.elapsed();
        if (progress.bytes_read, progress.bytes_written) != moved.1 {
            moved = (Instant::now(), (progress.bytes_read, progress.bytes_written));
        } else if waits_for_disk && waited > disk_timeout(session) {
            return Err(CaptureError::DiskHangs { waited });
        } else if !waits_for_disk && waited > session.request.timeout {
            return Err(CaptureError::Stalled { waited, found: progress.bytes_read });
        }
        await_news(session, pipeline, completion)?;
    }
}

/// Whether the guest goes after a good dump. One that stays has its memory until the file has it,
/// so nothing is gained by calling the dump whole before.
fn goes(session: &Session<'_>) -> bool {
    session.metadata.request.then != Action::Hold.to_string()
}

/// Whether a guest of which all was read may go, although the file has not all of it: only if
/// no full disk can take what is in memory. Otherwise the guest waits, as shortly as may be.
fn may_go(pipeline: &Pipeline) -> bool {
    match pipeline.room() {
        Room::Reserved => true,
        Room::Unknown => false,
        Room::Refused => {
            pipeline.hurry(true);
            false
        }
    }
}

/// Ends the wait if the dump cannot become whole any more.
fn decide(session: &mut Session<'_>, completion: &mut DumpCompletion) -> Result<(), CaptureError> {
    if let Some(error) = completion.take_refusal() {
        return Err(error.into());
    }
    if let Some(Err(text)) = &completion.completed {
        if completion.lost == Some(Lost::Gone) {
            return Err(CaptureError::GuestGone);
        }
        let (by, text) = (session.monitor.manager(), text.clone());
        return Err(CaptureError::Dump { by, text });
    }
    let Some(ended) = completion.stream_ended else { return Ok(()) };
    let short = completion.stream.as_ref().is_some_and(|stream| stream.outcome.is_err());
    let overdue = ended.elapsed() > REPORT;
    if completion.completed.is_none() && overdue && completion.lost.is_none() {
        // Its event did not come: it was sent while this client was disconnected.
        completion.completed = match session.monitor.dump_status(&session.limits()) {
            Ok(Some(dump)) if dump.status == "completed" => Some(Ok(())),
            Ok(Some(dump)) if dump.status == "failed" => Some(Err("no reason given".to_owned())),
            Err(error) if !error.is_connection_lost() => return Err(error.into()),
            _ => None,
        };
    }
    if short && (completion.completed.is_some() || completion.lost.is_some() || overdue) {
        if completion.lost == Some(Lost::Gone) {
            return Err(CaptureError::GuestGone);
        }
        if let Some(Err(text)) = &completion.completed {
            let (by, text) = (session.monitor.manager(), text.clone());
            return Err(CaptureError::Dump { by, text });
        }
        let found = completion.stream.as_ref().map_or(0, |stream| stream.bytes_read);
        let outcome = completion.stream.as_mut().map(|stream| {
            let again = Err(StreamError::Aborted { found });
            std::mem::replace(&mut stream.outcome, again)
        });
        return Err(outcome.and_then(Result::err).map_or(CaptureError::GuestGone, Into::into));
    }
    match completion.lost.filter(|_| completion.completed.is_none()) {
        // The stream is all that is left of this guest.
        Some(Lost::Gone) => return Err(CaptureError::GuestGone),
        Some(Lost::Silent) => return Err(CaptureError::Unconfirmed),
        None => {}
    }
    let limits = session.request.timeout.max(REPORT);
    if completion.completed.is_none() && ended.elapsed() > limits {
        return Err(CaptureError::Unconfirmed);
    }
    Ok(())
}

fn await_news(
    session: &mut Session<'_>,
    pipeline: &Pipeline,
    completion: &mut DumpCompletion,
) -> Result<(), CaptureError> {
    if completion.lost.is_some() {
        // The stream goes on without the monitor; only its end is left to see.
        if let Some(feed) = &mut completion.feed {
            feed.stop();
        }
        std::thread::sleep(TICK / 10);
        return Ok(());
    }
    let news = match &mut completion.feed {
        Some(feed) if feed.is_wanted() => feed.read_next(session).map(|()| WaitResult::Nothing),
        feed => {
            let tick = feed.as_ref().and_then(Feed::tick).unwrap_or(TICK);
            let limits = session.limits().at_most(tick);
            session.monitor.wait("the dump", &limits, &[pipeline.waker()])
        }
    };
    match news {
        Ok(WaitResult::Event(event)) => completion.take_event(session, &event),
        Ok(WaitResult::Reply(id, reply)) if Some(id) == completion.command => {
            completion.take_reply(session, reply);
        }
        Ok(_) | Err(MonitorError::Interrupted { .. }) => {}
        Err(error) if completion.feed.is_some() && !error.is_connection_lost() => {
            return Err(error.into());
        }
        Err(error) => {
            // A libvirt that is started again while QEMU still dumps dies of the end of a dump
            // that it did not begin. So the dump ends before that.
            if session.monitor.manager() == Manager::Libvirt && completion.command.is_some() {
                pipeline.abort();
            }
            completion.lost_monitor = true;
            monitor_was_lost(session, &mut completion.lost, &error)?;
        }
    }
    Ok(())
}

/// Whether QEMU says that its newest dump goes on, or is whole.
fn is_well(session: &mut Session<'_>) -> bool {
    let limits = session.limits();
    let dump = session.monitor.dump_status(&limits).ok().flatten();
    dump.is_some_and(|dump| ["active", "completed"].contains(&dump.status.as_str()))
}

/// Waits until QEMU noticed the closed pipe: before, it refuses `cont`.
fn await_quiet(session: &mut Session<'_>, completion: &mut DumpCompletion) {
    let limits = session.release_limits();
    let deadline = limits.deadline();
    while completion.completed.is_none() && Instant::now() < deadline {
        match session.monitor.dump_status(&limits) {
            Ok(Some(dump)) if dump.status == "active" => {}
            _ => return,
        }
        match session.monitor.wait("the dump's end", &limits.at_most(TICK / 10), &[]) {
            Ok(WaitResult::Event(event)) => completion.take_event(session, &event),
            Ok(WaitResult::Reply(id, reply)) if Some(id) == completion.command => {
                completion.take_reply(session, reply);
            }
            _ => {}
        }
    }
}

/// Takes the cause and the remains apart.
pub(super) fn split(error: OutputError) -> (CaptureError, Written) {
    match error {
        // The writer passes on what a reader of its chunks met, too.
        OutputError::Write { source, written } => match source.downcast::<DataError>() {
            Ok(source) => (CaptureError::Memory(source), *written),
            Err(source) => (CaptureError::Write(source), *written),
        },
        OutputError::Reserve { available, reserve, written } => {
            let (available, reserve) = (bytes(available), bytes(reserve));
            (CaptureError::Reserve { available, reserve }, *written)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use vmcore_formats::addr::PhysAddr;
    use vmcore_formats::seekable::SeekTable;

    use super::*;
    use crate::capture::outcome::with_causes;
    use crate::held::direct::unreadable;

    fn cause(source: io::Error) -> String {
        let sink = Box::new(tempfile::tempfile().unwrap());
        let written = Written { sink, table: SeekTable::default(), lighter: Vec::new() };
        let (error, _) = split(OutputError::Write { source, written: Box::new(written) });
        with_causes(&error)
    }

    #[test]
    fn memory_that_cannot_be_read_is_no_matter_of_the_file() {
        let error = unreadable(PhysAddr(0x5000), 4096, 7, &"Bad address");
        let text = cause(io::Error::other(DataError::Underlying(error.into())));
        assert!(text.starts_with("cannot read the guest's memory for the core: "), "{text}");
        assert!(text.contains("0x5000") && text.contains("4096 bytes"), "{text}");
        assert!(text.ends_with("Bad address"), "{text}");
        let full = cause(io::ErrorKind::StorageFull.into());
        assert!(full.starts_with("cannot write the core: "), "{full}");
    }
}
