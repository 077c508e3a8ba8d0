//! Entries on disk: where a core is written, and when it may be seen.
//!
//! ```text
//! <store>/.index                             what a listing read of the entries, for the next
//! <store>/<guest>/<time>-<id>.incomplete/    being written, or left over
//! <store>/<guest>/<time>-<id>/               published
//!     vmcore.elf.zst                         not where the core was left out
//!     metadata.json
//!     report.json                            what happened
//!     triage.zst                             what the report read of the core; written last
//!     pinned                                 where it is there, the entry is kept
//!     core.json                              in place of a core that is in object storage
//!     annotations/                           what was noted of it since
//! ```
//!
//! An encrypted entry has `.age` behind the names of core and report, and all of its metadata in
//! `metadata.json.age`; its `metadata.json` has what may be in the clear.
//!
//! An entry is published by one rename, after everything in it is on disk.
//! What a crash of the tool or of the host leaves has the other name. Does not
//! know how a core is made (`capture`) or read (`vmcore`).

pub mod annotations;
pub mod core_hash;
pub mod entry;
pub mod entry_without_core;
pub mod filter;
pub mod groups;
pub mod guest_folder;
mod index;
pub mod listing;
mod lock;
pub mod metadata_file;
pub mod metadata_head;
pub mod pack_file;
pub mod pin;
pub mod prune;
pub(crate) mod publish;
pub mod removal;
pub mod report_file;
pub mod report_head;
pub mod rewrite;
pub mod single_file;
pub mod space;
pub mod staging;
pub mod watcher_lock;

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::metadata::CoreLeftOut;
pub use crate::metadata::core_record::CORE_RECORD;
pub use crate::metadata::{CORE_FILE, METADATA_FILE, PACK_FILE};
use crate::metadata::{ENCRYPTED_CORE_FILE, is_core_name};

/// Name of the report in an entry.
pub const REPORT_FILE: &str = "report.json";
/// Name of the report in an encrypted entry.
pub const ENCRYPTED_REPORT_FILE: &str = "report.json.age";
/// Name of the triage pack in an encrypted entry.
pub const ENCRYPTED_PACK_FILE: &str = "triage.zst.age";
/// What the name of something unpublished ends in.
pub const INCOMPLETE: &str = ".incomplete";

/// Why the store could not do what it should.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
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
    /// Something is there already.
    #[error("{} exists already, and nothing is overwritten", path.display())]
    Exists {
        /// What is there.
        path: PathBuf,
    },
    /// No entry goes by that name.
    #[error("no entry {wanted:?} in {}", store.display())]
    NoEntry {
        /// What was asked for.
        wanted: String,
        /// Where it was looked for.
        store: PathBuf,
    },
    /// An entry that has no core, where one is needed.
    #[error("entry {} has no core: {left_out}", folder_id(folder))]
    CoreLeftOut {
        /// The entry.
        folder: PathBuf,
        /// Why.
        left_out: CoreLeftOut,
    },
    /// An entry whose core is not here.
    #[error("entry {} has no core here: {reason}", folder_id(folder))]
    CoreNotHere {
        /// The entry.
        folder: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A part of an id, where the whole id is wanted.
    #[error("{wanted:?} is not the whole id {found}")]
    NotWhole {
        /// What was asked for.
        wanted: String,
        /// The id that a reading command would take.
        found: String,
    },
    /// It is pinned.
    #[error("{} is pinned", path.display())]
    Pinned {
        /// The entry.
        path: PathBuf,
    },
    /// Its capture is under way.
    #[error("the capture that writes {} is under way", path.display())]
    InUse {
        /// The entry.
        path: PathBuf,
    },
    /// Whether its capture is under way cannot be found out.
    #[error("cannot lock the core in {}, so a capture may still be writing it", path.display())]
    NoLock {
        /// The entry.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Several entries go by that name.
    #[error("{wanted:?} is the beginning of {} entries in {}: {}", found.len(), store.display(), few(found))]
    Ambiguous {
        /// What was asked for.
        wanted: String,
        /// Their ids.
        found: Vec<String>,
        /// Where it was looked for.
        store: PathBuf,
    },
}

impl StoreError {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io { action, path: path.into(), source }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("choose another place with --store DIR or --output FILE")
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("free some space, or choose another place with --store DIR or --output FILE")
            }
            Self::Exists { .. } => Some("choose another name, or move the old file away"),
            Self::Ambiguous { .. } => Some("give the whole id, or more of it"),
            Self::NotWhole { .. } => Some("give the whole id, as `list` prints it"),
            Self::CoreLeftOut { .. } | Self::CoreNotHere { .. } => {
                Some("`info` and `report` print what the entry has")
            }
            Self::Pinned { .. } => Some("take its pin away with `unpin`"),
            Self::InUse { .. } => Some("wait for it, or end it"),
            Self::NoLock { .. } => {
                Some("make sure that no capture runs, then delete the directory")
            }
            Self::Io { .. } | Self::NoEntry { .. } => None,
        }
    }
}

/// The core's file in the directory of an entry, encrypted or not.
pub fn core_in(folder: &Path) -> PathBuf {
    let core = folder.join(CORE_FILE);
    if core.symlink_metadata().is_ok() {
        return core;
    }
    let encrypted = folder.join(ENCRYPTED_CORE_FILE);
    if encrypted.symlink_metadata().is_ok() { encrypted } else { core }
}

/// Whether a core has the name that it has in an entry.
pub fn is_in_entry(core: &Path) -> bool {
    core.file_name().and_then(|name| name.to_str()).is_some_and(is_core_name)
}

fn folder_id(folder: &Path) -> std::borrow::Cow<'_, str> {
    folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy()
}

/// The first of several ids.
fn few(ids: &[String]) -> String {
    const SHOWN: usize = 8;
    let mut text = ids.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if ids.len() > SHOWN {
        text.push_str(", ...");
    }
    text
}
