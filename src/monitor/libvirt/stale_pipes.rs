//! Named pipes that a killed capture has left for libvirt.
//!
//! ```text
//! FOLDER/vmcorectl-<16 hex digits>/        locked (flock) as long as its capture lives
//! └── core                                 the named pipe
//! ```
//!
//! A capture that is killed before libvirt opened its pipe leaves libvirt waiting for a
//! reader: that domain's job never ends. The next one to come opens the pipe for reading,
//! which ends the wait, and removes it.

use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, flock, fstat, open, openat};
use rustix::io::Errno;

/// How the folder of a pipe is named.
pub(super) const PREFIX: &str = "vmcorectl-";
/// How the pipe in it is named.
pub(super) const PIPE: &str = "core";

/// The named pipes in a folder whose captures are gone.
pub(crate) fn find(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let own = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX)));
    own.map(|entry| entry.path()).filter(|own| lock_stale(own).is_some()).collect()
}

/// Removes the named pipes in a folder whose captures are gone, and ends what waits for a
/// reader of them.
pub(super) fn clear(folder: &Path) {
    for own in find(folder) {
        let Some(locked) = lock_stale(&own) else { continue };
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let reader = openat(&locked, PIPE, flags, Mode::empty());
        // Somebody else may have removed them meanwhile.
        let _ = rustix::fs::unlinkat(&locked, PIPE, AtFlags::empty());
        let _ = fs::remove_dir(&own);
        // Closed once its name is gone: who comes later finds nothing to wait for.
        drop(reader);
    }
}

/// Takes the lock of a pipe's folder for its capture. Gives `None` if the folder was removed
/// before the lock was taken.
pub(super) fn lock(own: &Path) -> rustix::io::Result<Option<File>> {
    let folder = open_folder(own)?;
    flock(&folder, FlockOperation::LockExclusive)?;
    Ok((fstat(&folder)?.st_nlink > 0).then_some(folder))
}

fn open_folder(own: &Path) -> rustix::io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(open(own, flags, Mode::empty())?.into())
}

/// The folder, locked, if no capture has it and its pipe has no reader.
fn lock_stale(own: &Path) -> Option<File> {
    let folder = open_folder(own).ok()?;
    flock(&folder, FlockOperation::NonBlockingLockExclusive).ok()?;
    is_without_reader(folder.as_fd()).then_some(folder)
}

/// Whether a folder has a named pipe that nobody reads, or nothing at all.
fn is_without_reader(folder: BorrowedFd<'_>) -> bool {
    let path = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(folder, PIPE, path, Mode::empty()).and_then(fstat) {
        // Its capture was killed before it made one.
        Err(Errno::NOENT) => return true,
        Ok(status) if FileType::from_raw_mode(status.st_mode) == FileType::Fifo => {}
        _ => return false,
    }
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(folder, PIPE, flags, Mode::empty()).is_err_and(|error| error == Errno::NXIO)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::mpsc;

    use rustix::fs::{CWD, mkfifoat};
    use tempfile::TempDir;

    use super::*;

    fn make(folder: &TempDir, name: &str) -> PathBuf {
        let own = folder.path().join(format!("{PREFIX}{name}"));
        fs::create_dir(&own).unwrap();
        mkfifoat(CWD, own.join(PIPE), Mode::RWXU).unwrap();
        own
    }

    #[test]
    fn only_what_no_capture_has_is_stale() {
        let folder = tempfile::tempdir().unwrap();
        let (killed, alive, read) = (make(&folder, "1"), make(&folder, "2"), make(&folder, "3"));
        let unmade = folder.path().join("vmcorectl-4");
        fs::create_dir(&unmade).unwrap();
        let other = folder.path().join("vmcorectl-5");
        fs::create_dir(&other).unwrap();
        fs::write(other.join(PIPE), "no pipe").unwrap();
        let _lock = lock(&alive).unwrap().unwrap();
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        // Of a version that took no lock.
        let _reader = open(read.join(PIPE), flags, Mode::empty()).unwrap();

        let mut found = find(folder.path());
        found.sort();
        assert_eq!(found, [killed.clone(), unmade.clone()]);
        clear(folder.path());
        assert!(!killed.exists() && !unmade.exists());
        assert!(alive.join(PIPE).exists() && read.join(PIPE).exists() && other.exists());
        assert!(find(folder.path()).is_empty());
    }

    #[test]
    fn who_waits_for_a_reader_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = make(&folder, "1").join(PIPE);
        let (sender, is_opening) = mpsc::channel();
        let writer = std::thread::spawn(move || -> std::io::Result<()> {
            sender.send(()).unwrap();
            let mut pipe = File::options().write(true).open(path)?;
            loop {
                pipe.write_all(&[0; 1 << 16])?;
            }
        });
        is_opening.recv().unwrap();
        // If this comes before the writer opens the pipe, there is none for it any more.
        clear(folder.path());
        let error = writer.join().unwrap().unwrap_err();
        let ends = [std::io::ErrorKind::BrokenPipe, std::io::ErrorKind::NotFound];
        assert!(ends.contains(&error.kind()), "{error}");
    }

    #[test]
    fn a_folder_that_was_removed_is_not_locked() {
        let folder = tempfile::tempdir().unwrap();
        let own = make(&folder, "1");
        let opened = open_folder(&own).unwrap();
        clear(folder.path());
        assert_eq!(fstat(opened).unwrap().st_nlink, 0);
        assert!(lock(&own).is_err());
    }
}
