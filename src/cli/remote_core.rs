//! ENTRY as an address: a core in object storage, or behind HTTP.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;

use super::identity::{Beside, IdentityArgs};
use super::remote_store::annotations;
use crate::corefile::read::bytes::Bytes;
use crate::corefile::read::stored_metadata::{MAX_METADATA, Neighbours};
use crate::metadata::core_record::{CORE_RECORD, CoreRecord, MAX_RECORD};
use crate::metadata::{
    CORE_FILE, ENCRYPTED, ENCRYPTED_CORE_FILE, ENCRYPTED_METADATA_FILE, METADATA_FILE, Metadata,
};
use crate::remote::address::RemoteAddress;
use crate::remote::file::{RemoteFile, RemoteNeighbours};
use crate::remote::{self, Channel, RemoteError};
use crate::store::annotations::Annotations;
use crate::store::pin::PIN_FILE;
use crate::store::{
    ENCRYPTED_PACK_FILE, ENCRYPTED_REPORT_FILE, REPORT_FILE, StoreError, report_file,
};
use crate::vmcore::{OpenError, Vmcore};

/// A core that is not on this machine, opened and not yet parsed.
#[derive(Debug)]
pub(super) struct RemoteCore {
    file: RemoteFile,
    neighbours: RemoteNeighbours,
}

/// A core whose plain bytes can be read.
#[derive(Debug)]
pub(super) struct OpenedCore {
    bytes: Arc<dyn Bytes>,
    path: PathBuf,
    neighbours: Arc<dyn Neighbours>,
}

/// What an address turned out to be.
#[derive(Debug)]
pub(super) enum RemoteEntry {
    Core(Box<RemoteCore>),
    /// An entry whose core was left out, removed, or not uploaded yet.
    WithoutCore(Box<WithoutCore>),
}

/// An entry that is not on this machine, and has no core.
#[derive(Debug)]
pub(super) struct WithoutCore {
    pub(super) metadata: Metadata,
    /// Why not, if the metadata does not say.
    reason: String,
    /// Its directory below the channel's root, with a slash at its end; empty if it is the root.
    folder: String,
    channel: Arc<Channel>,
}

impl WithoutCore {
    /// The address of its report.
    pub(super) fn report_address(&self) -> String {
        self.channel.shown(&format!("{}{REPORT_FILE}", self.folder))
    }

    /// Its report, as stored.
    pub(super) fn report(&self) -> Result<Vec<u8>, RemoteError> {
        let name = match self.metadata.encrypted {
            Some(_) => ENCRYPTED_REPORT_FILE,
            None => REPORT_FILE,
        };
        self.channel.get(&format!("{}{name}", self.folder), report_file::MAX_BYTES)
    }
}

impl RemoteEntry {
    /// Opens what is at an address: a core, or an entry's directory.
    pub(super) fn open(address: &RemoteAddress) -> anyhow::Result<Self> {
        if cfg!(not(feature = "remote")) {
            anyhow::bail!("{}", remote::LEFT_OUT);
        }
        let (folder, name) = match address.is_folder() {
            true => (address.clone(), CORE_FILE.to_owned()),
            false => address.split(),
        };
        Self::at(Arc::new(Channel::open(remote::start()?, folder)?), name)
    }

    /// Opens the entry in a directory of a store.
    pub(super) fn in_store(channel: Arc<Channel>, folder: &str) -> anyhow::Result<Self> {
        Self::at(channel, format!("{folder}/{CORE_FILE}"))
    }

    fn at(channel: Arc<Channel>, name: String) -> anyhow::Result<Self> {
        let folder = name.strip_suffix(CORE_FILE).map(str::to_owned);
        let record = folder.as_deref().and_then(|folder| record(&channel, folder));
        let reason = match &record {
            Some(record) => record.to_string(),
            None => "it is not uploaded (yet)".to_owned(),
        };
        let key = record.and_then(|record| record.key);
        let mut name = match (&folder, key) {
            (Some(folder), Some(key)) => [folder, key.as_str()].concat(),
            _ => name,
        };
        let mut opened = RemoteFile::open(Arc::clone(&channel), &name);
        if let (Err(RemoteError::NotFound { .. }), true) = (&opened, name.ends_with(CORE_FILE)) {
            let encrypted = name.clone() + ENCRYPTED;
            if let Ok(file) = RemoteFile::open(Arc::clone(&channel), &encrypted) {
                (opened, name) = (Ok(file), encrypted);
            }
        }
        match opened {
            Ok(file) => {
                let neighbours = RemoteNeighbours::new(channel, &name);
                Ok(Self::Core(Box::new(RemoteCore { file, neighbours })))
            }
            Err(error @ RemoteError::NotFound { .. }) if folder.is_some() => {
                let folder = folder.unwrap_or_default();
                let metadata = channel.get(&format!("{folder}{METADATA_FILE}"), MAX_METADATA).ok();
                let metadata: Option<Metadata> =
                    metadata.and_then(|text| serde_json::from_slice(&text).ok());
                let Some(metadata) = metadata else { return Err(error.into()) };
                Ok(Self::WithoutCore(Box::new(WithoutCore { metadata, reason, folder, channel })))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The core.
    ///
    /// # Errors
    /// Fails if it was left out, or is not there.
    pub(super) fn with_core(self) -> Result<RemoteCore, StoreError> {
        match self {
            Self::Core(core) => Ok(*core),
            Self::WithoutCore(entry) => {
                let folder = PathBuf::from(entry.channel.shown(entry.folder.trim_end_matches('/')));
                Err(match entry.metadata.core_left_out {
                    Some(left_out) => StoreError::CoreLeftOut { folder, left_out },
                    None => StoreError::CoreNotHere { folder, reason: entry.reason },
                })
            }
        }
    }

    /// What was noted of it since its capture; nothing where that cannot be listed.
    pub(super) fn annotations(&self) -> Annotations {
        let (channel, folder) = match self {
            Self::Core(core) if !core.neighbours.is_in_entry() => return Annotations::default(),
            Self::Core(core) => core.neighbours.folder(),
            Self::WithoutCore(entry) => (&entry.channel, entry.folder.trim_end_matches('/')),
        };
        // A web server has no lists.
        if channel.root().with_secrets().starts_with("http") {
            return Annotations::default();
        }
        annotations(channel, folder).unwrap_or_default()
    }

    /// The text of what stays in the clear beside an encrypted core, or of an entry without one.
    pub(super) fn in_the_clear(&self) -> Option<Vec<u8>> {
        match self {
            Self::Core(core) if core.neighbours.is_encrypted() => core.neighbours.metadata().ok(),
            Self::Core(_) => None,
            Self::WithoutCore(entry) => Some(entry.metadata.to_json()),
        }
    }

    /// The file of the encrypted metadata.
    pub(super) fn sealed_metadata(&self) -> Result<Vec<u8>, RemoteError> {
        match self {
            Self::Core(core) => core.neighbours.get(ENCRYPTED_METADATA_FILE, MAX_METADATA),
            Self::WithoutCore(entry) => {
                let name = format!("{}{ENCRYPTED_METADATA_FILE}", entry.folder);
                entry.channel.get(&name, MAX_METADATA)
            }
        }
    }

    /// The file of the encrypted triage pack, if there is one that is no longer than this.
    pub(super) fn sealed_pack(&self, most: u64) -> Option<Vec<u8>> {
        match self {
            Self::Core(core) => core.neighbours.get(ENCRYPTED_PACK_FILE, most).ok(),
            Self::WithoutCore(_) => None,
        }
    }

    /// Whether it is pinned.
    pub(super) fn is_pinned(&self) -> bool {
        match self {
            Self::Core(core) => core.neighbours.is_in_entry() && core.neighbours.has(PIN_FILE),
            Self::WithoutCore(entry) => {
                entry.channel.get(&format!("{}{PIN_FILE}", entry.folder), MAX_METADATA).is_ok()
            }
        }
    }
}

impl RemoteCore {
    /// How long its file is.
    pub(super) fn length(&self) -> u64 {
        self.file.length()
    }

    /// Its file as it is stored.
    pub(super) fn stored(self) -> Arc<dyn Bytes> {
        Arc::new(self.file)
    }

    /// Opens it, if it is encrypted, by one of these keys.
    pub(super) fn opened(self, identity: &IdentityArgs) -> anyhow::Result<OpenedCore> {
        let mut path = PathBuf::from(self.file.shown());
        if self.neighbours.is_in_entry() {
            // What is printed names the core as in any entry.
            let encrypted = self.neighbours.is_encrypted();
            path.set_file_name(if encrypted { ENCRYPTED_CORE_FILE } else { CORE_FILE });
        }
        let plain = identity.plain(Arc::new(self.file));
        let plain = plain.with_context(|| format!("cannot open {}", path.display()))?;
        let neighbours: Arc<dyn Neighbours> = match plain.header {
            Some(_) => Arc::new(Beside::default()),
            None => Arc::new(self.neighbours),
        };
        Ok(OpenedCore { bytes: plain.bytes, path, neighbours })
    }
}

impl OpenedCore {
    /// Parses its head.
    pub(super) fn parse(self) -> Result<Vmcore, OpenError> {
        Ok(Vmcore::of_bytes(self.bytes, &self.path)?.with_neighbours(self.neighbours))
    }
}

/// The record of where the core of an entry is, if it has one that can be read: a store that was
/// copied by other tools has none.
fn record(channel: &Channel, folder: &str) -> Option<CoreRecord> {
    if channel.root().has_query() {
        return None;
    }
    let json = channel.get(&format!("{folder}{CORE_RECORD}"), MAX_RECORD).ok()?;
    CoreRecord::parse(&json).ok()
}
