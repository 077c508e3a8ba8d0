//! What can go wrong between us and a monitor.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::answers::Refusal;
use thiserror::Error;
use vmcore_formats::libvirt::error::RemoteError;
use vmcore_formats::libvirt::xdr::XdrError;

/// What answers at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    /// QEMU, by its monitor.
    Qemu,
    /// libvirt's daemon.
    Libvirt,
}

impl fmt::Display for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Qemu => "QEMU",
            Self::Libvirt => "libvirt",
        })
    }
}

impl Manager {
    /// Its connection, after its name.
    fn own_connection(self) -> &'static str {
        match self {
            Self::Qemu => "the monitor",
            Self::Libvirt => "its socket",
        }
    }

    /// Its connection, for messages.
    fn connection(self) -> &'static str {
        match self {
            Self::Qemu => "the monitor",
            Self::Libvirt => "libvirt's socket",
        }
    }
}

/// Why a monitor gave no answer, or not the one that was asked for.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MonitorError {
    /// The socket has no listener.
    #[error("cannot connect to {} {}", by.connection(), path.display())]
    Connect {
        /// What does not answer, or not as it should.
        by: Manager,
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
    #[error("{by} did not answer {command} within {waited:.1?}")]
    TimedOut {
        /// What does not answer, or not as it should.
        by: Manager,
        /// What was asked.
        command: String,
        /// How long it was given.
        waited: Duration,
    },
    /// The time was used up before the command could be sent.
    #[error("no time was left to ask {by} for {command}")]
    NoTime {
        /// What does not answer, or not as it should.
        by: Manager,
        /// What was to be asked.
        command: String,
    },
    /// The connection ended.
    #[error("{by} closed {} during {during}", by.own_connection())]
    Closed {
        /// What does not answer, or not as it should.
        by: Manager,
        /// What was under way.
        during: String,
    },
    /// The connection broke.
    #[error("the connection to {} broke during {during}", by.connection())]
    Broken {
        /// What does not answer, or not as it should.
        by: Manager,
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
    /// Bytes that are no message of libvirt.
    #[error("{} sends what is not libvirt's protocol", path.display())]
    NotLibvirt {
        /// The socket.
        path: PathBuf,
        /// What is wrong with it.
        source: XdrError,
    },
    /// libvirt wants an authentication that this client does not have.
    #[error("{} wants an authentication by {wanted}", path.display())]
    Authentication {
        /// The socket.
        path: PathBuf,
        /// Which.
        wanted: String,
    },
    /// libvirt wants a user and a password, and has not got them.
    #[error("{} wants a user and a password: {reason}", path.display())]
    NotAuthenticated {
        /// The socket.
        path: PathBuf,
        /// What was wrong.
        reason: String,
    },
    /// An answer that does not have the form that QEMU documents.
    #[error("{by} answered {command} in an unknown form: {found}")]
    Unexpected {
        /// What does not answer, or not as it should.
        by: Manager,
        /// What was asked.
        command: String,
        /// The answer, cut short.
        found: String,
    },
    /// QEMU said no.
    #[error("{by} refused {command}: {}: {}", refusal.class, refusal.description)]
    Refused {
        /// What does not answer, or not as it should.
        by: Manager,
        /// What was asked.
        command: String,
        /// What it said.
        refusal: Refusal,
    },
    /// A dump by QEMU's own socket would end the guest's libvirt.
    #[error(
        "the guest belongs to libvirt ({version}), which before 11.3 ends when QEMU reports a dump \
         that libvirt did not begin: this has to be libvirt:{domain}"
    )]
    OfLibvirt {
        /// The domain's name.
        domain: String,
        /// What is known of libvirt's version.
        version: String,
    },
    /// The guest has ended, as libvirt reports.
    #[error("the guest does not run: libvirt says that it is {state}")]
    Ended {
        /// Its state.
        state: String,
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

    /// Whether it shows that QEMU has ended.
    pub fn is_end_of_qemu(&self) -> bool {
        matches!(self, Self::Closed { by: Manager::Qemu, .. } | Self::Ended { .. })
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
                | Self::NotLibvirt { .. }
                | Self::Ended { .. }
        )
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Silent { .. } => Some(
                "another client (libvirt, a script) holds this monitor, or QEMU is stopped: \
                 a guest of libvirt is `libvirt:NAME`; another QEMU can have a second monitor with \
                 `-qmp unix:PATH,server=on,wait=off`, or let the other client disconnect",
            ),
            Self::OfLibvirt { .. } => Some(
                "`libvirt:NAME` has libvirt dump the guest; --connect URI says which libvirt it is",
            ),
            Self::TimedOut { by: Manager::Libvirt, .. } => Some(
                "libvirtd hangs, or another client's job holds the domain (`virsh domjobinfo`): try \
                 again, or allow more time with --timeout",
            ),
            Self::TimedOut { .. } => Some(
                "QEMU's main loop is busy (a storage flush, or another client's dump): \
                 try again, or allow more time with --timeout",
            ),
            Self::Connect { by: Manager::Libvirt, source, .. }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                Some("run vmcorectl as root, or as a user that libvirt's socket is open to")
            }
            Self::Connect { by: Manager::Libvirt, .. } => {
                Some("is libvirtd or virtqemud running? --connect URI names another")
            }
            Self::Authentication { .. } => Some(
                "vmcorectl has SASL's scram-sha-256 and plain: `mech_list` of /etc/sasl2/libvirt.conf \
                 can offer one of them beside others",
            ),
            Self::NotAuthenticated { .. } => Some(
                "`virsh` takes them from the same file: ~/.config/libvirt/auth.conf, or \
                 /etc/libvirt/auth.conf, or $LIBVIRT_AUTH_FILE",
            ),
            Self::Refused { by: Manager::Libvirt, refusal, .. } => match refusal.code? {
                RemoteError::NO_DOMAIN => Some("`virsh list --all` shows the names of all domains"),
                RemoteError::OPERATION_TIMEOUT => {
                    Some("another client's job holds the domain: `virsh domjobinfo` shows it")
                }
                _ => None,
            },
            Self::Connect { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("run vmcorectl as the user of QEMU, or as root")
            }
            Self::Connect { .. } => Some(
                "GUEST is the path of a QMP socket, as in `-qmp unix:PATH,server=on,wait=off`, \
                     or libvirt:NAME",
            ),
            Self::Junk { .. } => {
                Some("is this a QMP socket? a human monitor (`-monitor`) speaks another language")
            }
            _ => None,
        }
    }
}
