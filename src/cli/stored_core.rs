//! ENTRY: the stored core that a command reads, and where it prints.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context;

use super::exit::Exit;
use super::store_folder::StoreArgs;
use crate::store::entry::Entry;
use crate::vmcore::Vmcore;

/// The ENTRY argument of every command that reads a core.
#[derive(Debug, clap::Args)]
pub(super) struct CoreArgs {
    /// Stored core: a path, an id or its beginning, `latest` or `latest:GUEST`
    entry: String,
    #[command(flatten)]
    store: StoreArgs,
}

impl CoreArgs {
    /// The core's file.
    pub(super) fn path(&self) -> anyhow::Result<PathBuf> {
        Ok(Entry::find(&self.entry, &self.store.folder())?.core)
    }

    /// Opens the core.
    pub(super) fn open(&self) -> anyhow::Result<Vmcore> {
        Ok(Vmcore::open(&self.path()?)?)
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
