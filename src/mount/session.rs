//! A mount from its beginning to its end.
//!
//! Root mounts by itself; other users through `fusermount3`. Threads answer the kernel, so
//! that the caller can wait for something else, and a debugger can be its child.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fuser::{Config, MountOption, Session, SessionACL, SessionUnmounter};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};

use super::contents::Contents;
use super::error::MountError;
use super::filesystem::CoreFilesystem;
use crate::interrupt::Interrupt;

const DEVICE: &str = "/dev/fuse";
/// What the system lists it as.
const KIND: &str = "vmcorectl";
/// What the kernel should read ahead, in KiB: a chunk, and not the 128 that FUSE has by itself.
const READ_AHEAD: &[u8] = b"1024";

/// A mounted core.
#[derive(Debug)]
pub struct Mounted {
    folder: PathBuf,
    /// Readable once it is no longer served.
    ended: UnixStream,
    serving: Option<JoinHandle<io::Result<()>>>,
    /// `fusermount3`, if it mounted it.
    helper: Option<SessionUnmounter>,
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was unmounted.
    Unmounted,
    /// This process was asked to end.
    Interrupted,
}

/// How it was unmounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detached {
    /// No file in it was open.
    Idle,
    /// It is gone from its directory, and files that are still open in it give errors.
    Busy,
}

impl Mounted {
    /// Mounts `contents` on `folder`, which must be empty. `source` is what the system
    /// shows as mounted.
    ///
    /// # Errors
    /// Fails if the directory cannot be mounted on, or the system refuses.
    pub fn new(contents: Contents, folder: &Path, source: &Path) -> Result<Self, MountError> {
        check(folder)?;
        // A relative path may mean another directory when it is unmounted.
        let folder = folder
            .canonicalize()
            .map_err(|source| MountError::Folder { path: folder.to_owned(), source })?;
        let filesystem = CoreFilesystem::new(contents);
        let mut config = Config::default();
        config.n_threads =
            Some(thread::available_parallelism().map_or(2, NonZeroUsize::get).clamp(2, 8));
        config.acl = SessionACL::Owner;
        let refused = |source| MountError::Refused { path: folder.clone(), source };
        let (session, helper) = match mount_directly(&folder, source)? {
            Some(device) => {
                let session = Session::from_fd(filesystem, device, config.acl, config.clone());
                let session = session.inspect_err(|_| {
                    let _ = rustix::mount::unmount(&folder, UnmountFlags::DETACH);
                });
                (session.map_err(refused)?, None)
            }
            None if !has_helper() => return Err(MountError::NoHelper { path: folder }),
            None => {
                config.mount_options = vec![
                    MountOption::RO,
                    MountOption::NoAtime,
                    MountOption::Subtype(KIND.to_owned()),
                    MountOption::FSName(KIND.to_owned()),
                ];
                let mut session = Session::new(filesystem, &folder, &config).map_err(refused)?;
                let helper = session.unmount_callable();
                (session, Some(helper))
            }
        };
        let (ended, end) = UnixStream::pair().map_err(refused)?;
        let serving = thread::Builder::new().name("fuse".to_owned()).spawn(move || {
            let _end = end;
            session.run()
        });
        let serving = serving.map_err(|source| {
            let _ = rustix::mount::unmount(&folder, UnmountFlags::DETACH);
            MountError::Serve { path: folder.clone(), source }
        })?;
        read_ahead(&folder);
        Ok(Self { folder, ended, serving: Some(serving), helper })
    }

    /// The directory.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Waits until it is unmounted or the process is asked to end.
    ///
    /// # Errors
    /// Fails if those who serve it failed.
    pub fn wait(&mut self, interrupt: &Interrupt) -> Result<Ended, MountError> {
        loop {
            let signal = interrupt.descriptor();
            let mut fds = [
                PollFd::new(&self.ended, PollFlags::IN),
                PollFd::from_borrowed_fd(signal, PollFlags::IN),
            ];
            match poll(&mut fds, None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(self.failed(error.into())),
            }
            let [ended, signal] = fds.map(|fd| !fd.revents().is_empty());
            if ended {
                return self.join().map(|()| Ended::Unmounted);
            }
            if signal {
                return Ok(Ended::Interrupted);
            }
        }
    }

    /// Unmounts it, even if a file of it is still open.
    pub fn unmount(mut self) -> Result<Detached, MountError> {
        let detached = self.detach()?;
        if detached == Detached::Idle {
            self.join_within(Duration::from_secs(5))?;
        }
        Ok(detached)
    }

    fn detach(&mut self) -> Result<Detached, MountError> {
        let failed = |source: io::Error| MountError::Unmount { path: self.folder.clone(), source };
        if let Some(mut helper) = self.helper.take() {
            return helper.unmount().map(|()| Detached::Idle).map_err(failed);
        }
        if self.serving.is_none() || self.has_ended() {
            return Ok(Detached::Idle);
        }
        match rustix::mount::unmount(&self.folder, UnmountFlags::NOFOLLOW) {
            Ok(()) => Ok(Detached::Idle),
            Err(Errno::BUSY) => {
                let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
                let detached = rustix::mount::unmount(&self.folder, flags);
                detached.map(|()| Detached::Busy).map_err(|error| failed(error.into()))
            }
            Err(error) => Err(failed(error.into())),
        }
    }

    fn has_ended(&self) -> bool {
        let mut fds = [PollFd::new(&self.ended, PollFlags::IN)];
        poll(&mut fds, Some(&rustix::event::Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    fn join_within(&mut self, limit: Duration) -> Result<(), MountError> {
        let started = Instant::now();
        while !self.has_ended() {
            if started.elapsed() > limit {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(1));
        }
        self.join()
    }

    fn join(&mut self) -> Result<(), MountError> {
        let Some(serving) = self.serving.take() else { return Ok(()) };
        let gone = || Err(io::Error::other("a thread ended by a panic"));
        serving.join().unwrap_or_else(|_| gone()).map_err(|error| self.failed(error))
    }

    fn failed(&self, source: io::Error) -> MountError {
        MountError::Serve { path: self.folder.clone(), source }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = self.detach();
    }
}

/// Whether the directory can be mounted on.
fn check(folder: &Path) -> Result<(), MountError> {
    let path = || folder.to_owned();
    let problem = |source: io::Error| match Errno::from_io_error(&source) {
        Some(Errno::NOTCONN) => MountError::Dead { path: path() },
        _ => MountError::Folder { path: path(), source },
    };
    if !fs::metadata(folder).map_err(problem)?.is_dir() {
        return Err(MountError::NotAFolder { path: path() });
    }
    match fs::read_dir(folder).map_err(problem)?.next() {
        None => Ok(()),
        Some(_) => Err(MountError::NotEmpty { path: path() }),
    }
}

/// Mounts as root does. Returns `Ok(None)` if the system does not permit it.
fn mount_directly(folder: &Path, source: &Path) -> Result<Option<OwnedFd>, MountError> {
    let refused = |source: io::Error| MountError::Refused { path: folder.to_owned(), source };
    let device = File::options()
        .read(true)
        .write(true)
        .open(DEVICE)
        .map_err(|source| MountError::Device { source })?;
    let options = format!(
        "fd={},rootmode=40000,user_id={},group_id={}",
        device.as_raw_fd(),
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    let options = CString::new(options).map_err(|error| refused(error.into()))?;
    let flags = MountFlags::RDONLY
        | MountFlags::NOSUID
        | MountFlags::NODEV
        | MountFlags::NOEXEC
        | MountFlags::NOATIME;
    let kind = format!("fuse.{KIND}");
    match rustix::mount::mount(source, folder, kind, flags, options.as_c_str()) {
        Ok(()) => Ok(Some(device.into())),
        Err(Errno::PERM) if !rustix::process::geteuid().is_root() => Ok(None),
        Err(error) => Err(refused(error.into())),
    }
}

fn has_helper() -> bool {
    let names = ["fusermount3", "fusermount"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/bin".into(), "/sbin".into()]);
    folders.into_iter().any(|folder| names.iter().any(|name| folder.join(name).exists()))
}

/// Asks the kernel to read further ahead. That it does not is no failure.
///
/// The number of the file system comes from what the kernel has of it, and not from an answer of
/// this process: a thread that waits for that cannot be killed once those that answer are.
fn read_ahead(folder: &Path) {
    let Ok(found) = statx(CWD, folder, AtFlags::STATX_DONT_SYNC, StatxFlags::empty()) else {
        return;
    };
    let (major, minor) = (found.stx_dev_major, found.stx_dev_minor);
    let _ = fs::write(format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb"), READ_AHEAD);
}
