//! Dumps of the scripted libvirtd: it opens the path itself, and replies at the end.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use vmcore_formats::libvirt::xdr::Writer;

use super::{LibvirtDump, Peer, RESET};
use crate::scripted_qemu::TEST_TIMEOUT;

type Answer = Result<Writer, (i32, String)>;

impl Peer {
    /// Dumps. Returns `None` where no reply follows.
    pub(super) fn dump(&self, path: &str) -> Option<Answer> {
        self.lock().paths.push(path.to_owned());
        if self.script.no_proc && path.starts_with("/proc/") {
            return Some(Err((38, format!("Failed to open file '{path}': Permission denied"))));
        }
        if self.lock().domain.0 == 5 {
            let text = "Requested operation is not valid: domain is not running";
            return Some(Err((55, text.to_owned())));
        }
        // As libvirt does: neither created nor without waiting for a reader.
        let mut file = match OpenOptions::new().write(true).truncate(true).open(path) {
            Ok(file) => file,
            Err(error) => return Some(Err((38, format!("Failed to open file '{path}': {error}")))),
        };
        self.lock().dumping = true;
        self.changed.notify_all();
        let answer = self.write(&mut file);
        drop(file);
        let mut state = self.lock();
        state.dumping = false;
        if self.script.dump == LibvirtDump::ResetAfter {
            state.domain = RESET;
            state.emit_reset(self.script.name);
        }
        drop(state);
        self.changed.notify_all();
        answer
    }

    fn write(&self, file: &mut File) -> Option<Answer> {
        let bytes = &self.script.stream.bytes;
        let done = Some(Ok(Writer::default()));
        let broken = || {
            let text =
                "operation failed: Child process (libvirt_iohelper) unexpected fatal signal 13";
            Some(Err((9, text.to_owned())))
        };
        let length = match self.script.dump {
            LibvirtDump::Whole | LibvirtDump::NoReply | LibvirtDump::ResetAfter => bytes.len(),
            LibvirtDump::Short(length)
            | LibvirtDump::Fails(length)
            | LibvirtDump::Stalls(length)
            | LibvirtDump::DaemonDies(length) => length,
            LibvirtDump::DaemonRestarts(length, _) if self.lock().paths.len() == 1 => length,
            LibvirtDump::DaemonRestarts(..) => bytes.len(),
        };
        if file.write_all(&bytes[..length]).is_err() {
            return broken();
        }
        match self.script.dump {
            LibvirtDump::Whole | LibvirtDump::Short(_) | LibvirtDump::ResetAfter => done,
            LibvirtDump::NoReply => None,
            LibvirtDump::Fails(_) => {
                Some(Err((1, "internal error: unable to execute QEMU command".to_owned())))
            }
            LibvirtDump::DaemonDies(_) => {
                self.end();
                None
            }
            LibvirtDump::DaemonRestarts(_, found) => {
                let mut state = self.lock();
                if state.paths.len() > 1 {
                    return done;
                }
                state.domain = found;
                state.close_connections();
                None
            }
            LibvirtDump::Stalls(_) => {
                self.stall(file);
                broken()
            }
        }
    }

    /// Waits until the pipe's reader or the daemon is gone.
    fn stall(&self, pipe: &File) {
        let started = Instant::now();
        while started.elapsed() < TEST_TIMEOUT && !self.lock().ended {
            if rustix::io::ioctl_fionread(pipe).is_ok_and(|unread| unread == 0) {
                self.lock().stalls = true;
                self.changed.notify_all();
            }
            let mut fds = [PollFd::new(pipe, PollFlags::empty())];
            let tick = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
            if poll(&mut fds, Some(&tick)).is_ok_and(|ready| ready > 0) {
                return;
            }
        }
    }
}
