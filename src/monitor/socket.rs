//! The unix socket below a monitor, and below a connection to libvirt: it is connected to, sent to
//! and read from within limits.

use std::hint::black_box;
use std::io::{self, IoSlice, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, connect, sendmsg, socket_with,
};

use super::{Manager, MonitorError, WaitLimits};

/// What is ready after a wait.
enum Ready {
    Socket,
    Waker,
    Nothing,
}

/// What came.
pub(super) enum Arrived {
    /// This number of bytes.
    Bytes(usize),
    Waker,
    Nothing,
}

/// How often a full connection queue is tried again.
const CONNECT_INTERVAL: Duration = Duration::from_millis(50);

/// Connects to a socket. Returns `Ok(None)` if its queue of clients is full all the time.
pub(super) fn connect_in_time(
    path: &Path,
    deadline: Instant,
    limits: &WaitLimits<'_>,
    by: Manager,
) -> Result<Option<UnixStream>, MonitorError> {
    loop {
        match connect_nonblocking(path) {
            Ok(socket) => return Ok(Some(socket)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                check_interrupt(limits, "connecting")?;
                if Instant::now() >= deadline {
                    return Ok(None);
                }
                std::thread::sleep(CONNECT_INTERVAL);
            }
            Err(source) => return Err(MonitorError::Connect { by, path: path.to_owned(), source }),
        }
    }
}

/// Connects to a socket. Fails with `WouldBlock` if its queue of clients is full.
fn connect_nonblocking(path: &Path) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &address)?;
    Ok(UnixStream::from(socket))
}

/// Sends all, with descriptors along its first byte. Gives whether that was in time: if not, a
/// part may have been sent.
pub(super) fn send_in_time(
    socket: &UnixStream,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
    deadline: Instant,
    limits: &WaitLimits<'_>,
    (by, command): (Manager, &str),
) -> Result<bool, MonitorError> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let is_first = rest.len() == bytes.len();
        match send_once(socket, rest, if is_first { descriptors } else { &[] }) {
            Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
            Err(Errno::AGAIN | Errno::INTR) => {
                let wait = PollFlags::OUT;
                let ready = await_ready(socket, wait, deadline, limits, &[], (by, command))?;
                if !matches!(ready, Ready::Socket) {
                    return Ok(false);
                }
            }
            Err(error) => return Err(lost(by, command, error.into())),
        }
    }
    Ok(true)
}

/// Reads what has arrived, or waits until something has.
pub(super) fn read_in_time(
    mut socket: &UnixStream,
    buffer: &mut [u8],
    deadline: Instant,
    limits: &WaitLimits<'_>,
    wakers: &[BorrowedFd<'_>],
    (by, during): (Manager, &str),
) -> Result<Arrived, MonitorError> {
    loop {
        match await_ready(socket, PollFlags::IN, deadline, limits, wakers, (by, during))? {
            Ready::Socket => {}
            Ready::Waker => return Ok(Arrived::Waker),
            Ready::Nothing => return Ok(Arrived::Nothing),
        }
        match socket.read(buffer) {
            Ok(0) => return Err(MonitorError::Closed { by, during: during.to_owned() }),
            Ok(count) => return Ok(Arrived::Bytes(count)),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            Err(error) => return Err(lost(by, during, error)),
        }
    }
}

/// Sends what can be sent at once, with descriptors along its first byte.
fn send_once(
    socket: &UnixStream,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> rustix::io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)
}

/// The process at the other end.
///
/// Returns `None` if it is in another namespace of processes: the system then
/// shows 0, or nothing.
pub(super) fn peer_process(socket: &UnixStream) -> Option<i32> {
    let credentials = socket_peercred(socket).ok()?;
    // By its type this is no 0, but it comes from the system as it is: the
    // comparison must not be left out.
    let process = black_box(credentials.pid.as_raw_nonzero().get());
    (process > 0).then_some(process)
}

/// Waits until the socket or one of `wakers` is ready, or the deadline is there.
fn await_ready(
    socket: &UnixStream,
    flags: PollFlags,
    deadline: Instant,
    limits: &WaitLimits<'_>,
    wakers: &[BorrowedFd<'_>],
    (by, during): (Manager, &str),
) -> Result<Ready, MonitorError> {
    loop {
        check_interrupt(limits, during)?;
        let left = deadline.saturating_duration_since(Instant::now());
        let mut fds = vec![PollFd::from_borrowed_fd(socket.as_fd(), flags)];
        fds.extend(wakers.iter().map(|waker| PollFd::from_borrowed_fd(*waker, PollFlags::IN)));
        if let Some(interrupt) = limits.interrupt {
            fds.push(PollFd::from_borrowed_fd(interrupt.descriptor(), PollFlags::IN));
        }
        let timeout = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 3600, tv_nsec: 0 });
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) if left.is_zero() => return Ok(Ready::Nothing),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(lost(by, during, error.into())),
        }
        let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
        if ready.next() == Some(true) {
            return Ok(Ready::Socket);
        }
        if ready.take(wakers.len()).any(|ready| ready) {
            return Ok(Ready::Waker);
        }
    }
}

/// Fails if the wait was interrupted.
fn check_interrupt(limits: &WaitLimits<'_>, during: &str) -> Result<(), MonitorError> {
    match limits.interrupt {
        Some(interrupt) if interrupt.is_raised() => Err(MonitorError::Interrupted {
            signal: interrupt.signal_name(),
            during: during.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// How a connection was lost.
fn lost(by: Manager, during: &str, source: io::Error) -> MonitorError {
    let during = during.to_owned();
    match source.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
            MonitorError::Closed { by, during }
        }
        _ => MonitorError::Broken { by, during, source },
    }
}
