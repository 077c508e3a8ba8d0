//! What can go wrong between us and a monitor.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::answers::Refusal;
use thiserror::Error;

/// Why a monitor gave no answer, or not the one that was asked for.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MonitorError {
    /// The socket has no listener.
    #[error("cannot connect to the monitor {}", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The socket takes the connection, and sends no greeting.
    #[error("the monitor {} took the connection and stayed silent for {waited:.1?}", path.display())]
    Silent {
        /// The socket.
        path: PathBuf,
        /// How long it was given.
        waited: Duration,
    },
    /// QEMU greets, but its main loop does not answer.
    #[error("QEMU did not answer {command} within {waited:.1?}")]
    TimedOut {
        /// What was asked.
        command: String,
        /// How long it was given.
        waited: Duration,
    },
    /// The time was used up before the command could be sent.
    #[error("no time was left to ask QEMU for {command}")]
    NoTime {
        /// What was to be asked.
        command: String,
    },
    /// The connection ended.
    #[error("QEMU closed the monitor during {during}")]
    Closed {
        /// What was under way.
        during: String,
    },
    /// The connection broke.
    #[error("the connection to the monitor broke during {during}")]
    Broken {
        /// What was under way.
        during: String,
        /// What the system said.
        source: io::Error,
    },
    /// A line that is not QMP.
    #[error("the monitor sent what is not QMP: {start:?}")]
    Junk {
        /// How the line begins.
        start: String,
    },
    /// A line longer than any of QEMU.
    #[error("the monitor sent a line of more than {limit} bytes")]
    TooLong {
        /// How long a line may be.
        limit: usize,
    },
    /// An answer that does not have the form that QEMU documents.
    #[error("QEMU answered {command} in an unknown form: {found}")]
    Unexpected {
        /// What was asked.
        command: String,
        /// The answer, cut short.
        found: String,
    },
    /// QEMU said no.
    #[error("QEMU refused {command}: {}: {}", refusal.class, refusal.description)]
    Refused {
        /// What was asked.
        command: String,
        /// What it said.
        refusal: Refusal,
    },
    /// A signal came.
    #[error("interrupted by {signal} during {during}")]
    Interrupted {
        /// The signal's name.
        signal: &'static str,
        /// What was under way.
        during: String,
    },
}

impl MonitorError {
    /// What QEMU said, if it said no.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal),
            _ => None,
        }
    }

    /// Whether this connection can carry no further command.
    pub fn is_connection_lost(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. }
                | Self::Silent { .. }
                | Self::Closed { .. }
                | Self::Broken { .. }
                | Self::Junk { .. }
                | Self::TooLong { .. }
        )
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Silent { .. } => Some(
                "another client (libvirt, a script) holds this monitor, or QEMU is stopped: \
                 give QEMU a second one with `-qmp unix:PATH,server=on,wait=off`, \
                 or let the other client disconnect",
            ),
            Self::TimedOut { .. } => Some(
                "QEMU's main loop is busy (a storage flush, or another client's dump): \
                 try again, or allow more time with --timeout",
            ),
            Self::Connect { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("run vmcorectl as the user of QEMU, or as root")
            }
            Self::Connect { .. } => {
                Some("GUEST is the path of a QMP socket, as in `-qmp unix:PATH,server=on,wait=off`")
            }
            Self::Junk { .. } => {
                Some("is this a QMP socket? a human monitor (`-monitor`) speaks another language")
            }
            _ => None,
        }
    }
}
