//! The lock on a core that is being written.
//!
//! An open file description lock (`F_OFD_SETLK`) on the whole file. It goes with the last
//! descriptor, whatever ends the process. Unlike `flock`, another process can ask for it
//! without taking it (`F_OFD_GETLK`): a question never costs the writer its lock.
//!
//! The writer has the write lock. Removal takes the read lock, for which a file that its
//! owner made read-only can be opened, too; the two exclude each other.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc::{self, c_int};

use crate::regular_file;

/// What became of an attempt to lock.
#[derive(Debug)]
pub(super) enum Attempt {
    /// The lock is held until the last copy of the descriptor is closed.
    Locked,
    /// Another process has it.
    Held,
    /// The file system has no locks, or failed.
    Unavailable(io::Error),
}

/// Whether a core is being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writer {
    /// A process has the write lock.
    Present,
    /// No process has it.
    Absent,
    /// The file system does not say.
    Unknown,
}

/// Takes the lock of the process that writes this core.
pub(super) fn for_writing(core: &File) -> Attempt {
    take(core, libc::F_WRLCK)
}

/// Takes the lock of a process that removes this core.
pub(super) fn for_removal(core: &File) -> Attempt {
    take(core, libc::F_RDLCK)
}

/// Asks whether this core is being written, and takes nothing.
pub(super) fn writer_of(core: &Path) -> Writer {
    let file = match regular_file::open(core) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Writer::Absent,
        Err(_) => return Writer::Unknown,
    };
    let mut lock = whole_file(libc::F_RDLCK);
    match retried(|| fcntl(&file, FcntlArg::F_OFD_GETLK(&mut lock))) {
        Ok(_) if c_int::from(lock.l_type) == libc::F_UNLCK => Writer::Absent,
        Ok(_) => Writer::Present,
        Err(_) => Writer::Unknown,
    }
}

/// Whether a file still has a name: a removal may have come before the lock.
pub(super) fn has_a_name(file: &File) -> bool {
    file.metadata().is_ok_and(|file| file.nlink() > 0)
}

fn take(core: &File, kind: c_int) -> Attempt {
    let lock = whole_file(kind);
    match retried(|| fcntl(core, FcntlArg::F_OFD_SETLK(&lock))) {
        Ok(_) => Attempt::Locked,
        Err(Errno::EAGAIN | Errno::EACCES) => Attempt::Held,
        Err(error) => Attempt::Unavailable(error.into()),
    }
}

/// Network file systems ask their server, and a signal may interrupt that.
fn retried(mut call: impl FnMut() -> nix::Result<c_int>) -> nix::Result<c_int> {
    const TRIES: u32 = 10;
    let mut result = call();
    for _ in 1..TRIES {
        if result != Err(Errno::EINTR) {
            break;
        }
        result = call();
    }
    result
}

fn whole_file(kind: c_int) -> libc::flock {
    libc::flock {
        // The constants are small; their types differ.
        l_type: i16::try_from(kind).unwrap_or_default(),
        l_whence: i16::try_from(libc::SEEK_SET).unwrap_or_default(),
        l_start: 0,
        l_len: 0,
        // Has to be 0 for locks of open file descriptions.
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_takes_nothing_and_sees_the_writer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("core");
        assert_eq!(writer_of(&path), Writer::Absent);
        let core = File::create(&path).unwrap();
        assert_eq!(writer_of(&path), Writer::Absent);
        assert!(matches!(for_writing(&core), Attempt::Locked));
        assert_eq!(writer_of(&path), Writer::Present);
        let other = File::open(&path).unwrap();
        assert!(matches!(for_removal(&other), Attempt::Held));
        // A copy keeps it.
        let copy = core.try_clone().unwrap();
        drop(core);
        assert_eq!(writer_of(&path), Writer::Present);
        drop(copy);
        assert_eq!(writer_of(&path), Writer::Absent);
    }

    #[test]
    fn removal_excludes_the_writer_and_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("core");
        let core = File::create(&path).unwrap();
        let removed = File::open(&path).unwrap();
        assert!(matches!(for_removal(&removed), Attempt::Locked));
        assert!(matches!(for_writing(&core), Attempt::Held));
        assert_eq!(writer_of(&path), Writer::Absent);
        assert!(has_a_name(&core));
        std::fs::remove_file(&path).unwrap();
        assert!(!has_a_name(&core));
    }
}
