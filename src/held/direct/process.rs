//! QEMU's process, and its memory.
//!
//! Needs: its number. Gives: bytes at its addresses, as long as the system allows that. It
//! is not attached to, and does not stop for a read.

use std::fs::{self, File};
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{PidfdFlags, pidfd_open};
use vmcore_formats::process_map::Mapping;

/// The most mappings that are looked at. QEMU has some hundreds.
const MAX_MAPPINGS: usize = 1 << 20;

/// A process, found by its number.
#[derive(Debug)]
pub(super) struct QemuProcess {
    number: Pid,
    /// Shows that the number is still the same process's. Linux 5.3 and newer.
    handle: Option<OwnedFd>,
}

/// A part of a read: an address in the process, and where its bytes go.
pub(super) struct Wanted<'a> {
    pub(super) at: u64,
    pub(super) into: &'a mut [u8],
}

impl QemuProcess {
    /// The process of this number.
    pub(super) fn find(number: i32) -> Self {
        let of_system = rustix::process::Pid::from_raw(number);
        let handle = of_system.and_then(|number| pidfd_open(number, PidfdFlags::empty()).ok());
        Self { number: Pid::from_raw(number), handle }
    }

    /// Its number.
    pub(super) fn number(&self) -> i32 {
        self.number.as_raw()
    }

    /// Whether it is known to have ended: its number may be another's since.
    pub(super) fn has_ended(&self) -> bool {
        let Some(handle) = &self.handle else {
            return !self.file("stat").exists();
        };
        let mut fds = [PollFd::from_borrowed_fd(handle.as_fd(), PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
    }

    /// Reads all of it, or fails.
    pub(super) fn read(&self, wanted: Vec<Wanted<'_>>) -> io::Result<()> {
        let mut remote = Vec::with_capacity(wanted.len());
        let mut local = Vec::with_capacity(wanted.len());
        let mut length = 0_usize;
        for Wanted { at, into } in wanted {
            let base = usize::try_from(at).map_err(|_| io::ErrorKind::InvalidInput)?;
            remote.push(RemoteIoVec { base, len: into.len() });
            length = length.saturating_add(into.len());
            local.push(IoSliceMut::new(into));
        }
        let count = loop {
            match process_vm_readv(self.number, &mut local, &remote) {
                Err(nix::errno::Errno::EINTR) => {}
                other => break other?,
            }
        };
        if count == length {
            Ok(())
        } else {
            Err(io::Error::other(format!("{count} of {length} bytes could be read")))
        }
    }

    /// Reads a byte: who may not read gets the system's reason.
    pub(super) fn try_to_read(&self, at: u64) -> io::Result<()> {
        self.read(vec![Wanted { at, into: &mut [0] }])
    }

    /// Its mappings, by ascending address.
    pub(super) fn mappings(&self) -> io::Result<Vec<Mapping>> {
        let text = fs::read(self.file("maps"))?;
        // The name of a file may be anything.
        let text = String::from_utf8_lossy(&text);
        let not_understood = || io::Error::from(io::ErrorKind::InvalidData);
        let lines = text.lines().take(MAX_MAPPINGS);
        lines.map(|line| Mapping::decode(line).ok_or_else(not_understood)).collect()
    }

    /// The state of its pages, eight bytes each.
    pub(super) fn page_states(&self) -> io::Result<File> {
        File::open(self.file("pagemap"))
    }

    /// A file that the system has of it.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.number))
    }
}

/// Why this system refuses to have the memory of a process read, as far as that can be seen.
pub(super) fn refusal_of_system(error: &io::Error) -> String {
    let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    match (error.kind(), scope.trim()) {
        (io::ErrorKind::PermissionDenied, "1" | "2" | "3") => {
            format!("{error}; Yama's ptrace_scope is {}", scope.trim())
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn this() -> QemuProcess {
        QemuProcess::find(i32::try_from(std::process::id()).unwrap())
    }

    #[test]
    fn pieces_come_in_one_read() {
        let memory: Vec<u8> = (0..=255).collect();
        let at = memory.as_ptr().addr() as u64;
        let (mut one, mut other) = ([0; 16], [0; 100]);
        let wanted =
            vec![Wanted { at: at + 7, into: &mut one }, Wanted { at: at + 100, into: &mut other }];
        this().read(wanted).unwrap();
        assert_eq!(one, memory[7..23]);
        assert_eq!(other, memory[100..200]);
    }

    #[test]
    fn a_read_that_is_not_whole_fails() {
        let mut page = [0; 8];
        assert!(this().read(vec![Wanted { at: 8, into: &mut page }]).is_err());
        let memory = [1; 8];
        let mut pages = ([0; 8], [0; 8]);
        let wanted = vec![
            Wanted { at: memory.as_ptr().addr() as u64, into: &mut pages.0 },
            Wanted { at: 8, into: &mut pages.1 },
        ];
        assert!(this().read(wanted).is_err());
    }

    #[test]
    fn a_process_that_has_ended_is_noticed() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let process = QemuProcess::find(i32::try_from(child.id()).unwrap());
        assert!(!process.has_ended());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(process.has_ended());
        let mut page = [0; 8];
        assert!(process.read(vec![Wanted { at: 4096, into: &mut page }]).is_err());
    }

    #[test]
    fn mappings_of_a_process_are_in_order() {
        let mappings = this().mappings().unwrap();
        assert!(mappings.len() > 1);
        assert!(mappings.windows(2).all(|pair| pair[0].end <= pair[1].start));
    }
}
