//! Captures a guest: hold, dump, store, release.
//!
//! ```text
//! connect ─► learn ─► prepare ─► dump ─► release ─► finish
//!            panic?   space,     pipe,   cont,      metadata, seek table,
//!                     staging    QEMU    reset ..   sync, publish
//!            └──────── held time ──────────────┘
//! ```
//!
//! Needs: a request and what may interrupt it. Gives: an outcome, always. What
//! happens after the release costs the guest nothing. Does not print
//! ([`Observer`]) and does not choose exit codes (`cli`).

mod attempt;
mod core_metadata;
mod direct_dump;
mod disk;
mod dump;
mod dump_completion;
mod facts;
mod feed;
mod finish;
mod forecast;
mod guard;
mod lost_monitor;
mod no_panic;
mod other_dump;
mod outcome;
mod panic;
mod panic_events;
mod plan;
mod ranged_dump;
mod read_memory;
mod recompress;
mod release;
mod release_actions;
mod release_failure;
mod release_order;
mod report;
mod report_only;
mod request;
mod same_guest;
mod second_dump;
mod session;
mod store_limit;
mod triage_pack;
mod verdict;

pub use outcome::{CaptureError, Outcome, Problem, Verdict};
pub use release::is_release;
pub use request::{Action, ReportOnly, Request, Source, Wait};
pub use same_guest::GuestChange;

use attempt::Attempt;
use panic::Discovery;
use request::Policy;
use session::Session;
use verdict::{Dumped, Released, Stored};

use crate::interrupt::Interrupt;
use crate::metadata::{CaptureResult, ReleasedBy};
use crate::observer::Observer;

const ENDED: &str = "the guest had ended before it was released";
const NOT_RESUMED: &str =
    "the guest was not resumed: it was paused before its capture, and stays so";

/// Captures a guest.
///
/// Gives an outcome whatever happens; a guest that was found stopped is released
/// only as the request says.
pub fn run(request: &Request, interrupt: &Interrupt, observer: &dyn Observer) -> Outcome {
    let mut session = match Session::connect(request, interrupt, observer) {
        Ok(session) => session,
        Err(error) => {
            return Outcome::early(Verdict::Failed, Problem::new(&error, error.hint()));
        }
    };
    let discovery = panic::discover(&mut session);
    session.clock.lap("learn");
    let (policy, attempt) = match discovery {
        Ok(Discovery::Held(policy)) => {
            session.note(policy);
            (policy, attempt(&mut session))
        }
        Ok(Discovery::NoPanic(problem)) => {
            return Outcome::early(Verdict::NoPanic, problem);
        }
        // It panicked, or may be stopped by now, and its policy is still to be followed.
        Err(error) if session.clock.is_held() => {
            (Policy::of(request, session.found), Attempt::failed(&session, "learn", error))
        }
        Err(error) => {
            return Outcome::early(Verdict::Failed, Problem::new(&error, error.hint()));
        }
    };
    observer.dump_ended();
    let mut problems = Vec::new();
    if let Err(error) = &attempt.outcome {
        problems.push(Problem::new(error, error.hint()));
        session.metadata.failure = Some(error.as_failure(attempt.stage));
    }
    let dumped = Dumped::of(&attempt.outcome);
    let released = release(&mut session, policy, dumped, &mut problems);
    store(session, attempt, (dumped, released), problems)
}

/// Makes what was asked for of a guest that is held: its dump, or its report alone.
fn attempt(session: &mut Session<'_>) -> Attempt {
    if session.request.report_only.is_some() {
        return report_only::attempt(session);
    }
    match store_limit::check(session) {
        Err(full @ CaptureError::StoreFull { .. }) => {
            return report_only::instead_of_dump(session, full);
        }
        Err(error) => return Attempt::failed(session, "prepare", error),
        Ok(()) => {}
    }
    match report::before_dump(session) {
        Ok(()) => second_dump::attempt(session),
        Err(error) => Attempt::given_up("report", error),
    }
}

/// Does with the guest what its policy says, now that its dump has ended.
fn release(
    session: &mut Session<'_>,
    policy: Policy,
    dumped: Dumped,
    problems: &mut Vec<Problem>,
) -> Released {
    let action = match dumped {
        Dumped::Complete => policy.then,
        Dumped::Failed | Dumped::LimitReached | Dumped::GuestChanged => policy.on_failure,
        Dumped::GuestGone => return Released::Gone,
    };
    let action = if action == Action::Resume && !session.found.may_run() {
        session.warn(NOT_RESUMED.to_owned());
        Action::Hold
    } else {
        action
    };
    let (mut release, problem) = release::release(session, action);
    if problem.is_some() && !session.ordered && release::has_ended(session) {
        session.warn(ENDED.to_owned());
        release.by = Some(ReleasedBy::AnotherClient);
        session.metadata.release = Some(release);
        return Released::Gone;
    }
    problems.extend(problem);
    session.clock.lap("release");
    if action == Action::Resume && session.metadata.panic.is_some() {
        problems.extend(release::watch(session, &mut release));
        session.clock.lap("watch");
    }
    let asked = match dumped {
        Dumped::Complete => session.request.then.is_some(),
        _ => session.request.after_failure().is_some(),
    };
    let released = Released::of(&release, session.ordered, asked);
    if matches!(released, Released::AsAsked | Released::AsFound) {
        session.metadata.held_seconds = session.clock.held().map(|held| held.as_secs_f64());
    }
    session.metadata.release = Some(release);
    released
}

/// Brings the entry to its end. The guest no longer waits for it.
fn store(
    mut session: Session<'_>,
    attempt: Attempt,
    (dumped, released): (Dumped, Released),
    mut problems: Vec<Problem>,
) -> Outcome {
    let keep = verdict::is_worth_keeping(dumped, released);
    let (finished, stored) = if session.metadata.core_left_out.is_some() {
        report_only::finish(&mut session, attempt, keep, &mut problems)
    } else {
        let finished = finish::finish(&mut session, attempt, keep, &mut problems);
        report::after_release(&mut session, &finished);
        recompress::after_report(&mut session, &finished);
        triage_pack::after_all(&mut session, &finished);
        core_metadata::record_hash(&session, finished.entry.as_deref());
        store_limit::keep(&mut session);
        let stored = match (session.metadata.result, &finished.incomplete) {
            (CaptureResult::Complete, _) => Stored::Entry,
            (_, Some(_)) => Stored::Incomplete,
            (_, None) => Stored::Nothing,
        };
        (finished, stored)
    };
    Outcome {
        verdict: verdict::verdict(session.found, dumped, released, stored),
        metadata: Some(Box::new(session.metadata)),
        entry: finished.entry,
        incomplete: finished.incomplete,
        problems,
    }
}
