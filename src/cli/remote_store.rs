//! A store that is elsewhere: which entries it has, and what they say.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::confinement::SandboxArgs;
use super::store_folder::{StoreArgs, StorePlace};
use crate::bucket::lookup;
use crate::bucket::stored::{StoredEntries, StoredFile, StoredFiles};
use crate::metadata::core_record::{CORE_RECORD, CoreRecord, MAX_RECORD, is_core};
use crate::metadata::{ENCRYPTED, ENCRYPTED_CORE_FILE};
use crate::remote::address::RemoteAddress;
use crate::remote::entry::Form;
use crate::remote::{self, Channel, RemoteError, at_once};
use crate::store::annotations::{Annotation, Annotations, FOLDER, MAX_ANNOTATION, MAX_FILES};
use crate::store::listing::{self, Listed, Parts};
use crate::store::metadata_head::MetadataHead;
use crate::store::pin::PIN_FILE;
use crate::store::report_head::ReportHead;
use crate::store::{CORE_FILE, METADATA_FILE, REPORT_FILE, StoreError, entry, report_file};
use crate::tables::{Elsewhere, EntryTexts, Folder, PACK_FILE, Row, Table};

/// A table of more crashes is grouped as it is: to compare it with the names of all objects takes
/// much longer than to read it.
const MAX_COMPARED: usize = 5000;

/// The store.
pub(super) struct RemoteStore {
    pub(super) channel: Arc<Channel>,
    /// What each entry has.
    pub(super) entries: StoredEntries,
    /// The same of what is on its way, or half removed: it has no metadata.
    pub(super) unlisted: StoredEntries,
}

/// What is wanted of a store that has a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The entries that are stored.
    Stored,
    /// All crashes, those included whose entries were removed.
    Crashes,
}

/// The entries of the store that was named, wherever it is, and what could not be listed.
///
/// Where the store is elsewhere, the names of its objects say which entries it has, and in which
/// state they are; what they say is in the table, if it has their rows. To read it of the entries
/// takes requests for each.
pub(super) fn list(
    store: &StoreArgs,
    wanted: Wanted,
    sandbox: SandboxArgs,
) -> anyhow::Result<(Vec<Listed>, Vec<String>)> {
    match store.place() {
        StorePlace::Folder(folder) => {
            let (mut entries, problems) = listing::list(&folder)?;
            let mut problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
            if wanted == Wanted::Crashes || entries.is_empty() {
                sandbox.confine_tables();
                let table = Table::read(&Folder::new(&folder), &folder.display().to_string())?;
                let stored: HashSet<_> = entries.iter().map(|entry| entry.id.clone()).collect();
                let removed = listed(table, &folder, &mut problems);
                entries.extend(removed.into_iter().filter(|row| !stored.contains(&row.id)));
                listing::sort(&mut entries);
            }
            Ok((entries, problems))
        }
        StorePlace::Remote(address) => {
            let mut problems = Vec::new();
            let channel = open(&address)?;
            sandbox.confine_tables();
            let objects = Elsewhere::new(Arc::clone(&channel));
            let mut table = Table::read(&objects, &address.shown())?;
            if wanted == Wanted::Crashes && table.rows.len() > MAX_COMPARED {
                let mut crashes = listed(table, Path::new(&address.shown()), &mut problems);
                listing::sort(&mut crashes);
                return Ok((crashes, problems));
            }
            let mut entries = RemoteStore::of(channel)?.list(&mut table)?;
            match wanted {
                Wanted::Stored => problems.extend(table.problems.iter().map(ToString::to_string)),
                // What is left of the table is of entries that were removed.
                Wanted::Crashes => {
                    entries.extend(listed(table, Path::new(&address.shown()), &mut problems));
                    listing::sort(&mut entries);
                }
            }
            Ok((entries, problems))
        }
    }
}

/// A store that is elsewhere, to read.
fn open(address: &RemoteAddress) -> anyhow::Result<Arc<Channel>> {
    if cfg!(not(feature = "remote")) {
        anyhow::bail!("{}", remote::LEFT_OUT);
    }
    Ok(Arc::new(Channel::open(remote::start()?, address.clone())?))
}

/// The same, to write.
pub(super) fn open_to_write(address: &RemoteAddress) -> anyhow::Result<Arc<Channel>> {
    if cfg!(not(feature = "remote")) {
        anyhow::bail!("{}", remote::LEFT_OUT);
    }
    Ok(Arc::new(Channel::open_to_write(remote::start()?, address.clone())?))
}

/// What was noted of an entry: `GUEST/ID`, or empty if it is the channel's root.
pub(super) fn annotations(channel: &Channel, entry: &str) -> Result<Annotations, RemoteError> {
    let folder = [entry, if entry.is_empty() { "" } else { "/" }, FOLDER].concat();
    let mut found = Annotations::default();
    for (name, _) in channel.list_below(&folder)?.into_iter().take(MAX_FILES) {
        match channel.get(&name, MAX_ANNOTATION) {
            Err(RemoteError::NotFound { .. }) => {}
            got => {
                if let Some(annotation) = Annotation::parse(&got?) {
                    found.add(annotation);
                }
            }
        }
    }
    Ok(found)
}

/// The rows of a table, as entries of its store.
fn listed(mut table: Table, store: &Path, problems: &mut Vec<String>) -> Vec<Listed> {
    problems.extend(table.problems.iter().map(ToString::to_string));
    let rows = table.rows.into_iter().map(|row| {
        let annotations = table.annotations.remove(&row.id).unwrap_or_default();
        row.listed(store, annotations)
    });
    rows.collect()
}

impl RemoteStore {
    /// Lists what is in it.
    pub(super) fn open(address: &RemoteAddress) -> anyhow::Result<Self> {
        Ok(Self::of(open(address)?)?)
    }

    /// Lists as much as is needed to find the entry of this name.
    pub(super) fn open_for(address: &RemoteAddress, wanted: &str) -> anyhow::Result<Self> {
        Ok(Self::of_named(open(address)?, &[wanted])?)
    }

    /// The same as [`Self::open`], to change it.
    pub(super) fn open_to_write(address: &RemoteAddress) -> anyhow::Result<Self> {
        Ok(Self::of(open_to_write(address)?)?)
    }

    /// The same, through a channel to it.
    pub(super) fn of(channel: Arc<Channel>) -> Result<Self, RemoteError> {
        let entries = lookup::all(&channel)?;
        Ok(Self::with(channel, entries))
    }

    /// The same as [`Self::open_for`], of several names, through a channel to it.
    pub(super) fn of_named(
        channel: Arc<Channel>,
        wanted: &[impl AsRef<str>],
    ) -> Result<Self, RemoteError> {
        let entries = match wanted {
            [wanted] => lookup::named(&channel, wanted.as_ref())?,
            _ => lookup::all(&channel)?,
        };
        Ok(Self::with(channel, entries))
    }

    fn with(channel: Arc<Channel>, mut entries: StoredEntries) -> Self {
        let unlisted = entries.extract_if(.., |_, files| !files.has(METADATA_FILE)).collect();
        Self { channel, entries, unlisted }
    }

    /// The entry that a name means: `GUEST/ID`.
    pub(super) fn find(&self, wanted: &str) -> Result<String, StoreError> {
        if self.entries.contains_key(wanted) {
            return Ok(wanted.to_owned());
        }
        let folders = self.entries.keys().map(PathBuf::from).collect();
        let store = PathBuf::from(self.channel.root().shown());
        let found = entry::choose(wanted, folders, &store)?;
        Ok(found.to_string_lossy().into_owned())
    }

    /// The entry that a name means which is a whole id or an address: `GUEST/ID`.
    pub(super) fn whole(&self, wanted: &str) -> Result<String, StoreError> {
        let is_meant = |name: &&String| {
            let id = name.rsplit('/').next().unwrap_or_default();
            [name.as_str(), id, &self.channel.shown(name)].contains(&wanted.trim_end_matches('/'))
        };
        match self.entries.keys().find(is_meant) {
            Some(name) => Ok(name.clone()),
            None => {
                let found = self.find(wanted)?;
                let found = found.rsplit('/').next().unwrap_or_default().to_owned();
                Err(StoreError::NotWhole { wanted: wanted.to_owned(), found })
            }
        }
    }

    /// The name in it (`GUEST/ID`) of an entry that was listed.
    pub(super) fn name_of(&self, entry: &Listed) -> Option<String> {
        let root = self.channel.shown("");
        let name = entry.folder.to_str()?.strip_prefix(root.trim_end_matches('/'))?;
        let name = name.trim_start_matches('/');
        self.entries.contains_key(name).then(|| name.to_owned())
    }

    /// Whether an entry is pinned.
    pub(super) fn is_pinned(&self, name: &str) -> bool {
        self.entries.get(name).is_some_and(|files| files.has(PIN_FILE))
    }

    /// All entries, with what is said of them in the table, or else in their metadata and reports.
    /// Their rows and annotations are taken out of the table.
    pub(super) fn list(&self, table: &mut Table) -> Result<Vec<Listed>, RemoteError> {
        let rows = std::mem::take(&mut table.rows).into_iter();
        let (rows, removed): (Vec<Row>, Vec<Row>) =
            rows.partition(|row| self.entries.contains_key(&row.entry));
        table.rows = removed;
        let rows: HashMap<String, Row> =
            rows.into_iter().map(|row| (row.entry.clone(), row)).collect();
        let mut entries = self.each(|name| match rows.get(name) {
            Some(row) => self.of_row(name, row.clone()),
            None => self.read(name),
        })?;
        for entry in &mut entries {
            entry.annotations = table.annotations.remove(&entry.id).unwrap_or_default();
        }
        listing::sort(&mut entries);
        Ok(entries)
    }

    /// Does something with each entry, several at the same time.
    pub(super) fn each<T: Send>(
        &self,
        work: impl Fn(&str) -> Result<Option<T>, RemoteError> + Sync,
    ) -> Result<Vec<T>, RemoteError> {
        let names: Vec<&String> = self.entries.keys().collect();
        Ok(at_once(&names, |name| work(name))?.into_iter().flatten().collect())
    }

    /// How the files of an entry are stored.
    pub(super) fn form(&self, name: &str) -> Form {
        let is_encrypted = |file: &StoredFile| file.name.ends_with(ENCRYPTED);
        match self.entries.get(name).is_some_and(|files| files.files().any(is_encrypted)) {
            true => Form::Encrypted,
            false => Form::Plain,
        }
    }

    /// The length of a file of an entry, if it is there.
    fn length(&self, name: &str, file: &str) -> Option<u64> {
        self.entries.get(name)?.length(file)
    }

    /// A file of an entry, if it is there.
    fn text(&self, name: &str, file: &str) -> Result<Option<Vec<u8>>, RemoteError> {
        if self.length(name, file).is_none() {
            return Ok(None);
        }
        match self.channel.get(&format!("{name}/{file}"), report_file::MAX_BYTES) {
            // It was removed meanwhile.
            Err(RemoteError::NotFound { .. }) => Ok(None),
            got => got.map(Some),
        }
    }

    /// The metadata of an entry, if it is there.
    pub(super) fn metadata(&self, name: &str) -> Result<Option<Vec<u8>>, RemoteError> {
        self.text(name, METADATA_FILE)
    }

    /// The row of an entry in the store's table; `None` if it is no entry any more. The report is
    /// the one that is stored, or another one.
    pub(super) fn row(
        &self,
        name: &str,
        report: Option<&[u8]>,
    ) -> Result<Option<Row>, RemoteError> {
        let Some(metadata) = self.text(name, METADATA_FILE)? else { return Ok(None) };
        let stored = if report.is_none() { self.text(name, REPORT_FILE)? } else { None };
        let texts = EntryTexts {
            entry: name,
            metadata: &metadata,
            report: report.or(stored.as_deref()),
            core_bytes: self.core_bytes(name)?,
            pack_bytes: self.length(name, PACK_FILE),
        };
        Ok(texts.row())
    }

    /// An entry; `None` if it was removed meanwhile.
    pub(super) fn read(&self, name: &str) -> Result<Option<Listed>, RemoteError> {
        let (metadata, report) = (self.text(name, METADATA_FILE)?, self.text(name, REPORT_FILE)?);
        let metadata = metadata.as_deref().and_then(MetadataHead::parse);
        let report = report.as_deref().and_then(ReportHead::parse);
        self.of_heads(name, metadata, report)
    }

    /// The same, of its row, which may be older than its state.
    fn of_row(&self, name: &str, row: Row) -> Result<Option<Listed>, RemoteError> {
        let of_row = row.listed(Path::new(""), Annotations::default());
        self.of_heads(name, of_row.metadata, of_row.report)
    }

    fn of_heads(
        &self,
        name: &str,
        metadata: Option<MetadataHead>,
        report: Option<ReportHead>,
    ) -> Result<Option<Listed>, RemoteError> {
        let files = self.entries.get(name).into_iter().flat_map(StoredFiles::files);
        let lengths = files.map(|file| file.bytes);
        let parts = Parts {
            core_bytes: self.core_bytes(name)?,
            core_recorded: self.length(name, CORE_RECORD).is_some(),
            bytes: lengths.fold(0, u64::saturating_add),
            metadata,
            report,
            pinned: self.length(name, PIN_FILE).is_some(),
        };
        Ok(listing::of_parts(Path::new(&self.channel.shown(name)), parts))
    }

    /// The length of the core of an entry; `None` if it has none.
    fn core_bytes(&self, name: &str) -> Result<Option<u64>, RemoteError> {
        let Some(files) = self.entries.get(name) else { return Ok(None) };
        if !files.has(CORE_RECORD) {
            return Ok(files.length(CORE_FILE).or_else(|| files.length(ENCRYPTED_CORE_FILE)));
        }
        let mut cores = files.files().filter(|file| is_core(&file.name));
        match (cores.next(), cores.next()) {
            (None, _) => Ok(None),
            (Some(core), None) => Ok(Some(core.bytes)),
            // One of them was left by a push that lost to another one.
            _ => match self.channel.get(&format!("{name}/{CORE_RECORD}"), MAX_RECORD) {
                Ok(json) => {
                    let key = CoreRecord::parse(&json).ok().and_then(|record| record.key);
                    Ok(key.and_then(|key| files.length(&key)))
                }
                Err(RemoteError::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            },
        }
    }
}
