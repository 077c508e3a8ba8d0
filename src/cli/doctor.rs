//! `vmcorectl doctor`: would a good capture succeed if a guest panicked now?

use std::num::NonZeroUsize;

use super::capture::LEVEL;
use super::exit::Exit;
use super::scope::{ScopeArgs, guest_ref};
use super::store_folder::StoreArgs;
use super::stored_core::print;
use crate::doctor::{Examination, Wanted};
use crate::render;
use crate::units::parse::size;

/// Find what would keep a guest's panic from a good capture, and what mends it
///
/// Nothing is changed, no running guest is stopped, and a monitor that has a client is not
/// connected to. The memory of a guest that is stopped is read, as by report.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes:
  0  no problems; there may be warnings
  1  no guest could be asked
  3  problems: a capture would fail, or not happen")]
pub(super) struct DoctorArgs {
    /// Path of a QMP unix socket, or libvirt:NAME [default: all guests of this host]
    #[arg(value_name = "GUEST", value_hint = clap::ValueHint::AnyPath)]
    guest: Option<String>,
    #[command(flatten)]
    scope: ScopeArgs,
    #[command(flatten)]
    store: StoreArgs,
    /// Space that the file system must keep free
    /// [default: 5 % of it, at most 1 GiB]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    keep_free: Option<u64>,
    /// Leave out the measurement of about a second, and with it the estimate of the hold
    #[arg(long)]
    no_measure: bool,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

/// Prints the findings.
pub(super) fn run(arguments: &DoctorArgs) -> anyhow::Result<Exit> {
    let scope = arguments.scope.scope()?;
    let guests: Result<Vec<_>, _> = arguments.guest.iter().map(|text| guest_ref(text)).collect();
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(16);
    let wanted = Wanted {
        guests: guests?,
        store: arguments.store.folder_or(arguments.scope.config()?.store)?,
        keep_free: arguments.keep_free,
        measure: (!arguments.no_measure).then_some((LEVEL, threads)),
    };
    let examination = Examination::of(&wanted, &scope);
    print(|out| match arguments.json {
        true => render::json::pretty(&examination, out),
        false => render::doctor::text(&examination, out),
    })?;
    Ok(match (examination.saw_nothing(), examination.has_problems()) {
        (true, _) => Exit::Failed,
        (false, true) => Exit::Incomplete,
        (false, false) => Exit::Done,
    })
}
