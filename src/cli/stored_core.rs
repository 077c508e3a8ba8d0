//! ENTRY: the stored core that a command reads, and where it prints.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::confinement::SandboxArgs;
use super::exit::Exit;
use super::store_folder::StoreArgs;
use crate::regular_file;
use crate::sandbox::limits::{Limits, Reads};
use crate::store::entry::Entry;
use crate::vmcore::{OpenError, Vmcore};

/// The ENTRY argument of every command that reads a core.
#[derive(Debug, clap::Args)]
pub(super) struct CoreArgs {
    /// Stored core: a path, an id or its beginning, `latest` or `latest:GUEST`
    entry: String,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    sandbox: SandboxArgs,
}

impl CoreArgs {
    /// The entry, which may have no core.
    pub(super) fn entry(&self) -> anyhow::Result<Entry> {
        Ok(Entry::find(&self.entry, &self.store.folder())?)
    }

    /// The core's file.
    pub(super) fn path(&self) -> anyhow::Result<PathBuf> {
        Ok(self.entry()?.with_core()?)
    }

    /// Opens the core, and confines this process before it parses anything.
    pub(super) fn open(&self, reads: Reads) -> anyhow::Result<Vmcore> {
        open_confined(&self.path()?, self.sandbox, reads, None)
    }

    /// The same, for a command that writes `output`.
    pub(super) fn open_to_write(&self, reads: Reads, output: &Path) -> anyhow::Result<Vmcore> {
        open_confined(&self.path()?, self.sandbox, reads, Some(output))
    }

    /// Opens the core for a command that mounts or starts programs.
    pub(super) fn open_unconfined(&self) -> anyhow::Result<Vmcore> {
        Ok(Vmcore::open(&self.path()?)?)
    }

    /// How this process may be confined.
    pub(super) fn sandbox(&self) -> SandboxArgs {
        self.sandbox
    }
}

/// Opens a core, and confines this process before it parses anything. Only beside `output`
/// may it write.
pub(super) fn open_confined(
    path: &Path,
    sandbox: SandboxArgs,
    reads: Reads,
    output: Option<&Path>,
) -> anyhow::Result<Vmcore> {
    let opened = regular_file::open(path).and_then(|file| Ok((file.metadata()?, file)));
    let (metadata, file) =
        opened.map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
    sandbox.confine(&Limits::of(&metadata, reads), output);
    Ok(Vmcore::of_file(file, path)?)
}

/// Prints to the standard output. A reader that closed the pipe is no failure.
pub(super) fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> anyhow::Result<Exit> {
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Done),
        other => other.map(|()| Exit::Done).context("cannot write to the standard output"),
    }
}
