//! What is in a store: every entry, with what its metadata tells.
//!
//! Needs: the store's directory. Gives: its entries by time, newest last. An
//! entry whose metadata cannot be read is listed all the same, with what its
//! name says. Cores are not opened.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::entry::folders;
use super::lock::{self, Writer};
use super::metadata_head::MetadataHead;
use super::pin::is_pinned;
use super::report_head::ReportHead;
use super::{CORE_FILE, INCOMPLETE, METADATA_FILE, REPORT_FILE, StoreError};
use crate::metadata::CaptureResult;

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryState {
    /// The whole dump is there.
    Complete,
    /// A part of the dump is there. Published only if it was imported from a file
    /// that was cut off.
    Incomplete,
    /// It has no core, which was left out or lost.
    NoCore,
    /// Not published: its capture is under way.
    Capturing,
    /// Not published: its capture was interrupted.
    Interrupted,
    /// Not published, and the file system does not say whether its capture is under way.
    Unknown,
}

impl EntryState {
    /// Its name, as it is typed and printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Incomplete => "incomplete",
            Self::NoCore => "no-core",
            Self::Capturing => "capturing",
            Self::Interrupted => "interrupted",
            Self::Unknown => "unknown",
        }
    }
}

/// An entry of a store, published or not.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its directory.
    pub folder: PathBuf,
    /// Its id: the directory's name, without what marks it as incomplete.
    pub id: String,
    /// When its capture began.
    pub time: Option<Timestamp>,
    /// Whether it is an entry for everybody: what is not published is a part, or under way.
    pub published: bool,
    /// What became of it.
    pub state: EntryState,
    /// Length of the core's file, in bytes; `None` if it has none.
    pub core_bytes: Option<u64>,
    /// Length of all its files, in bytes.
    pub bytes: u64,
    /// Whether it is pinned.
    pub pinned: bool,
    /// What its metadata says; `None` if it has none that can be read.
    pub metadata: Option<MetadataHead>,
    /// What its report says, if it has one.
    pub report: Option<ReportHead>,
}

impl Listed {
    /// The guest's name: in its metadata, else that of its directory.
    pub fn guest(&self) -> String {
        let named = self.metadata.as_ref().and_then(|metadata| metadata.guest.clone());
        named.unwrap_or_else(|| {
            let folder = self.folder.parent().and_then(Path::file_name).unwrap_or_default();
            folder.to_string_lossy().into_owned()
        })
    }

    /// The release of the guest's kernel.
    pub fn kernel(&self) -> Option<&str> {
        self.metadata.as_ref()?.kernel.as_deref()
    }
}

/// All entries of a store, those that are not published included, by time.
///
/// A store that does not exist is empty.
///
/// # Errors
/// Fails if the store's directory cannot be read. A guest's directory that
/// cannot be read is left out, and is in the second list.
pub fn list(store: &Path) -> Result<(Vec<Listed>, Vec<StoreError>), StoreError> {
    let mut problems = Vec::new();
    let mut found = Vec::new();
    for guest in folders(store, "read the store")? {
        match folders(&guest, "read the directory") {
            Ok(entries) => found.extend(entries),
            Err(error) => problems.push(error),
        }
    }
    let mut entries = read_all(&found);
    // By the time in the id first, as `latest` goes by it, too: an import is new, although
    // its crash may be old.
    let key = |entry: &Listed| (time_of(&entry.id), entry.time, entry.id.clone());
    entries.sort_by_cached_key(key);
    Ok((entries, problems))
}

/// Thousands of small files: several threads wait for them at once.
fn read_all(folders: &[PathBuf]) -> Vec<Listed> {
    const AT_ONCE: usize = 64;
    let threads = thread::available_parallelism().map_or(1, usize::from).min(8);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        loop {
            let start = next.fetch_add(AT_ONCE, Ordering::Relaxed);
            let Some(rest) = folders.get(start..) else { return found };
            found.extend(rest.iter().take(AT_ONCE).filter_map(|folder| read_entry(folder)));
        }
    };
    if folders.len() <= AT_ONCE {
        return work();
    }
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().filter_map(|worker| worker.join().ok()).flatten().collect()
    })
}

/// Reads what lies in an entry's directory. Returns `None` if it is none.
pub fn read_entry(folder: &Path) -> Option<Listed> {
    let name = folder.file_name()?.to_str()?;
    let (id, published) = match name.strip_suffix(INCOMPLETE) {
        Some(id) => (id, false),
        None => (name, true),
    };
    let from_id = time_of(id);
    let core = folder.join(CORE_FILE);
    let core_file = fs::metadata(&core).ok().filter(fs::Metadata::is_file);
    let core_bytes = core_file.map(|file| file.len());
    let metadata = MetadataHead::read(&folder.join(METADATA_FILE));
    if from_id.is_none() && core_bytes.is_none() && metadata.is_none() {
        return None;
    }
    let result = metadata.as_ref().map(|metadata| metadata.result);
    let writer = if published { Writer::Absent } else { lock::writer_of(&core) };
    let left_out = metadata.as_ref().is_some_and(|metadata| metadata.core_left_out);
    let state = match (writer, result) {
        _ if published && left_out && core_bytes.is_none() => EntryState::NoCore,
        (Writer::Present, _) => EntryState::Capturing,
        (_, Some(CaptureResult::Incomplete)) => EntryState::Incomplete,
        _ if published => EntryState::Complete,
        (Writer::Absent, _) => EntryState::Interrupted,
        (Writer::Unknown, _) => EntryState::Unknown,
    };
    Some(Listed {
        id: id.to_owned(),
        // To the second in the id, finer in the metadata.
        time: metadata.as_ref().map(|metadata| metadata.started).or(from_id),
        published,
        state,
        core_bytes,
        // A capture may have made its report before the dump, and lost the dump.
        report: ReportHead::read(&folder.join(REPORT_FILE)).or_else(|| metadata.as_ref()?.report()),
        bytes: [METADATA_FILE, REPORT_FILE].into_iter().fold(
            core_bytes.unwrap_or(0),
            |sum, name| {
                let file =
                    fs::symlink_metadata(folder.join(name)).ok().filter(fs::Metadata::is_file);
                sum.saturating_add(file.map_or(0, |file| file.len()))
            },
        ),
        pinned: is_pinned(folder),
        metadata,
        folder: folder.to_owned(),
    })
}

/// The time that an id begins with.
pub fn time_of(id: &str) -> Option<Timestamp> {
    let (time, _) = id.split_once('-')?;
    let time = DateTime::strptime("%Y%m%dT%H%M%SZ", time).ok()?;
    TimeZone::UTC.to_timestamp(time).ok()
}

#[cfg(test)]
#[path = "listing_tests.rs"]
mod tests;
