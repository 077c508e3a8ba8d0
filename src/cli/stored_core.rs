//! ENTRY: the stored core that a command reads, and where it prints.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::confinement::SandboxArgs;
use super::exit::Exit;
use super::kernel::KernelArgs;
use super::store_folder::StoreArgs;
use crate::regular_file;
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
    /// The core's file.
    pub(super) fn path(&self) -> anyhow::Result<PathBuf> {
        Ok(Entry::find(&self.entry, &self.store.folder())?.core)
    }

    /// Opens the core, and confines this process before it parses anything.
    pub(super) fn open(&self) -> anyhow::Result<Vmcore> {
        open_confined(&self.path()?, self.sandbox, None)
    }

    /// The same, for a command that reads the guest's kernel, and not all of the core.
    pub(super) fn open_kernel(&self, kernel: KernelArgs) -> anyhow::Result<Vmcore> {
        self.sandbox.limit_kernel_command(kernel.is_deep());
        self.open()
    }

    /// The same, for a command that writes `output`.
    pub(super) fn open_to_write(&self, output: &Path) -> anyhow::Result<Vmcore> {
        open_confined(&self.path()?, self.sandbox, Some(output))
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
    output: Option<&Path>,
) -> anyhow::Result<Vmcore> {
    let file = regular_file::open(path)
        .map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
    sandbox.confine(output);
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
