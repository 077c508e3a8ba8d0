//! Brings an entry from a bucket into a store of this machine, and verifies it before it is
//! published.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::BucketError;
use super::files::{MAX_WHOLE, before_metadata, encrypted};
use super::kept;
use super::push::record;
use crate::corefile::chunk_hash::chunk_hash;
use crate::corefile::read::chunked::ChunkedFile;
use crate::metadata::core_record::{CORE_RECORD, CoreRecord, hex};
use crate::metadata::{Metadata, MetadataFiles};
use crate::remote::{Channel, RemoteError};
use crate::store::listing::{read_entry, time_of};
use crate::store::removal::remove;
use crate::store::staging::Staging;
use crate::store::{CORE_FILE, INCOMPLETE, METADATA_FILE, StoreError};

/// What was brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// The entry's directory.
    pub folder: PathBuf,
    /// The length of its core, if that was brought.
    pub core_bytes: Option<u64>,
    /// Whether all that was asked for was here already.
    pub was_here: bool,
    /// Why there is no core although it was asked for; `None` also for an entry that never has one.
    pub without: Option<String>,
}

/// The core of an entry in the bucket.
struct RemoteCore {
    /// Its name, with the entry's.
    name: String,
    /// Its name in an entry of this machine.
    local: String,
    record: Option<CoreRecord>,
}

/// Brings an entry (`GUEST/ID`), with or without its core.
///
/// # Errors
/// Fails if something of it cannot be had or written, or is not what it should be. Nothing is
/// published then.
pub fn pull(
    channel: &Channel,
    entry: &str,
    store: &Path,
    with_core: bool,
) -> Result<Pulled, BucketError> {
    let (guest, id) = parts(entry).ok_or_else(|| StoreError::NoEntry {
        wanted: entry.to_owned(),
        store: PathBuf::from(channel.root().shown()),
    })?;
    let mut metadata = channel.get(&format!("{entry}/{METADATA_FILE}"), MAX_WHOLE)?;
    let record = record(channel, entry)?;
    let files = Files { channel, entry, record: record.clone() };
    if let Some(Some(of_record)) = record.is_some().then(|| files.get(METADATA_FILE)).transpose()? {
        metadata = of_record;
    }
    let has_none = record.as_ref().is_some_and(CoreRecord::has_no_core);
    let found = find_core(channel, entry, record)?;
    let (core, without) = match found {
        Ok(core) => (Some(core), None),
        Err(reason) => (None, Some(reason).filter(|_| with_core && !has_none)),
    };
    let folder = store.join(guest).join(id);
    let mut pulled = Pulled { folder, core_bytes: None, was_here: false, without };
    if pulled.folder.exists() {
        return add_core(channel, core.filter(|_| with_core), &metadata, pulled);
    }
    // What an interrupted process has left. That of one which runs is locked, and stays.
    let left = store.join(guest).join(format!("{id}{INCOMPLETE}"));
    if let Some(left) = read_entry(&left).filter(|left| left.folder.exists()) {
        remove(&left)?;
    }
    let (staging, core_file) = Staging::receive(store, guest, id)?;
    let staged = staging.staged().to_owned();
    let mut bring = || {
        for name in before_metadata() {
            if let Some(bytes) = files.get(&name)? {
                write_file(&bytes, &staged.join(&name))?;
            }
        }
        staging.write_metadata(&MetadataFiles::plain(metadata.clone()), true)?;
        match (&core, with_core) {
            (Some(core), true) => {
                let bytes = bring_core(channel, core, &core_file, &metadata)?;
                if core.local != CORE_FILE {
                    rename(&staged.join(CORE_FILE), &staged.join(&core.local))?;
                }
                pulled.core_bytes = Some(bytes);
            }
            (core, _) => {
                if let Some(record) = core.as_ref().and_then(|core| core.record.clone()) {
                    kept::write(&staged, &CoreRecord { at: Some(channel.shown(entry)), ..record })?;
                }
                let path = staged.join(CORE_FILE);
                fs::remove_file(&path).map_err(|source| BucketError::io("remove", path, source))?;
            }
        }
        let (_, synced) = staging.publish()?;
        Ok(synced?)
    };
    let brought: Result<(), BucketError> = bring();
    if let Err(error) = brought {
        if staged.exists() {
            let _ = fs::remove_dir_all(&staged);
        }
        let _ = fs::remove_dir(store.join(guest));
        return Err(error);
    }
    Ok(pulled)
}

/// The guest's directory and the id, if they are names that lead nowhere else.
pub(super) fn parts(entry: &str) -> Option<(&str, &str)> {
    let (guest, id) = entry.split_once('/')?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-%~".contains(&byte);
    let is_name = |name: &str| !name.starts_with('.') && name.bytes().all(plain);
    let is_entry = !guest.is_empty() && is_name(guest) && is_name(id) && time_of(id).is_some();
    (is_entry && !guest.ends_with(INCOMPLETE) && !id.ends_with(INCOMPLETE)).then_some((guest, id))
}

/// The core of an entry, or why there is none.
fn find_core(
    channel: &Channel,
    entry: &str,
    record: Option<CoreRecord>,
) -> Result<Result<RemoteCore, String>, BucketError> {
    if let Some(record) = record {
        let Some(key) = &record.key else { return Ok(Err(record.to_string())) };
        let local = if key.ends_with(".age") { encrypted(CORE_FILE) } else { CORE_FILE.to_owned() };
        let name = format!("{entry}/{key}");
        return Ok(Ok(RemoteCore { name, local, record: Some(record) }));
    }
    for local in [CORE_FILE.to_owned(), encrypted(CORE_FILE)] {
        let name = format!("{entry}/{local}");
        match channel.end(&name, 1) {
            Ok(_) => return Ok(Ok(RemoteCore { name, local, record: None })),
            Err(RemoteError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Err("the entry has no core, or it is not uploaded (yet)".to_owned()))
}

/// The small files of an entry.
struct Files<'a> {
    channel: &'a Channel,
    entry: &'a str,
    record: Option<CoreRecord>,
}

impl Files<'_> {
    /// A file, if the entry has it: as it is to be, if the record says that.
    fn get(&self, file: &str) -> Result<Option<Vec<u8>>, BucketError> {
        let object = match &self.record {
            Some(record) => record.object_of(file),
            None => Some(file),
        };
        let Some(object) = object else { return Ok(None) };
        let expected = self.record.as_ref().and_then(|record| record.files.get(file));
        let name = format!("{}/{object}", self.entry);
        let bytes = match self.channel.get(&name, MAX_WHOLE) {
            Err(RemoteError::NotFound { .. }) if expected.is_none() => return Ok(None),
            bytes => bytes?,
        };
        if expected.is_some_and(|expected| !expected.has(&bytes)) {
            return Err(BucketError::Differs {
                address: self.channel.shown(&name),
                problem: "its SHA-256 is not the one in core.json".to_owned(),
            });
        }
        Ok(Some(bytes))
    }
}

fn write_file(bytes: &[u8], to: &Path) -> Result<(), BucketError> {
    let write = || {
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(to)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|source| BucketError::io("write", to, source))
}

/// Brings a core, and verifies it.
fn bring_core(
    channel: &Channel,
    core: &RemoteCore,
    file: &File,
    metadata: &[u8],
) -> Result<u64, BucketError> {
    let downloaded = channel.download(&core.name, file)?;
    let length = downloaded.bytes;
    let io = |source| BucketError::io("write", &core.local, source);
    file.sync_all().map_err(io)?;
    let differs = |problem: &str| BucketError::Differs {
        address: channel.shown(&core.name),
        problem: problem.to_owned(),
    };
    let record = core.record.as_ref();
    if record.is_some_and(|record| record.bytes != length) {
        return Err(differs("its length is not that of its record"));
    }
    if let Some(expected) = record.and_then(|record| record.sha256.as_ref())
        && *expected != hex(&downloaded.sha256)
    {
        return Err(differs("its SHA-256 is not that of its record"));
    }
    let metadata: Option<Metadata> = serde_json::from_slice(metadata).ok();
    let described = metadata.and_then(|metadata| metadata.core);
    if let Some(described) = described.filter(|_| core.local == CORE_FILE) {
        let chunked = file.try_clone().map_err(io).map(ChunkedFile::open)?;
        let chunked = chunked.map_err(|error| differs(&error.to_string()))?;
        let frames = chunked.table().frames().iter();
        let table = frames.filter(|frame| frame.decompressed > 0).collect();
        if chunk_hash(&table) != described.chunks_sha256 {
            return Err(differs("its hash over the chunks is not that of its metadata"));
        }
    }
    Ok(length)
}

/// Brings the core of an entry that is here without it.
fn add_core(
    channel: &Channel,
    core: Option<RemoteCore>,
    metadata: &[u8],
    mut pulled: Pulled,
) -> Result<Pulled, BucketError> {
    let has_core = |name: &str| pulled.folder.join(name).exists();
    let Some(core) = core.filter(|core| !has_core(CORE_FILE) && !has_core(&core.local)) else {
        pulled.was_here = true;
        pulled.without = None;
        return Ok(pulled);
    };
    let new = pulled.folder.join(core.local.clone() + INCOMPLETE);
    let _ = fs::remove_file(&new);
    let mut options = File::options();
    let file = options.read(true).write(true).create_new(true).mode(0o600).open(&new);
    let file = file.map_err(|source| BucketError::io("create", &new, source))?;
    let brought = bring_core(channel, &core, &file, metadata)
        .and_then(|bytes| rename(&new, &pulled.folder.join(&core.local)).map(|()| bytes));
    if brought.is_err() {
        let _ = fs::remove_file(&new);
    }
    pulled.core_bytes = Some(brought?);
    let _ = fs::remove_file(pulled.folder.join(CORE_RECORD));
    Ok(pulled)
}

fn rename(from: &Path, to: &Path) -> Result<(), BucketError> {
    fs::rename(from, to).map_err(|source| BucketError::io("rename", from, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_server_lead_to_no_other_directory() {
        assert_eq!(
            parts("web-3/20260101T000000Z-aaaa0001"),
            Some(("web-3", "20260101T000000Z-aaaa0001"))
        );
        for entry in [
            "../20260101T000000Z-aaaa0001",
            ".push/20260101T000000Z-aaaa0001",
            "web/../../x",
            "web/20260101T000000Z-/../x",
            "web/20260101T000000Z-aaaa0001.incomplete",
            "web/latest",
            "/20260101T000000Z-aaaa0001",
            "20260101T000000Z-aaaa0001",
        ] {
            assert_eq!(parts(entry), None, "{entry}");
        }
    }
}
