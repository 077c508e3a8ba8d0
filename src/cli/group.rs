//! `vmcorectl group`: what happened how often.

use jiff::Timestamp;

use super::confinement::SandboxArgs;
use super::exit::Exit;
use super::families::FamiliesArgs;
use super::remote_store::{self, Wanted};
use super::store_folder::StoreArgs;
use super::stored_core::print;
use super::time_argument::time_argument;
use super::ui;
use crate::render;
use crate::store::filter::Filter;
use crate::store::groups::groups;
use crate::store::report_head::ReportVersion;
use crate::triage::report::data::SCHEMA;
use crate::wildcard::Wildcard;

/// Group the stored crashes by signature, the most recent first
///
/// Groups that share a title may have the same cause: they are listed below each other, and
/// not merged.
/// Entries without a report are a group of their own.
#[derive(Debug, clap::Args)]
pub(super) struct GroupArgs {
    /// Only guests whose name matches; * matches any characters
    #[arg(long, value_name = "PATTERN")]
    guest: Option<String>,
    /// Only groups first seen since this time: a time, a date, or how long ago (2h, 7d)
    #[arg(long, value_name = "TIME", value_parser = time_argument)]
    new_since: Option<Timestamp>,
    #[command(flatten)]
    families: FamiliesArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    sandbox: SandboxArgs,
    /// Print each group as one line of JSON
    #[arg(long)]
    json: bool,
}

/// Prints the selected groups.
pub(super) fn run(arguments: &GroupArgs) -> anyhow::Result<Exit> {
    let filter =
        Filter { guest: arguments.guest.as_deref().map(Wildcard::new), ..Filter::default() };
    let families = arguments.families.table_or_own();
    let current = ReportVersion { schema: SCHEMA, families: families.version() };
    let (mut entries, problems) =
        remote_store::list(&arguments.store, Wanted::Crashes, arguments.sandbox)?;
    for problem in &problems {
        ui::error(&anyhow::anyhow!(problem.clone()));
    }
    entries.retain(|entry| filter.wants(entry));
    let all = groups(&entries, &current);
    let is_wanted = |group: &&_| {
        let first = |group: &crate::store::groups::Group| group.first;
        arguments.new_since.is_none_or(|since| first(group).is_some_and(|first| first >= since))
    };
    let wanted: Vec<_> = all.iter().filter(is_wanted).collect();
    let printed = print(|out| match arguments.json {
        true => wanted.iter().try_for_each(|group| {
            render::json::line(&render::groups::GroupJson::of(group, &all), out)
        }),
        false => render::groups::table(&wanted, &all, out),
    })?;
    Ok(if problems.is_empty() { printed } else { Exit::Failed })
}
