//! A named pipe that libvirt dumps into, and what moves its bytes into ours.
//!
//! Its reader is open before libvirt learns its name, and until the first bytes came or
//! libvirt replied; then its name is removed. Nothing but a kill of this process between
//! the call and libvirt's open(2) can leave libvirt without a reader, and one before the first
//! bytes the name behind; the next connection to a domain mends both ([`super::stale_pipes`]).

use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags, chown, mknodat, open};
use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, splice};
use rustix::process::getuid;
use rustix::rand::{GetRandomFlags, getrandom};

use super::address::Address;
use super::client::Client;
use super::stale_pipes::{self, PIPE, PREFIX};
use crate::monitor::{Manager, MonitorError};

/// How much is moved at once, in bytes.
const MOVED: usize = 1 << 20;

/// The named pipe. Its thread ends with the dump.
#[derive(Debug)]
pub(super) struct NamedPipe {
    path: PathBuf,
    /// Closed when libvirt has replied: a dump that has not begun does not begin any more.
    _until_reply: OwnedFd,
    /// Its folder, locked: it is not stale.
    _lock: File,
}

impl NamedPipe {
    /// Makes one that libvirt can open, and moves what comes into `pipe`.
    pub(super) fn start(
        address: &Address,
        client: &Client,
        pipe: &OwnedFd,
    ) -> Result<Self, MonitorError> {
        let folder = address.folder_for_pipes();
        start(&folder, client, pipe).map_err(|source| MonitorError::Broken {
            by: Manager::Libvirt,
            during: format!("the preparation of a named pipe in {}", folder.display()),
            source,
        })
    }

    /// Its path.
    pub(super) fn path(&self) -> String {
        self.path.display().to_string()
    }
}

impl Drop for NamedPipe {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

fn start(folder: &Path, client: &Client, pipe: &OwnedFd) -> io::Result<NamedPipe> {
    let (own, lock) = loop {
        let mut number = [0; 8];
        getrandom(&mut number, GetRandomFlags::empty())?;
        let own = folder.join(format!("{PREFIX}{:016x}", u64::from_ne_bytes(number)));
        DirBuilder::new().mode(0o700).create(&own)?;
        // Another capture may have taken it for a stale one before it was locked.
        match stale_pipes::lock(&own) {
            Ok(Some(lock)) => break (own, lock),
            Ok(None) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    };
    let path = own.join(PIPE);
    let made = make(&own, lock, client, pipe);
    if made.is_err() {
        remove(&path);
    }
    made
}

fn make(own: &Path, lock: File, client: &Client, pipe: &OwnedFd) -> io::Result<NamedPipe> {
    let path = &own.join(PIPE);
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
    // For a session's libvirt of another user.
    if let Some(user) = client.user().filter(|user| getuid().is_root() && !user.is_root()) {
        chown(own, Some(user), None)?;
        chown(path, Some(user), None)?;
    }
    let flags = OFlags::NONBLOCK | OFlags::CLOEXEC;
    let reader = open(path, OFlags::RDONLY | flags, Mode::empty())?;
    // Without a writer, a pipe that nothing was written to is at its end.
    let writer = open(path, OFlags::WRONLY | flags, Mode::empty())?;
    let (replied, until_reply) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let pump = Pump { reader, writer: Some(writer), replied: Some(replied), path: path.to_owned() };
    let pipe = pipe.try_clone()?;
    std::thread::Builder::new().name("named pipe".to_owned()).spawn(move || pump.run(pipe))?;
    Ok(NamedPipe { path: path.to_owned(), _until_reply: until_reply, _lock: lock })
}

fn remove(path: &Path) {
    // It may be removed already.
    let _ = std::fs::remove_file(path);
    if let Some(own) = path.parent() {
        let _ = std::fs::remove_dir(own);
    }
}

struct Pump {
    reader: OwnedFd,
    /// Our own, until the first bytes came or libvirt replied.
    writer: Option<OwnedFd>,
    replied: Option<OwnedFd>,
    path: PathBuf,
}

impl Pump {
    /// Moves bytes until the dump's end, or until our pipe has no reader.
    fn run(mut self, pipe: OwnedFd) {
        loop {
            let mut fds = vec![PollFd::new(&self.reader, PollFlags::IN)];
            // Is reported when our pipe has no reader any more, which it has as long as libvirt
            // may not have opened this one.
            fds.push(PollFd::new(&pipe, PollFlags::empty()));
            fds.extend(self.replied.as_ref().map(|end| PollFd::new(end, PollFlags::IN)));
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return,
            }
            let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
            let mut next = || ready.next() == Some(true);
            let (has_bytes, is_given_up, has_replied) = (next(), next(), next());
            if is_given_up {
                return;
            }
            if has_bytes || has_replied {
                self.writer = None;
                remove(&self.path);
            }
            if has_replied {
                self.replied = None;
            }
            if !has_bytes {
                continue;
            }
            match splice(self.reader.as_fd(), None, &pipe, None, MOVED, SpliceFlags::empty()) {
                Ok(0) => return,
                Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
                // Our pipe's reader is gone: without one, libvirt's next write fails.
                Err(_) => return,
            }
        }
    }
}
