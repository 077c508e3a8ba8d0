//! Releases the guest, and checks that it was released.
//!
//! Needs: a connection, tried once more if it was lost. Gives: what was done, in
//! the words of the metadata, and a problem if it did not work. Nothing stops a
//! release, not even a signal: a half-released guest is of no use.

use std::time::{Duration, Instant};

use super::guard;
use super::outcome::{Problem, qemu_error, with_causes};
use super::release_order::{self, Known, Order};
use super::request::Action;
use super::session::Session;
use super::verdict::Found;
use crate::metadata::Release;
use crate::monitor::{MonitorError, RunState, Version, WaitLimits, WaitResult};

/// How often the state is asked for while it should change.
const ASK_INTERVAL: Duration = Duration::from_millis(20);
/// How often a guest that panics again at once is resumed. A guest with two panic
/// devices reports one panic twice, the second time after `cont`.
const RESUMES: u32 = 3;
/// How long a guest that runs on is watched for that, after its hold.
const WATCHED: Duration = Duration::from_millis(200);
const ALREADY_RUNS: &str = "the guest already runs, and not by this capture: it was not resumed";
const REPORTED_AGAIN: &str =
    "the guest reported the panic once more when it ran on, and was resumed again";
/// Before this version, `guest-panicked` could not be left.
const REVERSIBLE: Version = Version { major: 1, minor: 7, micro: 0 };

/// Why a release did not work.
enum NotReleased {
    /// The guest is not as it was captured: nothing was ordered.
    Changed {
        change: String,
        state: RunState,
    },
    /// Another client let the guest run: nothing was ordered.
    AlreadyRuns(RunState),
    /// Nothing was ordered, since the guest's state is unknown.
    Unknown(MonitorError),
    Monitor(MonitorError),
    /// The state that the guest stayed in.
    State(RunState, Duration),
    /// QEMU ended instead.
    Ended,
}

impl From<MonitorError> for NotReleased {
    fn from(error: MonitorError) -> Self {
        Self::Monitor(error)
    }
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
            let after = after.map(|state| state.status);
            let shown = after.as_deref().unwrap_or("QEMU has ended");
            session.observer.step(&match action {
                Action::Hold => format!("nothing was done to the guest: {shown}"),
                _ => format!("the guest was released ({action}): {shown}"),
            });
            release.state_after = after;
            (release, None)
        }
        Err(NotReleased::AlreadyRuns(state)) => {
            session.warn(ALREADY_RUNS.to_owned());
            let state_before = release.state_before;
            let state_after = Some(state.status);
            (Release { done: true, state_before, state_after, ..untried(Action::Hold) }, None)
        }
        Err(failure) => {
            let problem = explain(session, action, &failure);
            release.error = Some(problem.message.clone());
            if let NotReleased::Monitor(error) = &failure {
                release.qemu_error = qemu_error(error);
            }
            release.state_after = match failure {
                NotReleased::Ended | NotReleased::Unknown(_) => None,
                NotReleased::Changed { state, .. } => Some(state.status),
                _ => state(session, &limits).ok().map(|state| state.status),
            };
            (release, Some(problem))
        }
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

/// Fails if an action may not be ordered, by the guest's state and by what happened to it.
fn allow(
    session: &mut Session<'_>,
    action: Action,
    state: Result<RunState, MonitorError>,
) -> Result<(), NotReleased> {
    match &state {
        Ok(state) => guard::compare(session, state),
        Err(_) => guard::take_events(session),
    }
    let change = session.guest.change();
    let known = Known {
        state: state.as_ref().ok().map(|state| (state.status.as_str(), state.running)),
        change,
        stopped_by_us: session.found == Found::Running,
    };
    let decision = release_order::decide(action, &known);
    let change = change.map_or_else(String::new, ToString::to_string);
    match (decision, state) {
        (_, Err(error)) if !matches!(error, MonitorError::TimedOut { .. }) => Err(error.into()),
        (Order::Give, _) => Ok(()),
        (Order::AlreadyRuns, Ok(state)) => Err(NotReleased::AlreadyRuns(state)),
        (_, Ok(state)) => Err(NotReleased::Changed { change, state }),
        (_, Err(error)) => Err(NotReleased::Unknown(error)),
    }
}

/// Gives an order. Only of a refusal it is known that nothing was done.
fn order(
    session: &mut Session<'_>,
    action: Action,
    limits: &WaitLimits<'_>,
) -> Result<(), MonitorError> {
    let answer = match action {
        Action::Hold => return Ok(()),
        Action::Resume => session.monitor.resume(limits),
        Action::Reset => session.monitor.reset(limits),
        Action::Quit => session.monitor.quit(limits),
    };
    session.ordered |= !matches!(answer, Err(MonitorError::Refused { .. }));
    answer
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

fn resume(session: &mut Session<'_>, limits: &WaitLimits<'_>) -> Result<RunState, NotReleased> {
    let started = Instant::now();
    let mut resumes = 0;
    loop {
        // What was reported before is no news about the guest that runs on.
        session.monitor.forget_events();
        match order(session, Action::Resume, limits) {
            Ok(()) => {}
            // The dump's last steps in QEMU may follow its report.
            Err(MonitorError::Refused { refusal, .. })
                if is_dumping(&refusal.description) && started.elapsed() < limits.timeout =>
            {
                std::thread::sleep(ASK_INTERVAL);
                // It may be another client's dump, and that client may act on the guest.
                if !session.ordered {
                    let state = session.monitor.run_state(limits);
                    allow(session, Action::Resume, state)?;
                }
                continue;
            }
            Err(error) => return Err(error.into()),
        }
        resumes += 1;
        let state = await_state(session, limits, |state| state.running || state.is_panicked())?;
        if state.running {
            return Ok(state);
        }
        if resumes == RESUMES {
            return Err(NotReleased::State(state, started.elapsed()));
        }
        session.warn(REPORTED_AGAIN.to_owned());
    }
}

fn reset(
    session: &mut Session<'_>,
    limits: &WaitLimits<'_>,
    may_run: bool,
) -> Result<RunState, NotReleased> {
    session.monitor.forget_events();
    let ended = |error| match error {
        // With -no-reboot, and for guests whose vCPUs cannot be reset.
        MonitorError::Closed { .. } => NotReleased::Ended,
        error => NotReleased::Monitor(error),
    };
    order(session, Action::Reset, limits).map_err(ended)?;
    let started = Instant::now();
    loop {
        match session
            .monitor
            .wait("the reset", &limits.at_most(ASK_INTERVAL), &[])
            .map_err(ended)?
        {
            WaitResult::Event(event) if event.name == "RESET" => break,
            WaitResult::Event(event) if event.name == "SHUTDOWN" => return Err(NotReleased::Ended),
            _ => {}
        }
        let state = session.monitor.run_state(limits).map_err(ended)?;
        // The event may have come with the reply to the question.
        if state.status == "prelaunch" {
            break;
        }
        if started.elapsed() > limits.timeout {
            return Err(NotReleased::State(state, started.elapsed()));
        }
    }
    // The new start begins where the old one was stopped: QEMU waits for `cont`.
    if may_run { resume(session, limits) } else { Ok(session.monitor.run_state(limits)?) }
}

fn quit(session: &mut Session<'_>, limits: &WaitLimits<'_>) -> Result<(), NotReleased> {
    let started = Instant::now();
    match order(session, Action::Quit, limits) {
        Ok(()) => {}
        Err(MonitorError::Closed { .. }) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    while started.elapsed() < limits.timeout {
        match session.monitor.wait("quit", limits, &[]) {
            Ok(_) => {}
            Err(MonitorError::Closed { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    let waited = started.elapsed();
    Err(MonitorError::TimedOut { command: "quit by ending".to_owned(), waited }.into())
}

fn await_state(
    session: &mut Session<'_>,
    limits: &WaitLimits<'_>,
    wanted: impl Fn(&RunState) -> bool,
) -> Result<RunState, NotReleased> {
    let started = Instant::now();
    loop {
        let state = session.monitor.run_state(limits)?;
        if wanted(&state) {
            return Ok(state);
        }
        if started.elapsed() > limits.timeout {
            return Err(NotReleased::State(state, started.elapsed()));
        }
        std::thread::sleep(ASK_INTERVAL);
    }
}

/// Whether QEMU's refusal says that a dump is under way. It has no class of its own.
fn is_dumping(description: &str) -> bool {
    description.contains("dump in process")
}

fn explain(session: &Session<'_>, action: Action, failure: &NotReleased) -> Problem {
    let version = session.monitor.version();
    let (what, refused) = match failure {
        NotReleased::Changed { change, state } => {
            return Problem {
                message: format!(
                    "{action} was not ordered: the guest is not as it was captured: {change}"
                ),
                hint: Some(format!(
                    "its state is {:?} now; what becomes of it is up to the other client",
                    state.status
                )),
            };
        }
        NotReleased::Unknown(error) => {
            return Problem {
                message: format!(
                    "{action} was not ordered: it destroys the guest's memory, and its state is \
                     unknown: {}",
                    with_causes(error)
                ),
                hint: error.hint().map(str::to_owned),
            };
        }
        NotReleased::AlreadyRuns(state) => (format!("its state is {:?}", state.status), false),
        NotReleased::Monitor(error) => (with_causes(error), error.refusal().is_some()),
        NotReleased::State(state, waited) => {
            (format!("its state is still {:?} after {waited:.1?}", state.status), false)
        }
        NotReleased::Ended => {
            ("QEMU ended instead (-no-reboot, or vCPUs that cannot be reset)".to_owned(), false)
        }
    };
    let dumping = matches!(failure, NotReleased::Monitor(error)
        if error.refusal().is_some_and(|refusal| is_dumping(&refusal.description)));
    if refused && action != Action::Quit {
        return Problem {
            message: format!("the VM remained paused: it could not be released ({action}): {what}"),
            hint: Some(if version < REVERSIBLE {
                format!(
                    "QEMU {version} cannot leave the panicked state (1.7 and newer can): \
                     update QEMU, or reset the guest (--then reset)"
                )
            } else if dumping {
                "QEMU still dumps the guest and cannot be stopped: release the guest when \
                 `query-dump` does not say `active` any more"
                    .to_owned()
            } else if session.metadata.panic.is_some() {
                "update QEMU, or reset the guest (--then reset)".to_owned()
            } else {
                "reset the guest (--then reset)".to_owned()
            }),
        };
    }
    if action == Action::Hold {
        return Problem {
            message: format!("nothing was done to the guest, and its state is unknown: {what}"),
            hint: None,
        };
    }
    let hint = match failure {
        NotReleased::Monitor(error) => error.hint().map(str::to_owned),
        _ => None,
    };
    Problem { message: format!("the guest could not be released ({action}): {what}"), hint }
}
