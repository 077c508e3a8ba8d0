//! Events of management daemons: hooks spool them, and `watch` reads them.
//!
//! ```text
//! <folder>/                                   mode 0700, on a file system in memory
//!     <seconds>.<nanoseconds>-<pid>.json      an event, published by a rename
//!     .new-<pid>                              an event that is being written
//!     .full                                   events were dropped since it was made
//! ```
//!
//! A hook's arguments become an event in [`event_of`]. Needs: the folder. Gives: events in the order in which they were spooled, each until it is
//! [`done`]. The number and the size of events are bounded: a hook must not fill the system's
//! memory if no service reads. Neither side waits for the other or syncs.

mod event;
mod hooks;
mod read;
mod write;

pub use event::{EventKind, Manager, SpooledEvent};
pub use hooks::{HookError, event_of};
pub use read::{Spooled, Waiting, done, full_was_reported, waiting};
pub use write::{SpoolError, put};

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The most bytes of an event.
const MAX_EVENT: u64 = 16 * 1024;
/// The most events that wait. Twice as many where the next one is a lost panic.
const MAX_EVENTS: usize = 1024;
/// The end of an event's name, and the beginning of one that is being written.
const EVENT: &str = ".json";
const NEW: &str = ".new-";
/// The file whose time is that of the first event that was dropped.
const FULL: &str = ".full";

/// Fails unless only the user of this process can have written what is in a folder: an event of
/// somebody else would be believed.
fn check_folder(folder: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(folder)?;
    let problem = if !metadata.is_dir() {
        "it is no directory"
    } else if metadata.uid() != rustix::process::geteuid().as_raw() {
        "it belongs to another user"
    } else if metadata.mode() & 0o022 != 0 {
        "other users may write to it"
    } else {
        return Ok(());
    };
    Err(io::Error::new(ErrorKind::PermissionDenied, problem))
}

#[cfg(test)]
mod tests;
