//! The unix sockets of this host: who listens at a path, and who is connected to it.
//!
//! The kernel answers over netlink (`NETLINK_SOCK_DIAG`), also without privileges:
//!
//! ```text
//! request  nlmsghdr: length u32, type u16, flags u16, sequence u32, port u32
//!          unix_diag_req: family u8, protocol u8, pad u16, states u32, inode u32, show u32, cookie 2 × u32
//! answer   nlmsghdr, unix_diag_msg: family u8, type u8, state u8, pad u8, inode u32, cookie 2 × u32
//!          attributes, padded to 4: length u16, kind u16, value
//! ```
//!
//! Which process has a socket is found in `/proc/PID/fd`, which the system shows of one's own
//! processes, and to root.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};
use serde::Serialize;
use vmcore_formats::cursor::{Cursor, ParseError};
use vmcore_formats::endian::Endian;

/// How long the kernel is given for an answer.
const TIMEOUT: Duration = Duration::from_secs(1);
/// The most sockets that are taken in.
const MAX_SOCKETS: usize = 1 << 20;
const NATIVE: Endian = if cfg!(target_endian = "big") { Endian::Big } else { Endian::Little };

/// A process that is connected to a socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SocketClient {
    /// Its number.
    pub process: i32,
    /// Its name.
    pub name: Option<String>,
}

/// The sockets that have a path, and who uses them.
#[derive(Clone, Debug, Default)]
pub(super) struct UnixSockets {
    by_path: BTreeMap<Vec<u8>, Ends>,
    /// The process that has a socket, by the socket's number.
    processes: BTreeMap<u32, i32>,
}

/// The numbers of the sockets of a path.
#[derive(Clone, Debug, Default)]
struct Ends {
    listening: Vec<u32>,
    /// How many clients are connected.
    connected: usize,
    /// The clients' own sockets.
    clients: Vec<u32>,
}

struct Socket {
    inode: u32,
    listens: bool,
    path: Option<Vec<u8>>,
    peer: Option<u32>,
}

impl UnixSockets {
    /// What the system shows. Nothing, where it shows nothing.
    pub(super) fn read() -> Self {
        let mut found = Self::default();
        let mut wanted = BTreeSet::new();
        for socket in ask_kernel().unwrap_or_default() {
            let Some(path) = socket.path else { continue };
            let ends = found.by_path.entry(path).or_default();
            if socket.listens {
                ends.listening.push(socket.inode);
                wanted.insert(socket.inode);
            } else {
                ends.connected = ends.connected.saturating_add(1);
                if let Some(peer) = socket.peer {
                    ends.clients.push(peer);
                    wanted.insert(peer);
                }
            }
        }
        found.processes = processes_with(&wanted);
        found
    }

    /// How many clients of a socket its process has accepted.
    pub(super) fn connected(&self, path: &Path) -> usize {
        self.ends(path).map_or(0, |ends| ends.connected)
    }

    /// Those clients whose processes the system shows.
    pub(super) fn clients(&self, path: &Path) -> Vec<SocketClient> {
        let sockets = self.ends(path).into_iter().flat_map(|ends| &ends.clients);
        let processes: BTreeSet<_> =
            sockets.filter_map(|inode| self.processes.get(inode).copied()).collect();
        let name = |process| {
            let name = fs::read_to_string(format!("/proc/{process}/comm")).ok()?;
            Some(name.trim_end().to_owned())
        };
        processes.into_iter().map(|process| SocketClient { process, name: name(process) }).collect()
    }

    /// The process that listens.
    pub(super) fn listener(&self, path: &Path) -> Option<i32> {
        let mut listening = self.ends(path)?.listening.iter();
        listening.find_map(|inode| self.processes.get(inode).copied())
    }

    fn ends(&self, path: &Path) -> Option<&Ends> {
        self.by_path.get(path.as_os_str().as_bytes())
    }
}

/// All unix sockets of this network namespace.
fn ask_kernel() -> rustix::io::Result<Vec<Socket>> {
    let flags = SocketFlags::CLOEXEC;
    let netlink =
        socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(netlink::SOCK_DIAG))?;
    set_socket_timeout(&netlink, Timeout::Recv, Some(TIMEOUT))?;
    send(&netlink, &request(), SendFlags::empty())?;
    answers(&netlink)
}

fn request() -> Vec<u8> {
    const LENGTH: u32 = 40;
    const BY_FAMILY: u16 = 20;
    const REQUEST_AND_DUMP: u16 = 0x301;
    const UNIX: u8 = 1;
    const NAME_AND_PEER: u32 = 1 | 4;
    let mut bytes = LENGTH.to_ne_bytes().to_vec();
    bytes.extend([BY_FAMILY, REQUEST_AND_DUMP].iter().flat_map(|value| value.to_ne_bytes()));
    bytes.extend([0; 8]);
    bytes.extend([UNIX, 0, 0, 0]);
    for value in [u32::MAX, 0, NAME_AND_PEER, u32::MAX, u32::MAX] {
        bytes.extend(value.to_ne_bytes());
    }
    bytes
}

fn answers(netlink: &OwnedFd) -> rustix::io::Result<Vec<Socket>> {
    const ERROR: u16 = 2;
    const DONE: u16 = 3;
    let mut found = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    while found.len() < MAX_SOCKETS {
        let (length, _) = recv(netlink, &mut buffer[..], RecvFlags::empty())?;
        let mut rest = Cursor::new(buffer.get(..length).unwrap_or_default(), NATIVE);
        while let Ok((kind, body)) = message(&mut rest) {
            match kind {
                DONE => return Ok(found),
                ERROR => return Err(Errno::NOTSUP),
                _ => found.extend(socket(body)),
            }
        }
    }
    Ok(found)
}

/// The next message: its type, and what follows its header.
fn message<'a>(rest: &mut Cursor<'a>) -> Result<(u16, &'a [u8]), ParseError> {
    const HEADER: u32 = 16;
    let length = rest.u32("message length")?;
    let kind = rest.u16("message type")?;
    rest.take(10, "message flags")?;
    Ok((kind, padded(rest, length.saturating_sub(HEADER))?))
}

/// So many bytes, and what pads them to four.
fn padded<'a>(rest: &mut Cursor<'a>, length: u32) -> Result<&'a [u8], ParseError> {
    let bytes = rest.take(length.into(), "payload")?;
    let padding = length.wrapping_neg() & 3;
    // The last one may come without.
    let _ = rest.take(padding.into(), "padding");
    Ok(bytes)
}

fn socket(body: &[u8]) -> Result<Socket, ParseError> {
    const LISTENS: u8 = 10;
    const NAME: u16 = 0;
    const PEER: u16 = 2;
    let mut rest = Cursor::new(body, NATIVE);
    rest.take(2, "family and type")?;
    let state = rest.u8("state")?;
    rest.u8("padding")?;
    let mut socket =
        Socket { inode: rest.u32("inode")?, listens: state == LISTENS, path: None, peer: None };
    rest.take(8, "cookie")?;
    while rest.left() > 0 {
        let length = rest.u16("attribute length")?;
        let kind = rest.u16("attribute kind")?;
        let value = padded(&mut rest, u32::from(length).saturating_sub(4))?;
        match kind {
            // An abstract name begins with a NUL.
            NAME => {
                let path = value.split(|byte| *byte == 0).next().unwrap_or_default();
                socket.path = (!path.is_empty()).then(|| path.to_vec());
            }
            PEER => socket.peer = Cursor::new(value, NATIVE).u32("peer").ok(),
            _ => {}
        }
    }
    Ok(socket)
}

/// The processes that have sockets of these numbers, as far as the system shows them.
fn processes_with(wanted: &BTreeSet<u32>) -> BTreeMap<u32, i32> {
    let mut found = BTreeMap::new();
    if wanted.is_empty() {
        return found;
    }
    let processes = fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| {
        let entry = entry.ok()?;
        Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("fd")))
    });
    for (process, folder) in processes {
        for descriptor in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
            let target = fs::read_link(descriptor.path()).ok();
            let inode = target.as_deref().and_then(Path::to_str).and_then(|target| {
                target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
            });
            if let Some(inode) = inode.filter(|inode| wanted.contains(inode)) {
                found.insert(inode, process);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn a_client_of_a_socket_is_seen_and_named() {
        let folder = tempfile::Builder::new().prefix("qmp").tempdir_in("/tmp").unwrap();
        let path = folder.path().join("m");
        let listener = UnixListener::bind(&path).unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        let seen = UnixSockets::read();
        assert_eq!((seen.connected(&path), seen.listener(&path)), (0, Some(own)));
        let _client = UnixStream::connect(&path).unwrap();
        let _accepted = listener.accept().unwrap();
        let seen = UnixSockets::read();
        assert_eq!(seen.connected(&path), 1);
        let clients = seen.clients(&path);
        assert_eq!(clients.len(), 1);
        assert_eq!(clients[0].process, own);
        assert!(clients[0].name.is_some());
        assert_eq!(seen.connected(&folder.path().join("other")), 0);
    }

    #[test]
    fn no_answer_of_the_kernel_panics() {
        let whole: Vec<u8> = (0..=255).collect();
        for start in 0..whole.len() {
            let bytes = whole.get(start..).unwrap();
            let _ = socket(bytes);
            let _ = message(&mut Cursor::new(bytes, NATIVE));
        }
    }
}
