//! A store in object storage: entries are pushed to it, pulled from it, and removed.
//!
//! ```text
//! PREFIX/<guest>/<time>-<id>/
//!     triage.zst, report.json      created, first
//!     metadata.json                created; an entry is listed from here on
//! PREFIX/index/new/day=.../<id>.json      created: its row in the table of crashes ([`crate::tables`])
//!     core-<random>.elf.zst        in parts, by as many tries as it takes
//!     other-<random>-<name>        a small file whose name another host has taken with another one
//!     core.json                    created last: names the core, or that there is none, and the small
//!                                  files, each with its length and hash
//! ```
//!
//! Nothing is locked, and no server keeps order: what counts is created under a fixed name, once,
//! after all that it names is whole. What a killed process leaves is not listed, and is gone on
//! with.
//!
//! Needs: a channel to the fetcher, which has network and credentials ([`crate::remote`]), and the
//! store's directory. Memory of guests is sent and received, and not parsed.

pub mod files;
pub mod item;
pub mod kept;
pub mod leftovers;
pub mod lookup;
mod presence;
pub mod pull;
pub mod push;
pub mod queue;
mod rate;
pub mod removal;
pub mod retention;
mod small_files;
pub mod stored;
mod table;
mod upload;

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::remote::RemoteError;
use crate::store::StoreError;

pub use rate::Rate;
pub use upload::Verify;

/// Why an entry was not pushed, pulled or removed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BucketError {
    /// The server, or the way to it.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
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
    /// Something else goes by the entry's name.
    #[error("{address} is of another entry, and is not overwritten")]
    OtherEntry {
        /// What is there.
        address: String,
    },
    /// What the server has is not what was sent.
    #[error("{address} is not what was sent: {problem}")]
    Differs {
        /// What was sent.
        address: String,
        /// What differs.
        problem: String,
    },
    /// The entry was removed from the bucket while its core was sent.
    #[error("{address} was removed while its core was sent")]
    Removed {
        /// The entry.
        address: String,
    },
    /// The core is not the one that was written.
    #[error("{} is damaged: its SHA-256 is not the one in metadata.json", path.display())]
    Damaged {
        /// The core.
        path: PathBuf,
    },
    /// The core changed while it was sent.
    #[error("{} was changed while it was sent", path.display())]
    Changed {
        /// The core.
        path: PathBuf,
    },
}

impl BucketError {
    fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io { action, path: path.into(), source }
    }

    /// Whether another entry may fare better: nothing is wrong with the server.
    pub fn is_of_the_entry(&self) -> bool {
        use RemoteError::{Ended, Failed, Start, Write};
        !matches!(self, Self::Remote(Failed { .. } | Write { .. } | Ended | Start { .. }))
    }
}
