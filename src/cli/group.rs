//! `vmcorectl group`: what happened how often.

use jiff::Timestamp;

use super::exit::Exit;
use super::families::FamiliesArgs;
use super::moment::moment;
use super::store_folder::StoreArgs;
use super::stored_core::print;
use super::ui;
use crate::render;
use crate::store::filter::{Filter, Pattern};
use crate::store::groups::groups;
use crate::store::listing;
use crate::store::report_head::ReportVersion;
use crate::triage::report::data::SCHEMA;

/// Group the stored crashes by their signature, the one seen last first
///
/// Groups whose titles may be of one bug are named below each other's; they are not merged.
/// Entries without a report are a group of their own.
#[derive(Debug, clap::Args)]
pub(super) struct GroupArgs {
    /// Only of these guests; * stands for any characters
    #[arg(long, value_name = "PATTERN")]
    guest: Option<String>,
    /// Only groups that were not seen before: a time, a date, or how long ago (2h, 7d)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    new_since: Option<Timestamp>,
    #[command(flatten)]
    families: FamiliesArgs,
    #[command(flatten)]
    store: StoreArgs,
    /// Print each group as one line of JSON
    #[arg(long)]
    json: bool,
}

/// Prints the groups that are wanted.
pub(super) fn run(arguments: &GroupArgs) -> anyhow::Result<Exit> {
    let filter =
        Filter { guest: arguments.guest.as_deref().map(Pattern::new), ..Filter::default() };
    let families = arguments.families.table_or_own();
    let current = ReportVersion { schema: SCHEMA, families: families.version() };
    let (mut entries, problems) = listing::list(&arguments.store.folder())?;
    for problem in &problems {
        ui::error(&anyhow::anyhow!(problem.to_string()));
    }
    entries.retain(|entry| filter.wants(entry));
    let all = groups(&entries, &current);
    let is_wanted = |group: &&_| {
        let first = |group: &crate::store::groups::Group| group.first;
        arguments.new_since.is_none_or(|since| first(group).is_some_and(|first| first >= since))
    };
    let wanted: Vec<_> = all.iter().filter(is_wanted).collect();
    let printed = print(|out| match arguments.json {
        true => wanted
            .iter()
            .try_for_each(|group| render::json::line(&render::groups::Line::of(group, &all), out)),
        false => render::groups::table(&wanted, &all, out),
    })?;
    Ok(if problems.is_empty() { printed } else { Exit::Failed })
}
