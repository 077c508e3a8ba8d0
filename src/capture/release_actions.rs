//! Resumes, resets or ends the guest, and waits until that is so.
//!
//! Needs: a connection, and that the action may be ordered. Gives: the state that the guest
//! is in then, or why it is not.

use std::time::Duration;
use std::time::Instant;

use super::guard;
use super::release_failure::{NotReleased, is_dumping};
use super::release_order::{self, Known, Order};
use super::request::Action;
use super::session::Session;
use super::verdict::Found;
use crate::monitor::{MonitorError, RunState, WaitLimits, WaitResult};

/// How often the state is asked for while it should change.
const ASK_INTERVAL: Duration = Duration::from_millis(20);
/// How often a guest that panics again at once is resumed. A guest with two panic
/// devices reports one panic twice, the second time after `cont`.
const RESUMES: u32 = 3;
pub(super) const REPORTED_AGAIN: &str =
    "the guest reported the panic once more when it ran on, and was resumed again";

/// Fails if an action may not be ordered, by the guest's state and by what happened to it.
pub(super) fn allow(
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

pub(super) fn resume(
    session: &mut Session<'_>,
    limits: &WaitLimits<'_>,
) -> Result<RunState, NotReleased> {
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

pub(super) fn reset(
    session: &mut Session<'_>,
    limits: &WaitLimits<'_>,
    may_run: bool,
) -> Result<RunState, NotReleased> {
    session.monitor.forget_events();
    let ended = |error: MonitorError| match error {
        // With -no-reboot, and for guests whose vCPUs cannot be reset.
        error if error.is_end_of_qemu() => NotReleased::Ended,
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

pub(super) fn quit(session: &mut Session<'_>, limits: &WaitLimits<'_>) -> Result<(), NotReleased> {
    let started = Instant::now();
    match order(session, Action::Quit, limits) {
        Ok(()) => {}
        Err(error) if error.is_end_of_qemu() => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    while started.elapsed() < limits.timeout {
        match session.monitor.wait("quit", limits, &[]) {
            Ok(_) => {}
            Err(error) if error.is_end_of_qemu() => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    let waited = started.elapsed();
    Err(MonitorError::TimedOut {
        by: session.monitor.manager(),
        command: "quit by ending".to_owned(),
        waited,
    }
    .into())
}

pub(super) fn await_state(
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
