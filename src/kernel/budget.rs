//! How much is read for one part of a kernel: the steps of its walks, or the bytes of a cache.
//!
//! A list, the CPUs, the users of a module: each has a bound of its own, and a hostile guest
//! multiplies them. 16,000 processes that share one list of 100,000 threads are 1.6 billion nodes,
//! each list of them within its bound. So all that is walked for one part (tasks, modules,
//! mounts, ...), lists inside of lists included, takes its steps from one budget. What is
//! missing at its end is a finding, and no other part has less of its own.

use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

/// The steps of a walk. A guest with 130,000 processes takes 6 million of them.
const WALK: u64 = 1 << 23;

/// The price of a node of a list or a tree, or of a name in a path, in steps: what is at it is read.
pub(super) const NODE: u64 = 16;
/// The price of one CPU's part of a sum.
pub(super) const PART: u64 = 1;

/// A budget that is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it takes more than is read of any guest ({all} steps or bytes)")]
pub struct Spent {
    all: u64,
}

/// How much may still be read. Threads share it.
#[derive(Debug)]
pub(super) struct Budget {
    all: u64,
    left: AtomicU64,
}

impl Budget {
    /// The budget of a walk.
    pub(super) fn of_walk() -> Self {
        Self::of(WALK)
    }

    /// A budget of this much: steps, or bytes.
    pub(super) fn of(all: u64) -> Self {
        Self { all, left: AtomicU64::new(all) }
    }

    /// Takes from it.
    ///
    /// # Errors
    /// Fails if less is left, which then stays as it is.
    pub(super) fn take(&self, price: u64) -> Result<(), Spent> {
        let less = |left: u64| left.checked_sub(price);
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        taken.map(|_| ()).map_err(|_| Spent { all: self.all })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_costs_more_than_is_left_takes_nothing() {
        let budget = Budget::of(10);
        assert_eq!(budget.take(8), Ok(()));
        assert_eq!(budget.take(3), Err(Spent { all: 10 }));
        assert_eq!((budget.take(2), budget.take(0)), (Ok(()), Ok(())));
        assert_eq!(budget.take(1), Err(Spent { all: 10 }));
    }
}
