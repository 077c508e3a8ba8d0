//! A capture without a dump: the report and the metadata become the entry.
//!
//! The entry is created while the guest is held, so that one that cannot be stored is a
//! failure, and the guest is released by the policy for that. It is written after the
//! release. A report that cannot be made is a warning: that the guest panicked is recorded
//! nevertheless.

use std::path::PathBuf;

use vmcore_formats::text::{MAX_TITLE, bounded};

use super::attempt::{Attempt, in_time};
use super::core_metadata::files;
use super::dump::create_entry;
use super::finish::{Finished, note_failure};
use super::outcome::{CaptureError, Problem, with_causes};
use super::report::of_held_guest;
use super::session::Session;
use super::verdict::Stored;
use super::{facts, guard};
use crate::encryption::Sealed;
use crate::metadata::{CaptureResult, CoreLeftOut, LeftOutCause};
use crate::store::StoreError;
use crate::store::entry_without_core::publish;
use crate::store::staging::Staging;
use crate::triage::report::Report;

/// Makes the report that was asked for.
pub(super) fn attempt(session: &mut Session<'_>) -> Attempt {
    let asked = session.request.report_only.clone().unwrap_or_default();
    make(session, LeftOutCause::ReportOnly, asked.reason)
}

/// Makes the report of a guest whose dump does not fit. Its core was wanted: this is a failure,
/// by whose policy the guest is released or stays held.
pub(super) fn instead_of_dump(session: &mut Session<'_>, full: CaptureError) -> Attempt {
    let attempt = make(session, LeftOutCause::StoreFull, Some(full.to_string()));
    Attempt { stage: "prepare", outcome: attempt.outcome.and(Err(full)), ..attempt }
}

/// Makes the report of the held guest, and room for its entry.
fn make(session: &mut Session<'_>, cause: LeftOutCause, reason: Option<String>) -> Attempt {
    let reason = reason.map(|reason| bounded(&reason, MAX_TITLE));
    session.metadata.core_left_out = Some(CoreLeftOut { cause, reason });
    let mut attempt = Attempt::new("prepare");
    let prepared = facts::ask_before(session)
        .map_err(CaptureError::from)
        .and_then(|()| create_entry(session, &mut attempt));
    session.clock.lap("prepare");
    let made = prepared.and_then(|_| {
        attempt.stage = "report";
        of_held_guest(session, 1)?;
        if session.report.is_some() { Ok(()) } else { why_there_is_none(session) }
    });
    attempt.outcome = made.map_err(|error| in_time(session, error));
    attempt
}

/// Fails if what ended the report ends the capture, too.
fn why_there_is_none(session: &mut Session<'_>) -> Result<(), CaptureError> {
    if session.interrupt.is_raised() {
        return Err(CaptureError::Interrupted { signal: session.interrupt.signal_name() });
    }
    if let Some(limit) = session.request.max_hold.filter(|_| session.clock.is_over()) {
        return Err(CaptureError::HoldLimit { limit });
    }
    let limits = session.limits();
    guard::check(session, &limits)
}

/// Publishes the entry, if it is to be kept. It is whole if it has its report.
pub(super) fn finish(
    session: &mut Session<'_>,
    mut attempt: Attempt,
    keep: bool,
    problems: &mut Vec<Problem>,
) -> (Finished, Stored) {
    session.metadata.result = CaptureResult::Incomplete;
    session.metadata.phases = session.clock.phases();
    let Some(staging) = attempt.staging.take() else {
        return (Finished::default(), Stored::Nothing);
    };
    if !keep {
        staging.discard();
        session.metadata.id.clear();
        return (Finished::default(), Stored::Nothing);
    }
    let whole = attempt.outcome.is_ok() && session.report.is_some();
    let stored = if whole { Stored::Entry } else { Stored::Incomplete };
    match write(session, &staging) {
        Ok(entry) => {
            session.observer.step(&format!("published {}", entry.display()));
            (Finished { entry: Some(entry), ..Finished::default() }, stored)
        }
        Err(error) => {
            note_failure(session, &CaptureError::Store(error), "finish", problems);
            let incomplete = Some(staging.staged().to_owned());
            (Finished { incomplete, ..Finished::default() }, Stored::Incomplete)
        }
    }
}

fn write(session: &mut Session<'_>, staging: &Staging) -> Result<PathBuf, StoreError> {
    let failed = |source| StoreError::io("write", staging.staged(), source);
    let metadata = files(session, &session.metadata, None).map_err(failed)?;
    let report = match &session.report {
        Some(report) => report.to_json(),
        None => {
            let problem = session.metadata.warnings.last().map_or("no report", String::as_str);
            Report::not_made(Some(&session.metadata), problem).to_json()
        }
    };
    let report = session.encryption().report_file(report).map_err(failed)?;
    let (entry, synced) = publish(staging, &metadata, Some(&report))?;
    if let Err(error) = synced {
        let text = with_causes(&error);
        session.warn(format!("the entry may not outlive a crash of the host: {text}"));
    }
    Ok(entry)
}
