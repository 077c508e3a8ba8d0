//! The connection to libvirt's daemon: calls out, replies and events in.
//!
//! Needs: an address. Gives: each call's own reply, found by its serial, whatever comes
//! before it, and the events in between, in order. A reply that comes after its call was
//! given up is dropped by its serial.

mod sasl;

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::net::sockopt::socket_peercred;
use vmcore_formats::libvirt::call::Call;
use vmcore_formats::libvirt::error::RemoteError;
use vmcore_formats::libvirt::event::DomainEvent;
use vmcore_formats::libvirt::message::{self, Kind, QEMU, REMOTE};
use vmcore_formats::libvirt::reply::{self, Authentication, LibvirtVersion};
use vmcore_formats::libvirt::xdr::XdrError;

use super::address::Address;
use crate::monitor::socket::{Arrived, connect_in_time, peer_process, read_in_time, send_in_time};
use crate::monitor::{Answer, Manager, MonitorError, Refusal, WaitLimits};

const BY: Manager = Manager::Libvirt;
/// How many events are kept until they are taken.
const MAX_EVENTS: usize = 4096;
/// How much is read at once, in bytes.
const READ: usize = 64 << 10;

/// What a connection is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Events, lists, states, XML.
    ReadOnly,
    /// Everything.
    ReadWrite,
}

/// Names a call that was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallId(pub(in crate::monitor) u32);

/// What a wait ended with.
#[derive(Debug)]
pub enum Received {
    /// An event came.
    Event(DomainEvent),
    /// The reply to a begun call came: its payload, or libvirt's error.
    Reply(CallId, Result<Vec<u8>, RemoteError>),
    /// One of the given descriptors is ready.
    Woken,
    /// Nothing of all that in the given time.
    Nothing,
}

/// An open connection.
#[derive(Debug)]
pub struct Client {
    socket: UnixStream,
    path: PathBuf,
    version: LibvirtVersion,
    access: Access,
    /// What came and is not yet a message.
    bytes: Vec<u8>,
    events: VecDeque<DomainEvent>,
    /// Whether events came that were not kept.
    lost_events: bool,
    /// Calls whose replies [`Client::wait`] is to bring.
    begun: Vec<CallId>,
    /// Those that came while another reply was awaited.
    replies: VecDeque<(CallId, Result<Vec<u8>, RemoteError>)>,
    last_serial: u32,
}

impl Client {
    /// Connects, authenticates if libvirt wants that of this user, and opens the driver.
    pub fn connect(address: &Address, access: Access, limits: &WaitLimits<'_>) -> Answer<Self> {
        let path = address.socket(access == Access::ReadOnly);
        let started = Instant::now();
        let socket = connect_in_time(&path, limits.deadline(), limits, BY)?.ok_or_else(|| {
            let (command, waited) = ("the connection".to_owned(), started.elapsed());
            MonitorError::TimedOut { by: BY, command, waited }
        })?;
        let mut client = Self {
            socket,
            path,
            version: LibvirtVersion { major: 0, minor: 0, release: 0 },
            access,
            bytes: Vec::new(),
            events: VecDeque::new(),
            lost_events: false,
            begun: Vec::new(),
            replies: VecDeque::new(),
            last_serial: 0,
        };
        client.authenticate(address, limits)?;
        client.order(&Call::Open(address.uri(), access == Access::ReadOnly), limits)?;
        client.version = client.call(&Call::LibVersion, reply::version, limits)?;
        Ok(client)
    }

    /// libvirt's version.
    pub fn version(&self) -> LibvirtVersion {
        self.version
    }

    /// The socket.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the connection is used for.
    pub fn access(&self) -> Access {
        self.access
    }

    /// The daemon's process, if the system shows it.
    pub fn process(&self) -> Option<i32> {
        peer_process(&self.socket)
    }

    /// The daemon's user, if the system shows it.
    pub(super) fn user(&self) -> Option<rustix::process::Uid> {
        Some(socket_peercred(&self.socket).ok()?.uid)
    }

    /// The socket, to be polled with others. What is received already is not seen by a
    /// poll: take it with [`Client::wait`] first.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Calls, and decodes the reply.
    pub(super) fn call<T>(
        &mut self,
        call: &Call<'_>,
        decode: impl FnOnce(&[u8]) -> Result<T, XdrError>,
        limits: &WaitLimits<'_>,
    ) -> Answer<T> {
        let id = self.send(call, limits)?;
        let payload = self.reply(id, call, limits)?;
        decode(&payload).map_err(|error| MonitorError::Unexpected {
            by: BY,
            command: call.name().to_owned(),
            found: error.to_string(),
        })
    }

    /// Calls what replies with nothing but that it was done.
    pub(super) fn order(&mut self, call: &Call<'_>, limits: &WaitLimits<'_>) -> Answer<()> {
        self.call(call, |_| Ok(()), limits)
    }

    /// Sends a call whose reply [`Client::wait`] will bring.
    pub fn begin(&mut self, call: &Call<'_>, limits: &WaitLimits<'_>) -> Answer<CallId> {
        let id = self.send(call, limits)?;
        self.begun.push(id);
        Ok(id)
    }

    /// The oldest event that was not taken yet.
    pub fn take_event(&mut self) -> Option<DomainEvent> {
        self.events.pop_front()
    }

    /// Whether events were dropped since this was asked last: more came than are kept.
    pub fn take_lost_events(&mut self) -> bool {
        std::mem::take(&mut self.lost_events)
    }

    /// Waits for an event, a reply, or one of `wakers` to become readable.
    pub fn wait(
        &mut self,
        during: &str,
        limits: &WaitLimits<'_>,
        wakers: &[BorrowedFd<'_>],
    ) -> Answer<Received> {
        let deadline = limits.deadline();
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Received::Event(event));
            }
            if let Some((id, result)) = self.replies.pop_front() {
                return Ok(Received::Reply(id, result));
            }
            match self.receive(during, deadline, limits, wakers)? {
                Some(Message::Event(event)) => self.keep(event),
                Some(Message::Reply(id, result)) => self.keep_reply(id, result),
                Some(Message::Unknown) => {}
                Some(Message::Woken) => return Ok(Received::Woken),
                None => return Ok(Received::Nothing),
            }
            // Messages that matter to nobody here may come without end.
            let none = self.events.is_empty() && self.replies.is_empty();
            if none && Instant::now() >= deadline {
                return Ok(Received::Nothing);
            }
        }
    }

    fn authenticate(&mut self, address: &Address, limits: &WaitLimits<'_>) -> Answer<()> {
        let wanted = self.call(&Call::AuthList, reply::authentications, limits)?;
        if wanted.is_empty() || wanted.contains(&Authentication::None) {
            return Ok(());
        }
        let by = match wanted.first() {
            Some(Authentication::Polkit) => return self.order(&Call::AuthPolkit, limits),
            Some(Authentication::Sasl) => return sasl::authenticate(self, address, limits),
            other => format!("{other:?}"),
        };
        Err(MonitorError::Authentication { path: self.path.clone(), wanted: by })
    }

    fn keep(&mut self, event: DomainEvent) {
        if self.events.len() < MAX_EVENTS {
            self.events.push_back(event);
        } else {
            self.lost_events = true;
        }
    }

    /// Keeps a reply that a caller will wait for, and no other.
    fn keep_reply(&mut self, id: CallId, result: Result<Vec<u8>, RemoteError>) {
        if let Some(position) = self.begun.iter().position(|begun| *begun == id) {
            self.begun.swap_remove(position);
            self.replies.push_back((id, result));
        }
    }

    fn reply(
        &mut self,
        wanted: CallId,
        call: &Call<'_>,
        limits: &WaitLimits<'_>,
    ) -> Answer<Vec<u8>> {
        let started = Instant::now();
        let deadline = limits.deadline();
        let command = call.name();
        let timed_out = || {
            let waited = started.elapsed();
            Err(MonitorError::TimedOut { by: BY, command: command.to_owned(), waited })
        };
        loop {
            match self.receive(command, deadline, limits, &[])? {
                Some(Message::Reply(id, result)) if id == wanted => {
                    return result.map_err(|error| refused(command, error));
                }
                Some(Message::Reply(id, result)) => self.keep_reply(id, result),
                Some(Message::Event(event)) => self.keep(event),
                Some(Message::Unknown) => {}
                Some(Message::Woken) | None => return timed_out(),
            }
            // What comes instead may come without end.
            if Instant::now() >= deadline {
                return timed_out();
            }
        }
    }

    fn send(&mut self, call: &Call<'_>, limits: &WaitLimits<'_>) -> Answer<CallId> {
        let deadline = limits.deadline();
        let command = call.name();
        if Instant::now() >= deadline {
            return Err(MonitorError::NoTime { by: BY, command: command.to_owned() });
        }
        self.last_serial = self.last_serial.wrapping_add(1);
        let message = call.encode(self.last_serial);
        let by = (BY, command);
        if !send_in_time(&self.socket, &message, &[], deadline, limits, by)? {
            // Half a message would make the next one unreadable.
            let _ = self.socket.shutdown(std::net::Shutdown::Both);
            let (command, waited) = (command.to_owned(), limits.timeout);
            return Err(MonitorError::TimedOut { by: BY, command, waited });
        }
        Ok(CallId(self.last_serial))
    }

    /// The next message. Returns `Ok(None)` if none came in time.
    fn receive(
        &mut self,
        during: &str,
        deadline: Instant,
        limits: &WaitLimits<'_>,
        wakers: &[BorrowedFd<'_>],
    ) -> Answer<Option<Message>> {
        let mut has_read = false;
        loop {
            if let Some(message) = self.take_message()? {
                return Ok(Some(message));
            }
            // A message may come byte by byte.
            if has_read && Instant::now() >= deadline {
                return Ok(None);
            }
            let (mut bytes, by) = ([0; READ], (BY, during));
            match read_in_time(&self.socket, &mut bytes, deadline, limits, wakers, by)? {
                Arrived::Bytes(count) => {
                    has_read = true;
                    self.bytes.extend_from_slice(bytes.get(..count).unwrap_or_default());
                }
                Arrived::Waker => return Ok(Some(Message::Woken)),
                Arrived::Nothing => return Ok(None),
            }
        }
    }

    /// The message at the beginning of what was received, if it is whole.
    fn take_message(&mut self) -> Answer<Option<Message>> {
        let not_libvirt = |source| MonitorError::NotLibvirt { path: self.path.clone(), source };
        let length = message::length(&self.bytes).map_err(not_libvirt)?;
        let Some(length) = length.filter(|length| self.bytes.len() >= *length) else {
            return Ok(None);
        };
        let rest = self.bytes.split_off(length);
        let whole = std::mem::replace(&mut self.bytes, rest);
        decode(&whole).map(Some).map_err(not_libvirt)
    }
}

enum Message {
    Event(DomainEvent),
    Reply(CallId, Result<Vec<u8>, RemoteError>),
    Unknown,
    Woken,
}

fn decode(message: &[u8]) -> Result<Message, XdrError> {
    let (header, payload) = message::decode(message)?;
    if !matches!((header.program, header.kind), (REMOTE, _) | (QEMU, Kind::Reply)) {
        return Ok(Message::Unknown);
    }
    Ok(match header.kind {
        Kind::Reply => Message::Reply(
            CallId(header.serial),
            if header.is_error { Err(RemoteError::decode(payload)?) } else { Ok(payload.to_vec()) },
        ),
        Kind::Event => {
            DomainEvent::decode(header.procedure, payload)?.map_or(Message::Unknown, Message::Event)
        }
        Kind::Call | Kind::Other(_) => Message::Unknown,
    })
}

/// An error that libvirt answered a call with.
pub(super) fn refused(command: &str, error: RemoteError) -> MonitorError {
    MonitorError::Refused { by: BY, command: command.to_owned(), refusal: refusal(error) }
}

/// The same, without the call.
pub(super) fn refusal(error: RemoteError) -> Refusal {
    Refusal { class: error.name(), description: error.message, code: Some(error.code) }
}
