//! The small files of an entry: sent before its core, and settled before its record.
//!
//! Each is created under its name, or not at all: what one host has sent, no other one replaces.
//! So the files under the plain names may be of several hosts, and of several versions: one host
//! has another report, or has compressed its core anew. Before a host creates the record, all that
//! it names is there: of a file whose plain name has other bytes, the host creates an object of its
//! own, under a name that nothing else uses.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::Deserialize;

use super::files::{LocalCore, MAX_WHOLE, Stamp, before_metadata, read};
use super::queue::Held;
use super::upload::random;
use super::{BucketError, Rate, table};
use crate::metadata::core_record::{OTHER_PREFIX, SentFile};
use crate::remote::writing::Put;
use crate::remote::{Channel, RemoteError};
use crate::store::METADATA_FILE;
use crate::store::pin::{PIN_FILE, is_pinned};

/// How often an object is looked for that is said to be there.
pub(super) const LOOKS: usize = 3;

/// Sends all but the core. Gives whether the entry was not listed there before.
pub(super) fn create(
    channel: &Channel,
    local: &Path,
    held: &mut Held,
    rate: &mut Rate,
) -> Result<bool, BucketError> {
    if held.item.listed {
        return Ok(false);
    }
    let entry = &held.item.entry;
    let mut created = BTreeMap::new();
    for name in before_metadata() {
        if let Some(bytes) = read(&local.join(&name))? {
            rate.wait(bytes.len() as u64);
            if channel.put_new(&format!("{entry}/{name}"), &bytes)? == Put::Created {
                created.insert(name, SentFile::of(&bytes));
            }
        }
    }
    if is_pinned(local) {
        channel.put(&format!("{entry}/{PIN_FILE}"), b"pinned\n")?;
    }
    let metadata = metadata(local)?;
    let is_new = list(channel, entry, &metadata)?;
    if is_new {
        created.insert(METADATA_FILE.to_owned(), SentFile::of(&metadata));
    }
    table::add_row(channel, entry, local, &metadata)?;
    (held.item.listed, held.item.files) = (true, created);
    held.save()?;
    Ok(is_new)
}

/// The metadata of an entry on this machine.
pub(super) fn metadata(local: &Path) -> Result<Vec<u8>, BucketError> {
    let path = local.join(METADATA_FILE);
    let absent = || BucketError::io("read", &path, io::ErrorKind::NotFound.into());
    read(&path)?.ok_or_else(absent)
}

/// Creates the metadata: from here on, the entry is listed. Gives whether it was not before.
fn list(channel: &Channel, entry: &str, metadata: &[u8]) -> Result<bool, BucketError> {
    let name = format!("{entry}/{METADATA_FILE}");
    for _ in 0..LOOKS {
        if channel.put_new(&name, metadata)? == Put::Created {
            return Ok(true);
        }
        let found = match channel.get(&name, MAX_WHOLE) {
            // It was removed meanwhile.
            Err(RemoteError::NotFound { .. }) => continue,
            found => found?,
        };
        if found == metadata || (id(&found) == id(metadata) && id(metadata).is_some()) {
            return Ok(false);
        }
        break;
    }
    Err(BucketError::OtherEntry { address: channel.shown(&name) })
}

fn id(metadata: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Head {
        id: String,
    }
    serde_json::from_slice(metadata).ok().map(|head: Head| head.id)
}

/// Makes sure that the server has the small files that belong to the core of this version, or to
/// none. Gives what the record is to say of them.
pub(super) fn settle(
    channel: &Channel,
    local: &Path,
    held: &Held,
    core: Option<&Stamp>,
    rate: &mut Rate,
) -> Result<BTreeMap<String, SentFile>, BucketError> {
    let mut files = BTreeMap::new();
    for name in before_metadata().chain([METADATA_FILE.to_owned()]) {
        let Some(bytes) = read(&local.join(&name))? else { continue };
        let own = SentFile::of(&bytes);
        let file = match held.item.files.get(&name) == Some(&own) {
            true => own,
            false => settle_one(channel, &held.item.entry, &name, &bytes, own, rate)?,
        };
        files.insert(name, file);
    }
    // The core and what is beside it change together (`store::rewrite`).
    let now = LocalCore::open(local)?.map(|core| core.stamp);
    match now.as_ref() == core {
        true => Ok(files),
        false => Err(BucketError::Changed { path: local.to_owned() }),
    }
}

fn settle_one(
    channel: &Channel,
    entry: &str,
    file: &str,
    bytes: &[u8],
    own: SentFile,
    rate: &mut Rate,
) -> Result<SentFile, BucketError> {
    let name = format!("{entry}/{file}");
    for _ in 0..LOOKS {
        rate.wait(bytes.len() as u64);
        if channel.put_new(&name, bytes)? == Put::Created {
            return Ok(own);
        }
        match channel.get(&name, MAX_WHOLE) {
            Err(RemoteError::NotFound { .. }) => {}
            Ok(found) if own.has(&found) => return Ok(own),
            // It is longer than a small file is: another one, too.
            Ok(_) | Err(RemoteError::Failed { .. }) => break,
            Err(error) => return Err(error.into()),
        }
    }
    let key = format!("{OTHER_PREFIX}{}-{file}", random()?);
    channel.put(&format!("{entry}/{key}"), bytes)?;
    Ok(SentFile { key: Some(key), ..own })
}
