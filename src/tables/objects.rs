//! Where the objects of a table are: in a directory, or in object storage.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::remote::RemoteError;
use crate::store::StoreError;

/// Objects by name below a store.
pub trait Objects: fmt::Debug + Sync {
    /// The names, with their lengths, of all objects of one kind: [`NEW`](super::layout::NEW),
    /// [`CRASHES`](super::layout::CRASHES) or [`ANNOTATIONS`](super::layout::ANNOTATIONS).
    ///
    /// # Errors
    /// Fails if they cannot be had.
    fn list(&self, kind: &str) -> Result<Vec<(String, u64)>, TableError>;

    /// An object as a whole; `None` if it is not there.
    ///
    /// # Errors
    /// Fails if it cannot be had, or has more than `most` bytes.
    fn get(&self, name: &str, most: u64) -> Result<Option<Vec<u8>>, TableError>;

    /// Writes an object under a name that nothing has. Gives whether it did: `false` if something
    /// has the name, which is left as it is.
    ///
    /// # Errors
    /// Fails if it cannot be written. Nothing has the name then, or all of it.
    fn put_new(&self, name: &str, bytes: Vec<u8>) -> Result<bool, TableError>;

    /// Removes an object. One that is not there is removed.
    ///
    /// # Errors
    /// Fails if it cannot be removed.
    fn delete(&self, name: &str) -> Result<(), TableError>;
}

/// Why a table cannot be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TableError {
    /// The system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What should be done.
        action: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is elsewhere, and cannot be had.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// It is no part of a table.
    #[error("{name} is no table of crashes: {problem}")]
    Damaged {
        /// Its name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Its objects came and went while it was read.
    #[error("the table in {store} changed each time that it was read")]
    Changed {
        /// The store.
        store: String,
    },
}
