//! Opens files that have to be regular ones.
//!
//! Where a file is expected there may be a FIFO without a writer, or a device without an end.
//! Neither is waited for or read: the file is opened non-blocking, and its kind is checked.

use std::fs::{File, FileType};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a file by a path of the user's. Links are followed.
pub fn open(path: &Path) -> io::Result<File> {
    open_with(path, OFlags::NONBLOCK)
}

/// Opens a file of the store, which puts no links there.
pub fn open_own(path: &Path) -> io::Result<File> {
    open_with(path, OFlags::NONBLOCK | OFlags::NOFOLLOW)
}

/// Reads a file of the user's that has `limit` bytes at most.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read_all(open(path)?, limit)
}

/// Reads a file of the store that has `limit` bytes at most.
pub fn read_own(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read_all(open_own(path)?, limit)
}

fn read_all(file: File, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One more byte shows that there are more, whatever length the file says it has.
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

fn open_with(path: &Path, flags: OFlags) -> io::Result<File> {
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    match kind(file.metadata()?.file_type()) {
        None => Ok(file),
        Some(kind) => Err(io::Error::new(
            ErrorKind::InvalidInput,
            format!("it is a {kind}, and a regular file is needed"),
        )),
    }
}

/// What a file is, if it is no regular one.
fn kind(file: FileType) -> Option<&'static str> {
    match file {
        file if file.is_file() => None,
        file if file.is_dir() => Some("directory"),
        file if file.is_fifo() => Some("FIFO"),
        file if file.is_char_device() || file.is_block_device() => Some("device"),
        _ => Some("special file"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::*;

    #[test]
    fn nothing_but_a_regular_file_is_opened_and_nothing_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        mkfifoat(CWD, path("fifo"), Mode::RWXU).unwrap();
        symlink("/dev/zero", path("endless")).unwrap();
        fs::write(path("file"), "1234").unwrap();
        symlink(path("file"), path("link")).unwrap();
        for (name, kind) in [("fifo", "a FIFO"), ("endless", "a device"), (".", "a directory")] {
            let error = open(&path(name)).unwrap_err().to_string();
            assert!(error.contains(kind), "{name}: {error}");
            assert!(open_own(&path(name)).is_err(), "{name}");
        }
        assert!(open(&path("file")).is_ok() && open(&path("link")).is_ok());
        assert!(open_own(&path("file")).is_ok() && open_own(&path("link")).is_err());
        assert_eq!(open(&path("none")).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn no_more_is_read_than_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "1234").unwrap();
        assert_eq!(read_own(&path, 4).unwrap(), b"1234");
        assert_eq!(read_own(&path, 3).unwrap_err().kind(), ErrorKind::FileTooLarge);
    }
}
