//! What names a domain, and the state that it is in.

use std::fmt;
use std::str::FromStr;

use super::xdr::{Reader, Writer, XdrError};

/// A domain's UUID.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uuid(pub [u8; 16]);

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A text that is no UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotUuid;

impl FromStr for Uuid {
    type Err = NotUuid;

    /// Reads 32 hexadecimal digits, with or without hyphens between them.
    fn from_str(text: &str) -> Result<Self, NotUuid> {
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
        let (pairs, rest) = digits.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(NotUuid);
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let byte = |[high, low]: &[u8; 2]| {
            u8::try_from(digit(*high)?.checked_mul(16)?.checked_add(digit(*low)?)?).ok()
        };
        let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(NotUuid)
    }
}

/// A domain, as libvirt names it in messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// Its name.
    pub name: String,
    /// Its UUID, which stays the same.
    pub uuid: Uuid,
    /// The number of its run; -1 if it does not run.
    pub id: i32,
}

impl Domain {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, XdrError> {
        Ok(Self {
            name: reader.string("domain name")?.to_owned(),
            uuid: Uuid(reader.fixed("domain UUID")?),
            id: reader.i32("domain id")?,
        })
    }

    pub(super) fn write(&self, writer: Writer) -> Writer {
        writer.string(&self.name).fixed(&self.uuid.0).i32(self.id)
    }
}

/// A domain's state and its reason (`virDomainState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DomainState {
    /// The state.
    pub state: i32,
    /// The reason, which depends on the state.
    pub reason: i32,
}

impl DomainState {
    /// `crashed (panicked)`: the guest panicked, and libvirt holds it.
    pub const PANICKED: Self = Self { state: 6, reason: 1 };
    /// `running`, whatever the reason.
    const RUNNING: i32 = 1;
    /// `running (crashed)`: it was restarted after a panic.
    const AFTER_CRASH: Self = Self { state: Self::RUNNING, reason: 9 };

    /// Whether a panic stopped the guest, and it is held.
    pub fn is_panicked(self) -> bool {
        self == Self::PANICKED
    }

    /// Whether its vCPUs run.
    pub fn is_running(self) -> bool {
        // 2 is `blocked`: idle, on hypervisors that distinguish it.
        matches!(self.state, Self::RUNNING | 2)
    }

    /// Whether QEMU has ended.
    pub fn is_shut_off(self) -> bool {
        self.state == 5
    }

    /// Whether it runs because libvirt restarted it after a panic.
    pub fn runs_after_crash(self) -> bool {
        self == Self::AFTER_CRASH
    }
}

impl fmt::Display for DomainState {
    /// As `virsh domstate --reason` shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const STATES: [&str; 8] = [
            "no state",
            "running",
            "idle",
            "paused",
            "in shutdown",
            "shut off",
            "crashed",
            "pmsuspended",
        ];
        const RUNNING: [&str; 11] = [
            "unknown",
            "booted",
            "migrated",
            "restored",
            "from snapshot",
            "unpaused",
            "migration canceled",
            "save canceled",
            "event wakeup",
            "crashed",
            "post-copy",
        ];
        const PAUSED: [&str; 15] = [
            "unknown",
            "user",
            "migrating",
            "saving",
            "dumping",
            "I/O error",
            "watchdog",
            "from snapshot",
            "shutting down",
            "creating snapshot",
            "crashed",
            "starting up",
            "post-copy",
            "post-copy failed",
            "API error",
        ];
        const SHUT_OFF: [&str; 10] = [
            "unknown",
            "shutdown",
            "destroyed",
            "crashed",
            "migrated",
            "saved",
            "failed",
            "from snapshot",
            "daemon",
            "shutdown",
        ];
        const CRASHED: [&str; 2] = ["unknown", "panicked"];
        let at = |names: &[&'static str], index: i32| {
            usize::try_from(index).ok().and_then(|index| names.get(index).copied())
        };
        let state = at(&STATES, self.state).unwrap_or("unknown state");
        let reasons: &[&str] = match self.state {
            1 => &RUNNING,
            3 => &PAUSED,
            5 => &SHUT_OFF,
            6 => &CRASHED,
            _ => &[],
        };
        match at(reasons, self.reason) {
            Some(reason) => write!(f, "{state} ({reason})"),
            None => f.write_str(state),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_read_with_and_without_hyphens_and_shown_with_them() {
        let text = "00112233-4455-6677-8899-aabbccddeeff";
        let uuid: Uuid = text.parse().unwrap();
        assert_eq!(uuid.to_string(), text);
        assert_eq!("00112233445566778899AABBCCDDEEFF".parse(), Ok(uuid));
        for text in ["", "0011", "web-3", "00112233-4455-6677-8899-aabbccddeefg", &"0".repeat(34)] {
            assert_eq!(text.parse::<Uuid>(), Err(NotUuid), "{text}");
        }
    }

    #[test]
    fn a_state_is_shown_as_virsh_does() {
        for (state, reason, shown) in [
            (6, 1, "crashed (panicked)"),
            (1, 9, "running (crashed)"),
            (3, 10, "paused (crashed)"),
            (5, 2, "shut off (destroyed)"),
            (1, 77, "running"),
            (99, 0, "unknown state"),
            (-1, -1, "unknown state"),
        ] {
            assert_eq!(DomainState { state, reason }.to_string(), shown);
        }
    }
}
