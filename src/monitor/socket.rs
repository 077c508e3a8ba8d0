//! The unix socket below a monitor, and below a connection to libvirt.

use std::hint::black_box;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::socket_peercred;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, connect, sendmsg, socket_with,
};

use super::{Manager, MonitorError, WaitLimits};

/// What is ready after a wait.
pub(super) enum Ready {
    Socket,
    Waker,
    Nothing,
}

/// Connects to a socket. Fails with `WouldBlock` if its queue of clients is full.
pub(super) fn connect_nonblocking(path: &Path) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &address)?;
    Ok(UnixStream::from(socket))
}

/// Sends what can be sent at once, with descriptors along its first byte.
pub(super) fn send_once(
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
pub(super) fn await_ready(
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
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
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
pub(super) fn check_interrupt(limits: &WaitLimits<'_>, during: &str) -> Result<(), MonitorError> {
    match limits.interrupt {
        Some(interrupt) if interrupt.is_raised() => Err(MonitorError::Interrupted {
            signal: interrupt.signal_name(),
            during: during.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// How a connection was lost.
pub(super) fn lost(by: Manager, during: &str, source: io::Error) -> MonitorError {
    let during = during.to_owned();
    match source.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
            MonitorError::Closed { by, during }
        }
        _ => MonitorError::Broken { by, during, source },
    }
}
