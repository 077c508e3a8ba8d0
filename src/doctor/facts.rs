//! What is known of a guest without disturbing it.

use serde::Serialize;

use super::unix_sockets::SocketClient;

/// What is known of a guest. `None` is unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GuestFacts {
    /// What names it to other commands: `libvirt:NAME`, or the path of its socket.
    pub guest: String,
    /// Its name.
    pub name: Option<String>,
    /// Its UUID.
    pub uuid: Option<String>,
    /// Its run state, in its manager's words.
    pub state: Option<String>,
    /// Whether it runs.
    pub running: Option<bool>,
    /// Whether a panic stopped it.
    pub panicked: Option<bool>,
    /// Whether it was started again after a panic that nobody captured.
    pub ran_after_panic: Option<bool>,
    /// The types of its panic devices.
    pub panic_devices: Option<Vec<String>>,
    /// What is done with it at a panic, in its manager's words.
    pub at_panic: Option<String>,
    /// Whether that holds it.
    pub held_at_panic: Option<bool>,
    /// Whether it has a vmcoreinfo device.
    pub vmcoreinfo: Option<bool>,
    /// Whether its memory is encrypted.
    pub memory_encrypted: Option<bool>,
    /// Its architecture.
    pub architecture: Option<String>,
    /// The version of its QEMU.
    pub qemu_version: Option<String>,
    /// The version of its libvirt.
    pub libvirt_version: Option<String>,
    /// Its memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// What its QEMU uses of the host's memory, in bytes.
    pub used_bytes: Option<u64>,
    /// The process of its QEMU.
    pub process: Option<i32>,
    /// The libvirt domain whose second monitor a socket is.
    pub libvirt_domain: Option<String>,
    /// Whether `capture` refuses that: a dump through it would end libvirtd.
    pub dump_refused: Option<bool>,
    /// Whether its monitor takes a client.
    pub monitor: MonitorState,
    /// Why it could not be asked.
    pub trouble: Option<Trouble>,
}

/// Whether a monitor takes a client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum MonitorState {
    /// It was not found out.
    #[default]
    Unknown,
    /// It does.
    Free,
    /// It has a client, and serves one only.
    Busy {
        /// Those clients that the system shows.
        clients: Vec<SocketClient>,
    },
    /// libvirt has it, and passes on what other clients ask.
    Libvirt,
    /// It took no connection.
    Unreachable,
}

/// Why a guest could not be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// What went wrong.
    pub text: String,
    /// What can be done about it.
    pub hint: Option<String>,
}

impl GuestFacts {
    /// What names it to a person.
    pub fn title(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.guest)
    }

    /// Whether its monitor has another client.
    pub fn is_busy(&self) -> bool {
        matches!(self.monitor, MonitorState::Busy { .. })
    }
}
