//! The spool: memory for chunks that were read and are not compressed yet.
//!
//! Needs: how large it may become. Gives: whether it may grow now, and how full it is. It
//! never takes what the host needs: it stops growing as soon as too little memory is left,
//! whoever took it.

use std::time::{Duration, Instant};

use super::CHUNK;
use crate::host_memory::HostMemory;

/// After how many buffers the host's memory is looked at again.
const LOOK_AFTER: usize = 16;
/// How long it is not looked at again once too little was left.
const PAUSE: Duration = Duration::from_millis(20);
/// A spool of less than this is none.
const LEAST: u64 = 16 << 20;

/// How large a spool may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpoolLimit {
    /// How many bytes it may have.
    bytes: u64,
    /// How many bytes must stay available on the host.
    leave: u64,
}

impl SpoolLimit {
    /// No spool: the source waits for the workers.
    pub const NONE: Self = Self { bytes: 0, leave: 0 };

    /// A spool of this size, whatever the host has left.
    #[cfg(test)]
    pub(super) const fn fixed(bytes: u64) -> Self {
        Self { bytes, leave: 0 }
    }

    /// A spool of `asked` bytes, or without that, of half of what the host has to give.
    ///
    /// Half of what is available now stays for others, and an eighth if a size was asked for.
    pub fn of(asked: Option<u64>, memory: &HostMemory) -> Self {
        match (asked, memory.available()) {
            (Some(bytes), available) => Self { bytes, leave: available.unwrap_or(0) / 8 },
            (None, Some(available)) => Self { bytes: available / 2, leave: available / 2 },
            (None, None) => Self::NONE,
        }
    }
}

/// How full a spool is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fill {
    /// There is no spool: all wait for each other as they must.
    NoSpool,
    /// There is room.
    Roomy,
    /// More than half is taken.
    Half,
    /// The source is about to wait.
    Full,
}

/// A spool.
#[derive(Debug)]
pub(super) struct Spool {
    limit: SpoolLimit,
    memory: HostMemory,
    /// Up to how many buffers it may grow before the host is looked at again.
    looked_up_to: usize,
    /// When too little memory was left.
    short: Option<Instant>,
}

impl Spool {
    pub(super) fn new(limit: SpoolLimit) -> Self {
        let limit = if limit.bytes < LEAST { SpoolLimit::NONE } else { limit };
        let memory = HostMemory::of_this_process();
        Self { limit, memory, looked_up_to: 0, short: None }
    }

    /// Whether there is one.
    pub(super) fn exists(&self) -> bool {
        self.limit != SpoolLimit::NONE
    }

    /// Whether it may have another buffer, of which it has `count`.
    pub(super) fn may_grow(&mut self, count: usize) -> bool {
        if count >= self.most() || self.short.is_some_and(|since| since.elapsed() < PAUSE) {
            return false;
        }
        if count >= self.looked_up_to {
            let needed = self.limit.leave.saturating_add((LOOK_AFTER * CHUNK) as u64);
            if self.memory.available().is_some_and(|available| available < needed) {
                self.is_short();
                return false;
            }
            self.looked_up_to = count.saturating_add(LOOK_AFTER);
        }
        self.short = None;
        true
    }

    /// Notes that the host has too little memory left.
    pub(super) fn is_short(&mut self) {
        self.short = Some(Instant::now());
    }

    /// How full it is, if there are `allocated` buffers, `free` of them unused, and `base` of
    /// them not the spool's.
    pub(super) fn fill(&self, base: usize, allocated: usize, free: usize) -> Fill {
        if !self.exists() {
            return Fill::NoSpool;
        }
        let most = match self.short {
            Some(_) => allocated,
            None => base.saturating_add(self.most()),
        };
        let used = allocated.saturating_sub(free);
        if used.saturating_mul(8) >= most.saturating_mul(7) {
            Fill::Full
        } else if used.saturating_mul(2) >= most {
            Fill::Half
        } else {
            Fill::Roomy
        }
    }

    /// How many buffers it may have.
    fn most(&self) -> usize {
        usize::try_from(self.limit.bytes).unwrap_or(usize::MAX) / CHUNK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool(mebibytes: u64, leave: u64) -> Spool {
        Spool::new(SpoolLimit { bytes: mebibytes << 20, leave })
    }

    #[test]
    fn a_spool_has_its_size_and_no_more() {
        let mut spool = spool(20, 0);
        assert!(spool.exists());
        assert!((0..20).all(|count| spool.may_grow(count)));
        assert!(!spool.may_grow(20));
        assert!(!Spool::new(SpoolLimit::NONE).exists());
        assert!(!Spool::new(SpoolLimit::NONE).may_grow(0));
    }

    #[test]
    fn a_spool_stops_growing_when_the_host_has_too_little_left() {
        let mut spool = spool(1 << 20, u64::MAX / 2);
        assert!(!spool.may_grow(0));
        // What it has is all there is.
        assert_eq!(spool.fill(96, 96, 96), Fill::Roomy);
        assert_eq!(spool.fill(96, 96, 2), Fill::Full);
    }

    #[test]
    fn how_full_it_is_counts_what_is_in_use() {
        let spool = spool(100, 0);
        for (allocated, free, fill) in [
            (0, 0, Fill::Roomy),
            (200, 120, Fill::Roomy),
            (100, 0, Fill::Half),
            (174, 0, Fill::Half),
            (175, 0, Fill::Full),
            (200, 0, Fill::Full),
            (200, 26, Fill::Half),
        ] {
            assert_eq!(spool.fill(100, allocated, free), fill, "{allocated} {free}");
        }
        assert_eq!(Spool::new(SpoolLimit::NONE).fill(96, 96, 0), Fill::NoSpool);
    }

    #[test]
    fn the_default_is_half_of_what_the_host_has() {
        let memory = HostMemory::of_this_process();
        let limit = SpoolLimit::of(None, &memory);
        assert_eq!(limit.bytes, limit.leave);
        let asked = SpoolLimit::of(Some(7), &memory);
        assert_eq!(asked.bytes, 7);
        assert!(!Spool::new(asked).exists());
    }
}
