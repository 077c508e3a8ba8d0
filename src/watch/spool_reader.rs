//! What hooks of management daemons have spooled, for the supervisor.
//!
//! The folder is read each second. An event stays in it until it has had its effect, so that one
//! that a watcher did not come to is the next one's.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::news::News;
use super::record::{Level, Record};
use super::shared::Shared;
use crate::spool;

/// How often the folder is read.
const INTERVAL: Duration = Duration::from_secs(1);

/// Begins to read.
pub(super) fn start(folder: PathBuf, shared: &Arc<Shared>) -> std::io::Result<()> {
    let shared = Arc::clone(shared);
    thread::Builder::new().name("spool".to_owned()).spawn(move || {
        let mut reported = BTreeSet::new();
        let mut problem = None;
        loop {
            let found = read(&folder, &shared, &mut reported).err();
            if let Some(error) = &found
                && found != problem
            {
                shared.record(Record::new(Level::Warning, "spool", error.clone()));
            }
            problem = found;
            thread::sleep(INTERVAL);
        }
    })?;
    Ok(())
}

/// Reports the events that were not reported yet.
fn read(folder: &Path, shared: &Shared, reported: &mut BTreeSet<PathBuf>) -> Result<(), String> {
    let waiting = spool::waiting(folder)
        .map_err(|error| format!("cannot read the events in {}: {error}", folder.display()))?;
    for (path, reason) in waiting.unreadable {
        let text = format!("{} is no event: {reason}", path.display());
        shared.record(Record::new(Level::Warning, "spool", text));
    }
    if let Some(since) = waiting.dropped_since {
        let text = format!("hooks have dropped events since {since}: no watcher had read them");
        shared.record(Record::new(Level::Warning, "spool", text));
        spool::full_was_reported(folder);
    }
    reported.retain(|path| waiting.events.iter().any(|spooled| spooled.path == *path));
    for spooled in waiting.events {
        if reported.insert(spooled.path.clone()) {
            shared.report(News::Spooled(Box::new(spooled)));
        }
    }
    Ok(())
}
