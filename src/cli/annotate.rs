//! `vmcorectl annotate`: what is noted of a crash after its capture.

use std::sync::Arc;

use jiff::Timestamp;

use super::exit::{Exit, UsageError};
use super::remote_store::{self, RemoteStore};
use super::store_folder::{StoreArgs, StorePlace};
use super::stored_core::print;
use crate::printable::shown;
use crate::remote::address::RemoteAddress;
use crate::store::annotations::{Annotation, Annotations, FOLDER};
use crate::store::{StoreError, entry, listing};
use crate::tables::layout;

/// Note something of a stored crash: a ticket, an owner
///
/// `list`, `group` and `info` print it. Of each key the newest value counts; an empty one takes
/// the key away. Without KEY=VALUE, what was noted is printed.
#[derive(Debug, clap::Args)]
pub(super) struct AnnotateArgs {
    /// An entry of the store: an id or its beginning, its directory, `latest` or `latest:GUEST`
    #[arg(value_name = "ENTRY")]
    entry: String,
    /// What is noted: ticket=ABC-1
    #[arg(value_name = "KEY=VALUE")]
    values: Vec<String>,
    #[command(flatten)]
    store: StoreArgs,
}

/// Notes it, or prints what was noted.
pub(super) fn run(arguments: &AnnotateArgs) -> anyhow::Result<Exit> {
    let annotation = annotation(&arguments.values)?;
    let store = match arguments.store.place() {
        StorePlace::Folder(store) => store,
        StorePlace::Remote(address) => return elsewhere(arguments, annotation, &address),
    };
    let folder = entry::folder(&arguments.entry, &store)?;
    let none = || StoreError::NoEntry { wanted: arguments.entry.clone(), store: store.clone() };
    listing::read_entry(&folder).ok_or_else(none)?;
    if let Some(annotation) = annotation {
        annotation.write(&folder, &random()?)?;
    }
    say(&folder.display().to_string(), &Annotations::read(&folder))
}

/// The same in a store that is elsewhere. The entry has the annotation, which comes with it
/// wherever it is copied to, and the table has it, which is read for all entries at once.
fn elsewhere(
    arguments: &AnnotateArgs,
    annotation: Option<Annotation>,
    address: &RemoteAddress,
) -> anyhow::Result<Exit> {
    let channel = remote_store::open_to_write(address)?;
    let store = RemoteStore::of_named(Arc::clone(&channel), &[&arguments.entry])?;
    let entry = store.find(&arguments.entry)?;
    if let Some(annotation) = annotation {
        let (random, json) = (random()?, annotation.to_json());
        let id = entry.rsplit_once('/').map_or(entry.as_str(), |(_, id)| id);
        let of_table = layout::annotation(&layout::day(annotation.time), id, &random);
        for name in [format!("{entry}/{FOLDER}/{random}.json"), of_table] {
            channel.put_new(&name, &json)?;
        }
    }
    say(&channel.shown(&entry), &remote_store::annotations(&channel, &entry)?)
}

/// What is to be noted; `None` if nothing is.
fn annotation(values: &[String]) -> Result<Option<Annotation>, UsageError> {
    if values.is_empty() {
        return Ok(None);
    }
    let annotation = Annotation::new(values, Timestamp::now());
    annotation.map(Some).map_err(|(text, error)| UsageError {
        message: format!("cannot note {:?}: {error}", shown(text)),
        hint: Some("annotate ENTRY ticket=ABC-1 owner=kernel-team".to_owned()),
    })
}

/// A name that nothing has.
fn random() -> anyhow::Result<String> {
    let mut random = [0; 8];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    Ok(format!("{:016x}", u64::from_ne_bytes(random)))
}

fn say(entry: &str, annotations: &Annotations) -> anyhow::Result<Exit> {
    print(|out| {
        writeln!(out, "{}", shown(entry))?;
        annotations
            .values()
            .iter()
            .try_for_each(|(key, value)| writeln!(out, "  {key}={}", shown(value)))
    })
}
