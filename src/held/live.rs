//! A held guest as an open core for as long as a person looks at it.
//!
//! ```text
//! debugger ──► mounted core ──► HeldMemory ──► socket ──► LiveGuest::serve ──► dump, begin/length
//! ```
//!
//! Needs: a stopped guest, and its monitor. Gives: its memory as a core, to be mounted, and QEMU's
//! server for gdb. Nothing of the memory is parsed here; those who parse it are other processes.
//! Memory is served only while the guest is held: a dump of a guest that runs would stop it for
//! a moment, and what was kept of its memory would be of another time.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::serve::Server;
use super::{HeldError, connect, memory, partial_dump};
use crate::monitor::{GdbServer, Monitor, RunState, Target, WaitLimits, WaitResult};
use crate::vmcore::{MemoryRange, Vmcore};

/// How long a wait for anything to happen may be.
const WAIT: Duration = Duration::from_hours(1);

/// A held guest that is being looked at.
#[derive(Debug)]
pub struct LiveGuest {
    monitor: Box<dyn Monitor>,
    timeout: Duration,
    found: RunState,
    ranges: Vec<MemoryRange>,
    socket: Option<UnixStream>,
}

impl LiveGuest {
    /// Connects to a guest, if it is stopped.
    ///
    /// # Errors
    /// Fails if it runs, or cannot be asked.
    pub fn attach(target: &Target, timeout: Duration) -> Result<Self, HeldError> {
        let limits = WaitLimits { timeout, until: None, interrupt: None };
        let (mut monitor, found) = connect(target, &limits)?;
        monitor.take_guest_events();
        Ok(Self { monitor, timeout, found, ranges: Vec::new(), socket: None })
    }

    /// Its run state when it was found.
    pub fn found(&self) -> &RunState {
        &self.found
    }

    /// Its memory as a core, which can be read while [`Self::serve`] runs.
    ///
    /// # Errors
    /// Fails if QEMU gives no head of a dump.
    pub fn core(&mut self, target: &Target) -> Result<Vmcore, HeldError> {
        let limits = self.limits();
        let dump = partial_dump::head(self.monitor.as_mut(), &limits)?;
        self.monitor.forget_events();
        let (ours, theirs) = UnixStream::pair().map_err(HeldError::Socket)?;
        self.ranges = memory::ranges(&dump.head);
        self.socket = Some(ours);
        super::open(&target.label(), dump.head_bytes(), theirs)
            .map_err(|error| partial_dump::PartialDumpError::Head(error).into())
    }

    /// Has QEMU serve gdb at the other end of `connection`.
    ///
    /// # Errors
    /// Fails if QEMU does not answer.
    pub fn open_gdb_server(&mut self, connection: &UnixStream) -> Result<GdbServer, HeldError> {
        let limits = self.limits();
        Ok(self.monitor.open_gdb_server(connection.as_fd(), &limits)?)
    }

    /// Ends that server.
    ///
    /// # Errors
    /// Fails if QEMU does not answer.
    pub fn close_gdb_server(&mut self) -> Result<(), HeldError> {
        let limits = self.limits();
        Ok(self.monitor.close_gdb_server(&limits)?)
    }

    /// Serves the memory until `done` is readable. Gives why it was not served to the end, if so.
    pub fn serve(&mut self, done: &UnixStream) -> Option<HeldError> {
        let failed = self.serve_memory(done).err();
        self.socket = None;
        if failed.is_some() {
            // The monitor may be lost. Its events are of no use any more.
            let _ = poll(&mut [PollFd::new(done, PollFlags::IN)], None);
        }
        failed
    }

    fn serve_memory(&mut self, done: &UnixStream) -> Result<(), HeldError> {
        let limits = self.limits();
        let waiting = WaitLimits { timeout: WAIT, ..limits };
        let ranges = std::mem::take(&mut self.ranges);
        let mut server = match self.socket.take() {
            Some(socket) => Some(Server::new(&ranges, socket).map_err(HeldError::Socket)?),
            None => None,
        };
        let mut ended = None;
        loop {
            let asked = server.as_ref().filter(|server| !server.is_gone());
            let mut wakers = vec![done.as_fd()];
            wakers.extend(asked.map(Server::descriptor));
            let woken = self.monitor.wait("looking at the held guest", &waiting, &wakers)?;
            if is_readable(done) {
                return ended.map_or(Ok(()), Err);
            }
            if !matches!(woken, WaitResult::Woken) {
                continue;
            }
            let Some(served) = &mut server else { continue };
            let state = self.monitor.run_state(&limits)?;
            let turned = if state.running {
                Err(HeldError::Running { state: state.status })
            } else {
                served.turn_to_end(self.monitor.as_mut(), &limits)
            };
            if let Err(error) = turned {
                // Whoever still reads gets errors. The monitor's events are taken as before.
                server = None;
                ended = Some(error);
            }
        }
    }

    /// Its run state now.
    ///
    /// # Errors
    /// Fails if QEMU does not answer.
    pub fn state(&mut self) -> Result<RunState, HeldError> {
        let limits = self.limits();
        Ok(self.monitor.run_state(&limits)?)
    }

    fn limits(&self) -> WaitLimits<'static> {
        WaitLimits { timeout: self.timeout, until: None, interrupt: None }
    }
}

fn is_readable(socket: &UnixStream) -> bool {
    let mut polled = [PollFd::new(socket, PollFlags::IN)];
    poll(&mut polled, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}
