//! Guests by libvirt: one connection with the events of all domains.
//!
//! Registered first, and listed then; after each reconnection again, and once a minute: a panic
//! while libvirtd is down is reported by no event. The state decides, never an event alone, but
//! for the event that a domain runs again. A libvirtd that hangs is noticed by the limit of each
//! call.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use vmcore_formats::libvirt::domain::Domain;
use vmcore_formats::libvirt::event::{DomainEvent, EventKind};

use super::config::OnCrash;
use super::guest::{Guest, Panic, Seen, incarnation};
use super::held::Held;
use super::news::News;
use super::orders::{Order, OrderReceiver, OrderSender, pair};
use super::record::{Level, Record};
use super::shared::Shared;
use crate::monitor::libvirt::{Access, Address, Client, Received};
use crate::monitor::{MonitorError, WaitLimits};

/// How long one call may take. Only a libvirtd that hangs takes it.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How often all domains are listed, whatever events came.
const LIST_INTERVAL: Duration = Duration::from_secs(60);
/// The first and the longest wait before a connection is tried again.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
/// The most events that wait. A list follows anyway.
const MAX_PENDING: usize = 10_000;
/// Where libvirt's system daemon has the processes of its domains.
const PROCESSES: &str = "/run/libvirt/qemu";

/// The libvirt that is watched.
#[derive(Clone)]
pub(super) struct LibvirtSource {
    /// Domains that are to be looked at, by key.
    look: Arc<Mutex<Vec<String>>>,
    orders: Arc<OrderSender>,
}

impl LibvirtSource {
    /// Begins to watch. `held` has what was set before this process began.
    pub(super) fn start(
        address: Address,
        held: Held,
        shared: &Arc<Shared>,
    ) -> std::io::Result<Self> {
        let (orders, receiver) = pair()?;
        let source = Self { look: Arc::default(), orders: Arc::new(orders) };
        let (look, shared) = (Arc::clone(&source.look), Arc::clone(shared));
        thread::Builder::new().name("libvirt".to_owned()).spawn(move || {
            let (known, pending) = (BTreeMap::new(), VecDeque::new());
            Watch { address, held, receiver, look, shared, known, pending, reported: None }.run();
        })?;
        Ok(source)
    }

    /// Has a domain looked at. Nothing else is ever needed: libvirt serves any number of clients.
    pub(super) fn order(&self, key: &str, order: Order) {
        if order == Order::Look {
            self.look.lock().unwrap_or_else(PoisonError::into_inner).push(key.to_owned());
            self.orders.give(Order::Look);
        }
    }
}

struct Watch {
    address: Address,
    held: Held,
    receiver: OrderReceiver,
    look: Arc<Mutex<Vec<String>>>,
    shared: Arc<Shared>,
    /// The domains that were seen, by key.
    known: BTreeMap<String, (Domain, Guest)>,
    /// Events that came while something was asked.
    pending: VecDeque<DomainEvent>,
    reported: Option<String>,
}

impl Watch {
    fn run(mut self) {
        let mut back_off = BACK_OFF.0;
        loop {
            let started = Instant::now();
            if let Err(error) = self.session() {
                self.report_trouble(&error);
            }
            if started.elapsed() > BACK_OFF.1 {
                back_off = BACK_OFF.0;
            }
            if self.receiver.wait(Some(back_off)) == Some(Order::Stop) {
                return;
            }
            back_off = back_off.saturating_mul(2).min(BACK_OFF.1);
        }
    }

    /// Stays connected as long as libvirtd answers.
    fn session(&mut self) -> Result<(), MonitorError> {
        let limits = WaitLimits { timeout: TIMEOUT, until: None, interrupt: None };
        self.pending.clear();
        let mut client = Client::connect(&self.address, Access::ReadWrite, &limits)?;
        client.register_events(&limits)?;
        if self.reported.take().is_some() {
            let text = format!("connected to libvirt {}", client.version());
            self.shared.record(Record::new(Level::Info, "source", text));
        }
        self.list(&mut client, &limits)?;
        let mut listed = Instant::now();
        loop {
            while let Some(event) = self.pending.pop_front() {
                self.take_event(&mut client, &event, &limits)?;
            }
            let left = LIST_INTERVAL.saturating_sub(listed.elapsed());
            let wait = WaitLimits { timeout: left, ..limits };
            match client.wait("waiting for a panic", &wait, &[self.receiver.descriptor()])? {
                Received::Event(event) => self.take_event(&mut client, &event, &limits)?,
                Received::Woken => {
                    if self.receiver.take() == Some(Order::Stop) {
                        return Ok(());
                    }
                    self.look_at_ordered(&mut client, &limits)?;
                }
                Received::Reply(..) | Received::Nothing => {}
            }
            if client.take_lost_events() || listed.elapsed() >= LIST_INTERVAL {
                self.list(&mut client, &limits)?;
                listed = Instant::now();
            }
        }
    }

    /// Looks at all domains that run.
    fn list(&mut self, client: &mut Client, limits: &WaitLimits<'_>) -> Result<(), MonitorError> {
        let domains = client.active_domains(limits)?;
        let gone: Vec<_> = self
            .known
            .iter()
            .filter(|(_, (known, _))| domains.iter().all(|domain| domain.uuid != known.uuid))
            .map(|(key, _)| key.clone())
            .collect();
        gone.iter().for_each(|key| self.gone(key));
        domains.iter().try_for_each(|domain| self.look(client, domain, false, limits))
    }

    fn look_at_ordered(
        &mut self,
        client: &mut Client,
        limits: &WaitLimits<'_>,
    ) -> Result<(), MonitorError> {
        let keys = std::mem::take(&mut *self.look.lock().unwrap_or_else(PoisonError::into_inner));
        for key in keys {
            match self.known.remove(&key) {
                // Its policy may be another one now.
                Some((domain, _)) => self.look(client, &domain, false, limits)?,
                None => self.shared.report(News::Guest(key, Seen::Gone)),
            }
        }
        Ok(())
    }

    fn take_event(
        &mut self,
        client: &mut Client,
        event: &DomainEvent,
        limits: &WaitLimits<'_>,
    ) -> Result<(), MonitorError> {
        let key = key(&event.domain);
        match event.kind {
            EventKind::Panicked => self.look(client, &event.domain, true, limits),
            EventKind::Started => self.look(client, &event.domain, false, limits),
            // It may have panicked again already: that is another panic.
            EventKind::Resumed | EventKind::Reset => {
                self.shared.report(News::Guest(key, Seen::NotPanicked));
                Ok(())
            }
            EventKind::Stopped => {
                self.gone(&key);
                Ok(())
            }
            EventKind::CrashLoaded => {
                let text = "the guest crashed and dumps itself: it is not held";
                let record = Record::new(Level::Notice, "crashloaded", text);
                self.shared.record(record.of(&event.domain.name));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn gone(&mut self, key: &str) {
        self.known.remove(key);
        self.shared.report(News::Guest(key.to_owned(), Seen::Gone));
    }

    /// Looks at a domain, and reports what it is at.
    fn look(
        &mut self,
        client: &mut Client,
        domain: &Domain,
        by_event: bool,
        limits: &WaitLimits<'_>,
    ) -> Result<(), MonitorError> {
        match self.try_look(client, domain, by_event, limits) {
            // It has ended meanwhile.
            Err(error) if error.refusal().is_some() => {
                let text = format!("cannot look at the domain: {error}");
                self.shared.record(Record::new(Level::Info, "source", text).of(&domain.name));
                self.gone(&key(domain));
                Ok(())
            }
            other => other,
        }
    }

    fn try_look(
        &mut self,
        client: &mut Client,
        domain: &Domain,
        by_event: bool,
        limits: &WaitLimits<'_>,
    ) -> Result<(), MonitorError> {
        let key = key(domain);
        let known = self.known.get(&key).filter(|(known, _)| known == domain);
        let known = known.map(|(_, guest)| guest.clone());
        let is_new = known.is_none();
        let guest = match known {
            Some(guest) => guest,
            None => self.identify(client, domain, limits)?,
        };
        let panic = Panic::now(by_event);
        let state = client.state(domain, limits)?;
        self.take_earlier(client);
        if is_new {
            let ignored = self.shared.policy(&guest).ignore;
            let seen = if ignored { Seen::Ignored } else { Seen::Watched };
            self.known.insert(key.clone(), (domain.clone(), guest.clone()));
            self.shared.report(News::Guest(key.clone(), seen(guest.clone())));
            if !ignored && !state.is_panicked() {
                self.preserve(client, domain, &guest, limits)?;
            }
        }
        if !state.is_panicked() {
            if by_event {
                let why = format!("the guest is {state} already when its panic is reported");
                self.shared.report(News::Guest(key, Seen::Lost(guest, why)));
            } else {
                self.shared.report(News::Guest(key, Seen::NotPanicked));
            }
            return Ok(());
        }
        let dumps_itself =
            matches!(guest.on_crash, Some(OnCrash::CoredumpDestroy | OnCrash::CoredumpRestart));
        if dumps_itself && client.job(domain, limits)?.is_active() {
            let text = "libvirt dumps the panicked guest itself (its on_crash is coredump)";
            self.shared.record(Record::new(Level::Notice, "source", text).of(guest.label()));
            return Ok(());
        }
        self.shared.report(News::Guest(key, Seen::Panicked(guest, panic)));
        Ok(())
    }

    /// Takes the events that came before an answer. That a guest ran is reported before
    /// the answer: a panic after that is another one.
    fn take_earlier(&mut self, client: &mut Client) {
        while let Some(event) = client.take_event() {
            if matches!(event.kind, EventKind::Resumed | EventKind::Reset) {
                self.shared.report(News::Guest(key(&event.domain), Seen::NotPanicked));
            } else if self.pending.len() < MAX_PENDING {
                self.pending.push_back(event);
            }
        }
    }

    fn identify(
        &self,
        client: &mut Client,
        domain: &Domain,
        limits: &WaitLimits<'_>,
    ) -> Result<Guest, MonitorError> {
        let key = key(domain);
        let incarnation = run_of(domain);
        let before = self.held.on_crash_before(&key, &incarnation);
        let on_crash = match before {
            Some(on_crash) => on_crash,
            // What was set live is not in it.
            None => {
                let xml = client.inactive_xml(domain, limits)?;
                OnCrash::from_name(Some(xml.action_at_crash()))
            }
        };
        Ok(Guest {
            name: Some(domain.name.clone()),
            uuid: Some(domain.uuid.to_string()),
            on_crash: Some(on_crash),
            incarnation,
            key,
        })
    }

    /// Sets the running domain to be left as it is at a panic, where its policy says so.
    fn preserve(
        &mut self,
        client: &mut Client,
        domain: &Domain,
        guest: &Guest,
        limits: &WaitLimits<'_>,
    ) -> Result<(), MonitorError> {
        let loses = guest.on_crash.is_some_and(OnCrash::loses_memory);
        if !loses || !self.shared.policy(guest).preserve {
            return Ok(());
        }
        // Before it is set: afterwards, the XML of a transient domain no longer has it.
        if self.held.note_on_crash(guest) {
            self.shared.report(News::Preserves(guest.clone()));
        }
        match client.preserve_on_crash(domain, limits) {
            Err(error) if error.refusal().is_some() => {
                let text =
                    format!("its panics will be lost: cannot set on_crash=preserve: {error}");
                self.shared.record(Record::new(Level::Warning, "source", text).of(guest.label()));
                Ok(())
            }
            other => other,
        }
    }

    /// Reports what keeps libvirt's guests from being watched, once.
    fn report_trouble(&mut self, error: &MonitorError) {
        let mut text = error.to_string();
        if let Some(cause) = std::error::Error::source(error) {
            text = format!("{text}: {cause}");
        }
        let kind = match error {
            MonitorError::Silent { .. } | MonitorError::TimedOut { .. } => "silent".to_owned(),
            _ => text.clone(),
        };
        if self.reported.as_ref() != Some(&kind) {
            let text = format!("libvirt's guests are not watched: {text}");
            self.shared.record(Record::new(Level::Warning, "source", text));
            self.reported = Some(kind);
        }
    }
}

/// What names a domain: `libvirt:UUID`.
fn key(domain: &Domain) -> String {
    format!("libvirt:{}", domain.uuid)
}

/// What distinguishes a run of a domain from another one. Numbers begin anew with each boot of the host.
fn run_of(domain: &Domain) -> String {
    let process = fs::read_to_string(Path::new(PROCESSES).join(format!("{}.pid", domain.name)));
    let process = process.ok().and_then(|text| text.trim().parse().ok()).and_then(incarnation);
    process.unwrap_or_else(|| {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        format!("run {} of boot {}", domain.id, boot.trim())
    })
}
