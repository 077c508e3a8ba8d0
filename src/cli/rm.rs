//! `vmcorectl rm`: takes entries out of the store.

use std::io::{self, BufRead, IsTerminal, Write};

use super::completers;
use super::exit::{Exit, UsageError};
use super::store_folder::StoreArgs;
use super::stored_core::print;
use super::ui;
use crate::printable::shown;
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
    let store = arguments.store.folder()?;
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
