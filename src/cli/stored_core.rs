//! ENTRY: the stored core that a command reads, and where it prints.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;

use super::completers;
use super::confinement::SandboxArgs;
use super::exit::Exit;
use super::identity::{Beside, IdentityArgs, Plain};
use super::remote_core::RemoteEntry;
use super::remote_store::RemoteStore;
use super::secret_address;
use super::store_folder::{StoreArgs, StorePlace};
use crate::corefile::pack::MAX_PACK;
use crate::corefile::read::bytes::{Bytes, PlainFile};
use crate::corefile::read::stored_metadata::MAX_METADATA;
use crate::encryption::open_text;
use crate::metadata::Metadata;
use crate::regular_file::{self, read_own};
use crate::remote::address::Address;
use crate::remote::entry::Form;
use crate::sandbox::limits::{Limits, Reads};
use crate::store::annotations::Annotations;
use crate::store::entry::Entry;
use crate::store::pin::is_pinned;
use crate::store::{
    ENCRYPTED_PACK_FILE, PACK_FILE, entry_without_core, is_in_entry, metadata_file, report_file,
};
use crate::vmcore::{OpenError, Vmcore};

/// The ENTRY argument of every command that reads a core.
#[derive(Debug, clap::Args)]
pub(super) struct CoreArgs {
    /// Stored core: a path, an id or its beginning, `latest` or `latest:GUEST`, or an address:
    /// s3://, gs://, az://, https://, file://
    #[arg(add = completers::entries())]
    entry: String,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    identity: IdentityArgs,
    #[command(flatten)]
    sandbox: SandboxArgs,
}

impl CoreArgs {
    /// ENTRY as it was typed.
    pub(super) fn name(&self) -> &str {
        &self.entry
    }

    /// The entry, which may have no core.
    pub(super) fn find(&self) -> anyhow::Result<Found> {
        Found::find(&self.entry, &self.store, &self.identity)
    }

    /// Opens the core, and confines this process before it parses anything.
    pub(super) fn open(&self, reads: Reads) -> anyhow::Result<Vmcore> {
        self.find()?.open(self.sandbox, &self.identity, reads, None)
    }

    /// The same, for a command that writes `output`.
    pub(super) fn open_to_write(&self, reads: Reads, output: &Path) -> anyhow::Result<Vmcore> {
        self.open_to_write_all(reads, &[output])
    }

    /// The same, for a command that writes several files.
    pub(super) fn open_to_write_all(
        &self,
        reads: Reads,
        outputs: &[&Path],
    ) -> anyhow::Result<Vmcore> {
        self.find()?.open_to_write(self.sandbox, &self.identity, reads, outputs)
    }

    /// Opens the core for a command that mounts or starts programs.
    pub(super) fn open_unconfined(&self) -> anyhow::Result<Vmcore> {
        self.find()?.open_unconfined(&self.identity)
    }

    /// The keys of an encrypted core.
    pub(super) fn identity(&self) -> &IdentityArgs {
        &self.identity
    }

    /// How this process may be confined.
    pub(super) fn sandbox(&self) -> SandboxArgs {
        self.sandbox
    }
}

/// What ENTRY means.
#[derive(Debug)]
pub(super) enum Found {
    /// On this machine.
    Local(Entry),
    /// Somewhere else. What fetches it was started.
    Remote(RemoteEntry),
}

impl Found {
    /// What `entry` means: an address, or what the store knows it as. Who has keys most likely reads
    /// an encrypted one.
    pub(super) fn find(
        entry: &str,
        store: &StoreArgs,
        identity: &IdentityArgs,
    ) -> anyhow::Result<Self> {
        let form = if identity.is_empty() { Form::Plain } else { Form::Encrypted };
        Ok(match secret_address::parse(entry) {
            Some(Address::Remote(address)) => Self::Remote(RemoteEntry::open(&address, form)?),
            Some(Address::Local(path)) => Self::Local(Entry::at(&path)),
            None => match store.place() {
                StorePlace::Folder(folder) => Self::Local(Entry::find(entry, &folder)?),
                StorePlace::Remote(_) if Path::new(entry).exists() => {
                    Self::Local(Entry::at(Path::new(entry)))
                }
                StorePlace::Remote(address) => {
                    let store = RemoteStore::open_for(&address, entry)?;
                    let folder = store.find(entry)?;
                    let form = store.form(&folder);
                    Self::Remote(RemoteEntry::in_store(store.channel, &folder, form)?)
                }
            },
        })
    }

    /// The metadata of an entry whose core was left out.
    pub(super) fn without_core(&self) -> Option<Metadata> {
        match self {
            Self::Local(entry) => entry_without_core::read(&entry.core),
            Self::Remote(RemoteEntry::WithoutCore(entry)) => Some(entry.metadata.clone()),
            Self::Remote(RemoteEntry::Core(_)) => None,
        }
    }

    /// What stays in the clear of an encrypted entry; `None` for one that is not encrypted.
    pub(super) fn in_the_clear(&self) -> Option<Metadata> {
        let text = match self {
            Self::Local(entry) => read_own(&metadata_file::path(&entry.core), MAX_METADATA).ok()?,
            Self::Remote(entry) => entry.in_the_clear()?,
        };
        let metadata: Metadata = serde_json::from_slice(&text).ok()?;
        metadata.encrypted.is_some().then_some(metadata)
    }

    /// Whether it has a core, or a triage pack in its place.
    pub(super) fn has_core(&self) -> bool {
        match self {
            Self::Local(entry) => {
                entry.core.exists() || packs_of(&entry.core).any(|pack| pack.exists())
            }
            Self::Remote(entry) => matches!(entry, RemoteEntry::Core(_)),
        }
    }

    /// All metadata of an encrypted entry, from beside its core.
    pub(super) fn sealed_metadata(&self, identity: &IdentityArgs) -> anyhow::Result<Metadata> {
        let text = open_text(&self.sealed_metadata_file()?, &identity.read()?)?.0;
        serde_json::from_slice(&text).context("the metadata is damaged")
    }

    /// The file of the encrypted metadata.
    fn sealed_metadata_file(&self) -> anyhow::Result<Vec<u8>> {
        match self {
            Self::Local(entry) => {
                let path = report_file::sealed_metadata(&entry.core);
                let read = read_own(&path, MAX_METADATA);
                read.with_context(|| format!("cannot read {}", path.display()))
            }
            Self::Remote(entry) => Ok(entry.sealed_metadata()?),
        }
    }

    /// The file of the encrypted triage pack, if there is one.
    fn sealed_pack_file(&self) -> Option<Vec<u8>> {
        /// The longest pack, and what its encryption adds.
        const MOST: u64 = MAX_PACK + (MAX_PACK >> 8);
        match self {
            Self::Local(entry) if is_in_entry(&entry.core) => {
                read_own(&entry.core.with_file_name(ENCRYPTED_PACK_FILE), MOST).ok()
            }
            Self::Local(_) => None,
            Self::Remote(entry) => entry.sealed_pack(MOST),
        }
    }

    /// Opens the core to compare it with the metadata beside it, too.
    pub(super) fn open_to_verify(
        self,
        sandbox: SandboxArgs,
        identity: &IdentityArgs,
        reads: Reads,
    ) -> anyhow::Result<Vmcore> {
        if self.in_the_clear().is_none() {
            return self.without_pack().open(sandbox, identity, reads, None);
        }
        let beside = self.sealed_metadata_file().and_then(|file| {
            let opened = open_text(&file, &identity.read()?);
            Ok(opened.context("cannot open the encrypted metadata")?.0)
        });
        let beside = beside.map_err(|error| format!("{error:#}"));
        // One that does not open is compared as one that is damaged.
        let pack = self.sealed_pack_file().map(|file| match identity.read() {
            Ok(identities) => open_text(&file, &identities).map_or(Vec::new(), |opened| opened.0),
            Err(_) => Vec::new(),
        });
        let core = self.without_pack().open(sandbox, identity, reads, None)?;
        Ok(core.with_neighbours(Arc::new(Beside { metadata: Some(beside), pack })))
    }

    /// The same, of which the core is read wherever there is one, and not its triage pack.
    fn without_pack(self) -> Self {
        match self {
            Self::Remote(entry) => Self::Remote(entry.without_pack()),
            local @ Self::Local(_) => local,
        }
    }

    /// The core's file as it is stored.
    pub(super) fn stored_bytes(self) -> anyhow::Result<Arc<dyn Bytes>> {
        Ok(match self {
            Self::Local(entry) => {
                let path = entry.with_core()?;
                let file = regular_file::open(&path).and_then(PlainFile::new);
                Arc::new(file.map_err(|source| OpenError::Io { path, source })?)
            }
            Self::Remote(entry) => entry.with_core()?.stored()?,
        })
    }

    /// Whether it is kept until its pin is taken away.
    pub(super) fn is_pinned(&self) -> bool {
        match self {
            Self::Local(entry) => {
                let folder = entry.core.parent().filter(|_| is_in_entry(&entry.core));
                folder.is_some_and(is_pinned)
            }
            Self::Remote(entry) => entry.is_pinned(),
        }
    }

    /// What was noted of it since its capture.
    pub(super) fn annotations(&self) -> Annotations {
        match self {
            Self::Local(entry) => {
                let folder = entry.core.parent().filter(|_| is_in_entry(&entry.core));
                folder.map(Annotations::read).unwrap_or_default()
            }
            Self::Remote(entry) => entry.annotations(),
        }
    }

    /// Opens the core, and confines this process before it parses anything. Only beside `output`
    /// may it write.
    pub(super) fn open(
        self,
        sandbox: SandboxArgs,
        identity: &IdentityArgs,
        reads: Reads,
        output: Option<&Path>,
    ) -> anyhow::Result<Vmcore> {
        self.open_to_write(sandbox, identity, reads, output.as_slice())
    }

    /// The same, for a command that may write beside several files.
    fn open_to_write(
        self,
        sandbox: SandboxArgs,
        identity: &IdentityArgs,
        reads: Reads,
        outputs: &[&Path],
    ) -> anyhow::Result<Vmcore> {
        match self {
            Self::Local(entry) => {
                let path = entry.with_core()?;
                let (opened, limits) = open_here(&path, identity, reads)?;
                sandbox.confine(&limits, outputs);
                opened.parse(&path)
            }
            Self::Remote(entry) => {
                let core = entry.with_core()?;
                let limits = Limits::of_stored(core.length(), reads);
                let core = core.opened(identity)?;
                sandbox.confine(&limits, outputs);
                core.parse()
            }
        }
    }

    /// Opens the core for a command that mounts or starts programs.
    pub(super) fn open_unconfined(self, identity: &IdentityArgs) -> anyhow::Result<Vmcore> {
        match self {
            Self::Local(entry) => {
                let path = entry.with_core()?;
                open_here(&path, identity, Reads::Unlimited)?.0.parse(&path)
            }
            Self::Remote(entry) => entry.with_core()?.opened(identity)?.parse(),
        }
    }
}

/// A core on this machine, or what its triage pack has of it.
struct Opened {
    plain: Plain,
    is_pack: bool,
}

/// Where the triage pack of an entry's core may be.
fn packs_of(core: &Path) -> impl Iterator<Item = PathBuf> {
    let names = [PACK_FILE, ENCRYPTED_PACK_FILE].iter().filter(move |_| is_in_entry(core));
    names.map(move |name| core.with_file_name(name))
}

/// Opens a core on this machine. Gives what reading it may cost, too.
fn open_here(
    path: &Path,
    identity: &IdentityArgs,
    reads: Reads,
) -> anyhow::Result<(Opened, Limits)> {
    let pack = || packs_of(path).map(|pack| regular_file::open(&pack).ok());
    let (opened, is_pack) = match regular_file::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => match pack().flatten().next() {
            Some(pack) => (Ok(pack), true),
            None => (Err(error), false),
        },
        opened => (opened, false),
    };
    let opened = opened.and_then(|file| {
        let limits = Limits::of(&file.metadata()?, reads);
        Ok((PlainFile::new(file)?, limits))
    });
    let (file, limits) =
        opened.map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
    let plain = identity.plain(Arc::new(file));
    let plain = plain.with_context(|| format!("cannot open {}", path.display()))?;
    Ok((Opened { plain, is_pack }, limits))
}

impl Opened {
    fn parse(self, path: &Path) -> anyhow::Result<Vmcore> {
        let core = match self.is_pack {
            true => Vmcore::of_pack_bytes(self.plain.bytes, path)?,
            false => Vmcore::of_bytes(self.plain.bytes, path)?,
        };
        let core = core.with_finding(self.plain.finding);
        Ok(match self.plain.header {
            Some(_) => core.with_neighbours(Arc::new(Beside::default())),
            None => core,
        })
    }
}

/// Prints to the standard output. A reader that closed the pipe is no failure.
pub(super) fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> anyhow::Result<Exit> {
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Done),
        other => other.map(|()| Exit::Done).context("cannot write to the standard output"),
    }
}
