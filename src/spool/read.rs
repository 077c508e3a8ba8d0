//! Reads what was spooled.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::{EVENT, FULL, MAX_EVENT, MAX_EVENTS, NEW, SpooledEvent, check_folder};
use crate::regular_file::read_own;

/// The most names that are read of a folder: more than hooks make.
const MAX_NAMES: usize = 4 * MAX_EVENTS;
/// How old a file is that a hook began to write and left behind.
const LEFT_BEHIND: Duration = Duration::from_secs(60);

/// An event, and where it waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spooled {
    /// Its file.
    pub path: PathBuf,
    /// The event.
    pub event: SpooledEvent,
}

/// What waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// The events, the oldest first.
    pub events: Vec<Spooled>,
    /// Since when events were dropped, if any were.
    pub dropped_since: Option<Timestamp>,
    /// Files that are no events, and why. They were removed.
    pub unreadable: Vec<(PathBuf, String)>,
}

/// Reads what waits in a folder. One that does not exist has no events.
///
/// Fails if the folder cannot be read, or if others can write to it.
pub fn waiting(folder: &Path) -> io::Result<Waiting> {
    let found = match check_folder(folder).and_then(|()| fs::read_dir(folder)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Waiting::default()),
        found => found?,
    };
    let names =
        found.take(MAX_NAMES).filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    let mut waiting = Waiting { dropped_since: changed(&folder.join(FULL)), ..Waiting::default() };
    for name in names {
        let path = folder.join(&name);
        if name.starts_with(NEW) {
            remove_if_left_behind(&path);
        } else if name.ends_with(EVENT) && !name.starts_with('.') {
            match read(&path) {
                Ok(Some(event)) => waiting.events.push(Spooled { path, event }),
                Ok(None) => {}
                Err(reason) => {
                    // What cannot be removed would be named each time.
                    if fs::remove_file(&path).is_ok() {
                        waiting.unreadable.push((path, reason));
                    }
                }
            }
        }
    }
    Ok(waiting)
}

/// An event that has had its effect.
pub fn done(spooled: &Spooled) {
    // If it cannot be removed, it has its effect again: a guest is looked at once more.
    let _ = fs::remove_file(&spooled.path);
}

/// That events were dropped is forgotten.
pub fn full_was_reported(folder: &Path) {
    let _ = fs::remove_file(folder.join(FULL));
}

/// Returns `Ok(None)` if another process was done with it meanwhile.
fn read(path: &Path) -> Result<Option<SpooledEvent>, String> {
    match read_own(path, MAX_EVENT) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| error.to_string()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

fn changed(path: &Path) -> Option<Timestamp> {
    Timestamp::try_from(fs::symlink_metadata(path).ok()?.modified().ok()?).ok()
}

fn remove_if_left_behind(path: &Path) {
    let modified = fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
    let age = modified.ok().and_then(|modified| modified.elapsed().ok());
    if age.is_some_and(|age| age > LEFT_BEHIND) {
        let _ = fs::remove_file(path);
    }
}
