//! `vmcorectl pin` and `vmcorectl unpin`: entries that are to be kept.

use std::path::Path;

use super::completers;
use super::exit::Exit;
use super::remote_store::{self, RemoteStore};
use super::store_folder::{StoreArgs, StorePlace};
use super::stored_core::print;
use crate::printable::shown;
use crate::remote::address::RemoteAddress;
use crate::store::pin::PIN_FILE;
use crate::store::{StoreError, entry, listing, pin};

const PINNED: &str = "pinned";

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
    each(&arguments.entries, &arguments.store, PINNED, pin::pin)
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
    let store = match store.place() {
        StorePlace::Folder(folder) => folder,
        StorePlace::Remote(address) => return each_remote(wanted, &address, done),
    };
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

/// The same, in object storage.
fn each_remote(wanted: &[String], address: &RemoteAddress, done: &str) -> anyhow::Result<Exit> {
    let channel = remote_store::open_to_write(address)?;
    let store = RemoteStore::of_named(channel, wanted)?;
    let names = wanted.iter().map(|wanted| store.find(wanted)).collect::<Result<Vec<_>, _>>()?;
    let pins = done == PINNED;
    let mut changed = Vec::new();
    for name in names {
        if store.is_pinned(&name) == pins {
            continue;
        }
        let file = format!("{name}/{PIN_FILE}");
        match pins {
            true => store.channel.put(&file, b"pinned\n")?,
            false => store.channel.delete(&file)?,
        }
        changed.push(shown(&store.channel.shown(&name)));
    }
    print(|out| changed.iter().try_for_each(|path| writeln!(out, "{done} {path}")))
}
