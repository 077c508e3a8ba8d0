//! `vmcorectl status`: the guests of this host.

use super::exit::Exit;
use super::scope::{ScopeArgs, guest_ref};
use super::store_folder::StoreArgs;
use super::stored_core::print;
use super::ui;
use crate::doctor::find;
use crate::doctor::status::GuestStatus;
use crate::render;
use crate::store::listing;

/// Show the guests of this host: run state, panic device, who has the monitor
///
/// No guest is stopped or changed, and a monitor that has a client is not connected to. SINCE is
/// the time at which a capture noticed the panic of a guest that it left held.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes:
  0  all guests were asked, or their monitors have other clients
  1  a guest, libvirt or the store could not be asked")]
pub(super) struct StatusArgs {
    /// Paths of QMP unix sockets, or libvirt:NAME
    /// [default: libvirt's domains, and all sockets that match --sockets]
    #[arg(value_name = "GUEST", value_hint = clap::ValueHint::AnyPath)]
    guests: Vec<String>,
    #[command(flatten)]
    scope: ScopeArgs,
    #[command(flatten)]
    store: StoreArgs,
    /// Print each guest as one line of JSON
    #[arg(long)]
    json: bool,
}

/// Prints the guests.
pub(super) fn run(arguments: &StatusArgs) -> anyhow::Result<Exit> {
    let scope = arguments.scope.scope()?;
    let guests: Result<Vec<_>, _> = arguments.guests.iter().map(|text| guest_ref(text)).collect();
    let found = find(&scope, &guests?);
    let mut exit = Exit::Done;
    if let Some(error) = found.libvirt {
        let hint = error.hint();
        ui::error(&anyhow::Error::new(error).context("libvirt's domains are not shown"));
        hint.iter().for_each(|hint| ui::say(&format!("hint: {hint}")));
        exit = Exit::Failed;
    }
    let store = arguments.store.folder_or(arguments.scope.config()?.store)?;
    let entries = match listing::list(&store) {
        Ok((entries, _)) => entries,
        Err(error) => {
            ui::error(&error.into());
            exit = Exit::Failed;
            Vec::new()
        }
    };
    let guests: Vec<_> =
        found.guests.into_iter().map(|facts| GuestStatus::of(facts, &entries)).collect();
    print(|out| {
        if arguments.json {
            guests.iter().try_for_each(|guest| render::json::line(guest, out))
        } else {
            render::status::table(&guests, out)
        }
    })?;
    // A monitor with another client is no failure.
    let failed = guests.iter().filter(|guest| !guest.facts.is_busy());
    for (guest, trouble) in failed.filter_map(|guest| Some((guest, guest.facts.trouble.as_ref()?)))
    {
        ui::say(&format!("error: {}: {}", guest.facts.guest, trouble.text));
        trouble.hint.iter().for_each(|hint| ui::say(&format!("hint: {hint}")));
        exit = Exit::Failed;
    }
    Ok(exit)
}
