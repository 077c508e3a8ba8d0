//! A guest's panic, as QEMU's events report it.

use jiff::Timestamp;
use serde_json::Value;

use super::session::Session;
use crate::monitor::Event;
use crate::monitor::GuestEvent;

/// The events about a panic that came so far.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// How many panics were reported.
    pub(super) panics: u64,
    /// The first of them.
    pub(super) first: Option<Event>,
    /// When that came.
    pub(super) noticed: Option<Timestamp>,
    /// Whether the guest said that it dumps itself.
    pub(super) crash_loaded: bool,
    /// Why QEMU shut the guest down, if it did, in its words.
    pub(super) shut_down: Option<String>,
    /// What another client did to the guest after its panic.
    pub(super) released: Option<GuestEvent>,
}

impl Seen {
    /// Takes an event, if it is one of these.
    pub(super) fn take(&mut self, event: Event) {
        match event.name.as_str() {
            "GUEST_PANICKED" => {
                self.panics = self.panics.saturating_add(1);
                self.released = None;
                self.first.get_or_insert(event);
                self.noticed.get_or_insert_with(Timestamp::now);
            }
            "GUEST_CRASHLOADED" => self.crash_loaded = true,
            "SHUTDOWN" => {
                let reason = event.data.get("reason").and_then(Value::as_str);
                self.shut_down
                    .get_or_insert_with(|| reason.unwrap_or("no reason given").to_owned());
            }
            // Whatever it was, it is over.
            "RESET" => {
                self.shut_down = None;
                self.was_released(GuestEvent::Reset);
            }
            "RESUME" => self.was_released(GuestEvent::Resumed),
            _ => {}
        }
    }

    fn was_released(&mut self, event: GuestEvent) {
        if self.panics > 0 && !self.runs_on() {
            self.released.get_or_insert(event);
        }
    }

    /// Takes the events that wait.
    pub(super) fn take_queued(&mut self, session: &mut Session<'_>) {
        while let Some(event) = session.monitor.take_event() {
            self.take(event);
        }
    }

    /// What QEMU does about the panic, in its words.
    pub(super) fn action(&self) -> Option<&str> {
        self.first.as_ref()?.data.get("action")?.as_str()
    }

    /// Whether QEMU lets the guest run on after its panic (panic=none).
    pub(super) fn runs_on(&self) -> bool {
        self.action() == Some("run")
    }
}
