//! The service manager: readiness, a line of status, and the watchdog (`sd_notify`).
//!
//! A datagram to the socket that the manager named. Without one, nothing is sent.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, sendto, socket_with,
};
use rustix::time::{ClockId, clock_gettime};

/// What the service manager asked for.
#[derive(Clone, Debug, Default)]
pub struct ServiceManager {
    /// `NOTIFY_SOCKET`: a path, or an abstract name after `@`.
    pub socket: Option<String>,
    /// `WATCHDOG_USEC`: after which silence it ends the service.
    pub watchdog: Option<Duration>,
}

/// The way to the service manager.
#[derive(Debug)]
pub(super) struct Service {
    to: Option<(OwnedFd, SocketAddrUnix)>,
    watchdog: Option<Duration>,
    alive: Option<Instant>,
    status: String,
}

impl Service {
    pub(super) fn new(manager: &ServiceManager) -> Self {
        Self {
            to: manager.socket.as_deref().and_then(open),
            watchdog: manager.watchdog,
            alive: None,
            status: String::new(),
        }
    }

    /// The configuration is read, and guests are looked for.
    pub(super) fn ready(&self) {
        self.send("READY=1");
    }

    /// The configuration is read again, until the next [`Service::ready`].
    pub(super) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1000);
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// The watcher ends.
    pub(super) fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// The line that `systemctl status` has.
    pub(super) fn status(&mut self, status: String) {
        if self.status != status {
            self.send(&format!("STATUS={status}"));
            self.status = status;
        }
    }

    /// The supervisor is alive. Sent four times in the watchdog's time.
    pub(super) fn alive(&mut self) {
        let Some(watchdog) = self.watchdog else { return };
        if self.alive.is_none_or(|sent| sent.elapsed() >= watchdog / 4) {
            self.send("WATCHDOG=1");
            self.alive = Some(Instant::now());
        }
    }

    /// When [`Service::alive`] is to be called again at the latest.
    pub(super) fn interval(&self) -> Option<Duration> {
        self.watchdog.map(|watchdog| watchdog / 4)
    }

    fn send(&self, text: &str) {
        if let Some((socket, address)) = &self.to {
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            let _ = sendto(socket, text.as_bytes(), flags, address);
        }
    }
}

fn open(name: &str) -> Option<(OwnedFd, SocketAddrUnix)> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddrUnix::new_abstract_name(name.as_bytes()).ok()?,
        None => SocketAddrUnix::new(name).ok()?,
    };
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None);
    Some((socket.ok()?, address))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn the_manager_hears_of_readiness_status_and_life() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let mut service = Service::new(&ServiceManager {
            socket: Some(path.to_str().unwrap().to_owned()),
            watchdog: Some(Duration::from_hours(1)),
        });
        service.ready();
        service.alive();
        service.alive();
        service.status("2 guests".to_owned());
        service.status("2 guests".to_owned());
        service.stopping();
        let received = || {
            let mut bytes = [0; 256];
            let count = manager.recv(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes[..count]).into_owned()
        };
        let all: Vec<_> = (0..4).map(|_| received()).collect();
        assert_eq!(all, ["READY=1", "WATCHDOG=1", "STATUS=2 guests", "STOPPING=1"]);
    }
}
