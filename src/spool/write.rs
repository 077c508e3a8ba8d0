//! Spools an event.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::{EVENT, EventKind, FULL, MAX_EVENT, MAX_EVENTS, NEW, SpooledEvent, check_folder};

/// Why an event was not spooled.
#[derive(Debug, Error)]
pub enum SpoolError {
    /// The file system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was to be done.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// As many events wait as may.
    #[error("{waiting} events wait in {}: no service reads them", folder.display())]
    Full {
        /// How many.
        waiting: usize,
        /// Where.
        folder: PathBuf,
    },
    /// Its guest's name or its arguments are too long.
    #[error("the event has {length} bytes, and {MAX_EVENT} at most are spooled")]
    TooLong {
        /// Its length.
        length: usize,
    },
}

/// Spools an event, for [`super::waiting`].
pub fn put(folder: &Path, event: &SpooledEvent) -> Result<(), SpoolError> {
    let fails = |action, path: &Path| {
        let path = path.to_owned();
        move |source| SpoolError::Io { action, path, source }
    };
    let text = serde_json::to_vec(event).map_err(io::Error::from);
    let text = text.map_err(fails("encode an event for", folder))?;
    if text.len() as u64 > MAX_EVENT {
        return Err(SpoolError::TooLong { length: text.len() });
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(fails("make the directory", folder))?;
    check_folder(folder).map_err(fails("use the directory", folder))?;
    let limit = if event.kind == EventKind::PanicLost { 2 * MAX_EVENTS } else { MAX_EVENTS };
    // What is only being written counts, too: it may be left behind.
    let waiting = fs::read_dir(folder).map_err(fails("list", folder))?.take(limit).count();
    if waiting >= limit {
        // The file keeps the time of the first event that was dropped.
        let _ = create(&folder.join(FULL));
        return Err(SpoolError::Full { waiting, folder: folder.to_owned() });
    }
    let process = std::process::id();
    let new = folder.join(format!("{NEW}{process}"));
    // An earlier process of this number may have left one behind.
    let _ = fs::remove_file(&new);
    let (seconds, nanoseconds) = (event.time.as_second(), event.time.subsec_nanosecond());
    let path = folder.join(format!("{seconds:010}.{nanoseconds:09}-{process}{EVENT}"));
    let written = create(&new)
        .and_then(|mut file| file.write_all(&text))
        .and_then(|()| fs::rename(&new, &path));
    written.map_err(|source| {
        let _ = fs::remove_file(&new);
        SpoolError::Io { action: "write", path, source }
    })
}

fn create(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).mode(0o600).open(path)
}
