//! Whether libvirt's daemon may open our pipe by its path in `/proc`.
//!
//! Needs: a connection. Gives: what the daemon is allowed, as far as the system shows it: its
//! namespace of processes, its user and capabilities, and the profile of a security module.
//! Only an attempt is certain: a dump that is refused goes through a named pipe.

use std::fs::{read_link, read_to_string};

use super::client::Client;

/// `CAP_SYS_PTRACE`: every process's descriptors may be opened.
const SYS_PTRACE: u64 = 1 << 19;

/// How libvirt's daemon gets at our pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PipeAccess {
    /// By its path. A security module may forbid that by a profile of this name.
    Path(Option<String>),
    /// Not by its path: the daemon has other process numbers, or does not show its own.
    OtherProcesses,
    /// Not by its path: the daemon has another user, or fewer capabilities.
    Forbidden,
}

/// What a process may do: `/proc/PID/status`.
struct Rights {
    user: u32,
    permitted: u64,
    effective: u64,
}

impl PipeAccess {
    /// What the daemon at the other end is allowed.
    pub(crate) fn of(client: &Client) -> Self {
        let Some(daemon) = client.process().map(|process| process.to_string()) else {
            return Self::OtherProcesses;
        };
        if !has_our_namespace(&daemon) {
            return Self::OtherProcesses;
        }
        let (Some(theirs), Some(ours)) = (rights(&daemon), rights("self")) else {
            return Self::Path(None);
        };
        if !may_open(&theirs, &ours) {
            return Self::Forbidden;
        }
        let profile = read_to_string(format!("/proc/{daemon}/attr/current")).unwrap_or_default();
        let profile = profile.trim_matches(|letter: char| letter == '\0' || letter.is_whitespace());
        let is_free = profile.is_empty() || profile.starts_with("unconfined");
        Self::Path((!is_free).then(|| profile.chars().take(100).collect()))
    }
}

/// Whether the daemon's process numbers are ours: in another namespace, the path of our
/// descriptor may be that of another process's file.
pub(super) fn sees_our_processes(client: &Client) -> bool {
    client.process().is_some_and(|process| has_our_namespace(&process.to_string()))
}

fn has_our_namespace(process: &str) -> bool {
    let namespace = |process: &str| read_link(format!("/proc/{process}/ns/pid")).ok();
    let theirs = namespace(process);
    theirs.is_some() && theirs == namespace("self")
}

fn rights(process: &str) -> Option<Rights> {
    let status = read_to_string(format!("/proc/{process}/status")).ok()?;
    decode(&status)
}

fn decode(status: &str) -> Option<Rights> {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let mask = |name: &str| u64::from_str_radix(field(name)?.trim(), 16).ok();
    // The real, the effective, the saved and the file system's user.
    let user = field("Uid:")?.split_whitespace().nth(3)?.parse().ok()?;
    Some(Rights { user, permitted: mask("CapPrm:")?, effective: mask("CapEff:")? })
}

/// The rule of ptrace(2) for reading.
fn may_open(theirs: &Rights, ours: &Rights) -> bool {
    let is_superset = ours.permitted & !theirs.permitted == 0;
    theirs.effective & SYS_PTRACE != 0 || (theirs.user == ours.user && is_superset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_opens_the_descriptors_of_its_own_user_and_root_those_of_all() {
        let rights =
            |user, capabilities| Rights { user, permitted: capabilities, effective: capabilities };
        assert!(may_open(&rights(0, u64::MAX), &rights(1000, 0)));
        assert!(may_open(&rights(1000, 0), &rights(1000, 0)));
        assert!(!may_open(&rights(1000, 0), &rights(0, u64::MAX)));
        assert!(!may_open(&rights(1000, 0), &rights(1001, 0)));
        // A root without capabilities, as in a container.
        assert!(!may_open(&rights(0, 0), &rights(0, u64::MAX)));
    }

    #[test]
    fn rights_are_read_of_a_status() {
        let status = "Name:\tlibvirtd\nUid:\t0\t0\t0\t107\nCapPrm:\t000001ffffffffff\n\
                      CapEff:\t0000000000080000\n";
        let found = decode(status).unwrap();
        assert_eq!((found.user, found.effective), (107, SYS_PTRACE));
        assert!(decode("Name:\tlibvirtd\n").is_none());
        assert!(rights("self").is_some());
    }
}
