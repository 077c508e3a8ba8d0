//! The supervisor: one loop that takes news, and decides.
//!
//! ```text
//! guests      what sources see of guests ──► which panic waits for a capture
//! starting    limits ──► captures, and what becomes of their guests
//! ending      signals ──► another configuration, or the end
//! ```
//!
//! It waits for nothing but news: sources, captures, disks and notifications have threads of their
//! own.

mod ending;
mod guests;
mod starting;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use crate::watch::aftermath::Aftermath;
use crate::watch::capture::Running;
use crate::watch::config::{Config, ConfigError};
use crate::watch::held::Held;
use crate::watch::libvirt::LibvirtSource;
use crate::watch::news::{CaptureNews, News};
use crate::watch::orders::Order;
use crate::watch::record::{Level, Record};
use crate::watch::service::Service;
use crate::watch::shared::Shared;
use crate::watch::sockets::SocketSource;
use crate::watch::tracked::{State, Tracked};

/// The longest time between two looks at what is due.
const TICK: Duration = Duration::from_millis(500);

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
            News::LostStored(entry) => self.aftermath.notify_of_lost(entry),
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
}
