//! What names a guest.

use std::fmt;
use std::path::{Path, PathBuf};

use super::libvirt::{Address, DomainTarget};

/// What names a guest, and where it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// QEMU's QMP socket.
    Socket {
        /// Its path.
        path: PathBuf,
        /// The libvirt that QEMU may belong to.
        libvirt: Option<Address>,
    },
    /// A domain of libvirt.
    Domain(DomainTarget),
}

impl Target {
    /// A QMP socket.
    pub fn socket(path: &Path) -> Self {
        Self::Socket { path: path.to_owned(), libvirt: None }
    }

    /// How it is named in metadata and reports: the absolute path of a socket, or the
    /// domain.
    pub fn label(&self) -> PathBuf {
        match self {
            Self::Socket { path, .. } => {
                std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
            }
            Self::Domain(_) => PathBuf::from(self.to_string()),
        }
    }
}

impl fmt::Display for Target {
    /// As a user gives it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket { path, .. } => path.display().fmt(f),
            Self::Domain(domain) => write!(f, "libvirt:{}", domain.name),
        }
    }
}
