//! How much space a file system has left, and how much a core will need.

use std::io;
use std::path::Path;

/// The size of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What an ordinary user can still write, in bytes.
    pub available: u64,
    /// Its whole size, in bytes.
    pub total: u64,
}

impl Space {
    /// The space of the file system that `path`, or the nearest directory above
    /// it that exists, is on.
    pub fn of(path: &Path) -> io::Result<Self> {
        let mut at = path;
        let found = loop {
            match rustix::fs::statvfs(if at.as_os_str().is_empty() { Path::new(".") } else { at }) {
                Err(rustix::io::Errno::NOENT) => match at.parent() {
                    Some(parent) => at = parent,
                    None => return Err(io::ErrorKind::NotFound.into()),
                },
                other => break other?,
            }
        };
        Ok(Self {
            available: found.f_bavail.saturating_mul(found.f_frsize),
            total: found.f_blocks.saturating_mul(found.f_frsize),
        })
    }

    /// What is kept free by default: one part in twenty, and at
    /// most 1 GiB.
    pub fn default_reserve(&self) -> u64 {
        (self.total / 20).min(1 << 30)
    }
}

/// What part of the used memory a core takes, as its inverse. Measured: between
/// a third and a half of it on guests with page cache and programs.
const USED_RATIO: u64 = 3;
/// The same for all memory, where the used part is not known.
const TOTAL_RATIO: u64 = 6;

/// How long a core will be, before it is captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// What compression probably leaves, in bytes.
    pub needed: u64,
    /// The core's length if nothing could be compressed; `None` if the memory is not known.
    pub worst: Option<u64>,
}

/// Whether a core will fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Whatever its memory has.
    Fits,
    /// By the forecast, but not if nothing could be compressed.
    MayNotFit,
    /// Not by the forecast.
    TooLittle,
}

impl Forecast {
    /// The forecast for a guest of which QEMU uses `used` bytes of the host's memory, and which
    /// has `total`.
    pub fn of(used: Option<u64>, total: Option<u64>) -> Self {
        let worst = match (used, total) {
            (Some(used), Some(total)) => Some(used.min(total)),
            (used, total) => used.or(total),
        };
        let ratio = if used.is_some() { USED_RATIO } else { TOTAL_RATIO };
        Self { needed: worst.map_or(0, |worst| worst / ratio), worst }
    }

    /// Whether the core will fit, with `reserve` bytes left free.
    pub fn fit(&self, space: &Space, reserve: u64) -> Fit {
        let usable = space.available.saturating_sub(reserve);
        if self.needed > usable || (usable == 0 && reserve > 0) {
            Fit::TooLittle
        } else if self.worst.is_some_and(|worst| worst > usable) {
            Fit::MayNotFit
        } else {
            Fit::Fits
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Fit, Forecast, Space};
    use std::path::Path;

    #[test]
    fn a_forecast_is_of_the_memory_that_is_used() {
        let forecast = Forecast::of(Some(600), Some(1000));
        assert_eq!(forecast, Forecast { needed: 200, worst: Some(600) });
        assert_eq!(Forecast::of(None, Some(600)), Forecast { needed: 100, worst: Some(600) });
        assert_eq!(Forecast::of(None, None), Forecast { needed: 0, worst: None });
        let fit = |available| forecast.fit(&Space { available, total: 10_000 }, 100);
        assert_eq!(
            [299, 300, 699, 700].map(fit),
            [Fit::TooLittle, Fit::MayNotFit, Fit::MayNotFit, Fit::Fits]
        );
        let unknown = Forecast::of(None, None);
        assert_eq!(unknown.fit(&Space { available: 99, total: 10_000 }, 100), Fit::TooLittle);
    }

    #[test]
    fn a_directory_that_is_not_there_yet_has_the_space_of_the_one_above() {
        let space = Space::of(Path::new("/tmp/no/such/directory")).unwrap();
        assert!(space.total > 0 && space.available <= space.total);
    }
}
