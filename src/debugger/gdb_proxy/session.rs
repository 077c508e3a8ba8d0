//! The side of gdb: one client after the other, until the proxy is ended.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use vmcore_formats::gdb_remote::{Decoder, Request, Unit, encode};

use super::stub::Stub;

/// How long gdb may take to take what is sent to it.
const SEND: Duration = Duration::from_secs(10);

/// What came of the guest while gdb was there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Whether gdb let it run, by a command of a person.
    pub ran: bool,
    /// Whether gdb wanted to end it, which was not done.
    pub kill_asked: bool,
    /// Why breakpoints of gdb may be left in the guest, if they may.
    pub breakpoints_left: Option<String>,
}

/// Serves gdb until `stopped` is closed at its other end.
pub(super) fn run(listener: &UnixListener, mut stub: Stub, stopped: &UnixStream) -> Outcome {
    let mut outcome = Outcome::default();
    // What it fails by shows when the breakpoints are removed, if there are any.
    let _ = serve(listener, &mut stub, stopped, &mut outcome);
    outcome.ran = stub.ran();
    outcome.breakpoints_left = stub.remove_breakpoints().err().map(|error| error.to_string());
    outcome
}

/// Fails if QEMU's side does.
fn serve(
    listener: &UnixListener,
    stub: &mut Stub,
    stopped: &UnixStream,
    outcome: &mut Outcome,
) -> io::Result<()> {
    let mut gdb: Option<Gdb> = None;
    loop {
        let client = gdb.as_ref().map_or(listener.as_fd(), |gdb| gdb.socket.as_fd());
        let mut polled = [
            PollFd::new(stopped, PollFlags::IN),
            PollFd::from_borrowed_fd(stub.descriptor(), PollFlags::IN),
            PollFd::from_borrowed_fd(client, PollFlags::IN),
        ];
        match poll(&mut polled, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let [stop, answer, ask] = polled.map(|fd| !fd.revents().is_empty());
        if stop {
            return Ok(());
        }
        if answer {
            for body in stub.receive()? {
                // An answer for a gdb that is gone is dropped.
                if let Some(client) = &mut gdb
                    && client.send(&body).is_err()
                {
                    gdb = None;
                }
            }
        }
        if ask {
            match &mut gdb {
                None => gdb = Gdb::accept(listener),
                Some(client) => match client.receive() {
                    Ok(units) => {
                        for unit in units {
                            if !client.take(unit, stub, outcome)? {
                                gdb = None;
                                break;
                            }
                        }
                    }
                    Err(_) => gdb = None,
                },
            }
        }
    }
}

/// A client.
struct Gdb {
    socket: UnixStream,
    decoder: Decoder,
    last: Vec<u8>,
}

impl Gdb {
    fn accept(listener: &UnixListener) -> Option<Self> {
        let (socket, _) = listener.accept().ok()?;
        socket.set_nonblocking(false).ok()?;
        socket.set_write_timeout(Some(SEND)).ok()?;
        Some(Self { socket, decoder: Decoder::default(), last: Vec::new() })
    }

    /// What came. Fails if it closed its connection.
    fn receive(&mut self) -> io::Result<Vec<Unit>> {
        let mut bytes = [0; 16 << 10];
        let count = match self.socket.read(&mut bytes) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        let mut units = Vec::new();
        for byte in bytes.iter().take(count) {
            units.extend(self.decoder.push(*byte).map_err(io::Error::other)?);
        }
        Ok(units)
    }

    fn send(&mut self, body: &[u8]) -> io::Result<()> {
        self.last = encode(body);
        self.socket.write_all(&self.last)
    }

    /// Does what a unit asks. Says whether the client stays; fails if QEMU's side does.
    fn take(&mut self, unit: Unit, stub: &mut Stub, outcome: &mut Outcome) -> io::Result<bool> {
        let sent = match unit {
            Unit::Packet(body) => {
                if self.socket.write_all(b"+").is_err() {
                    return Ok(false);
                }
                let answer: Option<&[u8]> = match Request::of(&body) {
                    Request::Detach => Some(b"OK"),
                    Request::KillAnswered => {
                        outcome.kill_asked = true;
                        Some(b"OK")
                    }
                    Request::Kill => {
                        outcome.kill_asked = true;
                        return Ok(false);
                    }
                    // An empty answer: what is asked is not supported.
                    Request::Restart | Request::WithoutAcknowledgement => Some(b""),
                    Request::Resume | Request::Breakpoint { .. } | Request::Other => {
                        stub.ask(&body)?
                    }
                };
                answer.map_or(Ok(()), |answer| self.send(answer))
            }
            Unit::Broken => self.socket.write_all(b"-"),
            Unit::Again => self.socket.write_all(&self.last),
            Unit::Interrupt => {
                stub.interrupt()?;
                Ok(())
            }
            Unit::Taken | Unit::Notification => Ok(()),
        };
        Ok(sent.is_ok())
    }
}
