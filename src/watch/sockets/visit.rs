//! One QMP socket: connect, ask, wait for events, and report panics.
//!
//! The run state decides, never an event alone. A capture needs the monitor, so
//! the connection ends with each panic; the supervisor orders when to look again.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::monitor::qemu_command_line::QemuCommandLine;
use crate::monitor::qmp::Client;
use crate::monitor::{Event, Monitor, MonitorError, WaitLimits, WaitResult};

use super::super::config::Config;
use super::super::guest::{Guest, Panic, Seen, incarnation};
use super::super::news::News;
use super::super::orders::{Order, OrderReceiver};
use super::super::record::{Level, Record};
use super::super::shared::Shared;

/// How long QEMU may be silent about one question. A capture that ends needs the monitor a
/// little longer than its guest.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The first and the longest wait before a monitor is tried again.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// How often a guest is looked at that stays held.
const HELD_INTERVAL: Duration = Duration::from_secs(2);
/// How often a guest is asked that has reported a panic and still runs: QEMU flushes its disks
/// first.
const STOP_INTERVAL: Duration = Duration::from_millis(200);
/// How long that may take.
const STOP_LIMIT: Duration = Duration::from_secs(120);

/// The socket that a thread watches.
pub(super) struct Socket {
    pub(super) path: String,
    pub(super) poll: Option<Duration>,
    /// What the guest's incarnation is if its process is not visible.
    pub(super) fallback: String,
}

/// How a visit ended.
enum Visit {
    /// The supervisor knows what to do next.
    Reported,
    /// The guest is well, and is looked at again later.
    Well,
    /// An order came.
    Ordered(Order),
}

/// Watches the socket until the order to stop.
pub(super) fn watch(socket: &Socket, receiver: &OrderReceiver, shared: &Shared) {
    let mut watch = Watch { socket, receiver, shared, guest: None, config: None, reported: None };
    let mut back_off = BACK_OFF.0;
    loop {
        let visit = watch.visit();
        let order = match visit {
            Ok(Visit::Reported) => receiver.wait(None),
            Ok(Visit::Well) => receiver.wait(socket.poll),
            Ok(Visit::Ordered(order)) => Some(order),
            Err(error) => {
                watch.report_trouble(&error);
                let order = receiver.wait(Some(back_off));
                back_off = back_off.saturating_mul(2).min(BACK_OFF.1);
                if order != Some(Order::Stop) {
                    continue;
                }
                order
            }
        };
        back_off = BACK_OFF.0;
        let order = match order {
            Some(Order::Later) => receiver.wait(Some(HELD_INTERVAL)),
            other => other,
        };
        if order == Some(Order::Stop) {
            return;
        }
    }
}

struct Watch<'a> {
    socket: &'a Socket,
    receiver: &'a OrderReceiver,
    shared: &'a Shared,
    guest: Option<Guest>,
    /// The configuration that the guest was looked at with.
    config: Option<Arc<Config>>,
    /// The trouble that was reported last: once is enough.
    reported: Option<String>,
}

impl Watch<'_> {
    fn report(&self, seen: Seen) {
        self.shared.report(News::Guest(self.socket.path.clone(), seen));
    }

    /// Looks at the guest, and stays with it until there is something to report.
    fn visit(&mut self) -> Result<Visit, MonitorError> {
        let limits = WaitLimits { timeout: TIMEOUT, until: None, interrupt: None };
        let mut client = Client::connect(Path::new(&self.socket.path), &limits)?;
        let guest = self.identify(&mut client, &limits)?;
        let policy = self.shared.policy(&guest);
        let is_watched_by_libvirt =
            self.shared.config().libvirt.is_some() && client.process().is_some_and(is_of_libvirt);
        if is_watched_by_libvirt {
            let text = "not watched by its socket: its QEMU is libvirt's, and watched as a domain";
            self.shared.record(Record::new(Level::Info, "source", text).of(guest.label()));
            return Ok(Visit::Reported);
        }
        if policy.ignore {
            self.report(Seen::Ignored(guest));
            return Ok(Visit::Reported);
        }
        let config = self.shared.config();
        let is_known = self.config.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, &config));
        if self.guest.as_ref() != Some(&guest) || !is_known || self.reported.is_some() {
            self.guest = Some(guest.clone());
            self.config = Some(config);
            self.reported = None;
            self.report(Seen::Watched(guest.clone()));
            if policy.preserve {
                self.pause_on_panic(&mut client, &guest, &limits)?;
            }
        }
        let mut panicking = None;
        let visit = self.stay(&mut client, &guest, &limits, &mut panicking);
        if visit.is_err() {
            // QEMU may report a panic and end.
            while let Some(event) = client.take_event() {
                self.take_event(&event, &guest, &mut panicking);
            }
            if let Some((_, action)) = panicking {
                self.lost(&guest, &format!("QEMU ended at the panic (action {action})"));
            }
        }
        visit
    }

    fn identify(
        &self,
        client: &mut Client,
        limits: &WaitLimits<'_>,
    ) -> Result<Guest, MonitorError> {
        Ok(Guest {
            key: self.socket.path.clone(),
            name: client.guest_name(limits)?.filter(|name| !name.is_empty()),
            uuid: client.guest_uuid(limits)?,
            on_crash: None,
            incarnation: client
                .process()
                .and_then(incarnation)
                .unwrap_or_else(|| self.socket.fallback.clone()),
        })
    }

    /// Has a panic stop the guest: by default, QEMU shuts it down.
    fn pause_on_panic(
        &self,
        client: &mut Client,
        guest: &Guest,
        limits: &WaitLimits<'_>,
    ) -> Result<(), MonitorError> {
        match Monitor::pause_on_panic(client, limits) {
            Err(MonitorError::Refused { refusal, .. }) => {
                let text = format!(
                    "QEMU cannot be set to stop at a panic ({}): it stops only if it was started \
                     with -no-shutdown",
                    refusal.description
                );
                self.shared.record(Record::new(Level::Warning, "source", text).of(guest.label()));
                Ok(())
            }
            other => other,
        }
    }

    /// Waits for a panic, or an order.
    fn stay(
        &self,
        client: &mut Client,
        guest: &Guest,
        limits: &WaitLimits<'_>,
        panicking: &mut Option<(Panic, String)>,
    ) -> Result<Visit, MonitorError> {
        if client.run_state(limits)?.is_panicked() {
            self.report(Seen::Panicked(guest.clone(), Panic::now(false)));
            return Ok(Visit::Reported);
        }
        self.report(Seen::NotPanicked);
        if self.socket.poll.is_some() {
            return Ok(Visit::Well);
        }
        loop {
            let wait = match panicking {
                Some(_) => STOP_INTERVAL,
                None => Duration::from_hours(1),
            };
            let until = WaitLimits { timeout: wait, ..*limits };
            match client.wait("waiting for a panic", &until, &[self.receiver.descriptor()])? {
                WaitResult::Event(event) => self.take_event(&event, guest, panicking),
                WaitResult::Woken => {
                    if let Some(order) = self.receiver.take() {
                        return Ok(Visit::Ordered(order));
                    }
                }
                _ => {}
            }
            if client.run_state(limits)?.is_panicked() {
                let panic = panicking.take().map_or_else(|| Panic::now(true), |(panic, _)| panic);
                self.report(Seen::Panicked(guest.clone(), panic));
                return Ok(Visit::Reported);
            }
            if let Some((panic, action)) = &panicking
                && (action == "run" || panic.noticed.elapsed() > STOP_LIMIT)
            {
                self.lost(guest, "QEMU let the guest run on (panic=none)");
                *panicking = None;
            }
        }
    }

    /// Takes an event.
    fn take_event(&self, event: &Event, guest: &Guest, panicking: &mut Option<(Panic, String)>) {
        let text = |name: &str| {
            event.data.get(name).and_then(serde_json::Value::as_str).unwrap_or("unknown").to_owned()
        };
        match event.name.as_str() {
            "GUEST_PANICKED" => {
                panicking.get_or_insert_with(|| (Panic::now(true), text("action")));
            }
            "SHUTDOWN" if text("reason") == "guest-panic" => {
                panicking.get_or_insert_with(|| (Panic::now(true), "shutdown".to_owned()));
            }
            "GUEST_CRASHLOADED" => {
                let text = "the guest crashed and dumps itself: it is not held";
                self.shared
                    .record(Record::new(Level::Notice, "crashloaded", text).of(guest.label()));
            }
            _ => {}
        }
    }

    fn lost(&self, guest: &Guest, why: &str) {
        self.report(Seen::Lost(guest.clone(), why.to_owned()));
    }

    /// Reports what keeps the guest from being watched, once.
    fn report_trouble(&mut self, error: &MonitorError) {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        // Times and counts differ each time.
        let kind = match error {
            MonitorError::Silent { .. } => "silent".to_owned(),
            MonitorError::TimedOut { command, .. } => command.clone(),
            _ => text.clone(),
        };
        if self.reported.as_ref() != Some(&kind) {
            let level = if is_end(error) { Level::Info } else { Level::Warning };
            let label = self.guest.as_ref().map_or(self.socket.path.as_str(), Guest::label);
            let text = format!("not watched: {text}");
            let record = Record::new(level, "source", text).of(label);
            self.shared.record(record.with("socket", self.socket.path.clone()));
            self.reported = Some(kind);
        }
        if matches!(error, MonitorError::Closed { .. } | MonitorError::Connect { .. }) {
            self.report(Seen::Gone);
        } else {
            self.report(Seen::Unreachable);
        }
    }
}

/// Whether libvirt started a QEMU. A dump by another monitor than its own ends some versions of
/// libvirt.
fn is_of_libvirt(process: i32) -> bool {
    QemuCommandLine::of(process).is_some_and(|line| line.is_of_libvirt())
}

/// Whether QEMU ended, as guests do.
fn is_end(error: &MonitorError) -> bool {
    match error {
        MonitorError::Closed { .. } => true,
        MonitorError::Connect { source, .. } => {
            matches!(source.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound)
        }
        _ => false,
    }
}
