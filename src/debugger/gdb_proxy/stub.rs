//! The side of QEMU: what is asked, and what comes back.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use vmcore_formats::gdb_remote::{Breakpoint, Decoder, Request, Unit, encode};

/// How long QEMU may take to take what is sent to it.
const SEND: Duration = Duration::from_secs(10);
/// How long QEMU may take for all that is asked at the end.
const END: Duration = Duration::from_secs(5);
/// How many breakpoints are remembered, and so allowed.
const MAX_BREAKPOINTS: usize = 4096;

/// QEMU's server for gdb.
#[derive(Debug)]
pub(super) struct Stub {
    socket: UnixStream,
    decoder: Decoder,
    last: Vec<u8>,
    /// Whether the guest was let run, and did not report a stop since.
    runs: bool,
    /// Whether it was ever let run.
    ran: bool,
    /// Those that are set.
    breakpoints: BTreeSet<Breakpoint>,
    /// The one that QEMU has not answered for.
    asked: Option<(bool, Breakpoint)>,
}

impl Stub {
    pub(super) fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(false)?;
        socket.set_write_timeout(Some(SEND))?;
        let (decoder, last) = (Decoder::default(), Vec::new());
        let (runs, ran, breakpoints) = (false, false, BTreeSet::new());
        Ok(Self { socket, decoder, last, runs, ran, breakpoints, asked: None })
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether it was let run over this connection.
    pub(super) fn ran(&self) -> bool {
        self.ran
    }

    /// Passes on a packet. Gives the answer that QEMU is not asked for, if so.
    pub(super) fn ask(&mut self, body: &[u8]) -> io::Result<Option<&'static [u8]>> {
        match Request::of(body) {
            Request::Resume => (self.runs, self.ran) = (true, true),
            Request::Breakpoint { insert, breakpoint } => {
                let full = self.breakpoints.len() >= MAX_BREAKPOINTS;
                if insert && full && !self.breakpoints.contains(&breakpoint) {
                    return Ok(Some(b"E0c"));
                }
                self.asked = Some((insert, breakpoint));
            }
            _ => {}
        }
        self.last = encode(body);
        self.socket.write_all(&self.last)?;
        Ok(None)
    }

    /// Asks for a stop of a guest that runs.
    pub(super) fn interrupt(&mut self) -> io::Result<()> {
        if self.runs { self.socket.write_all(&[3]) } else { Ok(()) }
    }

    /// The bodies of the packets that came. Blocks if none did.
    pub(super) fn receive(&mut self) -> io::Result<Vec<Vec<u8>>> {
        let mut bytes = [0; 16 << 10];
        let count = match self.socket.read(&mut bytes) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        let mut bodies = Vec::new();
        for byte in bytes.iter().take(count) {
            match self.decoder.push(*byte).map_err(io::Error::other)? {
                Some(Unit::Packet(body)) => {
                    self.note(&body);
                    // It reports a stop, or the guest had not run: this byte stops nothing.
                    if !self.runs {
                        self.socket.write_all(b"+")?;
                    }
                    bodies.push(body);
                }
                Some(Unit::Broken) if !self.runs => self.socket.write_all(b"-")?,
                Some(Unit::Again) if !self.runs => self.socket.write_all(&self.last)?,
                _ => {}
            }
        }
        Ok(bodies)
    }

    /// Keeps what an answer says of the guest.
    fn note(&mut self, body: &[u8]) {
        if matches!(body.first(), Some(b'S' | b'T' | b'W' | b'X' | b'N' | b'E')) {
            self.runs = false;
        }
        if let Some((insert, breakpoint)) = self.asked.take()
            && body == b"OK"
        {
            if insert {
                self.breakpoints.insert(breakpoint);
            } else {
                self.breakpoints.remove(&breakpoint);
            }
        }
    }

    /// Removes the breakpoints that are left. A guest that runs with some is stopped for that,
    /// and stays so: it would stop at the next one, with nobody there.
    pub(super) fn remove_breakpoints(&mut self) -> io::Result<()> {
        let until = Instant::now() + END;
        if self.breakpoints.is_empty() {
            return Ok(());
        }
        if self.runs {
            self.interrupt()?;
            while self.runs {
                self.await_answer(until)?;
            }
        }
        for breakpoint in std::mem::take(&mut self.breakpoints) {
            self.ask(&breakpoint.removal())?;
            while self.asked.is_some() {
                self.await_answer(until)?;
            }
        }
        Ok(())
    }

    fn await_answer(&mut self, until: Instant) -> io::Result<()> {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).ok();
        let mut polled = [PollFd::new(&self.socket, PollFlags::IN)];
        if poll(&mut polled, left.as_ref())? == 0 {
            return Err(ErrorKind::TimedOut.into());
        }
        self.receive().map(|_| ())
    }
}
