//! One capture under way: the connection, the clock and the metadata so far.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use vmcore_formats::page_class::LeftOut;
use vmcore_formats::text::{MAX_TITLE, bounded};

use super::request::{Policy, Request, Wait};
use super::same_guest::SameGuest;
use super::verdict::Found;
use crate::corefile::pack::UsedChunks;
use crate::encryption::EntryEncryption;
use crate::held::facts::{metadata_of_guest, note_manager};
use crate::interrupt::Interrupt;
use crate::metadata::{Metadata, Phase, Request as RequestMetadata};
use crate::monitor;
use crate::monitor::{Monitor, MonitorError, WaitLimits};
use crate::observer::Observer;
use crate::triage::report::Report;

/// Everything that the steps of a capture share.
pub(crate) struct Session<'a> {
    pub(super) request: &'a Request,
    pub(super) interrupt: &'a Interrupt,
    pub(super) observer: &'a dyn Observer,
    pub(super) monitor: Box<dyn Monitor>,
    pub(super) metadata: Metadata,
    pub(super) clock: Clock,
    /// Whether the guest is still as it was found.
    pub(super) guest: SameGuest,
    /// The report that was made before the dump.
    pub(super) report: Option<Box<Report>>,
    /// The chunks of the core that its triage pack has, once they are found.
    pub(super) used_chunks: Option<UsedChunks>,
    /// The pages that the core is to lack, as planned before the dump.
    pub(super) left_out: Option<LeftOut>,
    /// Whether it was tried to plan that.
    pub(super) planned: bool,
    /// How the guest was found.
    pub(super) found: Found,
    /// Whether QEMU was given an order for the release, and did not refuse it.
    pub(super) ordered: bool,
}

impl<'a> Session<'a> {
    /// What the entry is encrypted with.
    pub(super) fn encryption(&self) -> Option<&'a EntryEncryption> {
        self.request.encryption.as_deref()
    }

    /// Connects to the guest's monitor.
    pub(crate) fn connect(
        request: &'a Request,
        interrupt: &'a Interrupt,
        observer: &'a dyn Observer,
    ) -> Result<Self, MonitorError> {
        let mut clock = Clock::start();
        let started = Timestamp::now();
        let limits =
            WaitLimits { timeout: request.timeout, until: None, interrupt: Some(interrupt) };
        let monitor = monitor::connect_to_dump(&request.monitor, &limits)?;
        clock.lap("connect");
        let libvirt = monitor.libvirt();
        observer.step(&match (&libvirt, monitor.version()) {
            (Some(libvirt), _) => format!("connected to libvirt {}", libvirt.version),
            (None, Some(version)) => format!("connected to QEMU {version}"),
            (None, None) => "connected".to_owned(),
        });
        let mut metadata = metadata_of(request, started);
        note_manager(monitor.as_ref(), &mut metadata);
        Ok(Self {
            request,
            interrupt,
            observer,
            monitor,
            metadata,
            clock,
            guest: SameGuest::default(),
            report: None,
            used_chunks: None,
            left_out: None,
            planned: false,
            found: Found::default(),
            ordered: false,
        })
    }

    /// The limits for everything before the release.
    pub(crate) fn limits(&self) -> WaitLimits<'a> {
        let interrupt = Some(self.interrupt);
        WaitLimits { timeout: self.request.timeout, until: self.clock.limit, interrupt }
    }

    /// The limits for the release, which no signal and no limit stops.
    pub(crate) fn release_limits(&self) -> WaitLimits<'static> {
        WaitLimits { timeout: self.request.timeout, until: None, interrupt: None }
    }

    /// Starts the held time, and with it the limit. The first call counts.
    pub(crate) fn guest_is_held(&mut self) {
        if self.clock.held_since.is_none() {
            let now = Instant::now();
            self.clock.held_since = Some(now);
            self.clock.limit = self.request.max_hold.and_then(|limit| now.checked_add(limit));
            // What happens to it matters from here on; what came before does not.
            self.monitor.take_guest_events();
            self.guest = SameGuest::default();
        }
    }

    /// Puts into the metadata what is to be done with the guest.
    pub(crate) fn note(&mut self, policy: Policy) {
        self.metadata.request.then = policy.then.to_string();
        self.metadata.request.on_failure = policy.on_failure.to_string();
    }

    /// Warns the user, and records the warning in the metadata.
    pub(crate) fn warn(&mut self, text: String) {
        self.observer.warning(&text);
        self.metadata.warnings.push(text);
    }
}

/// Where the time goes.
#[derive(Debug)]
pub(crate) struct Clock {
    last: Instant,
    phases: Vec<Phase>,
    held_since: Option<Instant>,
    held_until: Option<Instant>,
    limit: Option<Instant>,
}

impl Clock {
    fn start() -> Self {
        Self {
            last: Instant::now(),
            phases: Vec::new(),
            held_since: None,
            held_until: None,
            limit: None,
        }
    }

    /// Ends a step.
    pub(crate) fn lap(&mut self, name: &str) {
        let now = Instant::now();
        let seconds = now.duration_since(self.last).as_secs_f64();
        self.last = now;
        self.phases.push(Phase { name: name.to_owned(), seconds });
    }

    /// Whether the step that ended last has this name.
    pub(crate) fn last_is(&self, name: &str) -> bool {
        self.phases.last().is_some_and(|phase| phase.name == name)
    }

    /// Whether a step of this name has ended.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.phases.iter().any(|phase| phase.name == name)
    }

    /// The steps so far.
    pub(crate) fn phases(&self) -> Vec<Phase> {
        self.phases.clone()
    }

    /// The guest was released. The last call counts.
    pub(crate) fn guest_is_released(&mut self) {
        self.held_until = Some(Instant::now());
    }

    /// Whether the guest was found held, or stopped.
    pub(crate) fn is_held(&self) -> bool {
        self.held_since.is_some()
    }

    /// How long the guest was held, if it was released.
    pub(crate) fn held(&self) -> Option<Duration> {
        Some(self.held_until?.duration_since(self.held_since?))
    }

    /// Whether the hold is up.
    pub(crate) fn is_over(&self) -> bool {
        self.limit.is_some_and(|limit| Instant::now() >= limit)
    }
}

/// The metadata at the beginning of a capture.
fn metadata_of(request: &Request, started: Timestamp) -> Metadata {
    let named = |action: Option<super::Action>| action.unwrap_or(super::Action::Hold).to_string();
    let asked = RequestMetadata {
        then: named(request.then),
        on_failure: named(request.on_failure),
        max_hold_seconds: request.max_hold.map(|limit| limit.as_secs_f64()),
        any_state: request.any_state,
        wait: request.wait != Wait::No,
        level: request.level,
        threads: request.threads,
        pages: (!request.pages.is_empty()).then(|| request.pages.to_string()),
    };
    let note = request.note.as_ref().map(|note| bounded(note, MAX_TITLE));
    Metadata { note, ..metadata_of_guest(&request.monitor, asked, started) }
}
