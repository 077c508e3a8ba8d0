//! `vmcorectl index`: the table of a store's crashes.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::exit::Exit;
use super::remote_store::{self, RemoteStore};
use super::store_folder::{StoreArgs, StorePlace};
use super::stored_core::print;
use super::ui;
use crate::regular_file;
use crate::store::listing::{self, Listed};
use crate::store::{METADATA_FILE, REPORT_FILE, report_file};
use crate::tables::{self, Elsewhere, EntryTexts, Folder, Objects, Row};

/// Make the table of a store's crashes: a row for each, and Parquet of them
///
/// Rows are made of entries that have none: `index/new/day=.../ID.json` below the store. With
/// --compact they become `index/crashes/day=.../part-HASH.parquet`, which other
/// programs read (samples/fleet). Any number of hosts may do both at the same time.
#[derive(Debug, clap::Args)]
pub(super) struct IndexArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// Put rows together into Parquet, and small files into larger ones
    #[arg(long)]
    compact: bool,
}

/// Makes rows, and on request parts.
pub(super) fn run(arguments: &IndexArgs) -> anyhow::Result<Exit> {
    match arguments.store.place() {
        StorePlace::Folder(store) => of_folder(&store, arguments.compact),
        StorePlace::Remote(address) => {
            let channel = remote_store::open_to_write(&address)?;
            let objects = Elsewhere::new(Arc::clone(&channel));
            let with_row = tables::ids(&objects)?;
            let store = RemoteStore::of(channel)?;
            let rows = store.each(|name| match name.rsplit_once('/') {
                Some((_, id)) if !with_row.contains(id) => store.row(name, None),
                _ => Ok(None),
            })?;
            let made = rows.iter().map(|row| row.publish(&objects));
            let made = made.collect::<Result<Vec<_>, _>>()?;
            let made = made.into_iter().filter(|made| *made).count();
            finish(&objects, arguments.compact, made, Vec::new())
        }
    }
}

fn of_folder(store: &Path, compact: bool) -> anyhow::Result<Exit> {
    let objects = Folder::new(store);
    let (entries, problems) = listing::list(store)?;
    let mut problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    let mut made = 0_usize;
    let with_row = tables::ids(&objects)?;
    for entry in without_row(&entries, &with_row) {
        match row(&entry.folder, entry) {
            Some(row) => made += usize::from(row.publish(&objects)?),
            None => problems.push(format!("{} has no metadata", entry.folder.display())),
        }
    }
    finish(&objects, compact, made, problems)
}

/// The published entries that have no row.
fn without_row<'a>(
    entries: &'a [Listed],
    with_row: &'a HashSet<String>,
) -> impl Iterator<Item = &'a Listed> {
    entries.iter().filter(|entry| entry.published && !with_row.contains(&entry.id))
}

/// The row of an entry on this machine.
fn row(folder: &Path, entry: &Listed) -> Option<Row> {
    let file = |name: &str| regular_file::read_own(&folder.join(name), report_file::MAX_BYTES).ok();
    let guest = folder.parent()?.file_name()?.to_str()?;
    let pack = fs::symlink_metadata(folder.join(tables::PACK_FILE)).ok();
    EntryTexts {
        entry: &format!("{guest}/{}", entry.id),
        metadata: &file(METADATA_FILE)?,
        report: file(REPORT_FILE).as_deref(),
        core_bytes: entry.core_bytes,
        pack_bytes: pack.map(|file| file.len()),
    }
    .row()
}

/// Compacts, and prints what was done.
fn finish(
    objects: &dyn Objects,
    compact: bool,
    made: usize,
    mut problems: Vec<String>,
) -> anyhow::Result<Exit> {
    let compacted = if compact { Some(tables::compact(objects)?) } else { None };
    let damaged = compacted.iter().flat_map(|compacted| &compacted.problems);
    problems.extend(damaged.map(ToString::to_string));
    for problem in &problems {
        ui::error(&anyhow::anyhow!(problem.clone()));
    }
    let printed = print(|out| {
        writeln!(out, "{made} rows made")?;
        compacted.as_ref().map_or(Ok(()), |compacted| {
            let (rows, parts) = (compacted.rows, compacted.parts);
            writeln!(out, "{parts} parts with {rows} rows written")
        })
    })?;
    Ok(if problems.is_empty() { printed } else { Exit::Failed })
}
