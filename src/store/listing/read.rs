//! One entry of a listing: what lies in its directory.

use std::fs;
use std::path::Path;

use jiff::Timestamp;

use super::{EntryState, Listed, time_of};
use crate::metadata::CaptureResult;
use crate::metadata::ENCRYPTED_METADATA_FILE;
use crate::store::annotations::Annotations;
use crate::store::index::{Heads, Index, Stamp, Stamps};
use crate::store::lock::{self, Writer};
use crate::store::metadata_head::MetadataHead;
use crate::store::pin::is_pinned;
use crate::store::report_head::ReportHead;
use crate::store::{
    CORE_RECORD, ENCRYPTED_PACK_FILE, ENCRYPTED_REPORT_FILE, INCOMPLETE, METADATA_FILE, PACK_FILE,
    REPORT_FILE, core_in,
};

/// An entry, and what it was read of.
pub(super) struct Read {
    pub(super) entry: Listed,
    /// The time in the id.
    pub(super) time: Option<Timestamp>,
    pub(super) stamps: Stamps,
    pub(super) from_index: bool,
    /// Whether an index may have it: it is published, and each of its files could be read.
    pub(super) recordable: bool,
}

impl Read {
    pub(super) fn key(&self) -> (Option<Timestamp>, Option<Timestamp>, &str) {
        (self.time, self.entry.time, &self.entry.id)
    }
}

/// What is in the directory of an entry that is not on this machine.
#[derive(Debug, Default)]
pub struct Parts {
    /// Length of the core's file.
    pub core_bytes: Option<u64>,
    /// Whether there is a record of where its core is.
    pub core_recorded: bool,
    /// Length of all its files.
    pub bytes: u64,
    /// What its metadata says.
    pub metadata: Option<MetadataHead>,
    /// What its report says.
    pub report: Option<ReportHead>,
    /// Whether it is pinned.
    pub pinned: bool,
}

/// The entry that has these parts. Returns `None` if they are of none that is published.
pub fn of_parts(folder: &Path, parts: Parts) -> Option<Listed> {
    let id = folder.file_name()?.to_str()?;
    let from_id = time_of(id);
    let (metadata, report) = (parts.metadata, parts.report);
    let is_entry = from_id.is_some() || parts.core_bytes.is_some() || metadata.is_some();
    let has_core = parts.core_bytes.is_some();
    if id.ends_with(INCOMPLETE) || !is_entry {
        return None;
    }
    let left_out = metadata.as_ref().is_some_and(|metadata| metadata.core_left_out);
    let state = match metadata.as_ref().map(|metadata| metadata.result) {
        _ if left_out && !has_core => EntryState::NoCore,
        _ if !has_core && parts.core_recorded => EntryState::CoreRemoved,
        _ if !has_core => EntryState::CoreNotUploaded,
        Some(CaptureResult::Incomplete) => EntryState::Incomplete,
        _ => EntryState::Complete,
    };
    Some(Listed {
        id: id.to_owned(),
        time: metadata.as_ref().map(|metadata| metadata.started).or(from_id),
        published: true,
        state,
        core_bytes: parts.core_bytes,
        report: report.or_else(|| metadata.as_ref()?.report()),
        bytes: parts.bytes,
        pinned: parts.pinned,
        metadata,
        folder: folder.to_owned(),
        annotations: Annotations::default(),
    })
}

/// Reads what lies in an entry's directory. Returns `None` if it is none.
pub fn read_entry(folder: &Path) -> Option<Listed> {
    read(folder, &Index::default()).map(|read| read.entry)
}

/// The same, with what the index has of its files.
pub(super) fn read(folder: &Path, index: &Index) -> Option<Read> {
    let name = folder.file_name()?.to_str()?;
    let (id, published) = match name.strip_suffix(INCOMPLETE) {
        Some(id) => (id, false),
        None => (name, true),
    };
    let from_id = time_of(id);
    let core = core_in(folder);
    let core_file = fs::metadata(&core).ok().filter(fs::Metadata::is_file);
    let core_bytes = core_file.map(|file| file.len());
    let (metadata_file, report_file) = (folder.join(METADATA_FILE), folder.join(REPORT_FILE));
    let stamp = |path: &Path| fs::symlink_metadata(path).ok().and_then(|file| Stamp::of(&file));
    let stamps = Stamps { metadata: stamp(&metadata_file), report: stamp(&report_file) };
    let found = if published { index.find(folder, &stamps) } else { None };
    let from_index = found.is_some();
    let Heads { metadata, report } = found.unwrap_or_else(|| Heads {
        metadata: MetadataHead::read(&metadata_file),
        report: ReportHead::read(&report_file),
    });
    if from_id.is_none() && core_bytes.is_none() && metadata.is_none() {
        return None;
    }
    let recordable = published
        && metadata.is_some() == stamps.metadata.is_some()
        && report.is_some() == stamps.report.is_some();
    let result = metadata.as_ref().map(|metadata| metadata.result);
    let writer = if published { Writer::Absent } else { lock::writer_of(&core) };
    let left_out = metadata.as_ref().is_some_and(|metadata| metadata.core_left_out);
    let state = match (writer, result) {
        _ if published && left_out && core_bytes.is_none() => EntryState::NoCore,
        _ if published && core_bytes.is_none() && folder.join(CORE_RECORD).exists() => {
            EntryState::CoreElsewhere
        }
        (Writer::Present, _) => EntryState::Capturing,
        (_, Some(CaptureResult::Incomplete)) => EntryState::Incomplete,
        _ if published => EntryState::Complete,
        (Writer::Absent, _) => EntryState::Interrupted,
        (Writer::Unknown, _) => EntryState::Unknown,
    };
    let beside = [stamps.metadata, stamps.report, stamp(&folder.join(PACK_FILE))];
    let beside = beside.into_iter().flatten().map(|file| file.length());
    let sealed = [ENCRYPTED_METADATA_FILE, ENCRYPTED_REPORT_FILE, ENCRYPTED_PACK_FILE];
    // Beside a report that is not encrypted, nothing is.
    let sealed = sealed.into_iter().filter(|_| stamps.report.is_none());
    let sealed = sealed.filter_map(|name| stamp(&folder.join(name))).map(|file| file.length());
    let entry = Listed {
        id: id.to_owned(),
        // To the second in the id, finer in the metadata.
        time: metadata.as_ref().map(|metadata| metadata.started).or(from_id),
        published,
        state,
        core_bytes,
        // A capture may have made its report before the dump, and lost the dump.
        report: report.or_else(|| metadata.as_ref()?.report()),
        bytes: beside.chain(sealed).fold(core_bytes.unwrap_or(0), u64::saturating_add),
        pinned: is_pinned(folder),
        metadata,
        folder: folder.to_owned(),
        annotations: Annotations::read(folder),
    };
    Some(Read { entry, time: from_id, stamps, from_index, recordable })
}
