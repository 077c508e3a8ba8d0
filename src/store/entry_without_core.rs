//! Entries without a core: what is left where the memory was not wanted, or was lost.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use vmcore_formats::text::{MAX_TEXT, MAX_TITLE, bounded};

use super::publish::create_file;
use super::report_head::json;
use super::staging::{Destination, Staging};
use super::{
    ENCRYPTED_PACK_FILE, ENCRYPTED_REPORT_FILE, METADATA_FILE, PACK_FILE, REPORT_FILE, StoreError,
};
use crate::metadata::core_record::{CORE_RECORD, CoreRecord, MAX_RECORD};
use crate::metadata::{
    CaptureResult, CoreLeftOut, Guest, Host, LeftOutCause, Metadata, MetadataFiles, NoticedBy,
    Panic, Request,
};
use crate::regular_file;

/// A panic of a guest that cannot be captured any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostPanic {
    /// The guest's name.
    pub guest: Option<String>,
    /// Its UUID.
    pub uuid: Option<String>,
    /// How it is named to `capture`: its monitor's socket, or `libvirt:NAME`.
    pub monitor: String,
    /// When it panicked, or when that was noticed.
    pub when: Timestamp,
    /// Whether an event reported it, or a state that was asked for.
    pub noticed_by: NoticedBy,
    /// Why it is lost.
    pub reason: String,
}

impl LostPanic {
    /// Makes an entry of it, whose time is that of the panic. Gives its directory.
    ///
    /// # Errors
    /// Fails if the system refuses. Of what was published, its place on disk is not sure.
    pub fn store(&self, store: &Path) -> Result<PathBuf, StoreError> {
        // The clock of a hook may have been set since.
        let when = self.when.min(Timestamp::now());
        let destination = Destination::Store(store.to_owned());
        let (staging, _core) = Staging::create(&destination, self.guest.as_deref(), when)?;
        let metadata = Metadata { id: staging.id().to_owned(), ..self.metadata(when) };
        let published = publish(&staging, &MetadataFiles::plain(metadata.to_json()), None);
        if published.is_err() {
            staging.discard();
        }
        let (entry, synced) = published?;
        synced.map(|()| entry)
    }

    fn metadata(&self, when: Timestamp) -> Metadata {
        let text = |text: &String| bounded(text, MAX_TEXT);
        Metadata {
            host: Host::this(),
            guest: Guest {
                monitor: text(&self.monitor),
                name: self.guest.as_ref().map(text),
                uuid: self.uuid.as_ref().map(text),
                ..Guest::default()
            },
            panic: Some(Panic {
                noticed_by: self.noticed_by,
                events: u64::from(self.noticed_by == NoticedBy::Event),
                ..Panic::found(when)
            }),
            result: CaptureResult::Incomplete,
            core_left_out: Some(CoreLeftOut {
                cause: LeftOutCause::PanicLost,
                reason: Some(bounded(&self.reason, MAX_TITLE)),
            }),
            ..Metadata::new(Request::to_read(), when)
        }
    }
}

/// Publishes an entry without its core, which only locked it. There is nothing that the
/// report could be made again from, so it is synced, too.
///
/// # Errors
/// Fails as [`Staging::publish`] does.
pub fn publish(
    staging: &Staging,
    metadata: &MetadataFiles,
    report: Option<&[u8]>,
) -> Result<(PathBuf, Result<(), StoreError>), StoreError> {
    staging.write_metadata(metadata, true)?;
    if let Some(report) = report {
        let name = if metadata.sealed.is_some() { ENCRYPTED_REPORT_FILE } else { REPORT_FILE };
        let path = staging.staged().join(name);
        let mut file = create_file(&path)?;
        let written = file.write_all(report).and_then(|()| file.sync_all());
        written.map_err(|source| StoreError::io("write", &path, source))?;
    }
    let core = staging.staged_core();
    fs::remove_file(core).map_err(|source| StoreError::io("remove", core, source))?;
    staging.publish()
}

/// The metadata of an entry whose core was left out, or is in object storage; `None` for one that
/// has its core or a triage pack of it, and one that says nothing of that.
pub fn read(core: &Path) -> Option<Metadata> {
    if core.symlink_metadata().is_ok() {
        return None;
    }
    let metadata: Metadata = json(&core.with_file_name(METADATA_FILE))?;
    let packs = [PACK_FILE, ENCRYPTED_PACK_FILE];
    let elsewhere =
        || record(core).is_some() && !packs.iter().any(|pack| core.with_file_name(pack).is_file());
    (metadata.core_left_out.is_some() || elsewhere()).then_some(metadata)
}

/// The record of where the core is that has no file here.
pub(super) fn record(core: &Path) -> Option<CoreRecord> {
    let record = regular_file::read_own(&core.with_file_name(CORE_RECORD), MAX_RECORD).ok()?;
    CoreRecord::parse(&record).ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::store::entry::Entry;
    use crate::store::listing::{EntryState, list};

    fn lost() -> LostPanic {
        LostPanic {
            guest: Some("web-3".to_owned()),
            uuid: Some("c0ffee00-0000-4000-8000-000000000003".to_owned()),
            monitor: "libvirt:web-3".to_owned(),
            when: "2026-01-01T00:00:00.5Z".parse().unwrap(),
            noticed_by: NoticedBy::Event,
            reason: "libvirt destroyed the domain (on_crash)".to_owned(),
        }
    }

    #[test]
    fn a_lost_panic_is_an_entry_of_the_time_of_the_panic() {
        let store = tempfile::tempdir().unwrap();
        let entry = lost().store(store.path()).unwrap();
        assert!(entry.starts_with(store.path().join("web-3")), "{entry:?}");
        let (entries, problems) = list(store.path()).unwrap();
        assert!(problems.is_empty() && entries.len() == 1);
        let listed = &entries[0];
        assert_eq!((listed.state, listed.published), (EntryState::NoCore, true));
        assert_eq!((&listed.folder, listed.core_bytes), (&entry, None));
        assert!(listed.id.starts_with("20260101T000000Z-"), "{}", listed.id);
        assert_eq!(listed.time.unwrap(), lost().when);
        let names: Vec<_> =
            fs::read_dir(&entry).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert_eq!(names, [METADATA_FILE]);
        let mode = entry.join(METADATA_FILE).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_needs_its_core_fails_with_the_reason() {
        let store = tempfile::tempdir().unwrap();
        lost().store(store.path()).unwrap();
        let entry = Entry::find("latest", store.path()).unwrap();
        let error = entry.with_core().unwrap_err();
        assert!(matches!(error, StoreError::CoreLeftOut { .. }), "{error}");
        assert!(error.to_string().contains("destroyed the domain"), "{error}");
        // A core that is missing for no recorded reason is the reader's error.
        let nothing = Entry { core: store.path().join("nothing/vmcore.elf.zst") };
        assert!(nothing.with_core().is_ok());
    }

    #[test]
    fn a_panic_of_the_future_happened_now() {
        let store = tempfile::tempdir().unwrap();
        let future = LostPanic { when: Timestamp::MAX, ..lost() };
        future.store(store.path()).unwrap();
        assert!(list(store.path()).unwrap().0[0].time.unwrap() <= Timestamp::now());
    }
}
