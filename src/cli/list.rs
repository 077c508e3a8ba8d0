//! `vmcorectl list`: what is in the store.

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
use crate::store::listing::EntryState;
use crate::store::report_head::ReportVersion;
use crate::triage::report::data::SCHEMA;
use crate::wildcard::Wildcard;

/// List the stored crashes, the newest last
///
/// A pattern has to match the whole name; * matches any characters.
#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// Only guests whose name matches
    #[arg(long, value_name = "PATTERN")]
    guest: Option<String>,
    /// Only kernels whose release matches
    #[arg(long, value_name = "PATTERN")]
    kernel: Option<String>,
    /// Only entries whose signature matches
    #[arg(long, value_name = "PATTERN")]
    signature: Option<String>,
    /// Only entries since this time: a time, a date, or how long ago (2h, 7d)
    #[arg(long, value_name = "TIME", value_parser = time_argument)]
    since: Option<Timestamp>,
    /// Only entries until this time: a time, a date, or how long ago
    #[arg(long, value_name = "TIME", value_parser = time_argument)]
    until: Option<Timestamp>,
    /// Only these states [default: all published entries]
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    state: Vec<StateArg>,
    /// Only entries that are not complete: partial cores, captures under way or interrupted
    #[arg(long, conflicts_with = "state")]
    incomplete: bool,
    #[command(flatten)]
    families: FamiliesArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    sandbox: SandboxArgs,
    /// Print each entry as one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum StateArg {
    /// The dump is complete
    Complete,
    /// A part of the dump is stored
    Incomplete,
    /// The core was left out, or lost
    NoCore,
    /// The core is in object storage
    CoreElsewhere,
    /// In object storage: the core is not there yet
    CoreNotUploaded,
    /// In object storage: the core was removed
    CoreRemoved,
    /// Its capture is under way
    Capturing,
    /// Its capture was interrupted
    Interrupted,
    /// Not published, and the file system has no locks: under way or interrupted
    Unknown,
}

impl From<StateArg> for EntryState {
    fn from(state: StateArg) -> Self {
        match state {
            StateArg::Complete => Self::Complete,
            StateArg::Incomplete => Self::Incomplete,
            StateArg::NoCore => Self::NoCore,
            StateArg::CoreElsewhere => Self::CoreElsewhere,
            StateArg::CoreNotUploaded => Self::CoreNotUploaded,
            StateArg::CoreRemoved => Self::CoreRemoved,
            StateArg::Capturing => Self::Capturing,
            StateArg::Interrupted => Self::Interrupted,
            StateArg::Unknown => Self::Unknown,
        }
    }
}

/// Prints the selected entries.
pub(super) fn run(arguments: &ListArgs) -> anyhow::Result<Exit> {
    let pattern = |text: &Option<String>| text.as_deref().map(Wildcard::new);
    let states = match (arguments.incomplete, arguments.state.as_slice()) {
        (true, _) => vec![
            EntryState::Incomplete,
            EntryState::Capturing,
            EntryState::Interrupted,
            EntryState::Unknown,
        ],
        (_, states) => states.iter().map(|state| (*state).into()).collect(),
    };
    let filter = Filter {
        guest: pattern(&arguments.guest),
        kernel: pattern(&arguments.kernel),
        signature: pattern(&arguments.signature),
        since: arguments.since,
        until: arguments.until,
        states,
    };
    let families = arguments.families.table_or_own();
    let current = ReportVersion { schema: SCHEMA, families: families.version() };
    let (mut entries, problems) =
        remote_store::list(&arguments.store, Wanted::Stored, arguments.sandbox)?;
    for problem in &problems {
        ui::error(&anyhow::anyhow!(problem.clone()));
    }
    entries.retain(|entry| filter.wants(entry));
    let printed = print(|out| {
        if arguments.json {
            entries.iter().try_for_each(|entry| {
                render::json::line(&render::list::EntryJson::of(entry, &current), out)
            })
        } else {
            render::list::table(&entries, &current, out)
        }
    })?;
    Ok(if problems.is_empty() { printed } else { Exit::Failed })
}
