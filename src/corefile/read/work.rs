//! How much may be read and unpacked of one file.
//!
//! A file of a few MiB can describe terabytes: chunks of 64 MiB that take 2 KiB each,
//! 65,000 segments that have the same bytes. What a command does with a file is bounded by
//! what the file holds. The bound is in bytes and not a time, so that the same file always
//! gets the same answer.

use std::sync::atomic::{AtomicU64, Ordering};

/// What may be read of any file, in bytes. A command reads and unpacks so much in 5 to 10 s.
const BASE: u64 = 8 << 30;
/// How many bytes may be read for each that the file holds. Guests' memory without its
/// zeros is compressed to a third or a tenth.
const EACH: u64 = 64;

/// More is to be read than a file is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMuch {
    /// How many bytes may be read.
    pub limit: u64,
}

/// The bytes that were read and unpacked of a file, and how many may be.
#[derive(Debug)]
pub struct Work {
    done: AtomicU64,
    limit: AtomicU64,
}

impl Work {
    /// The work that a file of so many bytes on disk is worth.
    pub fn of_stored(bytes: u64) -> Self {
        let limit = bytes.saturating_mul(EACH).max(BASE);
        Self { done: AtomicU64::new(0), limit: AtomicU64::new(limit) }
    }

    /// How many bytes were read and unpacked.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Lifts the bound.
    pub fn unlimited(&self) {
        self.limit.store(u64::MAX, Ordering::Relaxed);
    }

    /// Accounts for bytes that are about to be read or unpacked.
    ///
    /// # Errors
    /// Fails if they are too many.
    pub fn spend(&self, bytes: u64) -> Result<(), TooMuch> {
        let limit = self.limit.load(Ordering::Relaxed);
        if self.done.load(Ordering::Relaxed).saturating_add(bytes) > limit {
            return Err(TooMuch { limit });
        }
        self.done.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_worth_what_it_holds_and_some() {
        let work = Work::of_stored(1);
        assert!(work.spend(BASE - 1).is_ok() && work.spend(2).is_err() && work.spend(1).is_ok());
        assert_eq!(work.spend(1), Err(TooMuch { limit: BASE }));
        work.unlimited();
        assert!(work.spend(u64::MAX / 2).is_ok());
        let work = Work::of_stored(BASE);
        assert!((0..EACH).all(|_| work.spend(BASE).is_ok()) && work.spend(1).is_err());
    }
}
