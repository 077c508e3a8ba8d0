//! A limit on how much is sent in a time.

use std::thread;
use std::time::{Duration, Instant};

/// The limit. It holds on average: a part is sent as fast as the network takes it.
#[derive(Debug)]
pub struct Rate {
    bytes_per_second: Option<u64>,
    /// From when on the next part may be sent.
    next: Instant,
}

impl Rate {
    /// So many bytes in a second, or any number.
    pub fn new(bytes_per_second: Option<u64>) -> Self {
        Self { bytes_per_second, next: Instant::now() }
    }

    /// Waits until so many bytes may be sent.
    pub(super) fn wait(&mut self, bytes: u64) {
        let now = Instant::now();
        thread::sleep(self.pause(bytes, now));
    }

    /// How long to wait from now on.
    fn pause(&mut self, bytes: u64, now: Instant) -> Duration {
        let Some(limit) = self.bytes_per_second else { return Duration::ZERO };
        let begins = self.next.max(now);
        #[expect(clippy::cast_precision_loss, reason = "a pause needs no more")]
        let takes = Duration::from_secs_f64(bytes as f64 / limit.max(1) as f64);
        self.next = begins.checked_add(takes).unwrap_or(begins);
        begins.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_spread_over_the_time_that_they_take() {
        let mut rate = Rate::new(Some(1000));
        let now = rate.next;
        assert_eq!(rate.pause(2000, now), Duration::ZERO);
        assert_eq!(rate.pause(500, now), Duration::from_secs(2));
        assert_eq!(rate.pause(500, now), Duration::from_millis(2500));
        // Time in which nothing was sent is not made up for.
        assert_eq!(rate.pause(500, now + Duration::from_secs(60)), Duration::ZERO);
        assert_eq!(rate.pause(500, now + Duration::from_secs(60)), Duration::from_millis(500));
        assert_eq!(Rate::new(None).pause(u64::MAX, now), Duration::ZERO);
    }
}
