//! Events by which a stopped guest is no longer as it was stopped.
//!
//! Needs: QEMU's event by name. Gives: what happened to the guest, for the
//! messages and for decisions about the guest.

use std::fmt;

/// What another client, or QEMU, did to a stopped guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestEvent {
    /// It was reset. Its memory may be overwritten from shortly before the event.
    Reset,
    /// Its vCPUs were resumed.
    Resumed,
    /// It woke up from suspend-to-RAM, and runs.
    WokeUp,
    /// It panicked: since a stopped guest cannot, it ran before.
    Panicked,
    /// It was shut down: QEMU ends, or with `-no-shutdown` stays without it.
    ShutDown,
    /// Its power button was pressed, which a guest sees only once it runs.
    PowerButton,
}

impl GuestEvent {
    /// Whether its memory or what it does may be another than before.
    pub(crate) fn is_change(self) -> bool {
        self != Self::PowerButton
    }

    /// What QEMU's event of this name says about a stopped guest.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "RESET" => Self::Reset,
            "RESUME" => Self::Resumed,
            "WAKEUP" => Self::WokeUp,
            "GUEST_PANICKED" => Self::Panicked,
            "SHUTDOWN" => Self::ShutDown,
            "POWERDOWN" => Self::PowerButton,
            _ => return None,
        })
    }
}

impl fmt::Display for GuestEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reset => "another client reset it (RESET)",
            Self::Resumed => "another client resumed it (RESUME)",
            Self::WokeUp => "it woke up (WAKEUP)",
            Self::Panicked => "it ran and panicked again (GUEST_PANICKED)",
            Self::ShutDown => "it was shut down (SHUTDOWN)",
            Self::PowerButton => "another client pressed its power button (POWERDOWN)",
        })
    }
}
