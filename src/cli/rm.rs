//! `vmcorectl rm`: takes entries out of the store.

use std::io::{self, BufRead, IsTerminal, Write};

use super::completers;
use super::exit::{Exit, UsageError};
use super::remote_store::{self, RemoteStore};
use super::store_folder::{StoreArgs, StorePlace};
use super::stored_core::print;
use super::ui;
use crate::bucket::removal::remove_entry;
use crate::printable::shown;
use crate::remote::address::RemoteAddress;
use crate::render::crash_title::crash_title;
use crate::store::listing::{self, Listed};
use crate::store::{StoreError, entry, removal};
use crate::units::bytes;

/// Remove stored crashes
///
/// On a terminal it shows what it is about to remove, and asks. Nothing is removed unless
/// each ENTRY is the whole id or the directory of an entry: the beginning of an id, or
/// `latest`, may mean another entry tomorrow.
#[derive(Debug, clap::Args)]
pub(super) struct RmArgs {
    /// An entry of the store: its whole id, or its directory
    #[arg(required = true, value_name = "ENTRY", add = completers::whole_ids())]
    entries: Vec<String>,
    /// Remove without asking; needed where the standard input is no terminal
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    store: StoreArgs,
}

/// Finds every entry first, then removes them.
pub(super) fn run(arguments: &RmArgs) -> anyhow::Result<Exit> {
    let store = match arguments.store.place() {
        StorePlace::Folder(folder) => folder,
        StorePlace::Remote(address) => return remove_remote(arguments, &address),
    };
    let mut doomed: Vec<Listed> = Vec::new();
    for wanted in &arguments.entries {
        let folder = entry::whole(wanted, &store)?;
        let none = || StoreError::NoEntry { wanted: wanted.clone(), store: store.clone() };
        let entry = listing::read_entry(&folder).ok_or_else(none)?;
        if entry.pinned {
            return Err(StoreError::Pinned { path: entry.folder }.into());
        }
        if !doomed.iter().any(|one| one.folder == entry.folder) {
            doomed.push(entry);
        }
    }
    if !arguments.yes && !is_confirmed("rm", &doomed.iter().collect::<Vec<_>>())? {
        return Ok(Exit::Failed);
    }
    let mut removed = Vec::new();
    let mut exit = Exit::Done;
    for entry in doomed {
        match removal::remove(&entry) {
            Ok(()) => removed.push(entry.folder),
            Err(error) => {
                ui::error(&error.into());
                exit = Exit::Failed;
            }
        }
    }
    print(|out| {
        let mut paths = removed.iter().map(|folder| shown(&folder.display().to_string()));
        paths.try_for_each(|path| writeln!(out, "removed {path}"))
    })?;
    Ok(exit)
}

/// The same, in object storage.
fn remove_remote(arguments: &RmArgs, address: &RemoteAddress) -> anyhow::Result<Exit> {
    let channel = remote_store::open_to_write(address)?;
    let store = RemoteStore::of_named(channel, &arguments.entries)?;
    let mut names: Vec<String> = Vec::new();
    let mut doomed: Vec<Listed> = Vec::new();
    for wanted in &arguments.entries {
        let name = store.whole(wanted)?;
        let none = || StoreError::NoEntry { wanted: wanted.clone(), store: address.shown().into() };
        let entry = store.read(&name)?.ok_or_else(none)?;
        if entry.pinned {
            return Err(StoreError::Pinned { path: entry.folder }.into());
        }
        if !names.contains(&name) {
            names.push(name);
            doomed.push(entry);
        }
    }
    if !arguments.yes && !is_confirmed("rm", &doomed.iter().collect::<Vec<_>>())? {
        return Ok(Exit::Failed);
    }
    let mut exit = Exit::Done;
    for name in names {
        match remove_entry(&store.channel, &name) {
            Ok(()) => {
                let path = shown(&store.channel.shown(&name)).clone();
                print(|out| writeln!(out, "removed {path}"))?;
            }
            Err(error) => {
                ui::error(&error.into());
                exit = Exit::Failed;
            }
        }
    }
    Ok(exit)
}

/// Asks on the terminal. No answer is no.
pub(super) fn is_confirmed(command: &str, doomed: &[&Listed]) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        return Err(UsageError {
            message: format!(
                "{command} asks before it removes, and the standard input is no terminal"
            ),
            hint: Some("--yes removes without asking".to_owned()),
        }
        .into());
    }
    for entry in doomed {
        let size = entry.core_bytes.map_or_else(|| "-".to_owned(), bytes);
        let title = entry.report.as_ref().and_then(|report| report.title.as_deref());
        ui::say(&format!(
            "{}  {}  {size}  {}  {}",
            entry.guest(),
            entry.id,
            entry.state.name(),
            title.map_or_else(|| "-".into(), crash_title)
        ));
    }
    let what = if doomed.len() == 1 { "this entry" } else { "these entries" };
    let mut stderr = io::stderr();
    let _ = write!(stderr, "Remove {what}? [y/N] ").and_then(|()| stderr.flush());
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
