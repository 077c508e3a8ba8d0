//! `vmcorectl pull`: entries from object storage, into a store of this machine.

use std::path::PathBuf;

use super::exit::{Exit, UsageError};
use super::remote_store::RemoteStore;
use super::store_folder::StoreArgs;
use super::stored_core::print;
use super::ui;
use crate::bucket::pull::{Pulled, pull};
use crate::printable::shown;
use crate::remote::address::{Address, RemoteAddress};
use crate::remote::{self, Channel};
use crate::store::listing::time_of;
use crate::units::bytes;

/// Bring stored crashes from object storage into the store of this machine
///
/// An entry is published when all of it is here and verified: by its SHA-256 if it was pushed, and by
/// the hash over its chunks that its metadata has. One that is here without its core gets it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes:
  0  all of it is here, or was here already
  1  an entry could not be brought
  2  usage
  3  an entry was brought without its core, which is not there")]
pub(super) struct PullArgs {
    /// Entries: addresses, or names in the store that --from is: an id or its beginning, `latest`,
    /// `latest:GUEST`
    #[arg(required = true, value_name = "ENTRY")]
    entries: Vec<String>,
    /// Address of a store: s3://, gs://, az://
    #[arg(long, value_name = "URL")]
    from: Option<String>,
    /// Only triage pack, report and metadata
    #[arg(long)]
    without_core: bool,
    #[command(flatten)]
    store: StoreArgs,
}

/// Brings the entries.
pub(super) fn run(arguments: &PullArgs) -> anyhow::Result<Exit> {
    if cfg!(not(feature = "remote")) {
        anyhow::bail!("{}", remote::LEFT_OUT);
    }
    let to = arguments.store.folder()?;
    let mut exit = Exit::Done;
    for (root, entry) in find(arguments)? {
        let pulled = remote::start()
            .and_then(|socket| Channel::open(socket, root))
            .map_err(anyhow::Error::from)
            .and_then(|channel| Ok(pull(&channel, &entry, &to, !arguments.without_core)?));
        match pulled {
            Ok(pulled) => {
                say(&pulled)?;
                if let Some(reason) = &pulled.without {
                    ui::say(&format!("warning: {entry} is here without its core: {reason}"));
                    exit = if exit == Exit::Done { Exit::Incomplete } else { exit };
                }
            }
            Err(error) => {
                ui::error(&error.context(format!("{entry} is not brought")));
                exit = Exit::Failed;
            }
        }
    }
    Ok(exit)
}

fn say(pulled: &Pulled) -> anyhow::Result<()> {
    let path = shown(&pulled.folder.display().to_string());
    let what = match (pulled.was_here, pulled.core_bytes) {
        (true, _) => "is here already".to_owned(),
        (_, Some(size)) => format!("brought, with its core of {}", bytes(size)),
        (_, None) => "brought, without its core".to_owned(),
    };
    print(|out| writeln!(out, "{path}  {what}"))?;
    Ok(())
}

/// The store and the name in it (`GUEST/ID`) of each entry.
fn find(arguments: &PullArgs) -> anyhow::Result<Vec<(RemoteAddress, String)>> {
    let usage = |message: &str| UsageError {
        message: message.to_owned(),
        hint: Some(
            "pull s3://BUCKET/PREFIX/GUEST/ID, or pull ID --from s3://BUCKET/PREFIX".to_owned(),
        ),
    };
    let from = match arguments.from.as_deref().map(Address::parse) {
        None => None,
        Some(Some(Address::Remote(address))) => Some(address),
        Some(_) => return Err(usage("--from is no address of object storage").into()),
    };
    let mut listed: Option<RemoteStore> = None;
    let mut found = Vec::new();
    for wanted in &arguments.entries {
        match (Address::parse(wanted), &from) {
            (Some(Address::Remote(address)), _) => {
                let entry = split(&address).ok_or_else(|| usage("an address is of no entry"))?;
                found.push(entry);
            }
            (Some(Address::Local(_)), _) => {
                return Err(usage("an address is of this machine").into());
            }
            (None, None) => return Err(usage("a name needs the store that it is in").into()),
            (None, Some(from)) => {
                if listed.is_none() {
                    listed = Some(match arguments.entries.as_slice() {
                        [wanted] => RemoteStore::open_for(from, wanted)?,
                        _ => RemoteStore::open(from)?,
                    });
                }
                let store = PathBuf::from(from.shown());
                let none = || crate::store::StoreError::NoEntry { wanted: wanted.clone(), store };
                let name = listed.as_ref().map(|store| store.find(wanted)).ok_or_else(none)??;
                found.push((from.clone(), name));
            }
        }
    }
    Ok(found)
}

/// The store and the name of the entry at an address.
fn split(address: &RemoteAddress) -> Option<(RemoteAddress, String)> {
    let (guest, id) = address.split();
    let (root, guest) = guest.split();
    let is_entry = time_of(&id).is_some() && !guest.is_empty() && !address.has_query();
    is_entry.then(|| (root, format!("{guest}/{id}")))
}
