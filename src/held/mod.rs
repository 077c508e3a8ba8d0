//! A stopped guest as an open core, without writing anything.
//!
//! ```text
//!   this process                             a child without rights
//!   head ─► whole dump, broken off  ──────►  Vmcore: notes, ranges
//!   serve ◄──────── questions ◄────────────  HeldMemory: cache, PhysMemory
//!     └──► dump-guest-memory, begin/length ─►  └──► Report
//! ```
//!
//! Needs: a stopped guest, and its monitor. Gives: its report. Nothing is
//! written, neither here nor in the guest. Where QEMU's memory may be read in its process
//! (`direct`), it is.
//!
//! The guest's memory is hostile, and its report may need longer than there is time, or
//! never end. So a child makes it ([`crate::sandbox`]), and this process, which talks to
//! QEMU, only hands memory to it. When the time is up, its questions are not answered any
//! more, and it makes the best of what it has.

mod ask;
pub(crate) mod direct;
pub(crate) mod facts;
pub mod live;
mod memory;
mod partial_dump;
pub(crate) mod ranged;
mod serve;
mod windows;
mod wire;

pub use ask::open;

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use thiserror::Error;

use crate::interrupt::Interrupt;
use crate::metadata::{Metadata, Panic, Request};
use crate::monitor;
use crate::monitor::{DumpReply, Monitor, MonitorError, RunState, Target, WaitLimits};
use crate::sandbox::plan::Plan;
use crate::sandbox::print::{Answer as PrintAnswer, Request as PrintRequest};
use crate::sandbox::report::{Answer, Request as ReportRequest};
use crate::sandbox::{Child, ChildError, ChildLimits, Waited};
use direct::{Direct, NotDirect};
use facts::metadata_of_guest;
pub(crate) use partial_dump::PartialDumpError;
use serve::Server;

/// How long the child may take for its end once no memory is to be had any more.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Why a held guest cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HeldError {
    /// Its monitor gives no answer, or no.
    #[error(transparent)]
    Monitor(#[from] MonitorError),
    /// It gives no memory.
    #[error(transparent)]
    Dump(#[from] PartialDumpError),
    /// It runs: what is read would change meanwhile.
    #[error("the guest is not held ({state}): its memory would change while it is read")]
    Running {
        /// Its run state.
        state: String,
    },
    /// No socket for its memory.
    #[error("cannot set up a socket for the guest's memory")]
    Socket(#[source] std::io::Error),
    /// The child made no report.
    #[error(transparent)]
    Child(#[from] ChildError),
}

impl HeldError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Monitor(error) => error.hint(),
            Self::Running { .. } => {
                Some("stop it first, or capture it with --any-state and read the core")
            }
            _ => None,
        }
    }
}

/// Connects to a stopped guest, and reports on it. `request` gives what its
/// report is to be, by what the monitor tells.
///
/// # Errors
/// Fails if the guest runs, cannot be asked, or gives no report.
pub fn report_on(
    target: &Target,
    timeout: Duration,
    interrupt: &Interrupt,
    request: impl FnOnce(Metadata) -> ReportRequest,
) -> Result<Answer, HeldError> {
    let limits = WaitLimits { timeout, until: None, interrupt: Some(interrupt) };
    let (mut monitor, state) = connect(target, &limits)?;
    let mut metadata = metadata_of_guest(target, Request::to_read(), Timestamp::now());
    facts::note_manager(monitor.as_ref(), &mut metadata);
    if state.is_panicked() {
        metadata.panic = Some(Panic::found(Timestamp::now()));
    }
    metadata.state_found = Some(state.status);
    monitor.take_guest_events();
    facts::ask_all(monitor.as_mut(), &mut metadata, &limits)?;
    let answer = report(monitor.as_mut(), &limits, request(metadata))?;
    check_still_held(monitor.as_mut(), &limits)?;
    Ok(answer)
}

/// Connects to a stopped guest, and prints structures of its kernel.
///
/// # Errors
/// Fails like [`report_on`].
pub fn print_of(
    target: &Target,
    timeout: Duration,
    interrupt: &Interrupt,
    request: &PrintRequest,
) -> Result<PrintAnswer, HeldError> {
    let limits = WaitLimits { timeout, until: None, interrupt: Some(interrupt) };
    let (mut monitor, _) = connect(target, &limits)?;
    monitor.take_guest_events();
    // It reads little: to prove QEMU's memory would take as long.
    let answer = ask_child(monitor.as_mut(), &limits, None, |head| request.encode(head))?;
    check_still_held(monitor.as_mut(), &limits)?;
    Ok(PrintAnswer::decode(&answer)?)
}

/// Connects to a guest, if it is stopped.
fn connect(
    target: &Target,
    limits: &WaitLimits<'_>,
) -> Result<(Box<dyn Monitor>, RunState), HeldError> {
    let mut monitor = monitor::connect_to_dump(target, limits)?;
    let state = monitor.run_state(limits)?;
    if state.running {
        return Err(HeldError::Running { state: state.status });
    }
    Ok((monitor, state))
}

/// What was read last may be of a guest that was being reset: QEMU reports that after.
fn check_still_held(monitor: &mut dyn Monitor, limits: &WaitLimits<'_>) -> Result<(), HeldError> {
    if let Ok(state) = monitor.run_state(limits)
        && state.running
    {
        return Err(HeldError::Running { state: state.status });
    }
    partial_dump::check_guest(monitor)?;
    Ok(())
}

/// The report of a stopped guest.
///
/// `limits.until` is when it has to end, but for the child's last words.
pub(super) fn report(
    monitor: &mut dyn Monitor,
    limits: &WaitLimits<'_>,
    mut request: ReportRequest,
) -> Result<Answer, HeldError> {
    request.held = true;
    Ok(Answer::decode(&ask_child_fast(monitor, limits, |head| request.encode(head))?)?)
}

/// The plan of the pages to leave out of the core of a stopped guest, with the same limits. Its
/// memory is read in QEMU's process, if that was found.
pub(super) fn plan(
    monitor: &mut dyn Monitor,
    limits: &WaitLimits<'_>,
    direct: Option<&Direct>,
    mut request: ReportRequest,
) -> Result<Plan, HeldError> {
    request.held = true;
    Ok(Plan::decode(&ask_child(monitor, limits, direct, |head| request.encode(head))?)?)
}

/// What a child answers that reads the guest's memory in QEMU's process, where that is allowed
/// and leaves no doubt before and after; else through the monitor.
fn ask_child_fast(
    monitor: &mut dyn Monitor,
    limits: &WaitLimits<'_>,
    request: impl Fn(&[u8]) -> Vec<u8>,
) -> Result<Vec<u8>, HeldError> {
    let direct = match Direct::find(monitor, limits).map_err(NotDirect::into_monitor_error) {
        Ok(direct) => Some(direct),
        Err(Ok(error)) => return Err(error.into()),
        Err(Err(_)) => None,
    };
    partial_dump::check_guest(monitor)?;
    if let Some(direct) = &direct {
        let answer = ask_child(monitor, limits, Some(direct), &request)?;
        // What a child says whose time is up counts, too, if it is of the guest.
        let until = limits.until.map(|until| until.max(Instant::now() + LAST_WORDS));
        let confirmed = direct.confirm(monitor, &WaitLimits { until, ..*limits });
        partial_dump::check_guest(monitor)?;
        match confirmed.map_err(NotDirect::into_monitor_error) {
            Ok(()) => return Ok(answer),
            Err(Ok(error)) => return Err(error.into()),
            Err(Err(_)) => {}
        }
    }
    ask_child(monitor, limits, None, request)
}

/// What a child answers that reads the guest's memory. `request` gives what it is asked, by the
/// head of the guest's dump.
fn ask_child(
    monitor: &mut dyn Monitor,
    limits: &WaitLimits<'_>,
    direct: Option<&Direct>,
    request: impl FnOnce(&[u8]) -> Vec<u8>,
) -> Result<Vec<u8>, HeldError> {
    if monitor.dump_reply() == DumpReply::AtEndOfItsOwn {
        // libvirt stops a guest that runs, dumps it and resumes it.
        let state = monitor.run_state(limits)?;
        if state.running {
            return Err(HeldError::Running { state: state.status });
        }
    }
    let dump;
    let (head, head_bytes) = match direct {
        Some(direct) => direct.head(),
        None => {
            dump = partial_dump::head(monitor, limits)?;
            (&dump.head, dump.head_bytes())
        }
    };
    let (ours, theirs) = UnixStream::pair().map_err(HeldError::Socket)?;
    let ranges = memory::ranges(head);
    let server = Server::new(&ranges, ours).map_err(HeldError::Socket)?;
    let server = server.with_direct(direct.map(|direct| Arc::clone(direct.memory())));
    let mut child = Child::start(theirs.into(), request(head_bytes))?;
    match server.serve(monitor, limits, &mut child) {
        Ok(answer) => Ok(answer),
        // The memory is another one by now, or the child is dead.
        Err(
            error @ (HeldError::Dump(PartialDumpError::GuestChanged { .. }) | HeldError::Child(_)),
        ) => Err(error),
        Err(error) => last_words(&mut child).ok_or(error),
    }
}

/// What the child still has to say once its reads fail.
fn last_words(child: &mut Child) -> Option<Vec<u8>> {
    let limits = ChildLimits { until: Some(Instant::now() + LAST_WORDS), interrupt: None };
    loop {
        match child.wait(&limits, None) {
            Ok(Waited::Answered(answer)) => return Some(answer),
            Ok(Waited::Ready) => {}
            _ => return None,
        }
    }
}
