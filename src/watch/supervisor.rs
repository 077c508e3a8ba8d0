//! The supervisor: one loop that takes news, and starts captures as the limits allow.
//!
//! It decides, and waits for nothing else: sources, captures, disks and notifications have threads of
//! their own. What it decides about one guest is in [`super::tracked`].

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use rustix::process::Signal;

use super::aftermath::Aftermath;
use super::capture::{self, Job, Running};
use super::config::{Action, Config, ConfigError, Policy};
use super::guest::{Guest, Panic, Seen};
use super::held::Held;
use super::libvirt::LibvirtSource;
use super::news::{CaptureNews, Ended, Fate, News};
use super::orders::Order;
use super::record::{Level, Record};
use super::service::Service;
use super::shared::Shared;
use super::sockets::SocketSource;
use super::tracked::{State, Tracked, Waiting};
use crate::spool::{EventKind, Spooled};

/// The longest time between two looks at what is due.
const TICK: Duration = Duration::from_millis(500);
/// How often a guest may have an entry of a panic that nothing held.
const LOST_INTERVAL: Duration = Duration::from_secs(10);
/// How many more guests are handed back at once when the watcher stops: they are not dumped.
const HANDED_BACK: usize = 8;
/// How long a capture may take to release its guest once it was asked to end.
const RELEASE_LIMIT: Duration = Duration::from_secs(20);

/// Reads the configuration again.
pub(super) type Reader<'a> = dyn Fn() -> Result<Config, ConfigError> + 'a;

/// The supervisor.
pub(super) struct Supervisor {
    shared: Arc<Shared>,
    store: PathBuf,
    sources: Sources,
    service: Service,
    aftermath: Aftermath,
    held: Held,
    guests: BTreeMap<String, Tracked>,
    captures: BTreeMap<u64, Active>,
    last_id: u64,
    /// What was written of cores, and when.
    written: VecDeque<(Instant, u64)>,
    /// When guests had their last entry of a panic that nothing held.
    lost: BTreeMap<String, Instant>,
    stopping: Option<Stopping>,
}

/// Where guests come from.
pub(super) struct Sources {
    pub(super) sockets: SocketSource,
    pub(super) libvirt: Option<LibvirtSource>,
}

/// A capture under way.
struct Active {
    key: String,
    running: Running,
    /// Whether its guest is held for a dump.
    dumping: bool,
    /// Whether its guest was released.
    released: bool,
}

/// The end of the watcher.
struct Stopping {
    deadline: Instant,
    /// Whether the captures were asked to end.
    asked: bool,
}

impl Supervisor {
    pub(super) fn new(
        shared: Arc<Shared>,
        store: PathBuf,
        held: Held,
        sources: Sources,
        service: Service,
        aftermath: Aftermath,
    ) -> Self {
        Self {
            shared,
            store,
            held,
            sources,
            service,
            aftermath,
            guests: BTreeMap::new(),
            captures: BTreeMap::new(),
            last_id: 0,
            written: VecDeque::new(),
            lost: BTreeMap::new(),
            stopping: None,
        }
    }

    /// Supervises until a signal asks to stop and all is brought to its end.
    pub(super) fn run(mut self, news: &Receiver<News>, read: &Reader<'_>) {
        self.service.ready();
        self.record(Record::new(Level::Info, "started", "watching for panics"));
        loop {
            let tick = self.service.interval().map_or(TICK, |interval| interval.min(TICK));
            if let Ok(news) = news.recv_timeout(tick) {
                self.take(news, read);
            }
            // A burst is taken before anything is decided.
            for news in news.try_iter().take(1024) {
                self.take(news, read);
            }
            self.start_due();
            self.publish();
            if self.is_over() {
                break;
            }
        }
        self.record(Record::new(Level::Info, "stopped", "no longer watching"));
        self.aftermath.end();
    }

    fn take(&mut self, news: News, read: &Reader<'_>) {
        match news {
            News::Guest(key, seen) => self.see(key, seen),
            News::Preserves(guest) => {
                if self.held.note_on_crash(&guest) {
                    self.aftermath.write_held(&self.held);
                }
            }
            News::Capture(id, CaptureNews::LeavesOut(reason)) => self.leaves_out(id, &reason),
            News::Capture(id, CaptureNews::Released) => {
                self.no_longer_dumping(id);
                if let Some(active) = self.captures.get_mut(&id) {
                    active.released = true;
                }
            }
            News::Capture(id, CaptureNews::Ended(ended)) => self.ended(id, &ended),
            News::Spooled(spooled) => self.spooled(*spooled),
            News::Stop(signal) => self.stop(signal),
            News::Reload => self.reload(read),
        }
    }

    fn record(&self, record: Record) {
        self.shared.record(record);
    }

    fn order(&self, key: &str, order: Order) {
        match &self.sources.libvirt {
            Some(libvirt) if key.starts_with("libvirt:") => libvirt.order(key, order),
            _ => self.sources.sockets.order(key, order),
        }
    }

    /// A source has seen something of a guest.
    fn see(&mut self, key: String, seen: Seen) {
        match seen {
            Seen::Watched(guest) => self.found(guest, false),
            Seen::Ignored(guest) => self.found(guest, true),
            Seen::Panicked(guest, panic) => self.panicked(guest, panic),
            Seen::NotPanicked => self.not_panicked(&key),
            Seen::Lost(guest, why) => self.reported_lost(&guest, &why),
            Seen::Unreachable => {}
            Seen::Gone => self.gone(&key),
        }
    }

    /// A source has seen a panic that nothing held. A guest that is not stopped by its panics can
    /// cause them without end.
    fn reported_lost(&mut self, guest: &Guest, why: &str) {
        let panic = Panic::now(true);
        self.aftermath.metrics.count_panic(guest.label(), panic.at);
        let last = self.lost.insert(guest.key.clone(), panic.noticed);
        if last.is_none_or(|at| at.elapsed() > LOST_INTERVAL) {
            self.aftermath.lost(guest, &panic, why);
        } else if let Some(last) = last {
            self.lost.insert(guest.key.clone(), last);
        }
    }

    fn found(&mut self, guest: Guest, is_ignored: bool) {
        let policy = self.shared.policy(&guest);
        let state = match (is_ignored, self.held.has(&guest)) {
            (true, _) => State::Ignored,
            (_, true) => State::Held,
            _ => State::Watched,
        };
        let known = self.guests.get_mut(&guest.key);
        if let Some(known) = known.filter(|known| known.guest.incarnation == guest.incarnation) {
            let is_news = known.policy != policy;
            (known.guest, known.policy) = (guest.clone(), policy);
            if matches!(known.state, State::Watched | State::Ignored) {
                known.state = state;
            }
            if is_news {
                self.record_watched(&guest, &policy);
            }
            return;
        }
        self.gone(&guest.key);
        self.record_watched(&guest, &policy);
        self.guests.insert(guest.key.clone(), Tracked::new(guest, policy, state));
    }

    fn record_watched(&self, guest: &Guest, policy: &Policy) {
        let text = if policy.ignore {
            "ignored".to_owned()
        } else {
            format!("watched: then {}, on failure {}", policy.then, policy.on_failure)
        };
        let record = Record::new(Level::Info, "watched", text).of(guest.label());
        self.record(record.with("monitor", guest.key.clone()));
    }

    fn panicked(&mut self, guest: Guest, panic: Panic) {
        if !self.guests.contains_key(&guest.key) {
            self.found(guest.clone(), false);
        }
        let Some(tracked) = self.guests.get_mut(&guest.key) else { return };
        match &tracked.state {
            State::Watched => {
                tracked.state = State::Queued(Waiting::new(panic));
                self.aftermath.metrics.count_panic(guest.label(), panic.at);
                let how = if panic.by_event { "panicked" } else { "was found panicked" };
                self.record(Record::new(Level::Notice, "panic", how).of(guest.label()));
            }
            State::Failed(waiting) => tracked.state = State::Queued(waiting.clone()),
            State::Held => self.order(&guest.key, Order::Later),
            State::Ignored | State::Queued(_) | State::Capturing(_) => {}
        }
    }

    fn not_panicked(&mut self, key: &str) {
        let Some(tracked) = self.guests.get_mut(key) else { return };
        match &tracked.state {
            State::Queued(_) | State::Failed(_) => {
                let why = "another client released the guest before its capture";
                self.lost(key, why);
            }
            State::Held => {
                tracked.state = State::Watched;
                let text = "was released, and is watched again";
                let record = Record::new(Level::Info, "watched", text).of(tracked.guest.label());
                self.record(record);
            }
            _ => {}
        }
        if self.held.forget(key) {
            self.aftermath.write_held(&self.held);
        }
        if let Some(tracked) = self.guests.get_mut(key)
            && !matches!(tracked.state, State::Capturing(_) | State::Ignored)
        {
            tracked.state = State::Watched;
        }
    }

    fn gone(&mut self, key: &str) {
        match self.guests.get(key).map(|tracked| &tracked.state) {
            // Its capture finds out.
            None | Some(State::Capturing(_)) => return,
            Some(State::Queued(_) | State::Failed(_)) => {
                self.lost(key, "QEMU ended before the capture");
            }
            Some(_) => {}
        }
        self.guests.remove(key);
        self.lost.remove(key);
    }

    /// A hook has reported something. Guests that come are found by their sources.
    fn spooled(&mut self, spooled: Spooled) {
        let event = &spooled.event;
        if event.kind != EventKind::PanicLost {
            self.aftermath.spool_done(spooled);
            return;
        }
        let on_crash = event.on_crash.as_deref();
        if on_crash.is_some_and(|action| action.starts_with("coredump-")) {
            let text = "libvirt has dumped the panicked guest itself (its on_crash is coredump)";
            self.record(Record::new(Level::Notice, "spool", text).of(&event.guest));
            self.aftermath.spool_done(spooled);
            return;
        }
        self.aftermath.lost_by_hook(spooled);
    }

    /// The panic that a guest waited with is lost.
    fn lost(&mut self, key: &str, why: &str) {
        let Some(tracked) = self.guests.get(key) else { return };
        let Some(waiting) = tracked.waiting() else { return };
        let why = match &waiting.problem {
            Some(problem) => format!("{why}; the last capture failed: {problem}"),
            None => why.to_owned(),
        };
        self.aftermath.lost(&tracked.guest, &waiting.panic, &why);
    }

    /// Starts captures of guests that wait, the longest wait first.
    fn start_due(&mut self) {
        let config = self.shared.config();
        loop {
            let dumping = self.captures.values().filter(|active| active.dumping).count();
            let is_full = match self.stopping {
                Some(_) => {
                    self.captures.len() >= config.guards.captures.saturating_add(HANDED_BACK)
                }
                None => {
                    self.captures.len() >= config.guards.captures
                        || dumping >= config.guards.dumping
                }
            };
            if is_full {
                return;
            }
            let due = self.guests.iter().filter_map(|(key, tracked)| match &tracked.state {
                State::Queued(waiting) if waiting.is_due() && self.may_start(&tracked.guest) => {
                    Some((waiting.panic.noticed, key.clone()))
                }
                _ => None,
            });
            let Some((_, key)) = due.min() else { return };
            self.start(&key, &config);
        }
    }

    /// Whether a capture may start now: once the watcher stops, only guests are handed back.
    fn may_start(&self, guest: &Guest) -> bool {
        match &self.stopping {
            None => true,
            Some(stopping) => !stopping.asked && self.shared.policy(guest).then != Action::Hold,
        }
    }

    fn start(&mut self, key: &str, config: &Config) {
        let Some(tracked) = self.guests.get_mut(key) else { return };
        let State::Queued(waiting) = tracked.state.clone() else { return };
        self.last_id = self.last_id.wrapping_add(1);
        let id = self.last_id;
        tracked.state = State::Capturing(waiting.clone());
        let guest = tracked.guest.clone();
        let stops = self.stopping.is_some().then(|| "the watcher stops".to_owned());
        let job = Job {
            id,
            panic: waiting.panic,
            policy: self.shared.policy(&guest),
            store: self.store.clone(),
            left_out: stops.or_else(|| self.write_limit(config)),
            guest,
        };
        let dumping = job.left_out.is_none();
        match capture::start(job, &self.shared) {
            Ok(running) => {
                self.captures
                    .insert(id, Active { key: key.to_owned(), running, dumping, released: false });
            }
            Err(error) => {
                let ended = Ended::failed(format!("cannot start a thread: {error}"), None);
                self.settle(key, &ended, false);
            }
        }
    }

    /// Why no more may be written now.
    fn write_limit(&mut self, config: &Config) -> Option<String> {
        let limit = config.guards.write_limit?;
        self.written.retain(|(at, _)| at.elapsed() < limit.within);
        let bytes = self.written.iter().fold(0_u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
        let shown = crate::units::bytes;
        (bytes >= limit.bytes).then(|| {
            let within = crate::units::span(limit.within.as_secs_f64());
            format!(
                "{} of cores were written in {within}, and {} may be",
                shown(bytes),
                shown(limit.bytes)
            )
        })
    }

    fn leaves_out(&mut self, id: u64, reason: &str) {
        self.no_longer_dumping(id);
        if let Some(tracked) =
            self.captures.get(&id).and_then(|active| self.guests.get(&active.key))
        {
            let text = format!("its core is left out: {reason}");
            self.record(Record::new(Level::Notice, "left-out", text).of(tracked.guest.label()));
        }
    }

    fn no_longer_dumping(&mut self, id: u64) {
        if let Some(active) = self.captures.get_mut(&id) {
            active.dumping = false;
        }
    }

    fn ended(&mut self, id: u64, ended: &Ended) {
        let Some(active) = self.captures.remove(&id) else { return };
        if ended.bytes_written() > 0 {
            self.written.push_back((Instant::now(), ended.bytes_written()));
        }
        if self.written.len() > 100_000 {
            self.written.pop_front();
        }
        self.settle(&active.key, ended, active.released);
    }

    /// What becomes of a guest after its capture. One that was released, and whose capture then
    /// crashed, has no panic that could be captured again.
    fn settle(&mut self, key: &str, ended: &Ended, was_released: bool) {
        let Some(tracked) = self.guests.get_mut(key) else { return };
        let State::Capturing(waiting) = tracked.state.clone() else { return };
        let guest = tracked.guest.clone();
        self.aftermath.ended(&guest, &waiting.panic, ended);
        let policy = self.shared.policy(&guest);
        let fate = match ended.fate {
            Fate::Failed if was_released && policy.then != Action::Hold => {
                let problem = ended.problem.as_deref().unwrap_or("the capture crashed");
                self.aftermath.lost_unless_stored(&guest, &waiting.panic, problem);
                Fate::Released
            }
            fate => fate,
        };
        let (state, order) = match fate {
            Fate::Held | Fate::NotReleased => {
                self.held.mark(&guest, ended.entry.as_deref());
                self.aftermath.write_held(&self.held);
                (State::Held, Order::Later)
            }
            Fate::Released | Fate::NotPanicked => (State::Watched, Order::Look),
            Fate::Failed => (State::Failed(waiting.failed(ended.problem.clone())), Order::Look),
        };
        tracked.state = state;
        self.order(key, order);
    }

    /// Publishes what is counted, and that the supervisor is alive.
    fn publish(&mut self) {
        let count = |wanted: fn(&State) -> bool| {
            self.guests.values().filter(|tracked| wanted(&tracked.state)).count()
        };
        let metrics = &mut self.aftermath.metrics;
        metrics.watched = count(|state| !matches!(state, State::Ignored));
        metrics.queued = count(|state| matches!(state, State::Queued(_) | State::Failed(_)));
        metrics.held = count(|state| matches!(state, State::Held));
        metrics.capturing = self.captures.len();
        let status = format!(
            "{} guests watched, {} captures under way, {} wait, {} stay held",
            metrics.watched, metrics.capturing, metrics.queued, metrics.held
        );
        self.aftermath.write_metrics(self.shared.config().metrics.as_deref());
        self.service.status(status);
        self.service.alive();
    }

    fn reload(&mut self, read: &Reader<'_>) {
        self.service.reloading();
        match read() {
            Ok(mut config) => {
                let old = self.shared.config();
                let fixed = [
                    ("store", config.store != old.store),
                    ("spool", config.spool != old.spool),
                    ("libvirt", config.libvirt != old.libvirt),
                ];
                for (key, _) in fixed.iter().filter(|(_, changed)| *changed) {
                    let text = format!("another {key} takes effect with the next start");
                    self.record(Record::new(Level::Warning, "reload", text));
                }
                config.store.clone_from(&old.store);
                config.spool.clone_from(&old.spool);
                config.libvirt.clone_from(&old.libvirt);
                self.shared.configure(config);
                self.record(Record::new(Level::Info, "reload", "the configuration was read again"));
                for (key, tracked) in &self.guests {
                    if matches!(tracked.state, State::Watched | State::Ignored) {
                        self.order(key, Order::Look);
                    }
                }
            }
            Err(error) => {
                let text = format!("the configuration stays as it was: {error}");
                self.record(Record::new(Level::Error, "reload", text));
            }
        }
        self.service.ready();
    }

    /// Ends: captures under way are waited for, and guests that wait are handed back. A second
    /// signal ends the captures, too.
    fn stop(&mut self, signal: &'static str) {
        let now = Instant::now();
        match &mut self.stopping {
            Some(stopping) => stopping.deadline = stopping.deadline.min(now),
            None => {
                self.service.stopping();
                let deadline = now + self.shared.config().stop_within;
                self.stopping = Some(Stopping { deadline, asked: false });
                let text =
                    format!("{signal}: {} captures are brought to their end", self.captures.len());
                self.record(Record::new(Level::Info, "stopping", text));
            }
        }
    }

    /// Whether the watcher has ended.
    fn is_over(&mut self) -> bool {
        let queued = self.guests.values().any(|tracked| {
            matches!(tracked.state, State::Queued(_)) && self.may_start(&tracked.guest)
        });
        let Some(stopping) = &mut self.stopping else { return false };
        if self.captures.is_empty() && !queued {
            return true;
        }
        if Instant::now() < stopping.deadline {
            return false;
        }
        let signal = if stopping.asked { Signal::KILL } else { Signal::TERM };
        self.captures.values().for_each(|active| active.running.signal(signal));
        if stopping.asked {
            return true;
        }
        stopping.asked = true;
        stopping.deadline = Instant::now() + RELEASE_LIMIT;
        false
    }
}
