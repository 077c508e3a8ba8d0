//! Captures: when they start, and what becomes of their guests.

use std::time::Instant;

use super::{Active, Supervisor};
use crate::units;
use crate::watch::capture::{self, Job};
use crate::watch::config::{Action, Config};
use crate::watch::guest::Guest;
use crate::watch::news::{Ended, Fate};
use crate::watch::orders::Order;
use crate::watch::record::{Level, Record};
use crate::watch::tracked::State;

/// How many more guests are handed back at once when the watcher stops: they are not dumped.
const HANDED_BACK: usize = 8;

impl Supervisor {
    /// Starts captures of guests that wait, the longest wait first.
    pub(super) fn start_due(&mut self) {
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
    pub(super) fn may_start(&self, guest: &Guest) -> bool {
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
        let shown = units::bytes;
        (bytes >= limit.bytes).then(|| {
            let within = units::span(limit.within.as_secs_f64());
            format!(
                "{} of cores were written in {within}, and {} may be",
                shown(bytes),
                shown(limit.bytes)
            )
        })
    }

    pub(super) fn leaves_out(&mut self, id: u64, reason: &str) {
        self.no_longer_dumping(id);
        if let Some(tracked) =
            self.captures.get(&id).and_then(|active| self.guests.get(&active.key))
        {
            let text = format!("its core is left out: {reason}");
            self.record(Record::new(Level::Notice, "left-out", text).of(tracked.guest.label()));
        }
    }

    pub(super) fn no_longer_dumping(&mut self, id: u64) {
        if let Some(active) = self.captures.get_mut(&id) {
            active.dumping = false;
        }
    }

    pub(super) fn ended(&mut self, id: u64, ended: &Ended) {
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
}
