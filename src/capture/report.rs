//! The report of a capture: after the release, or if it was asked for, before the dump.
//!
//! A child makes it ([`crate::sandbox`]): whatever becomes of that is a warning. After the
//! release, it is made from the core that was just published, in a minute at most; the
//! entry is whole already, and without a report has one that says why. Before the dump,
//! it is made from the held guest: its time is a quarter of what is left of the longest
//! hold at most.

use std::path::Path;
use std::time::{Duration, Instant};

use super::core_metadata::in_the_clear;
use super::finish::Finished;
use super::outcome::{CaptureError, with_causes};
use super::session::Session;
use super::{guard, other_dump};
use crate::encryption::Sealed;
use crate::held;
use crate::held::facts;
use crate::monitor::WaitLimits;
use crate::sandbox::ChildError;
use crate::sandbox::report::{Answer, LIMIT as LIMIT_AFTER, Request};
use crate::store::{StoreError, core_in, metadata_file, report_file};
use crate::triage::report::{Report, ReportOptions};

/// How long a report may hold the guest.
const LIMIT: Duration = Duration::from_secs(10);

/// Makes the report from the held guest, if that was asked for.
///
/// That there is none is a warning, and no reason not to dump.
///
/// # Errors
/// Fails if another client changed the guest meanwhile.
pub(super) fn before_dump(session: &mut Session<'_>) -> Result<(), CaptureError> {
    if !session.request.report_first {
        return Ok(());
    }
    of_held_guest(session, 4)
}

/// Makes the report from the held guest, in this part of what is left of the longest hold.
///
/// # Errors
/// Fails if another client changed the guest meanwhile.
pub(super) fn of_held_guest(session: &mut Session<'_>, part: u32) -> Result<(), CaptureError> {
    let none = match session.request.report_only {
        Some(_) => "no report of the held guest",
        None => "no report before the dump",
    };
    session.observer.step("reading the held guest");
    let limits = limited(session.limits(), part);
    match other_dump::wait(session, &limits) {
        Err(CaptureError::Busy { waited }) => {
            session.clock.lap("report");
            session.warn(format!(
                "{none}: another dump of this guest took the time for it \
                 ({waited:.1?})"
            ));
            return Ok(());
        }
        Err(error @ CaptureError::GuestChanged { .. }) => return Err(error),
        // What fails here fails before the dump, too, and is reported there.
        _ => {}
    }
    let _ = facts::ask_all(session.monitor.as_mut(), &mut session.metadata, &limits);
    let request = request(session, &session.request.monitor.label());
    let made = held::report(session.monitor.as_mut(), &limits, request);
    session.clock.lap("report");
    guard::check_events(session)?;
    match made {
        Ok(answer) => {
            let report = take(session, answer);
            session.metadata.title = Some(report.title.clone());
            session.metadata.signature.clone_from(&report.signature);
            session.report = Some(report);
        }
        Err(error) => session.warn(format!("{none}: {}", with_causes(&error))),
    }
    Ok(())
}

/// What is asked of the child.
fn request(session: &Session<'_>, core: &Path) -> Request {
    let metadata = Some(session.metadata.clone());
    Request::new(core, metadata, &session.request.families, ReportOptions::default())
}

/// The report of a stored core, and the chunks that its triage pack has. The key of an encrypted
/// core is what this process has of it, and gives to its child: the recipients' are elsewhere.
pub(super) fn of_stored(session: &mut Session<'_>, core: &Path) -> Result<Answer, ChildError> {
    let key = session.encryption().map(|encryption| encryption.core().key().clone());
    let request = request(session, core).with_used_chunks().with_key(key);
    let mut answer = request.of_stored(core, Some(LIMIT_AFTER), session.interrupt)?;
    session.used_chunks = answer.used_chunks.take();
    Ok(answer)
}

/// Notifies the observer of what the child found.
fn take(session: &Session<'_>, answer: Answer) -> Box<Report> {
    for missing in &answer.unconfined {
        session.observer.step(&format!("the report's process was not confined in all: {missing}"));
    }
    session.observer.title(&answer.report.title);
    answer.report
}

/// The same limits, with a limit for a report.
fn limited(limits: WaitLimits<'_>, part: u32) -> WaitLimits<'_> {
    let now = Instant::now();
    let limit = match limits.until {
        Some(until) => (until.saturating_duration_since(now) / part.max(1)).min(LIMIT),
        None => LIMIT,
    };
    WaitLimits { until: Some(now + limit), ..limits }
}

/// Writes the report beside the core: the one that was made before the dump, or one of the
/// core. The guest is released, or stays held: nothing waits for this.
pub(super) fn after_release(session: &mut Session<'_>, finished: &Finished) {
    if let Some(entry) = &finished.entry {
        let core = core_of(entry);
        let was_made = session.report.is_some();
        if !was_made {
            session.report = Some(match of_stored(session, &core) {
                Ok(answer) => take(session, answer),
                Err(error) => {
                    let problem = format!("no report: {error}");
                    session.observer.warning(&problem);
                    Box::new(Report::not_made(Some(&session.metadata), &problem))
                }
            });
        }
        write(session, &core);
        // What the report read of the held guest says nothing of the core's chunks.
        if was_made
            && entry.is_dir()
            && let Err(error) = of_stored(session, &core)
        {
            session.observer.warning(&format!("no triage pack: {error}"));
        }
    } else if let Some(left) = &finished.incomplete {
        write(session, &core_of(left));
    }
}

/// The core of an entry, or the file that is one by itself.
fn core_of(entry: &Path) -> std::path::PathBuf {
    if entry.is_dir() { core_in(entry) } else { entry.to_owned() }
}

fn write(session: &Session<'_>, core: &Path) {
    let Some(report) = &session.report else { return };
    let failed = |source| StoreError::io("write", core, source);
    let file = session.encryption().report_file(report.to_json()).map_err(failed);
    let written = file.and_then(|file| report_file::write(core, &file));
    let bytes = core.metadata().ok().map(|file| file.len());
    let titled = match in_the_clear(session, &session.metadata, bytes) {
        Some(clear) => metadata_file::replace(core, &clear),
        None => Ok(()),
    };
    if let Err(error) = written.and(titled) {
        let text = format!("the report is not beside the core: {}", with_causes(&error));
        session.observer.warning(&text);
    }
}
