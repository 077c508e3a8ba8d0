//! How long to wait, and what may end a wait early.

use std::time::{Duration, Instant};

use crate::interrupt::Interrupt;

/// The limits of a wait.
#[derive(Clone, Copy, Debug)]
pub struct WaitLimits<'a> {
    /// How long QEMU may stay silent about one question.
    pub timeout: Duration,
    /// When all waiting ends, however recent the question.
    pub until: Option<Instant>,
    /// What ends a wait at once. `None` where nothing may.
    pub interrupt: Option<&'a Interrupt>,
}

impl WaitLimits<'_> {
    /// When a wait that begins now ends.
    pub fn deadline(&self) -> Instant {
        let now = Instant::now();
        // Far enough for any wait, where a huge timeout would overflow the clock.
        let end = now.checked_add(self.timeout).unwrap_or_else(|| now + Duration::from_hours(24));
        self.until.map_or(end, |until| end.min(until))
    }

    /// The same limits, with at most `timeout` for a question.
    pub fn at_most(self, timeout: Duration) -> Self {
        Self { timeout: self.timeout.min(timeout), ..self }
    }
}
