//! Signals: another configuration, or the end.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{Reader, Stopping, Supervisor};
use crate::watch::orders::Order;
use crate::watch::record::{Level, Record};
use crate::watch::tracked::State;

/// How long a capture may take to release its guest once it was asked to end.
const RELEASE_LIMIT: Duration = Duration::from_secs(20);

impl Supervisor {
    pub(super) fn reload(&mut self, read: &Reader<'_>) {
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
    pub(super) fn stop(&mut self, signal: &'static str) {
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
    pub(super) fn is_over(&mut self) -> bool {
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
