//! The limits of a run: processor time and memory.
//!
//! Time is that of the process's processors, so that a busy machine does not make findings. A run
//! that took too long is repeated: only one that always takes too long is a finding.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::allocator::peak_of;

/// How often a slow run is repeated.
const REPEATS: usize = 2;

/// What a run took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Processor time.
    pub(crate) time: Duration,
    /// Memory, in bytes.
    pub(crate) memory: usize,
}

/// What a run may take.
pub(crate) type Limits = Cost;

/// For an input of a few kilobytes.
pub(crate) const SMALL: Limits = Cost { time: Duration::from_secs(2), memory: 64 << 20 };

/// For a file of a few kilobytes, which may claim to be much larger.
pub(crate) const FILE: Limits = Cost { time: Duration::from_secs(4), memory: 256 << 20 };

/// Runs, and measures it.
pub(crate) fn measured<T>(run: impl FnOnce() -> T) -> (T, Cost) {
    let before = processor_time();
    let (value, memory) = peak_of(run);
    (value, Cost { time: processor_time().saturating_sub(before), memory })
}

/// Runs, and panics if it takes more than it may.
pub(crate) fn within(limits: Limits, run: impl Fn()) {
    let ((), mut cost) = measured(&run);
    assert!(
        cost.memory <= limits.memory,
        "memory: {} bytes, at most {}",
        cost.memory,
        limits.memory
    );
    for _ in 0..REPEATS {
        if cost.time <= limits.time {
            return;
        }
        cost.time = cost.time.min(measured(&run).1.time);
    }
    assert!(cost.time <= limits.time, "time: {:?}, at most {:?}", cost.time, limits.time);
}

fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or_default())
}
