//! The connection to a monitor: commands out, replies and events in.
//!
//! Needs: a unix socket. Gives: each command's own reply, found by its id, and
//! the events in between, in order. A reply that comes after its command was
//! given up is dropped by its id.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};

use super::line::{LineBuffer, MAX_LINE};
use super::message::Message;
use crate::monitor::socket::{Arrived, connect_in_time, peer_process, read_in_time, send_in_time};
use crate::monitor::{
    CommandId, Event, GuestEvent, Manager, MonitorError, Refusal, Version, WaitLimits, WaitResult,
};

const BY: Manager = Manager::Qemu;
/// The events that matter here; QEMU sends many more, and a guest can cause some
/// of those as often as it likes.
const HEARD: [&str; 8] = [
    "DUMP_COMPLETED",
    "GUEST_CRASHLOADED",
    "GUEST_PANICKED",
    "GUEST_PVSHUTDOWN",
    "RESET",
    "RESUME",
    "SHUTDOWN",
    "STOP",
];
/// How many events are kept until they are taken. A panicking guest that runs
/// on can send panics without end, so the newest are dropped beyond this.
const MAX_EVENTS: usize = 1024;
/// How much is read at once, in bytes.
const READ: usize = 16 << 10;

/// A negotiated connection to a monitor.
#[derive(Debug)]
pub struct Client {
    socket: UnixStream,
    path: PathBuf,
    version: Version,
    lines: LineBuffer,
    events: VecDeque<Event>,
    /// What happened to the guest since [`Client::take_guest_events`]. Kept
    /// while something else is awaited.
    guest_events: Vec<GuestEvent>,
    /// Commands whose replies [`Client::wait`] is to bring.
    begun: Vec<CommandId>,
    /// Those that came while another reply was awaited.
    replies: VecDeque<(CommandId, Result<Value, Refusal>)>,
    last_id: u64,
}

impl Client {
    /// Connects, takes the greeting and negotiates capabilities.
    ///
    /// Gives a client whose QEMU has a main loop that answers: the greeting
    /// alone comes from another thread and proves nothing.
    ///
    /// # Errors
    /// Fails without a listener, if the monitor stays silent (a monitor serves
    /// one client; the next one waits in its queue), or if it is not QMP.
    pub fn connect(path: &Path, limits: &WaitLimits<'_>) -> Result<Self, MonitorError> {
        let started = Instant::now();
        let deadline = limits.deadline();
        let silent = || MonitorError::Silent { path: path.to_owned(), waited: started.elapsed() };
        // The queue of waiting clients may be full, too.
        let socket = connect_in_time(path, deadline, limits, BY)?.ok_or_else(silent)?;
        let mut client = Self {
            socket,
            path: path.to_owned(),
            version: Version { major: 0, minor: 0, micro: 0 },
            lines: LineBuffer::default(),
            events: VecDeque::new(),
            guest_events: Vec::new(),
            begun: Vec::new(),
            replies: VecDeque::new(),
            last_id: 0,
        };
        client.version = loop {
            match client.receive("the greeting", deadline, limits, &[])? {
                Received::Message(Message::Greeting(version)) => break version,
                Received::Message(_) => {}
                Received::Woken | Received::Nothing => return Err(silent()),
            }
        };
        client.execute("qmp_capabilities", json!({}), limits)?;
        Ok(client)
    }

    /// The version that QEMU greeted with.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The socket's path, as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The process at the other end, if the system shows it.
    pub fn peer_process(&self) -> Option<i32> {
        peer_process(&self.socket)
    }

    /// Runs a command and gives what it returns.
    ///
    /// # Errors
    /// Fails if QEMU refuses it or does not answer.
    pub fn execute(
        &mut self,
        command: &str,
        arguments: Value,
        limits: &WaitLimits<'_>,
    ) -> Result<Value, MonitorError> {
        let id = self.send(command, &arguments, None, limits)?;
        self.reply(id, command, limits)
    }

    /// Runs a command that takes a descriptor along, in the same message.
    ///
    /// # Errors
    /// Fails if QEMU refuses it or does not answer.
    pub fn execute_with_descriptor(
        &mut self,
        command: &str,
        arguments: Value,
        descriptor: BorrowedFd<'_>,
        limits: &WaitLimits<'_>,
    ) -> Result<Value, MonitorError> {
        let id = self.send(command, &arguments, Some(descriptor), limits)?;
        self.reply(id, command, limits)
    }

    /// Sends a command whose reply [`Client::wait`] will bring.
    pub fn begin(
        &mut self,
        command: &str,
        arguments: &Value,
        limits: &WaitLimits<'_>,
    ) -> Result<CommandId, MonitorError> {
        let id = self.send(command, arguments, None, limits)?;
        self.begun.push(id);
        Ok(id)
    }

    /// The oldest event that was not taken yet.
    pub fn take_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What happened to the guest since this was asked last, each kind once, in
    /// the order of its first event. Other ways to take events do not take these.
    pub fn take_guest_events(&mut self) -> Vec<GuestEvent> {
        std::mem::take(&mut self.guest_events)
    }

    /// The same, without taking it.
    pub fn guest_events(&self) -> &[GuestEvent] {
        &self.guest_events
    }

    /// Forgets the events that came so far.
    pub fn forget_events(&mut self) {
        self.events.clear();
    }

    /// Waits for an event, a reply, or one of `wakers` to become readable.
    pub fn wait(
        &mut self,
        during: &str,
        limits: &WaitLimits<'_>,
        wakers: &[BorrowedFd<'_>],
    ) -> Result<WaitResult, MonitorError> {
        let deadline = limits.deadline();
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(WaitResult::Event(event));
            }
            if let Some((id, result)) = self.replies.pop_front() {
                return Ok(WaitResult::Reply(id, result));
            }
            match self.receive(during, deadline, limits, wakers)? {
                Received::Message(Message::Event(event)) => self.keep(event),
                Received::Message(Message::Reply { id, result }) => self.keep_reply(id, result),
                Received::Message(Message::Greeting(_)) => {}
                Received::Woken => return Ok(WaitResult::Woken),
                Received::Nothing => return Ok(WaitResult::Nothing),
            }
            // A guest can cause events without end, and none of them may matter.
            let none = self.events.is_empty() && self.replies.is_empty();
            if none && Instant::now() >= deadline {
                return Ok(WaitResult::Nothing);
            }
        }
    }

    fn keep(&mut self, event: Event) {
        if let Some(event) = GuestEvent::from_name(&event.name)
            && !self.guest_events.contains(&event)
        {
            self.guest_events.push(event);
        }
        if HEARD.contains(&event.name.as_str()) && self.events.len() < MAX_EVENTS {
            self.events.push_back(event);
        }
    }

    /// Keeps a reply that a caller will wait for, and no other.
    fn keep_reply(&mut self, id: Option<u64>, result: Result<Value, Refusal>) {
        let position = self.begun.iter().position(|begun| Some(begun.0) == id);
        if let Some(position) = position {
            self.replies.push_back((self.begun.swap_remove(position), result));
        }
    }

    fn reply(
        &mut self,
        wanted: CommandId,
        command: &str,
        limits: &WaitLimits<'_>,
    ) -> Result<Value, MonitorError> {
        let started = Instant::now();
        let deadline = limits.deadline();
        let timed_out = || {
            let waited = started.elapsed();
            Err(MonitorError::TimedOut { by: BY, command: command.to_owned(), waited })
        };
        loop {
            match self.receive(command, deadline, limits, &[])? {
                // A refusal without an id answers a line that QEMU could not parse:
                // commands go out one at a time, so it is this one.
                Received::Message(Message::Reply { id, result })
                    if id.is_none_or(|id| id == wanted.0) =>
                {
                    return result.map_err(|refusal| MonitorError::Refused {
                        by: BY,
                        command: command.to_owned(),
                        refusal,
                    });
                }
                Received::Message(Message::Reply { id, result }) => self.keep_reply(id, result),
                Received::Message(Message::Event(event)) => self.keep(event),
                Received::Message(Message::Greeting(_)) => {}
                Received::Woken | Received::Nothing => return timed_out(),
            }
            // What comes instead may come without end.
            if Instant::now() >= deadline {
                return timed_out();
            }
        }
    }

    fn send(
        &mut self,
        command: &str,
        arguments: &Value,
        descriptor: Option<BorrowedFd<'_>>,
        limits: &WaitLimits<'_>,
    ) -> Result<CommandId, MonitorError> {
        let deadline = limits.deadline();
        if Instant::now() >= deadline {
            return Err(MonitorError::NoTime { by: BY, command: command.to_owned() });
        }
        self.last_id = self.last_id.wrapping_add(1);
        let id = self.last_id;
        let mut message = json!({ "execute": command, "id": id });
        if arguments.as_object().is_some_and(|arguments| !arguments.is_empty())
            && let Some(message) = message.as_object_mut()
        {
            message.insert("arguments".to_owned(), arguments.clone());
        }
        let mut line = message.to_string().into_bytes();
        line.push(b'\n');

        let descriptors: Vec<_> = descriptor.into_iter().collect();
        // The descriptor goes with the first byte: QEMU drops those that come in another message
        // than their command's.
        let by = (BY, command);
        if !send_in_time(&self.socket, &line, &descriptors, deadline, limits, by)? {
            let waited = limits.timeout;
            return Err(MonitorError::TimedOut { by: BY, command: command.to_owned(), waited });
        }
        Ok(CommandId(id))
    }

    fn receive(
        &mut self,
        during: &str,
        deadline: Instant,
        limits: &WaitLimits<'_>,
        wakers: &[BorrowedFd<'_>],
    ) -> Result<Received, MonitorError> {
        let mut has_read = false;
        loop {
            let line = self.lines.next_line();
            if let Some(line) = line.map_err(|_| MonitorError::TooLong { limit: MAX_LINE })? {
                return Message::decode(&line)
                    .map(Received::Message)
                    .ok_or_else(|| MonitorError::Junk { start: start_of(&line) });
            }
            // A line may come byte by byte.
            if has_read && Instant::now() >= deadline {
                return Ok(Received::Nothing);
            }
            let mut bytes = [0; READ];
            let by = (BY, during);
            match read_in_time(&self.socket, &mut bytes, deadline, limits, wakers, by)? {
                Arrived::Bytes(count) => {
                    has_read = true;
                    self.lines.push(bytes.get(..count).unwrap_or_default());
                }
                Arrived::Waker => return Ok(Received::Woken),
                Arrived::Nothing => return Ok(Received::Nothing),
            }
        }
    }
}

enum Received {
    Message(Message),
    Woken,
    Nothing,
}

fn start_of(line: &[u8]) -> String {
    String::from_utf8_lossy(line).chars().take(60).collect()
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
