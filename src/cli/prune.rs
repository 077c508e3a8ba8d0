//! `vmcorectl prune`: makes room in the store.

mod bucket;

use std::io::{self, Write};

use jiff::Timestamp;
use serde::Serialize;

use super::exit::{Exit, UsageError};
use super::rm::is_confirmed;
use super::store_folder::{StoreArgs, StorePlace};
use super::stored_core::print;
use super::time_argument::time_argument;
use super::ui;
use crate::printable::shown;
use crate::render;
use crate::store::StoreError;
use crate::store::listing::Listed;
use crate::store::prune::{Limit, Limits, Pruning, Unmet};
use crate::units::bytes;
use crate::units::parse::{duration, size};

/// Remove stored crashes until the store is within limits
///
/// What stays in any case: pinned entries, those that are not published or being written, and of
/// each signature the first and the newest entry, and the first and the newest that has a core.
/// Of the rest, the oldest of the most frequent signature goes first, and cores before entries
/// without one.
///
/// On a terminal it shows what it is about to remove, and asks.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes:
  0  the limits are met
  1  an entry could not be removed, or nothing was confirmed
  2  usage
  3  a limit is not met: what is left has to stay")]
pub(super) struct PruneArgs {
    #[command(flatten)]
    limits: LimitArgs,
    /// Remove nothing, and print what would be removed
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Remove without asking; needed where the standard input is no terminal
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    store: StoreArgs,
    /// Print each entry as one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct LimitArgs {
    /// Entries from before this time: a time, a date, or how long ago (12h, 90d)
    #[arg(long, value_name = "TIME", value_parser = time_argument)]
    older_than: Option<Timestamp>,
    /// At most N entries of each guest that have a core, and N without
    #[arg(long, value_name = "N")]
    per_guest: Option<usize>,
    /// At most this size for the whole store
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_size: Option<u64>,
    /// At least this much space on the file system
    #[arg(long, value_name = "SIZE", value_parser = size)]
    min_free: Option<u64>,
    /// In object storage: of each signature, at most N cores, the first and the newest; reports and
    /// triage packs stay
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    cores_per_signature: Option<u32>,
    /// In object storage: cores from before this time; reports and triage packs stay
    #[arg(long, value_name = "TIME", value_parser = time_argument)]
    cores_older_than: Option<Timestamp>,
    /// In object storage: what pushes have left that were not finished, once nothing of it has
    /// changed for this time by the server's clock, and for an hour at least; 7d with any limit
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    unfinished_after: Option<std::time::Duration>,
}

impl LimitArgs {
    /// A limit that was given, and that a store of this machine does not have.
    fn of_object_storage(&self) -> Option<&'static str> {
        let given = [
            (self.cores_per_signature.is_some(), "--cores-per-signature"),
            (self.cores_older_than.is_some(), "--cores-older-than"),
            (self.unfinished_after.is_some(), "--unfinished-after"),
        ];
        given.into_iter().find_map(|(is_given, name)| is_given.then_some(name))
    }
}

/// What became of an entry, as a line of JSON.
#[derive(Serialize)]
struct PrunedJson {
    id: String,
    guest: String,
    path: String,
    title: Option<String>,
    signature: Option<String>,
    bytes: u64,
    /// The limit by which it goes.
    limit: Limit,
    removed: bool,
    /// Why it could not be removed.
    error: Option<String>,
}

/// Prints what goes, and removes it.
pub(super) fn run(arguments: &PruneArgs) -> anyhow::Result<Exit> {
    let limits = Limits {
        oldest: arguments.limits.older_than,
        per_guest: arguments.limits.per_guest,
        total_bytes: arguments.limits.max_size,
        free_bytes: arguments.limits.min_free,
    };
    let store = match arguments.store.place() {
        StorePlace::Folder(folder) => folder,
        StorePlace::Remote(address) => return bucket::run(arguments, limits, &address),
    };
    if let Some(limit) = arguments.limits.of_object_storage() {
        return Err(UsageError {
            message: format!("{limit} is for stores in object storage"),
            hint: Some("--remove-core-after of `push` removes cores that were pushed".to_owned()),
        }
        .into());
    }
    let mut pruning = Pruning::of(&store, limits)?;
    let mut exit = Exit::Done;
    for problem in pruning.problems.drain(..) {
        ui::error(&problem.into());
        exit = Exit::Failed;
    }
    let plan = pruning.plan();
    let doomed: Vec<&Listed> = plan.chosen.iter().map(|chosen| chosen.entry).collect();
    let mut lines = Vec::new();
    let unmet = if arguments.dry_run {
        lines.extend(
            plan.chosen.iter().map(|chosen| (PrunedJson::of(chosen.entry, chosen.by), None)),
        );
        plan.unmet
    } else if doomed.is_empty() {
        plan.unmet
    } else {
        if !arguments.yes && !is_confirmed("prune", &doomed)? {
            return Ok(Exit::Failed);
        }
        pruning.run(|entry, by, result| {
            let (removed, error) = (result.is_ok(), result.err());
            lines.push((PrunedJson { removed, ..PrunedJson::of(entry, by) }, error));
        })
    };
    let printed = print(|out| print_all(&mut lines, arguments, out))?;
    for error in lines.into_iter().filter_map(|(_, error)| error) {
        ui::error(&error.into());
        exit = Exit::Failed;
    }
    say_unmet(&unmet);
    Ok(match exit {
        Exit::Done if !unmet.is_empty() => Exit::Incomplete,
        Exit::Done => printed,
        failed => failed,
    })
}

fn print_all(
    lines: &mut [(PrunedJson, Option<StoreError>)],
    arguments: &PruneArgs,
    out: &mut dyn Write,
) -> io::Result<()> {
    for (line, error) in lines {
        line.error = error.as_ref().map(ToString::to_string);
        print_line(line, arguments, out)?;
    }
    Ok(())
}

/// Prints what became of an entry, or of its core.
fn print_line(line: &PrunedJson, arguments: &PruneArgs, out: &mut dyn Write) -> io::Result<()> {
    if arguments.json {
        return render::json::line(line, out);
    }
    if line.removed || arguments.dry_run {
        let what = if line.removed { "removed" } else { "would remove" };
        let what = [what, if line.limit == Limit::Cores { " the core of" } else { "" }].concat();
        let (path, size) = (shown(&line.path), bytes(line.bytes));
        writeln!(out, "{what} {path}  {size}  ({})", line.limit.name())?;
    }
    Ok(())
}

fn say_unmet(unmet: &[Unmet]) {
    for unmet in unmet {
        ui::say(&format!("warning: {unmet}"));
    }
}

impl PrunedJson {
    fn of(entry: &Listed, limit: Limit) -> Self {
        let report = entry.report.as_ref();
        Self {
            id: entry.id.clone(),
            guest: entry.guest(),
            path: entry.folder.display().to_string(),
            title: report.and_then(|report| report.title.clone()),
            signature: report.and_then(|report| report.signature.clone()),
            bytes: entry.bytes,
            limit,
            removed: false,
            error: None,
        }
    }
}
