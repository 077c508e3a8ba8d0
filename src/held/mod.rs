//! A held guest as an open core, before anything is written.
//!
//! ```text
//!   the thread that talks to QEMU            a thread of its own
//!   head ─► whole dump, broken off  ──────►  Vmcore: notes, ranges
//!   serve ◄─────────── pieces ◄────────────  HeldMemory: cache, PhysMemory
//!     └──► dump-guest-memory, begin/length ─►  └──► whoever reads the core
//! ```
//!
//! Needs: a guest that stands still, and its monitor. Gives: what somebody who knows
//! nothing of guests makes of its [`Vmcore`]. Nothing is written, neither here nor in
//! the guest.
//!
//! The reader may need longer than there is time, or never end: the thread that talks
//! to QEMU serves it, and goes when the time is up. Reads fail from then on.

pub(crate) mod facts;
mod memory;
mod partial_dump;
mod serve;

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{bounded, unbounded};
use jiff::Timestamp;
use thiserror::Error;

use crate::interrupt::Interrupt;
use crate::metadata::{Metadata, Panic, Request};
use crate::monitor;
use crate::monitor::{Monitor, MonitorError, WaitLimits};
use crate::vmcore::{Dump, Vmcore};
use facts::metadata_of_guest;
use memory::HeldMemory;
pub(crate) use partial_dump::PartialDumpError;

/// How long the reader may take for its end once no memory is to be had any more.
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
    /// No thread for the reader.
    #[error("cannot start a thread")]
    Threads(#[source] std::io::Error),
    /// The time was up.
    #[error("the held guest was not read to the end within {waited:.1?}")]
    TimeUp {
        /// How long.
        waited: Duration,
    },
}

impl HeldError {
    /// What the user can do about it.
    #[must_use]
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

/// Connects to a guest that stands still, and gives what `work` makes of it: of an open
/// core, and of what its monitor tells.
///
/// # Errors
/// Fails if the guest runs, cannot be asked, or the time is up.
pub fn read_guest<T: Send + 'static>(
    path: &Path,
    timeout: Duration,
    interrupt: &Interrupt,
    work: impl FnOnce(Vmcore, Metadata) -> T + Send + 'static,
) -> Result<T, HeldError> {
    let limits = WaitLimits { timeout, until: None, interrupt: Some(interrupt) };
    let mut monitor = monitor::connect(path, &limits)?;
    let state = monitor.run_state(&limits)?;
    if state.running {
        return Err(HeldError::Running { state: state.status });
    }
    let mut metadata = metadata_of_guest(path, Request::to_read(), Timestamp::now());
    metadata.guest.qemu_version = Some(monitor.version().to_string());
    if state.is_panicked() {
        metadata.panic = Some(Panic::found(Timestamp::now()));
    }
    metadata.state_found = Some(state.status);
    monitor.take_guest_events();
    facts::ask_all(monitor.as_mut(), &mut metadata, &limits)?;
    let result = read(monitor.as_mut(), &limits, move |core| work(core, metadata))?;
    // What was read last may be of a guest that was being reset: QEMU reports that after.
    if let Ok(state) = monitor.run_state(&limits)
        && state.running
    {
        return Err(HeldError::Running { state: state.status });
    }
    partial_dump::check_guest(monitor.as_ref())?;
    Ok(result)
}

/// Gives what `work` makes of a guest that stands still, as an open core.
///
/// `limits.until` is when it has to end.
pub(super) fn read<T: Send + 'static>(
    monitor: &mut dyn Monitor,
    limits: &WaitLimits<'_>,
    work: impl FnOnce(Vmcore) -> T + Send + 'static,
) -> Result<T, HeldError> {
    let started = Instant::now();
    let dump = partial_dump::head(monitor, limits)?;
    let (requests, served) = unbounded();
    let memory = HeldMemory::new(&dump.head, requests);
    let dump = Dump {
        format: "held guest".to_owned(),
        identity: dump.head.identity,
        notes: dump.notes(),
        memory: Arc::new(memory),
        segments: dump.head.segments,
        elf: None,
        findings: Vec::new(),
    };
    let core = Vmcore::without_file(monitor.path(), dump);
    let (sender, result) = bounded(1);
    thread::Builder::new()
        .name("held guest".to_owned())
        .spawn(move || {
            let _ = sender.send(work(core));
        })
        .map_err(HeldError::Threads)?;
    let ended = serve::serve(monitor, limits, &served);
    // From here on, reads fail at once, and the reader makes the best of what it has.
    drop(served);
    let result = result.recv_timeout(LAST_WORDS);
    match (result, ended) {
        (Ok(result), _) => Ok(result),
        (Err(_), Err(error)) => Err(error.into()),
        (Err(_), Ok(())) => Err(HeldError::TimeUp { waited: started.elapsed() }),
    }
}
