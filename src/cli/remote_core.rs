//! ENTRY as an address: a core in object storage, or behind HTTP.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;

use super::identity::{Beside, CoreKeys, IdentityArgs};
use super::remote_store::annotations;
use super::ui::say;
use crate::corefile::read::bytes::Bytes;
use crate::corefile::read::stored_metadata::{MAX_METADATA, Neighbours};
use crate::metadata::{
    CORE_FILE, ENCRYPTED_CORE_FILE, ENCRYPTED_METADATA_FILE, METADATA_FILE, Metadata,
};
use crate::remote::address::RemoteAddress;
use crate::remote::entry::{CoreBytes, EntryCore, EntryOf, Form};
use crate::remote::file::RemoteNeighbours;
use crate::remote::{self, Channel, RemoteError};
use crate::store::annotations::Annotations;
use crate::store::pin::PIN_FILE;
use crate::store::{
    ENCRYPTED_PACK_FILE, ENCRYPTED_REPORT_FILE, REPORT_FILE, StoreError, report_file,
};
use crate::vmcore::Vmcore;

/// A core that is not on this machine, opened and not yet parsed.
#[derive(Debug)]
pub(super) struct RemoteCore {
    core: EntryCore,
    neighbours: RemoteNeighbours,
}

/// A core whose plain bytes can be read.
#[derive(Debug)]
pub(super) struct OpenedCore {
    source: Source,
    path: PathBuf,
    neighbours: Arc<dyn Neighbours>,
    /// What was found when it was decrypted.
    finding: Option<String>,
}

/// Where plain bytes of a core come from.
#[derive(Debug)]
enum Source {
    Plain(Arc<dyn Bytes>),
    /// An entry with a triage pack, which is parsed when the process has confined itself.
    Entry(Box<EntryCore>),
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
    pub(super) fn open(address: &RemoteAddress, expected: Form) -> anyhow::Result<Self> {
        if cfg!(not(feature = "remote")) {
            anyhow::bail!("{}", remote::LEFT_OUT);
        }
        let (folder, name) = match address.is_folder() {
            true => (address.clone(), CORE_FILE.to_owned()),
            false => address.split(),
        };
        Self::at(Arc::new(Channel::open(remote::start()?, folder)?), name, expected)
    }

    /// Opens the entry in a directory of a store.
    pub(super) fn in_store(
        channel: Arc<Channel>,
        folder: &str,
        form: Form,
    ) -> anyhow::Result<Self> {
        Self::at(channel, format!("{folder}/{CORE_FILE}"), form)
    }

    fn at(channel: Arc<Channel>, name: String, expected: Form) -> anyhow::Result<Self> {
        let of_encrypted = name.strip_suffix(ENCRYPTED_CORE_FILE);
        let expected = if of_encrypted.is_some() { Form::Encrypted } else { expected };
        let core = match of_encrypted.or_else(|| name.strip_suffix(CORE_FILE)) {
            None => EntryCore::of_file(Arc::clone(&channel), name)?,
            Some(folder) => match EntryCore::open(&channel, folder, expected)? {
                EntryOf::Core(core) => *core,
                EntryOf::Nothing { reason, error } => {
                    let text = channel.get(&format!("{folder}{METADATA_FILE}"), MAX_METADATA).ok();
                    let metadata: Option<Metadata> =
                        text.and_then(|text| serde_json::from_slice(&text).ok());
                    let Some(metadata) = metadata else { return Err(error.into()) };
                    let folder = folder.to_owned();
                    let entry = WithoutCore { metadata, reason, folder, channel };
                    return Ok(Self::WithoutCore(Box::new(entry)));
                }
            },
        };
        let neighbours = RemoteNeighbours::new(channel, &core.name, core.record.clone());
        Ok(Self::Core(Box::new(RemoteCore { core, neighbours })))
    }

    /// The same, of which the core is read wherever there is one, and not its triage pack.
    pub(super) fn without_pack(self) -> Self {
        match self {
            Self::Core(core) => {
                let RemoteCore { core, neighbours } = *core;
                Self::Core(Box::new(RemoteCore { core: core.without_pack(), neighbours }))
            }
            entry @ Self::WithoutCore(_) => entry,
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
        self.core.length()
    }

    /// Its file as it is stored.
    pub(super) fn stored(self) -> Result<Arc<dyn Bytes>, RemoteError> {
        Ok(self.core.without_pack().bytes()?.bytes)
    }

    /// Opens it, if it is encrypted, by one of these keys.
    pub(super) fn opened(self, identity: &IdentityArgs) -> anyhow::Result<OpenedCore> {
        let mut path = PathBuf::from(self.core.shown());
        if self.neighbours.is_in_entry() {
            // What is printed names the core as in any entry.
            let encrypted = self.neighbours.is_encrypted();
            path.set_file_name(if encrypted { ENCRYPTED_CORE_FILE } else { CORE_FILE });
        }
        let is_encrypted = self.core.is_encrypted();
        let core = if is_encrypted { unsealed(self.core, identity)? } else { self.core };
        if core.pack().is_some() {
            let neighbours: Arc<dyn Neighbours> = match is_encrypted {
                true => Arc::new(Beside::default()),
                false => Arc::new(self.neighbours),
            };
            return Ok(OpenedCore {
                source: Source::Entry(Box::new(core)),
                path,
                neighbours,
                finding: None,
            });
        }
        let plain = identity.plain(core.bytes()?.bytes);
        let plain = plain.with_context(|| format!("cannot open {}", path.display()))?;
        let neighbours: Arc<dyn Neighbours> = match plain.header {
            Some(_) => Arc::new(Beside::default()),
            None => Arc::new(self.neighbours),
        };
        let (source, finding) = (Source::Plain(plain.bytes), plain.finding);
        Ok(OpenedCore { source, path, neighbours, finding })
    }
}

/// An encrypted entry, whose triage pack is opened by one of these keys. Its core is opened where it
/// is needed, by the same keys; before the process confines itself, if a program has to be started
/// or somebody asked for that. A pack that is damaged is not used.
fn unsealed(core: EntryCore, identity: &IdentityArgs) -> anyhow::Result<EntryCore> {
    let Some(pack) = core.pack() else { return Ok(core) };
    let keys = Arc::new(CoreKeys::read(identity)?);
    match keys.open_pack(pack) {
        Ok(pack) => {
            let opened = core.with_opened_pack(pack, Arc::<CoreKeys>::clone(&keys) as _);
            Ok(if keys.are_in_memory() { opened } else { opened.unsealed_now() })
        }
        Err(error) if error.is_of_file() && core.has_core() => {
            say(&format!("warning: the triage pack of {} is not used: {error}", core.shown()));
            Ok(core.without_pack())
        }
        Err(error) => Err(error).with_context(|| format!("cannot open {}", core.shown())),
    }
}

impl OpenedCore {
    /// Parses its head.
    pub(super) fn parse(self) -> anyhow::Result<Vmcore> {
        let bytes = match self.source {
            Source::Plain(bytes) => bytes,
            Source::Entry(core) => {
                let CoreBytes { bytes, warning } = core.bytes()?;
                if let Some(warning) = warning {
                    say(&format!("warning: {warning}"));
                }
                bytes
            }
        };
        let core = Vmcore::of_bytes(bytes, &self.path)?.with_finding(self.finding);
        Ok(core.with_neighbours(self.neighbours))
    }
}
