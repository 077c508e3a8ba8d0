//! Why a core cannot be mounted.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a core cannot be mounted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MountError {
    /// The directory cannot be looked at.
    #[error("cannot mount on {}", path.display())]
    Folder {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is the mount of a program that is gone.
    #[error("{} is still the mount of a program that has ended", path.display())]
    Dead {
        /// The directory.
        path: PathBuf,
    },
    /// It is no directory.
    #[error("cannot mount on {}: it is no directory", path.display())]
    NotAFolder {
        /// What it is not.
        path: PathBuf,
    },
    /// There is something in it, which the mount would hide.
    #[error("cannot mount on {}: it is not empty", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// The system has no FUSE.
    #[error("cannot open /dev/fuse, through which a mounted core is read")]
    Device {
        /// What the system said.
        source: io::Error,
    },
    /// The user may not mount, and the program that may is not there.
    #[error("not permitted to mount on {}: fusermount3 is not installed", path.display())]
    NoHelper {
        /// The directory.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot mount on {}", path.display())]
    Refused {
        /// The directory.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// Mounted, but not served.
    #[error("cannot serve the core mounted on {}", path.display())]
    Serve {
        /// The directory.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// It cannot be unmounted.
    #[error("cannot unmount {}", path.display())]
    Unmount {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl MountError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Folder { path, source } if source.kind() == io::ErrorKind::NotFound => {
                format!("create it first: mkdir {}", path.display())
            }
            Self::Dead { path } | Self::Unmount { path, .. } => {
                format!("free it with: umount -l {}", path.display())
            }
            Self::NotEmpty { .. } | Self::NotAFolder { .. } => {
                "choose a new, empty directory".to_owned()
            }
            Self::Device { source } if source.kind() == io::ErrorKind::PermissionDenied => {
                "run this as root, or give the user access to /dev/fuse".to_owned()
            }
            Self::Device { .. } => {
                "load the module with `modprobe fuse`; in a container, pass the device to it \
                 (--device /dev/fuse --cap-add SYS_ADMIN)"
                    .to_owned()
            }
            Self::NoHelper { .. } => {
                "run this as root, or install the package fuse3, through which others mount"
                    .to_owned()
            }
            Self::Refused { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "in a container, mounting needs --cap-add SYS_ADMIN; without it, unpack the core \
                 with `zstd -d`"
                    .to_owned()
            }
            _ => return None,
        })
    }
}
