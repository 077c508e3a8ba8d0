//! ENTRY as an address: a core in object storage, or behind HTTP.

use std::path::PathBuf;
use std::sync::Arc;

use crate::corefile::read::bytes::Bytes;
use crate::corefile::read::stored_metadata::MAX_METADATA;
use crate::metadata::{CORE_FILE, CoreLeftOut, METADATA_FILE, Metadata};
use crate::remote::address::RemoteAddress;
use crate::remote::file::{RemoteFile, RemoteNeighbours};
use crate::remote::{self, Channel, RemoteError};
use crate::store::pin::PIN_FILE;
use crate::store::{REPORT_FILE, StoreError, report_file};
use crate::vmcore::{OpenError, Vmcore};

/// A core that is not on this machine, opened and not yet parsed.
#[derive(Debug)]
pub(super) struct RemoteCore {
    file: RemoteFile,
    neighbours: RemoteNeighbours,
}

/// What an address turned out to be.
#[derive(Debug)]
pub(super) enum RemoteEntry {
    Core(Box<RemoteCore>),
    /// An entry whose core was left out.
    WithoutCore(Box<WithoutCore>),
}

/// An entry that is not on this machine, and has no core.
#[derive(Debug)]
pub(super) struct WithoutCore {
    pub(super) metadata: Metadata,
    left_out: CoreLeftOut,
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
        self.channel.get(&format!("{}{REPORT_FILE}", self.folder), report_file::MAX_BYTES)
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
        match RemoteFile::open(Arc::clone(&channel), &name) {
            Ok(file) => {
                let neighbours = RemoteNeighbours::new(channel, &name);
                Ok(Self::Core(Box::new(RemoteCore { file, neighbours })))
            }
            Err(error @ RemoteError::NotFound { .. }) if folder.is_some() => {
                let folder = folder.unwrap_or_default();
                let metadata = channel.get(&format!("{folder}{METADATA_FILE}"), MAX_METADATA).ok();
                let metadata: Option<Metadata> =
                    metadata.and_then(|text| serde_json::from_slice(&text).ok());
                let left_out = metadata.as_ref().and_then(|found| found.core_left_out.clone());
                let (Some(metadata), Some(left_out)) = (metadata, left_out) else {
                    return Err(error.into());
                };
                Ok(Self::WithoutCore(Box::new(WithoutCore { metadata, left_out, folder, channel })))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The core.
    ///
    /// # Errors
    /// Fails if it was left out.
    pub(super) fn with_core(self) -> Result<RemoteCore, StoreError> {
        match self {
            Self::Core(core) => Ok(*core),
            Self::WithoutCore(entry) => Err(StoreError::CoreLeftOut {
                folder: PathBuf::from(entry.channel.shown(entry.folder.trim_end_matches('/'))),
                left_out: entry.left_out,
            }),
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

    /// Parses its head.
    pub(super) fn parse(self) -> Result<Vmcore, OpenError> {
        let path = PathBuf::from(self.file.shown());
        let core = Vmcore::of_bytes(Arc::new(self.file), &path)?;
        Ok(core.with_neighbours(Arc::new(self.neighbours)))
    }
}
