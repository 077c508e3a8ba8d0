//! Learns whether there is a guest to capture: by asking, or by waiting.
//!
//! A panic that is found and one that comes while the tool is connected are the
//! same panic; only its metadata differs. The run state decides, never an event
//! alone: a guest is held when QEMU says `guest-panicked`, and until then its
//! memory changes.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::no_panic;
use super::outcome::{CaptureError, Problem};
use super::panic_events::Seen;
use super::request::{Policy, Wait};
use super::session::Session;
use super::verdict::Found;
use super::{guard, other_dump};
use crate::metadata;
use crate::metadata::Panic;
use crate::monitor::{Manager, MonitorError, RunState, WaitLimits, WaitResult};

/// How often QEMU is asked while an event is awaited, in case it was missed.
const ASK_INTERVAL: Duration = Duration::from_millis(500);
/// How many times the timeout a panicked guest may take to stop: QEMU flushes
/// its disks first, and a hanging storage hangs that.
const STOP_TIMEOUTS: u32 = 4;

/// What was found.
#[derive(Debug)]
pub(crate) enum Discovery {
    /// The guest is stopped and waits to be dumped.
    Held(Policy),
    /// There is nothing to capture, for this reason.
    NoPanic(Problem),
}

/// Finds the guest panicked, or waits until it is, or stops it where asked.
pub(crate) fn discover(session: &mut Session<'_>) -> Result<Discovery, CaptureError> {
    if session.request.wait != Wait::No {
        pause_on_panic(session)?;
    }
    let mut seen = Seen::default();
    let state = session.monitor.run_state(&session.limits())?;
    seen.take_queued(session);
    session.metadata.state_found = Some(state.status.clone());
    if state.is_panicked() {
        return Ok(held_by_panic(session, &state, &seen));
    }
    if seen.panics > 0 {
        return await_stop(session, seen);
    }
    if session.request.any_state {
        return stop_unpanicked(session, state, seen);
    }
    match session.request.wait {
        Wait::No => Ok(Discovery::NoPanic(no_panic::not_panicked(&state, &seen))),
        Wait::Forever => await_panic(session, seen, None),
        Wait::For(limit) => await_panic(session, seen, Instant::now().checked_add(limit)),
    }
}

/// Asks QEMU to stop on a panic. By default it shuts down.
fn pause_on_panic(session: &mut Session<'_>) -> Result<(), MonitorError> {
    let limits = session.limits();
    match session.monitor.pause_on_panic(&limits) {
        Err(MonitorError::Refused { by: Manager::Libvirt, refusal, .. }) => {
            session.warn(format!(
                "the domain's on_crash is {}: libvirt acts on a panic before the guest's memory \
                 can be read; --preserve-on-crash has it keep the guest until that is shut off",
                refusal.description
            ));
            Ok(())
        }
        Err(MonitorError::Refused { refusal, .. }) => {
            session.warn(format!(
                "this QEMU cannot be set to stop on a panic ({}): it stops only if it was \
                 started with -no-shutdown",
                refusal.description
            ));
            Ok(())
        }
        other => other,
    }
}

fn await_panic(
    session: &mut Session<'_>,
    mut seen: Seen,
    end: Option<Instant>,
) -> Result<Discovery, CaptureError> {
    session.observer.step("waiting for a panic");
    loop {
        let now = Instant::now();
        if end.is_some_and(|end| now >= end) {
            return Ok(Discovery::NoPanic(no_panic::time_is_up(&seen)));
        }
        let hour = now + Duration::from_hours(1);
        let until = Some(end.map_or(hour, |end| end.min(hour)));
        let limits = WaitLimits { timeout: Duration::MAX, until, ..session.limits() };
        match session.monitor.wait("waiting for a panic", &limits, &[]) {
            Ok(WaitResult::Event(event)) => {
                let name = event.name.clone();
                seen.take(event);
                match name.as_str() {
                    "GUEST_PANICKED" => return await_stop(session, seen),
                    "GUEST_CRASHLOADED" => session.warn(
                        "the guest crashed and dumps itself (GUEST_CRASHLOADED): it is not held"
                            .to_owned(),
                    ),
                    "STOP" => {
                        let state = session.monitor.run_state(&session.limits())?;
                        seen.take_queued(session);
                        if state.is_panicked() {
                            return Ok(held_by_panic(session, &state, &seen));
                        }
                    }
                    _ => {}
                }
            }
            Ok(_) => {}
            Err(error) if error.is_end_of_qemu() => {
                return Ok(Discovery::NoPanic(no_panic::qemu_ended(&seen)));
            }
            // libvirt may be restarted; its guests run on.
            Err(MonitorError::Closed { by: Manager::Libvirt, .. }) => {
                if let Some(state) = connect_again(session, end)?.filter(RunState::is_panicked) {
                    return Ok(held_by_panic(session, &state, &seen));
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Connects to libvirt again, however long that takes, and asks for the guest's state: a
/// panic in between was not reported. Returns `None` at the end of the wait.
fn connect_again(
    session: &mut Session<'_>,
    end: Option<Instant>,
) -> Result<Option<RunState>, CaptureError> {
    session.warn("libvirt closed its connection: connecting again".to_owned());
    loop {
        let limits = session.limits();
        let state = session.monitor.reconnect(&limits).and_then(|()| {
            session.observer.step("connected again");
            session.monitor.run_state(&limits)
        });
        match state {
            Ok(state) => return Ok(Some(state)),
            Err(error) if error.is_end_of_qemu() => return Err(error.into()),
            Err(error @ MonitorError::Interrupted { .. }) => return Err(error.into()),
            Err(_) if end.is_some_and(|end| Instant::now() >= end) => return Ok(None),
            Err(_) => std::thread::sleep(ASK_INTERVAL),
        }
    }
}

/// The panic was reported; waits until the guest is stopped.
fn await_stop(session: &mut Session<'_>, mut seen: Seen) -> Result<Discovery, CaptureError> {
    session.guest_is_held();
    session.observer.step("the guest panicked, QEMU stops it");
    let started = Instant::now();
    let bound = session.request.timeout.saturating_mul(STOP_TIMEOUTS);
    loop {
        let limits = session.limits();
        let state = match session.monitor.run_state(&limits) {
            // QEMU's main loop flushes the guest's disks before the stop.
            Err(MonitorError::TimedOut { .. })
                if started.elapsed() < bound && !session.clock.is_over() =>
            {
                session.observer.step("QEMU still stops the guest: it waits for its storage");
                continue;
            }
            Err(error) if error.is_end_of_qemu() => {
                return Ok(Discovery::NoPanic(no_panic::qemu_ended(&seen)));
            }
            other => other?,
        };
        seen.take_queued(session);
        if state.is_panicked() {
            return Ok(held_by_panic(session, &state, &seen));
        }
        let goes_on = !state.running || seen.runs_on() || seen.released.is_some();
        if session.request.any_state && goes_on {
            return stop(session, &state, seen);
        }
        if let Some(event) = seen.released {
            return Ok(Discovery::NoPanic(no_panic::released_by_another(event)));
        }
        let hopeless = !state.running || seen.runs_on() || started.elapsed() >= bound;
        if hopeless {
            return Ok(Discovery::NoPanic(no_panic::not_panicked(&state, &seen)));
        }
        let limits = limits.at_most(ASK_INTERVAL);
        if let WaitResult::Event(event) = session.monitor.wait("the stop", &limits, &[])? {
            seen.take(event);
        }
    }
}

fn held_by_panic(session: &mut Session<'_>, state: &RunState, seen: &Seen) -> Discovery {
    session.guest_is_held();
    session.found = Found::Panicked;
    guard::expect(session, state);
    session.metadata.panic = Some(describe(seen));
    let how = if seen.panics > 0 { "panicked while connected" } else { "had panicked before" };
    session.observer.step(&format!("the guest is held: it {how}"));
    Discovery::Held(Policy::of(session.request, session.found))
}

fn describe(seen: &Seen) -> Panic {
    let data = seen.first.as_ref().map(|event| &event.data);
    let info = data.and_then(|data| data.get("info")).filter(|info| !info.is_null());
    Panic {
        noticed_by: if seen.panics > 0 {
            metadata::NoticedBy::Event
        } else {
            metadata::NoticedBy::Query
        },
        noticed: seen.noticed.unwrap_or_else(Timestamp::now),
        happened: seen.first.as_ref().and_then(|event| event.time),
        action: seen.action().map(str::to_owned),
        info: info.cloned(),
        reporting_cpus: None,
        events: seen.panics,
        crash_loaded: seen.crash_loaded,
    }
}

/// Stops a guest that did not panic, once no other dump is under way: QEMU refuses
/// to stop a guest during one, may have stopped it for that alone, and resumes it then.
fn stop_unpanicked(
    session: &mut Session<'_>,
    found: RunState,
    mut seen: Seen,
) -> Result<Discovery, CaptureError> {
    let limits = session.limits();
    let mut state = found;
    if other_dump::wait_for_end(session, &limits)? {
        state = session.monitor.run_state(&limits)?;
        seen.take_queued(session);
        if state.is_panicked() {
            return Ok(held_by_panic(session, &state, &seen));
        }
    }
    stop(session, &state, seen)
}

/// Stops a guest that did not panic, unless it is stopped already.
///
/// It may panic at the same time. Then QEMU stops it once, for either reason,
/// and the panic is known by its event alone.
fn stop(
    session: &mut Session<'_>,
    found: &RunState,
    mut seen: Seen,
) -> Result<Discovery, CaptureError> {
    session.guest_is_held();
    let limits = session.limits();
    if found.running {
        session.found = Found::Running;
        session.monitor.stop(&limits)?;
        let mut state = session.monitor.run_state(&limits)?;
        let deadline = limits.deadline();
        while state.running && Instant::now() < deadline {
            let result = session.monitor.wait("the stop", &limits.at_most(ASK_INTERVAL), &[])?;
            if let WaitResult::Event(event) = result {
                seen.take(event);
            }
            state = session.monitor.run_state(&limits)?;
        }
        seen.take_queued(session);
        if state.is_panicked() || (seen.panics > 0 && !seen.runs_on()) {
            return Ok(held_by_panic(session, &state, &seen));
        }
        session.observer.step("stopped the running guest");
        guard::expect(session, &state);
    } else {
        guard::expect(session, found);
        session.found = if found.is_fault() { Found::Faulted } else { Found::Paused };
        session.observer.step(&format!("the guest is already stopped: {}", found.status));
    }
    if seen.panics > 0 {
        session.metadata.panic = Some(describe(&seen));
    }
    Ok(Discovery::Held(Policy::of(session.request, session.found)))
}
