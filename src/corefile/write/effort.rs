//! How much work a chunk gets while the guest waits and the spool is full.
//!
//! Needs: what chunks took at each effort, and what the disk takes. Gives: the effort at which
//! the most chunks pass, be it the processors or the disk that limits them. All is measured
//! on the chunks themselves, and forgotten over a few of them: the page cache takes a while
//! what the disk does not, and other guests come and go.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::CHUNK;

/// How much work a chunk gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effort {
    /// The level that was asked for.
    Level,
    /// zstd's level [`FAST_LEVEL`].
    Fast,
    /// Stored as it is.
    Raw,
}

/// The level of [`Effort::Fast`]: a fifth larger than level 1, in two thirds of its time.
pub(super) const FAST_LEVEL: i32 = -5;
/// How many chunks a measurement counts for.
const WEIGHT: u64 = 8;

/// What chunks take.
#[derive(Debug)]
pub(super) struct Rates {
    level: Rate,
    fast: Rate,
    raw: Rate,
    /// Nanoseconds in which the disk takes as many bytes as a chunk has.
    disk: AtomicU64,
    /// Whether a level between the one asked for and none is of use.
    has_fast: bool,
}

/// What a chunk takes at an effort.
#[derive(Debug)]
struct Rate {
    /// Nanoseconds of a worker.
    time: AtomicU64,
    /// Bytes of its frame.
    size: AtomicU64,
}

impl Rates {
    /// The rates of zstd at `level`, as they are thought to be before anything is measured.
    pub(super) fn new(level: i32) -> Self {
        let rate = |time: Duration, size: usize| Rate {
            time: AtomicU64::new(nanoseconds(time)),
            size: AtomicU64::new(size as u64),
        };
        Self {
            level: rate(Duration::from_micros(2500), CHUNK / 2),
            fast: rate(Duration::from_micros(1600), CHUNK / 5 * 3),
            raw: rate(Duration::from_micros(250), CHUNK),
            disk: AtomicU64::new(0),
            has_fast: level > FAST_LEVEL,
        }
    }

    /// A worker made a frame of `size` bytes of a whole chunk.
    pub(super) fn took(&self, effort: Effort, time: Duration, size: usize) {
        let rate = self.of(effort);
        blend(&rate.time, nanoseconds(time));
        blend(&rate.size, size as u64);
    }

    /// The disk took this number of bytes.
    pub(super) fn wrote(&self, time: Duration, bytes: usize) {
        // Short writes say more of the call than of the disk.
        if bytes >= CHUNK / 16 {
            let whole = nanoseconds(time).saturating_mul(CHUNK as u64);
            blend(&self.disk, whole.checked_div(bytes as u64).unwrap_or(0));
        }
    }

    /// The effort at which the most chunks pass with this number of workers. In doubt the greater one.
    pub(super) fn best(&self, workers: usize) -> Effort {
        let efforts = [Effort::Level, Effort::Fast, Effort::Raw];
        let usable = efforts.into_iter().filter(|effort| *effort != Effort::Fast || self.has_fast);
        usable.min_by_key(|effort| self.time_of(*effort, workers)).unwrap_or(Effort::Level)
    }

    /// Nanoseconds between two chunks.
    fn time_of(&self, effort: Effort, workers: usize) -> u64 {
        let rate = self.of(effort);
        let worked = rate.time.load(Ordering::Relaxed);
        let worked = worked.checked_div(workers as u64).unwrap_or(worked);
        let disk = u128::from(self.disk.load(Ordering::Relaxed));
        let written = disk.saturating_mul(u128::from(rate.size.load(Ordering::Relaxed)));
        worked.max(u64::try_from(written / CHUNK as u128).unwrap_or(u64::MAX))
    }

    fn of(&self, effort: Effort) -> &Rate {
        match effort {
            Effort::Level => &self.level,
            Effort::Fast => &self.fast,
            Effort::Raw => &self.raw,
        }
    }
}

/// Moves an average towards a new value. Two threads that do so at once lose one of theirs.
fn blend(average: &AtomicU64, value: u64) {
    let old = average.load(Ordering::Relaxed);
    let sum = old.saturating_mul(WEIGHT - 1).saturating_add(value);
    average.store(sum / WEIGHT, Ordering::Relaxed);
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rates of chunks that are halved in 3 ms, and leave two thirds in 2 ms.
    fn measured(disk_mib_per_second: u64) -> Rates {
        let rates = Rates::new(1);
        for _ in 0..100 {
            rates.took(Effort::Level, Duration::from_micros(3000), CHUNK / 2);
            rates.took(Effort::Fast, Duration::from_micros(2000), CHUNK / 3 * 2);
            rates.took(Effort::Raw, Duration::from_micros(200), CHUNK + 37);
            rates
                .wrote(Duration::from_secs(1) / u32::try_from(disk_mib_per_second).unwrap(), CHUNK);
        }
        rates
    }

    #[test]
    fn a_fast_disk_gets_chunks_as_they_are_and_a_slow_one_small_ones() {
        assert_eq!(measured(2000).best(2), Effort::Raw);
        assert_eq!(measured(100).best(2), Effort::Level);
        // 500 chunks a second leave two workers at this level, 1000 at the lower one.
        assert_eq!(measured(600).best(2), Effort::Fast);
        assert_eq!(measured(600).best(1), Effort::Raw);
        assert_eq!(measured(600).best(16), Effort::Level);
    }

    #[test]
    fn a_disk_that_becomes_slow_is_noticed_within_a_few_chunks() {
        let rates = measured(5000);
        assert_eq!(rates.best(2), Effort::Raw);
        let chunks = (0..100).position(|_| {
            rates.wrote(Duration::from_millis(10), CHUNK);
            rates.best(2) == Effort::Level
        });
        assert!(chunks.is_some_and(|chunks| chunks < 10), "{chunks:?}");
    }

    #[test]
    fn nothing_is_faster_than_the_fastest_level() {
        let rates = Rates::new(FAST_LEVEL);
        assert!((1..64).all(|workers| rates.best(workers) != Effort::Fast));
    }
}
