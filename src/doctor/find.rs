//! The guests of this host.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::thread;

use super::facts::GuestFacts;
use super::unix_sockets::UnixSockets;
use super::{Scope, ask_domain, ask_socket};
use crate::monitor::MonitorError;
use crate::monitor::qemu_command_line::processes;
use crate::watch::config::PathPattern;

/// Where QMP sockets are that another program than libvirt has QEMU open.
pub const DEFAULT_PATTERNS: [&str; 5] = [
    "/run/vmcorectl/*.qmp",
    "/run/incus/*/vmcorectl.qmp",
    "/run/qemu/*.qmp",
    "/run/qemu-server/*.qmp",
    "/run/vc/vm/*/extra-monitor.sock",
];
/// The most guests that are asked.
const MAX_GUESTS: usize = 4096;
/// How many guests are asked at once.
const AT_ONCE: usize = 16;

/// What names a guest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GuestRef {
    /// A domain of libvirt, by its name or UUID.
    Domain(String),
    /// A QMP socket.
    Socket(PathBuf),
}

impl fmt::Display for GuestRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(name) => write!(f, "libvirt:{name}"),
            Self::Socket(path) => write!(f, "{}", path.display()),
        }
    }
}

/// The guests that were found, and what could not be looked at.
#[derive(Debug, Default)]
pub struct Found {
    /// What is known of each guest.
    pub guests: Vec<GuestFacts>,
    /// Why libvirt's domains are not among them.
    pub libvirt: Option<MonitorError>,
}

/// Asks the given guests, or all that are found.
pub fn find(scope: &Scope, guests: &[GuestRef]) -> Found {
    let mut found = Found::default();
    let mut wanted = guests.to_vec();
    if guests.is_empty() {
        match ask_domain::names(scope) {
            Ok(names) => wanted.extend(names.into_iter().map(GuestRef::Domain)),
            Err(error) => found.libvirt = Some(error),
        }
        wanted.extend(sockets(&scope.patterns).into_iter().map(GuestRef::Socket));
    }
    wanted.truncate(MAX_GUESTS);
    let seen = Seen::of(&wanted);
    for some in wanted.chunks(AT_ONCE) {
        thread::scope(|threads| {
            let asked: Vec<_> =
                some.iter().map(|guest| threads.spawn(|| ask(guest, scope, &seen))).collect();
            found.guests.extend(asked.into_iter().filter_map(|thread| thread.join().ok()));
        });
    }
    found
}

/// What the system shows of all guests at once.
#[derive(Default)]
struct Seen {
    sockets: UnixSockets,
    processes: BTreeMap<String, i32>,
}

impl Seen {
    fn of(guests: &[GuestRef]) -> Self {
        let is_domain = |guest: &GuestRef| matches!(guest, GuestRef::Domain(_));
        let mut seen = Self::default();
        if guests.iter().any(is_domain) {
            seen.processes = processes();
        }
        if !guests.iter().all(is_domain) {
            seen.sockets = UnixSockets::read();
        }
        seen
    }
}

fn ask(guest: &GuestRef, scope: &Scope, seen: &Seen) -> GuestFacts {
    let facts = GuestFacts { guest: guest.to_string(), ..GuestFacts::default() };
    match guest {
        GuestRef::Domain(name) => ask_domain::ask(facts, name, scope, &seen.processes),
        GuestRef::Socket(path) => ask_socket::ask(facts, path, scope, &seen.sockets),
    }
}

/// The sockets that match patterns, in order, each once.
fn sockets(patterns: &[PathPattern]) -> Vec<PathBuf> {
    let mut found: Vec<_> = patterns.iter().flat_map(PathPattern::paths).collect();
    found.retain(|path| fs::metadata(path).is_ok_and(|file| file.file_type().is_socket()));
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn sockets_that_match_are_found_once() {
        let folder = tempfile::Builder::new().prefix("qmp").tempdir_in("/tmp").unwrap();
        for name in ["a/web", "b/db", "b/.hidden"] {
            let path = folder.path().join(name).with_extension("qmp");
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            UnixListener::bind(path).unwrap();
        }
        fs::write(folder.path().join("b/file.qmp"), "").unwrap();
        let pattern = |text: &str| {
            PathPattern::try_from(format!("{}/{text}", folder.path().display())).unwrap()
        };
        let found = sockets(&["*/*.qmp", "b/db.qmp", "c/*.qmp"].map(pattern));
        assert_eq!(found, ["a/web.qmp", "b/db.qmp"].map(|name| folder.path().join(name)));
    }
}
