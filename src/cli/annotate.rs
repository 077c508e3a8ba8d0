//! `vmcorectl annotate`: what is noted of a crash after its capture.

use jiff::Timestamp;

use super::exit::{Exit, UsageError};
use super::store_folder::StoreArgs;
use super::stored_core::print;
use crate::printable::shown;
use crate::store::annotations::{Annotation, Annotations};
use crate::store::{StoreError, entry, listing};

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
    let store = arguments.store.folder()?;
    let folder = entry::folder(&arguments.entry, &store)?;
    let none = || StoreError::NoEntry { wanted: arguments.entry.clone(), store: store.clone() };
    listing::read_entry(&folder).ok_or_else(none)?;
    if let Some(annotation) = annotation {
        annotation.write(&folder, &random()?)?;
    }
    say(&folder.display().to_string(), &Annotations::read(&folder))
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
