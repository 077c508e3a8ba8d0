//! The report of a capture: after the release, or if it was asked for, before the dump.
//!
//! After the release, it is made from the core that was just published, and whatever
//! happens to it, the entry is whole already. Before the dump, it is made from the held
//! guest by a thread that nobody depends on: its time has a limit of its own, a quarter of
//! what is left of the longest hold at most.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::finish::Finished;
use super::outcome::{CaptureError, with_causes};
use super::session::Session;
use super::{guard, other_dump};
use crate::held;
use crate::held::facts;
use crate::monitor::WaitLimits;
use crate::store::{CORE_FILE, report_file};
use crate::triage::report::Report;
use crate::vmcore::Vmcore;

/// How long a report may hold the guest.
const LIMIT: Duration = Duration::from_secs(10);

/// Makes the report from the held guest, if that was asked for.
///
/// That there is none is a warning, and no reason not to dump.
///
/// # Errors
/// Fails if somebody let the guest go meanwhile.
pub(super) fn before_dump(session: &mut Session<'_>) -> Result<(), CaptureError> {
    if !session.request.report_first {
        return Ok(());
    }
    session.observer.step("reading the held guest");
    let limits = limited(session.limits());
    match other_dump::wait(session, &limits) {
        Err(CaptureError::Busy { waited }) => {
            session.clock.lap("report");
            session.warn(format!(
                "no report before the dump: another dump of this guest took the time for it \
                 ({waited:.1?})"
            ));
            return Ok(());
        }
        Err(error @ CaptureError::GuestChanged { .. }) => return Err(error),
        // What hinders here hinders the dump, too, and is told there.
        _ => {}
    }
    let _ = facts::ask_all(session.monitor.as_mut(), &mut session.metadata, &limits);
    let metadata = session.metadata.clone();
    let families = Arc::clone(&session.request.families);
    let made = held::read(session.monitor.as_mut(), &limits, move |core| {
        Box::new(Report::with_metadata(&core, Some(&metadata), &families))
    });
    session.clock.lap("report");
    guard::check_events(session)?;
    match made {
        Ok(report) => {
            session.metadata.title = Some(report.title.clone());
            session.metadata.signature.clone_from(&report.signature);
            session.observer.title(&report.title);
            session.report = Some(report);
        }
        Err(error) => session.warn(format!("no report before the dump: {}", with_causes(&error))),
    }
    Ok(())
}

/// The same limits, with a limit for a report.
fn limited(limits: WaitLimits<'_>) -> WaitLimits<'_> {
    let now = Instant::now();
    let limit = match limits.until {
        Some(until) => (until.saturating_duration_since(now) / 4).min(LIMIT),
        None => LIMIT,
    };
    WaitLimits { until: Some(now + limit), ..limits }
}

/// Writes the report beside the core: the one that was made before the dump, or one of the
/// core. The guest was let go, or is to stay: nobody waits.
pub(super) fn after_release(session: &mut Session<'_>, finished: &Finished) {
    if let Some(entry) = &finished.entry {
        let core = core_of(entry);
        if session.report.is_none() {
            match Vmcore::open(&core) {
                Ok(opened) => {
                    let families = &session.request.families;
                    let report = Report::with_metadata(&opened, Some(&session.metadata), families);
                    session.observer.title(&report.title);
                    session.report = Some(Box::new(report));
                }
                Err(error) => {
                    let text = format!("no report: {}", with_causes(&error));
                    session.observer.warning(&text);
                }
            }
        }
        write(session, &core);
    } else if let Some(left) = &finished.incomplete {
        write(session, &core_of(left));
    }
}

/// The core of an entry, or the file that is one by itself.
fn core_of(entry: &Path) -> std::path::PathBuf {
    if entry.is_dir() { entry.join(CORE_FILE) } else { entry.to_owned() }
}

fn write(session: &Session<'_>, core: &Path) {
    let Some(report) = &session.report else { return };
    if let Err(error) = report_file::write(core, &report.to_json()) {
        let text = format!("the report is not beside the core: {}", with_causes(&error));
        session.observer.warning(&text);
    }
}
