//! What of an entry is pushed, and by which names.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::BucketError;
use crate::regular_file;
use crate::store::{CORE_FILE, METADATA_FILE, PACK_FILE, REPORT_FILE};

/// What an encrypted file has behind its name.
const ENCRYPTED: &str = ".age";
/// The longest file that is sent as a whole, in bytes.
pub const MAX_WHOLE: u64 = 32 << 20;

/// The files that are sent before the metadata is: those that an entry has of them.
pub fn before_metadata() -> impl Iterator<Item = String> {
    let files = [PACK_FILE, REPORT_FILE].into_iter();
    let either = files.flat_map(|name| [name.to_owned(), encrypted(name)]);
    either.chain([encrypted(METADATA_FILE)])
}

/// The name of the same file, encrypted.
pub fn encrypted(name: &str) -> String {
    [name, ENCRYPTED].concat()
}

/// A file of an entry on this machine, if it is there.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, BucketError> {
    match regular_file::read(path, MAX_WHOLE) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(BucketError::io("read", path, source)),
    }
}

/// The core of an entry on this machine.
#[derive(Debug)]
pub struct LocalCore {
    /// Its file.
    pub path: PathBuf,
    /// The same, open.
    pub file: File,
    /// What the name of its object ends in.
    pub ending: String,
    /// Which version of it this is.
    pub stamp: Stamp,
}

/// Which version of a file it is: a capture or `report --recompress` may replace it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Its length in bytes.
    pub bytes: u64,
    inode: u64,
    modified: i64,
    modified_nanoseconds: i64,
}

impl Stamp {
    /// That of a file.
    ///
    /// # Errors
    /// Fails if the system refuses.
    pub fn of(file: &File) -> io::Result<Self> {
        let found = file.metadata()?;
        Ok(Self {
            bytes: found.len(),
            inode: found.ino(),
            modified: found.mtime(),
            modified_nanoseconds: found.mtime_nsec(),
        })
    }
}

impl LocalCore {
    /// Opens the core in an entry's directory; `None` if there is none.
    ///
    /// # Errors
    /// Fails if it is there and cannot be opened.
    pub fn open(folder: &Path) -> Result<Option<Self>, BucketError> {
        for name in [CORE_FILE.to_owned(), encrypted(CORE_FILE)] {
            let path = folder.join(&name);
            let opened = regular_file::open(&path);
            match opened.and_then(|file| Ok((Stamp::of(&file)?, file))) {
                Ok((stamp, file)) => {
                    let ending = name.strip_prefix("vmcore").unwrap_or_default().to_owned();
                    return Ok(Some(Self { path, file, ending, stamp }));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(BucketError::io("read", path, source)),
            }
        }
        Ok(None)
    }
}
