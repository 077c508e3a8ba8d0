//! `vmcorectl pin` and `vmcorectl unpin`: entries that are to be kept.

use std::path::Path;

use super::completers;
use super::exit::Exit;
use super::store_folder::StoreArgs;
use super::stored_core::print;
use crate::printable::shown;
use crate::store::{StoreError, entry, listing, pin};

/// Keep stored crashes: neither `rm` nor `prune` removes a pinned entry
#[derive(Debug, clap::Args)]
pub(super) struct PinArgs {
    /// An entry of the store: an id or its beginning, its directory, `latest` or `latest:GUEST`
    #[arg(required = true, value_name = "ENTRY", add = completers::entries())]
    entries: Vec<String>,
    #[command(flatten)]
    store: StoreArgs,
}

/// Let pinned crashes go again
#[derive(Debug, clap::Args)]
pub(super) struct UnpinArgs {
    /// An entry of the store: an id or its beginning, its directory, `latest` or `latest:GUEST`
    #[arg(required = true, value_name = "ENTRY", add = completers::entries())]
    entries: Vec<String>,
    #[command(flatten)]
    store: StoreArgs,
}

/// Pins the entries.
pub(super) fn pin(arguments: &PinArgs) -> anyhow::Result<Exit> {
    each(&arguments.entries, &arguments.store, "pinned", pin::pin)
}

/// Takes the entries' pins away.
pub(super) fn unpin(arguments: &UnpinArgs) -> anyhow::Result<Exit> {
    each(&arguments.entries, &arguments.store, "unpinned", pin::unpin)
}

/// Finds every entry first. Prints those that were changed.
fn each(
    wanted: &[String],
    store: &StoreArgs,
    done: &str,
    change: fn(&Path) -> Result<bool, StoreError>,
) -> anyhow::Result<Exit> {
    let store = store.folder()?;
    let find = |wanted: &String| {
        let folder = entry::folder(wanted, &store)?;
        let none = || StoreError::NoEntry { wanted: wanted.clone(), store: store.clone() };
        listing::read_entry(&folder).map(|_| folder).ok_or_else(none)
    };
    let folders = wanted.iter().map(find).collect::<Result<Vec<_>, _>>()?;
    let mut changed = Vec::new();
    for folder in &folders {
        if change(folder)? {
            changed.push(shown(&folder.display().to_string()));
        }
    }
    print(|out| changed.iter().try_for_each(|path| writeln!(out, "{done} {path}")))
}
