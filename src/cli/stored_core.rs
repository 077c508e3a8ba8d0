//! ENTRY: the stored core that a command reads, and where it prints.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::Context;

use super::completers;
use super::confinement::SandboxArgs;
use super::exit::Exit;
use super::remote_core::RemoteEntry;
use super::remote_store::RemoteStore;
use super::store_folder::{StoreArgs, StorePlace};
use crate::metadata::Metadata;
use crate::remote::address::Address;
use crate::sandbox::limits::{Limits, Reads};
use crate::store::annotations::Annotations;
use crate::store::entry::Entry;
use crate::store::pin::is_pinned;
use crate::store::{CORE_FILE, entry_without_core};
use crate::vmcore::Vmcore;

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
    sandbox: SandboxArgs,
}

impl CoreArgs {
    /// ENTRY as it was typed.
    pub(super) fn name(&self) -> &str {
        &self.entry
    }

    /// The entry, which may have no core.
    pub(super) fn find(&self) -> anyhow::Result<Found> {
        Found::find(&self.entry, &self.store)
    }

    /// Opens the core, and confines this process before it parses anything.
    pub(super) fn open(&self, reads: Reads) -> anyhow::Result<Vmcore> {
        self.find()?.open(self.sandbox, reads, None)
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
        self.find()?.open_to_write(self.sandbox, reads, outputs)
    }

    /// Opens the core for a command that mounts or starts programs.
    pub(super) fn open_unconfined(&self) -> anyhow::Result<Vmcore> {
        self.find()?.open_unconfined()
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
    /// What `entry` means: an address, or what the store knows it as.
    pub(super) fn find(entry: &str, store: &StoreArgs) -> anyhow::Result<Self> {
        Ok(match Address::parse(entry) {
            Some(Address::Remote(address)) => Self::Remote(RemoteEntry::open(&address)?),
            Some(Address::Local(path)) => Self::Local(Entry::at(&path)),
            None => match store.place() {
                StorePlace::Folder(folder) => Self::Local(Entry::find(entry, &folder)?),
                StorePlace::Remote(_) if Path::new(entry).exists() => {
                    Self::Local(Entry::at(Path::new(entry)))
                }
                StorePlace::Remote(address) => {
                    let store = RemoteStore::open(&address)?;
                    let folder = store.find(entry)?;
                    Self::Remote(RemoteEntry::in_store(store.channel, &folder)?)
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

    /// Whether it is kept until its pin is taken away.
    pub(super) fn is_pinned(&self) -> bool {
        match self {
            Self::Local(entry) => {
                let folder = entry.core.parent().filter(|_| entry.core.ends_with(CORE_FILE));
                folder.is_some_and(is_pinned)
            }
            Self::Remote(entry) => entry.is_pinned(),
        }
    }

    /// What was noted of it since its capture.
    pub(super) fn annotations(&self) -> Annotations {
        match self {
            Self::Local(entry) => {
                let folder = entry.core.parent().filter(|_| entry.core.ends_with(CORE_FILE));
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
        reads: Reads,
        output: Option<&Path>,
    ) -> anyhow::Result<Vmcore> {
        self.open_to_write(sandbox, reads, output.as_slice())
    }

    /// The same, for a command that may write beside several files.
    fn open_to_write(
        self,
        sandbox: SandboxArgs,
        reads: Reads,
        outputs: &[&Path],
    ) -> anyhow::Result<Vmcore> {
        match self {
            Self::Local(entry) => sandbox.open(&entry.with_core()?, reads, outputs),
            Self::Remote(entry) => {
                let core = entry.with_core()?;
                sandbox.confine(&Limits::of_stored(core.length(), reads), outputs);
                Ok(core.parse()?)
            }
        }
    }

    /// Opens the core for a command that mounts or starts programs.
    pub(super) fn open_unconfined(self) -> anyhow::Result<Vmcore> {
        match self {
            Self::Local(entry) => Ok(Vmcore::open(&entry.with_core()?)?),
            Self::Remote(entry) => Ok(entry.with_core()?.parse()?),
        }
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
