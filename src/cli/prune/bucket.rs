//! `vmcorectl prune` of a store in object storage: cores go before their entries, and what pushes
//! have left goes with them.

use std::collections::HashSet;
use std::time::Duration;

use super::{PruneArgs, PrunedJson, print_line, say_unmet};
use crate::bucket::leftovers::{self, Leftover};
use crate::bucket::removal::{remove_core, remove_entry};
use crate::bucket::retention::{CoreLimits, cores_to_remove};
use crate::cli::exit::{Exit, UsageError};
use crate::cli::remote_store::RemoteStore;
use crate::cli::rm::is_confirmed;
use crate::cli::stored_core::print;
use crate::cli::ui;
use crate::printable::shown;
use crate::remote::address::RemoteAddress;
use crate::store::listing::Listed;
use crate::store::prune::{Limit, Limits, Pruning};
use crate::tables::Table;

/// How long what a push has left may lie there.
const UNFINISHED: Duration = Duration::from_hours(7 * 24);

/// Prints what goes, and removes it.
pub(super) fn run(
    arguments: &PruneArgs,
    limits: Limits,
    address: &RemoteAddress,
) -> anyhow::Result<Exit> {
    if limits.free_bytes.is_some() {
        let message = "what is free in object storage is not known".to_owned();
        return Err(UsageError { message, hint: Some("--max-size limits it".to_owned()) }.into());
    }
    let store = match arguments.dry_run {
        true => RemoteStore::open(address)?,
        false => RemoteStore::open_to_write(address)?,
    };
    let pruning = Pruning::of_listed(store.list(&mut Table::default())?, limits);
    let plan = pruning.plan();
    let mut doomed: Vec<(&Listed, Limit)> =
        plan.chosen.iter().map(|chosen| (chosen.entry, chosen.by)).collect();
    let gone: HashSet<_> = doomed.iter().map(|(entry, _)| &entry.folder).collect();
    let kept = pruning.entries().iter().filter(|entry| !gone.contains(&entry.folder));
    let per_signature = arguments.limits.cores_per_signature;
    let core_limits = CoreLimits {
        per_signature: per_signature.and_then(|count| usize::try_from(count).ok()),
        oldest: arguments.limits.cores_older_than,
    };
    doomed.extend(cores_to_remove(kept, &core_limits).into_iter().map(|one| (one, Limit::Cores)));
    let unfinished = arguments.limits.unfinished_after.unwrap_or(UNFINISHED);
    let found = leftovers::find(&store.channel, &store.entries, &store.unlisted, unfinished);
    let (leftovers, missing) =
        found.map_or_else(|error| (Vec::new(), Some(error)), |(found, missing)| (found, missing));
    // Who may remove entries may have no right to list uploads.
    if let Some(error) = missing {
        ui::say(&format!("warning: what pushes have left is not removed, or not all: {error}"));
    }
    let confirmed = || {
        for leftover in &leftovers {
            ui::say(&format!("{}  -  unfinished", shown(&store.channel.shown(&leftover.name))));
        }
        let entries: Vec<&Listed> = doomed.iter().map(|(entry, _)| *entry).collect();
        is_confirmed("prune", &entries)
    };
    let is_nothing = doomed.is_empty() && leftovers.is_empty();
    if !arguments.dry_run && !arguments.yes && !is_nothing && !confirmed()? {
        return Ok(Exit::Failed);
    }
    let mut exit = if plan.unmet.is_empty() { Exit::Done } else { Exit::Incomplete };
    for (entry, limit) in doomed {
        let mut line = PrunedJson::of(entry, limit);
        if !arguments.dry_run {
            let name = store.name_of(entry).unwrap_or_default();
            let removed = match limit {
                Limit::Cores => remove_core(&store.channel, &name),
                _ => remove_entry(&store.channel, &name),
            };
            line.removed = removed.is_ok();
            if let Err(error) = removed {
                line.error = Some(error.to_string());
                ui::error(&error.into());
                exit = Exit::Failed;
            }
        }
        print(|out| print_line(&line, arguments, out))?;
    }
    for leftover in leftovers {
        let mut line = unfinished_line(&leftover, &store.channel.shown(&leftover.name));
        if !arguments.dry_run {
            match leftovers::remove(&store.channel, &leftover) {
                Ok(removed) => line.removed = removed,
                Err(error) => {
                    line.error = Some(error.to_string());
                    ui::error(&error.into());
                    exit = Exit::Failed;
                }
            }
        }
        print(|out| print_line(&line, arguments, out))?;
    }
    say_unmet(&plan.unmet);
    Ok(exit)
}

fn unfinished_line(leftover: &Leftover, address: &str) -> PrunedJson {
    let (guest, id) = leftover.entry.split_once('/').unwrap_or_default();
    PrunedJson {
        id: id.to_owned(),
        guest: guest.to_owned(),
        path: address.to_owned(),
        title: None,
        signature: None,
        bytes: leftover.bytes,
        limit: Limit::Unfinished,
        removed: false,
        error: None,
    }
}
