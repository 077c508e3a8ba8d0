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

mod core_story;
mod disk;
pub(crate) mod dump;
mod dump_settling;
pub(crate) mod facts;
mod finish;
mod forecast;
mod guard;
mod nothing_to_do;
mod other_dump;
mod outcome;
pub(crate) mod panic;
mod panic_events;
mod peer;
mod release;
mod release_order;
mod report;
mod request;
mod same_guest;
pub(crate) mod session;

pub use outcome::{CaptureError, Outcome, Problem, Verdict};
pub use request::{Action, Request, Wait};
pub use same_guest::GuestChange;

use dump::Attempt;
use panic::Learnt;
use session::Session;

use crate::corefile::write::Progress;
use crate::interrupt::Interrupt;
use crate::metadata::{CaptureResult, Release};

/// Whom a capture tells how it goes.
pub trait Observer {
    /// A step was taken.
    fn step(&self, text: &str);
    /// This is what happened to the guest.
    fn title(&self, text: &str);
    /// Something is not as it should be, and the capture goes on.
    fn warning(&self, text: &str);
    /// The dump is this far.
    fn progress(&self, progress: Progress);
    /// The dump came to its end.
    fn dump_ended(&self);
}

const NOT_RESUMED: &str =
    "the guest was not resumed: it was paused before its capture, and stays so";

/// Captures a guest.
///
/// Gives an outcome whatever happens; a guest that was found stopped is let go
/// only as the request says.
#[must_use]
pub fn run(request: &Request, interrupt: &Interrupt, observer: &dyn Observer) -> Outcome {
    let mut session = match Session::connect(request, interrupt, observer) {
        Ok(session) => session,
        Err(error) => {
            return Outcome::early(Verdict::Failed, Problem::new(&error, error.hint()));
        }
    };
    let learnt = panic::learn(&mut session);
    session.clock.lap("learn");
    let (policy, attempt) = match learnt {
        Ok(Learnt::Held(policy)) => {
            session.note(policy);
            let read = report::before_dump(&mut session);
            let attempt = match read {
                Ok(()) => dump::attempt(&mut session),
                Err(error) => Attempt::given_up("report", error),
            };
            (policy, attempt)
        }
        Ok(Learnt::NothingToDo(problem)) => {
            return Outcome::early(Verdict::NothingToDo, problem);
        }
        // It may stand still by now, and that was our doing.
        Err(error) if session.stopped_by_us => {
            (panic::policy_without_panic(&session), Attempt::failed(&session, "learn", error))
        }
        // It panicked, and what was to be done then is still to be done.
        Err(error) if session.clock.is_held() => {
            (panic::policy_of_panic(request), Attempt::failed(&session, "learn", error))
        }
        Err(error) => {
            return Outcome::early(Verdict::Failed, Problem::new(&error, error.hint()));
        }
    };
    observer.dump_ended();
    let mut problems = Vec::new();
    let action = match &attempt.outcome {
        Ok(()) => policy.then,
        Err(error) => {
            problems.push(Problem::new(error, error.hint()));
            session.metadata.failure = Some(error.as_failure(attempt.stage));
            policy.on_failure
        }
    };
    let action = if action == Action::Resume && !policy.may_run {
        session.warn(NOT_RESUMED.to_owned());
        Action::Hold
    } else {
        action
    };
    let gone = matches!(attempt.outcome, Err(CaptureError::GuestGone));
    if !gone {
        let (mut release, problem) = release::release(&mut session, action, policy.may_run);
        problems.extend(problem);
        session.clock.lap("release");
        if action == Action::Resume && session.metadata.panic.is_some() {
            problems.extend(release::watch(&mut session, &mut release));
            session.clock.lap("watch");
        }
        session.metadata.release = Some(release);
    }
    settle(session, attempt, gone, problems)
}

/// Brings the entry to its end, after the guest was let go.
fn settle(
    mut session: Session<'_>,
    attempt: Attempt,
    gone: bool,
    mut problems: Vec<Problem>,
) -> Outcome {
    let release = session.metadata.release.as_ref();
    let let_go = release.is_some_and(|release| release.done && release.action != "hold");
    if let_go {
        session.metadata.held_seconds = session.clock.held().map(|held| held.as_secs_f64());
    }
    let released = release.is_some_and(|release| release.done);
    let limit = matches!(attempt.outcome, Err(CaptureError::HoldLimit { .. }));
    let unreachable = release.is_some_and(|release| release.state_before.is_none());
    // As long as the guest is held and nobody did anything to it, the evidence
    // is there, and in whole. Of one that cannot be asked, nobody knows.
    let touched = session.released_by_us;
    let disturbed =
        matches!(attempt.outcome, Err(CaptureError::GuestChanged { dumping: true, .. }));
    let keep = attempt.outcome.is_ok() || touched || gone || limit || unreachable || disturbed;
    let failed = attempt.outcome.is_err();
    let finished = finish::finish(&mut session, attempt, keep, &mut problems);
    report::after_release(&mut session, &finished);
    let whole = session.metadata.result == CaptureResult::Complete;
    let as_asked = failed && let_go && session.request.after_failure().is_some() && !limit;
    let verdict = match (whole, finished.incomplete.is_some()) {
        (true, _) if released => Verdict::Done,
        (true, _) => Verdict::NotReleased,
        (false, kept) if !released && !gone && (kept || touched || session.stopped_by_us) => {
            Verdict::NotReleased
        }
        (false, _) if as_asked => Verdict::ReleasedWithoutDump,
        (false, true) => Verdict::Incomplete,
        (false, false) if let_go && (limit || !failed) => Verdict::ReleasedWithoutDump,
        (false, false) => Verdict::Failed,
    };
    Outcome {
        verdict,
        metadata: Some(Box::new(session.metadata)),
        entry: finished.entry,
        incomplete: finished.incomplete,
        problems,
    }
}

/// A release that was not tried.
fn untried(action: Action) -> Release {
    Release {
        action: action.to_string(),
        done: false,
        state_before: None,
        state_after: None,
        error: None,
        qemu_error: None,
    }
}
