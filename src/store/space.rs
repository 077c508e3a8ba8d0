//! How much space a file system has left.

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

#[cfg(test)]
mod tests {
    use super::Space;
    use std::path::Path;

    #[test]
    fn a_directory_that_is_not_there_yet_has_the_space_of_the_one_above() {
        let space = Space::of(Path::new("/tmp/no/such/directory")).unwrap();
        assert!(space.total > 0 && space.available <= space.total);
    }
}
