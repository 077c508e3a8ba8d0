//! The last steps of an entry: on disk first, visible after.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::StoreError;

/// Creates a file that only its owner may read.
pub(super) fn create_file(path: &Path) -> Result<File, StoreError> {
    let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(path);
    file.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => StoreError::Exists { path: path.to_owned() },
        _ => StoreError::io("create", path, source),
    })
}

/// Creates a directory, and those above it, that only its owner may enter.
pub(super) fn create_folders(path: &Path) -> Result<(), StoreError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| StoreError::io("create the directory", path, source))
}

/// Gives `from` the name `to`, and never overwrites what has it.
pub(super) fn rename_new(from: &Path, to: &Path) -> Result<(), StoreError> {
    let renamed = match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Network file systems do not know the flag. A hard link is refused
        // where the name is taken, and so is a directory over a full one.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if from.is_dir() => {
            fs::rename(from, to)
        }
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            fs::hard_link(from, to).and_then(|()| fs::remove_file(from))
        }
        other => other.map_err(io::Error::from),
    };
    renamed.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty => {
            StoreError::Exists { path: to.to_owned() }
        }
        _ => StoreError::io("publish", to, source),
    })
}

/// Puts a directory's names on disk.
pub(super) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    match File::open(path).and_then(|folder| folder.sync_all()) {
        // Some network file systems sync no directories; they have no need to, or no way.
        Err(error)
            if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) =>
        {
            Ok(())
        }
        other => other.map_err(|source| StoreError::io("sync the directory", path, source)),
    }
}

/// Writes a file under a name that nothing has, with the directories above it; it is seen when all
/// of it is on disk. Gives whether it did: `false` if something has the name.
///
/// # Errors
/// Fails if the system refuses. The name is then as free as before.
pub(crate) fn put_new(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<bool, StoreError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    create_folders(folder)?;
    let mut random = [0; 8];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| StoreError::io("create", path, error.into()))?;
    let staged = folder.join(format!(".{:016x}{}", u64::from_ne_bytes(random), super::INCOMPLETE));
    let mut file = create_file(&staged)?;
    let written = write(&mut file).and_then(|()| file.sync_all());
    let written = written.map_err(|source| StoreError::io("write", &staged, source));
    match written.and_then(|()| rename_new(&staged, path)) {
        Ok(()) => sync_folder(folder).map(|()| true),
        Err(error) => {
            let _ = fs::remove_file(&staged);
            match error {
                StoreError::Exists { .. } => Ok(false),
                error => Err(error),
            }
        }
    }
}
