//! Guests as their sources see them, and the panics of theirs that wait for a capture.

use std::time::Duration;

use super::Supervisor;
use crate::spool::{EventKind, Spooled};
use crate::watch::config::Policy;
use crate::watch::guest::{Guest, Panic, Seen};
use crate::watch::orders::Order;
use crate::watch::record::{Level, Record};
use crate::watch::tracked::{State, Tracked, Waiting};

/// How often a guest may have an entry of a panic that nothing held.
const LOST_INTERVAL: Duration = Duration::from_secs(10);

impl Supervisor {
    /// A source has seen something of a guest.
    pub(super) fn see(&mut self, key: String, seen: Seen) {
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
    pub(super) fn spooled(&mut self, spooled: Spooled) {
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
}
