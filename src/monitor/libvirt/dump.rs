//! A dump by libvirt into our pipe.
//!
//! ```text
//!   QEMU ─► libvirt's pipe ─► libvirt_iohelper ─► /proc/PID/fd/N: our pipe ─► the reader
//!                                            or ─► a named pipe ─► pump ─► our pipe
//! ```
//!
//! libvirt opens a path. The path of our pipe's write end leaves nothing behind, and is gone
//! if this process is. Where libvirt may not open it, or has other process numbers, a named
//! pipe takes its place ([`super::fifo`]).
//!
//! Opening a pipe without a reader stops libvirt for good. So both ends are kept open here
//! until the first bytes came or libvirt replied, also if the reader gives up before that.
//! When the reader has gone after that, libvirt's next write fails, and so does the dump.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::fs::{Mode, OFlags, open};
use vmcore_formats::libvirt::domain::Domain;

use super::address::Address;
use super::client::{Access, CallId, Client, Received, refusal};
use super::fifo::NamedPipe;
use super::pipe_access::sees_our_processes;
use crate::monitor::{Answer, CommandId, Refusal, WaitLimits};

/// libvirt's error where a file cannot be opened.
const SYSTEM_ERROR: i32 = 38;
/// How long it may take to send the second call, with the named pipe.
const SECOND_CALL: Duration = Duration::from_secs(5);

/// Our pipe, as long as libvirt may still open it.
#[derive(Debug)]
pub(super) struct PassedPipe {
    write_end: OwnedFd,
    /// Nothing is read from it: it shows that bytes are there, and that libvirt finds a reader.
    read_end: OwnedFd,
}

impl PassedPipe {
    pub(super) fn new(write_end: BorrowedFd<'_>) -> io::Result<Self> {
        let write_end = write_end.try_clone_to_owned()?;
        let path = format!("/proc/self/fd/{}", write_end.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let read_end = open(path, flags, Mode::empty())?;
        Ok(Self { write_end, read_end })
    }

    /// The path by which another process opens the write end.
    fn path(&self) -> String {
        let process = rustix::process::getpid().as_raw_nonzero();
        format!("/proc/{process}/fd/{}", self.write_end.as_raw_fd())
    }

    /// What becomes readable with the first bytes, if the reader does not take them first.
    pub(super) fn first_bytes(&self) -> BorrowedFd<'_> {
        self.read_end.as_fd()
    }

    /// Whether bytes came that nobody took yet.
    pub(super) fn has_bytes(&self) -> bool {
        rustix::io::ioctl_fionread(&self.read_end).is_ok_and(|bytes| bytes > 0)
    }
}

/// A dump under way, on a connection of its own.
#[derive(Debug)]
pub(super) struct CoreDump {
    client: Client,
    domain: Domain,
    address: Address,
    /// The number of the first call, by which the dump is named.
    first: CallId,
    call: CallId,
    /// The named pipe, if that is the way.
    named: Option<NamedPipe>,
}

impl CoreDump {
    /// Has libvirt begin a dump into the pipe.
    pub(super) fn begin(
        address: &Address,
        domain: &Domain,
        pipe: &PassedPipe,
        limits: &WaitLimits<'_>,
    ) -> Answer<Self> {
        let mut client = Client::connect(address, Access::ReadWrite, limits)?;
        let mut named = None;
        let path = if sees_our_processes(&client) {
            pipe.path()
        } else {
            let pipe = named.insert(NamedPipe::start(address, &client, &pipe.write_end)?);
            pipe.path()
        };
        let call = client.begin_core_dump(domain, &path, limits)?;
        let (domain, address) = (domain.clone(), address.clone());
        Ok(Self { client, domain, address, first: call, call, named })
    }

    /// Names the dump.
    pub(super) fn command(&self) -> CommandId {
        CommandId(self.first.0.into())
    }

    /// What is readable when libvirt replies.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.client.descriptor()
    }

    /// How the dump ended, if it has. `pipe` is there as long as no bytes came.
    pub(super) fn look(&mut self, pipe: Option<&PassedPipe>) -> Option<Result<(), Refusal>> {
        let now = WaitLimits { timeout: Duration::ZERO, until: None, interrupt: None };
        match self.client.wait("the dump", &now, &[]) {
            Ok(Received::Reply(id, result)) if id == self.call => match result {
                Ok(_) => Some(Ok(())),
                Err(error) if error.code == SYSTEM_ERROR => {
                    let refused = refusal(error);
                    match pipe.filter(|_| self.named.is_none()) {
                        Some(pipe) => self.begin_again(pipe, refused).err().map(Err),
                        None => Some(Err(refused)),
                    }
                }
                Err(error) => Some(Err(refusal(error))),
            },
            Ok(_) => None,
            Err(error) => Some(Err(failure(&error))),
        }
    }

    /// libvirt could not open our pipe: has it open a named one.
    fn begin_again(&mut self, pipe: &PassedPipe, refused: Refusal) -> Result<(), Refusal> {
        let limits = WaitLimits { timeout: SECOND_CALL, until: None, interrupt: None };
        let Ok(named) = NamedPipe::start(&self.address, &self.client, &pipe.write_end) else {
            return Err(refused);
        };
        let path = named.path();
        self.named = Some(named);
        self.call = self
            .client
            .begin_core_dump(&self.domain, &path, &limits)
            .map_err(|error| failure(&error))?;
        Ok(())
    }
}

fn failure(error: &crate::monitor::MonitorError) -> Refusal {
    Refusal { class: "connection".to_owned(), description: error.to_string(), code: None }
}
