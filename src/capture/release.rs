//! Releases the guest, and checks that it was released.
//!
//! Needs: a connection, tried once more if it was lost. Gives: what was done, in
//! the words of the metadata, and a problem if it did not work. Nothing stops a
//! release, not even a signal: a half-released guest is of no use.

use std::time::{Duration, Instant};

use super::guard;
use super::outcome::{Problem, qemu_error};
use super::release_actions::{REPORTED_AGAIN, allow, await_state, quit, reset, resume};
use super::release_failure::{NotReleased, explain};
use super::request::Action;
use super::session::Session;
use crate::metadata::{Release, ReleasedBy};
use crate::monitor::{MonitorError, RunState, WaitLimits, WaitResult};

/// How long a resumed guest is watched for a panic that it reports again, after its hold.
const WATCHED: Duration = Duration::from_millis(200);
/// How the steps begin that follow a release.
const RELEASED: &str = "the guest was released";
const LEFT_ALONE: &str = "nothing was done to the guest";
const ALREADY_RUNS: &str = "the guest already runs, and not by this capture: it was not resumed";

/// Whether a line of the steps, with its time, is the one that follows a release.
pub fn is_release(line: &str) -> bool {
    let step = line.split_once(' ').map_or("", |(_, step)| step);
    step.starts_with(RELEASED) || step.starts_with(LEFT_ALONE)
}

/// Does what was asked with the guest.
pub(super) fn release(session: &mut Session<'_>, action: Action) -> (Release, Option<Problem>) {
    let may_run = session.found.may_run();
    let limits = session.release_limits();
    let before = state(session, &limits);
    let mut release = untried(action);
    release.state_before = before.as_ref().ok().map(|state| state.status.clone());
    let outcome = match action {
        Action::Hold => before.map(Some).map_err(NotReleased::from),
        _ => allow(session, action, before).and_then(|()| match action {
            Action::Hold => Ok(None),
            Action::Resume => resume(session, &limits).map(Some),
            Action::Reset => reset(session, &limits, may_run).map(Some),
            Action::Quit => quit(session, &limits).map(|()| None),
        }),
    };
    session.clock.guest_is_released();
    match outcome {
        Ok(after) => {
            release.done = true;
            release.by = (action != Action::Hold).then_some(ReleasedBy::Vmcorectl);
            let after = after.map(|state| state.status);
            let shown = after.as_deref().unwrap_or("QEMU has ended");
            session.observer.step(&match action {
                Action::Hold => format!("{LEFT_ALONE}: {shown}"),
                _ => format!("{RELEASED} ({action}): {shown}"),
            });
            release.state_after = after;
            (release, None)
        }
        Err(NotReleased::AlreadyRuns(state)) => {
            session.warn(ALREADY_RUNS.to_owned());
            let state_before = release.state_before;
            let state_after = Some(state.status);
            let by = Some(ReleasedBy::AnotherClient);
            (Release { done: true, state_before, state_after, by, ..untried(Action::Hold) }, None)
        }
        Err(failure) => {
            let problem = explain(session, action, &failure);
            release.error = Some(problem.message.clone());
            if let NotReleased::Monitor(error) = &failure {
                release.qemu_error = qemu_error(error);
            }
            release.state_after = match failure {
                NotReleased::Ended | NotReleased::Unknown(_) => None,
                NotReleased::Changed { state, .. } => {
                    release.by = Some(ReleasedBy::AnotherClient);
                    Some(state.status)
                }
                _ => state(session, &limits).ok().map(|state| state.status),
            };
            (release, Some(problem))
        }
    }
}

/// Whether the guest is known to be gone: another client, or itself, ended it.
pub(super) fn has_ended(session: &mut Session<'_>) -> bool {
    let limits = session.release_limits();
    matches!(session.monitor.run_state(&limits), Err(MonitorError::Ended { .. }))
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
        by: None,
    }
}

/// Watches a resumed guest for a panic that it reports once more, and resumes it
/// again: the second of two panic devices is seen only when the
/// guest runs. The hold is over meanwhile.
pub(super) fn watch(session: &mut Session<'_>, release: &mut Release) -> Option<Problem> {
    let limits = session.release_limits();
    let started = Instant::now();
    while release.done && started.elapsed() < WATCHED {
        let left = WATCHED.saturating_sub(started.elapsed());
        match session.monitor.wait("the guest", &limits.at_most(left), &[]) {
            Ok(WaitResult::Event(event)) if event.name == "GUEST_PANICKED" => {}
            Ok(_) => continue,
            // With -no-reboot, a guest that runs on may end its QEMU.
            Err(_) => return None,
        }
        let stopped = await_state(session, &limits, RunState::is_panicked);
        if let Err(NotReleased::State(..)) = stopped {
            // QEMU lets it run on after its panic (panic=none).
            continue;
        }
        let resumed = stopped.and_then(|_| {
            session.warn(REPORTED_AGAIN.to_owned());
            resume(session, &limits)
        });
        session.clock.guest_is_released();
        match resumed {
            Ok(state) => release.state_after = Some(state.status),
            Err(failure) => {
                let problem = explain(session, Action::Resume, &failure);
                release.done = false;
                release.error = Some(problem.message.clone());
                release.state_after = state(session, &limits).ok().map(|state| state.status);
                return Some(problem);
            }
        }
    }
    None
}

/// The state, by a new connection if the old one is lost.
fn state(session: &mut Session<'_>, limits: &WaitLimits<'_>) -> Result<RunState, MonitorError> {
    match session.monitor.run_state(limits) {
        Err(error) if error.is_connection_lost() => {
            session.monitor.reconnect(limits)?;
            let state = session.monitor.run_state(limits)?;
            guard::compare_anew(session, limits)?;
            Ok(state)
        }
        other => other,
    }
}
