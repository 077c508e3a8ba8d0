//! `vmcorectl info`: what a stored core says about itself.

use std::io::{self, Write};

use anyhow::Context;

use super::exit::Exit;
use super::store_folder::StoreArgs;
use crate::render;
use crate::store::entry::Entry;
use crate::vmcore::StoredVmcore;

/// Show the story of a stored core: guest, panic, release, sizes
#[derive(Debug, clap::Args)]
pub(super) struct InfoArgs {
    /// Stored core: a path, an id or its beginning, `latest` or `latest:GUEST`
    entry: String,
    #[command(flatten)]
    store: StoreArgs,
    /// Print the metadata as JSON
    #[arg(long)]
    json: bool,
}

/// Prints the metadata that travels in the core.
pub(super) fn run(arguments: &InfoArgs) -> anyhow::Result<Exit> {
    let entry = Entry::find(&arguments.entry, &arguments.store.folder())?;
    let core = StoredVmcore::open(&entry.core)?;
    let metadata = core.metadata()?;
    let mut out = Vec::new();
    if arguments.json {
        render::json::metadata(&metadata, &mut out)?;
    } else {
        render::info::text(&metadata, &mut out)?;
    }
    match io::stdout().write_all(&out) {
        // Whoever reads has had enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Done),
        other => other.map(|()| Exit::Done).context("cannot write to the standard output"),
    }
}
