//! `vmcorectl rm`: takes entries out of the store.

use std::path::Path;

use super::exit::Exit;
use super::store_folder::StoreArgs;
use super::stored_core::print;
use super::ui;
use crate::store::listing::{self, Listed};
use crate::store::{StoreError, removal};

/// Remove stored crashes
///
/// Nothing is removed unless each ENTRY means one entry alone.
#[derive(Debug, clap::Args)]
pub(super) struct RmArgs {
    /// An entry of the store: its id or the beginning of it, or its directory
    #[arg(required = true, value_name = "ENTRY")]
    entries: Vec<String>,
    #[command(flatten)]
    store: StoreArgs,
}

/// Finds every entry first, then removes them.
pub(super) fn run(arguments: &RmArgs) -> anyhow::Result<Exit> {
    let store = arguments.store.folder();
    let (listed, _) = listing::list(&store)?;
    let mut doomed: Vec<&Listed> = Vec::new();
    for wanted in &arguments.entries {
        let entry = find(wanted, &listed, &store)?;
        if !doomed.iter().any(|one| one.folder == entry.folder) {
            doomed.push(entry);
        }
    }
    let mut removed = Vec::new();
    let mut exit = Exit::Done;
    for entry in doomed {
        match removal::remove(entry) {
            Ok(()) => removed.push(&entry.folder),
            Err(error) => {
                ui::error(&error.into());
                exit = Exit::Failed;
            }
        }
    }
    print(|out| {
        removed.iter().try_for_each(|folder| writeln!(out, "removed {}", folder.display()))
    })?;
    Ok(exit)
}

/// The one entry that is meant. What is not published is meant only by its whole
/// id or its directory: the beginning of an id may fit a capture under way.
fn find<'a>(wanted: &str, listed: &'a [Listed], store: &Path) -> Result<&'a Listed, StoreError> {
    let folder = Path::new(wanted).canonicalize().ok();
    let exact = |entry: &&Listed| {
        entry.id == wanted
            || entry.folder.file_name().is_some_and(|name| name == wanted)
            || (folder.is_some() && entry.folder.canonicalize().ok() == folder)
    };
    if let Some(entry) = listed.iter().find(exact) {
        return Ok(entry);
    }
    let tail = |id: &str| id.rsplit_once('-').is_some_and(|(_, tail)| tail.starts_with(wanted));
    let fits = |entry: &&Listed| {
        let named = !wanted.is_empty() && (entry.id.starts_with(wanted) || tail(&entry.id));
        named && entry.published
    };
    let found: Vec<&Listed> = listed.iter().filter(fits).collect();
    match found.as_slice() {
        [] => Err(StoreError::NoEntry { wanted: wanted.to_owned(), store: store.to_owned() }),
        [entry] => Ok(entry),
        many => Err(StoreError::Ambiguous {
            wanted: wanted.to_owned(),
            found: many.iter().map(|entry| entry.id.clone()).collect(),
            store: store.to_owned(),
        }),
    }
}
