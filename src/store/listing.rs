//! What is in a store: every entry, with what its metadata tells.
//!
//! Needs: the store's directory. Gives: its entries by time, newest last. An
//! entry whose metadata cannot be read is listed all the same, with what its
//! name says. Cores are not opened.

mod read;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::StoreError;
use super::annotations::Annotations;
use super::entry::folders;
use super::index::Index;
use super::metadata_head::MetadataHead;
use super::report_head::ReportHead;
use read::{Read, read};

pub use read::{Parts, of_parts, read_entry};

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
    /// Its core is in object storage, and not, or no more, on this machine.
    CoreElsewhere,
    /// In object storage: its core is not there yet, or its push was given up.
    CoreNotUploaded,
    /// In object storage: its core was removed, and the rest kept.
    CoreRemoved,
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
            Self::CoreElsewhere => "core-elsewhere",
            Self::CoreNotUploaded => "core-not-uploaded",
            Self::CoreRemoved => "core-removed",
            Self::Capturing => "capturing",
            Self::Interrupted => "interrupted",
            Self::Unknown => "unknown",
        }
    }
}

/// An entry of a store, published or not.
#[derive(Clone, Debug, PartialEq)]
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
    /// What was noted of it since.
    pub annotations: Annotations,
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

    /// The release of the guest's kernel: in the metadata, else in the report, which has it
    /// without VMCOREINFO and without a core, too.
    pub fn kernel(&self) -> Option<&str> {
        let noted = self.metadata.as_ref().and_then(|metadata| metadata.kernel.as_deref());
        noted.or_else(|| self.report.as_ref()?.release.as_deref())
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
    list_with(store, &IndexUse { from: 200, settled: Duration::from_secs(2) })
}

/// Sorts entries as a list has them.
pub fn sort(entries: &mut [Listed]) {
    let key = |entry: &Listed| (time_of(&entry.id), entry.time, entry.id.clone());
    entries.sort_by_cached_key(key);
}

/// When an index is used.
struct IndexUse {
    /// By stores with so many entries.
    from: usize,
    /// For entries whose files changed for the last time so long ago.
    settled: Duration,
}

fn list_with(
    store: &Path,
    index_use: &IndexUse,
) -> Result<(Vec<Listed>, Vec<StoreError>), StoreError> {
    let mut problems = Vec::new();
    let mut found = Vec::new();
    for guest in folders(store, "read the store")? {
        match folders(&guest, "read the directory") {
            Ok(entries) => found.extend(entries),
            Err(error) => problems.push(error),
        }
    }
    let index = if found.len() >= index_use.from { Index::load(store) } else { Index::default() };
    let mut read = read_all(&found, &index);
    if found.len() >= index_use.from {
        renew(&index, store, &read, index_use.settled);
    }
    // By the time in the id first, as `latest` goes by it, too: an import is new, although
    // its crash may be old.
    read.sort_by(|one, other| one.key().cmp(&other.key()));
    Ok((read.into_iter().map(|read| read.entry).collect(), problems))
}

/// Writes a new index if the old one has too little of the store, or too much else.
fn renew(index: &Index, store: &Path, read: &[Read], settled: Duration) {
    let now = SystemTime::now();
    let is_new = |read: &Read| read.recordable && read.stamps.are_settled(now, settled);
    let kept = read.iter().filter(|read| read.from_index).count();
    let new = read.iter().filter(|read| !read.from_index && is_new(read)).count();
    let stale = index.len().saturating_sub(kept);
    if new.saturating_add(stale) <= read.len() / 32 {
        return;
    }
    let records = read.iter().filter(|read| read.from_index || is_new(read)).map(|read| {
        let report = read.entry.report.as_ref().filter(|_| read.stamps.report.is_some());
        let heads = (read.entry.metadata.as_ref(), report);
        (&*read.entry.folder, (!read.from_index).then_some((&read.stamps, heads)))
    });
    index.write(store, records);
}

/// Thousands of small files: several threads wait for them at once.
fn read_all(folders: &[PathBuf], index: &Index) -> Vec<Read> {
    const AT_ONCE: usize = 64;
    let threads = thread::available_parallelism().map_or(1, usize::from).min(8);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        loop {
            let start = next.fetch_add(AT_ONCE, Ordering::Relaxed);
            let Some(rest) = folders.get(start..) else { return found };
            found.extend(rest.iter().take(AT_ONCE).filter_map(|folder| read(folder, index)));
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

/// The time that an id begins with.
pub fn time_of(id: &str) -> Option<Timestamp> {
    let (time, _) = id.split_once('-')?;
    let time = DateTime::strptime("%Y%m%dT%H%M%SZ", time).ok()?;
    TimeZone::UTC.to_timestamp(time).ok()
}

#[cfg(test)]
mod index_tests;
#[cfg(test)]
mod tests;
