//! What pushes have left that were not finished: their queue was lost, or the entry was removed
//! while they went on.
//!
//! ```text
//! a directory without metadata.json     all that is in it
//! core-<random> that core.json does not name
//! uploads that were begun, and of which nothing was sent for long
//! ```
//!
//! Ages are by the server's clock. A push that runs changes something at least every hour, and goes
//! on if what it had sent was removed: so nothing that may still be published is lost.

use std::collections::BTreeMap;
use std::time::Duration;

use super::BucketError;
use super::presence::is_listed;
use super::pull::parts;
use super::push::record;
use crate::metadata::core_record::is_core;
use crate::remote::Channel;
use crate::remote::dated::DatedObject;
use crate::store::METADATA_FILE;
use crate::store::pin::PIN_FILE;

/// What has changed within this time is left alone, whatever was asked for.
const RECENT: Duration = Duration::from_hours(1);

/// Something that no entry has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// The entry that it was for: `GUEST/ID`.
    pub entry: String,
    /// Its name, with the entry's.
    pub name: String,
    /// Its length in bytes; unknown for an upload.
    pub bytes: u64,
    /// The upload's id, if it is one.
    pub upload: Option<String>,
}

/// Finds what has not changed for so long, and an hour at least.
///
/// # Errors
/// Fails if the server does not list what it has, or a record cannot be had.
pub fn find(channel: &Channel, after: Duration) -> Result<Vec<Leftover>, BucketError> {
    let seconds = after.max(RECENT).as_secs();
    let mut entries: BTreeMap<String, Vec<DatedObject>> = BTreeMap::new();
    for object in channel.list_dated("")? {
        if let Some((entry, _)) = split(&object.name) {
            entries.entry(entry.to_owned()).or_default().push(object);
        }
    }
    let mut found = Vec::new();
    for (entry, objects) in &entries {
        let has =
            |name: &str| objects.iter().any(|object| object.name == format!("{entry}/{name}"));
        let is_old = |object: &&DatedObject| object.age >= seconds;
        let left: Vec<&DatedObject> = if has(METADATA_FILE) {
            let cores = objects
                .iter()
                .filter(|object| split(&object.name).is_some_and(|(_, name)| is_core(name)));
            let old: Vec<_> = cores.filter(is_old).collect();
            let named = if old.is_empty() { None } else { record(channel, entry)? };
            let named = named.and_then(|record| Some(format!("{entry}/{}", record.key?)));
            old.into_iter().filter(|object| Some(&object.name) != named.as_ref()).collect()
        } else if has(PIN_FILE) || !objects.iter().all(|object| is_old(&object)) {
            Vec::new()
        } else {
            objects.iter().collect()
        };
        found.extend(left.into_iter().map(|object| Leftover {
            entry: entry.clone(),
            name: object.name.clone(),
            bytes: object.bytes,
            upload: None,
        }));
    }
    for upload in channel.idle_uploads("", seconds)? {
        if let Some((entry, name)) = split(&upload.name).filter(|(_, name)| is_core(name)) {
            let (entry, name) = (entry.to_owned(), format!("{entry}/{name}"));
            found.push(Leftover { entry, name, bytes: 0, upload: Some(upload.id) });
        }
    }
    Ok(found)
}

/// Removes it, unless it is a core that was published meanwhile. Gives whether it was removed.
///
/// # Errors
/// Fails if the server refuses.
pub fn remove(channel: &Channel, leftover: &Leftover) -> Result<bool, BucketError> {
    let Leftover { entry, name, upload, .. } = leftover;
    if let Some(id) = upload {
        channel.abort_upload(name, id)?;
        return Ok(true);
    }
    if let Some(key) = name.rsplit('/').next().filter(|key| is_core(key))
        && record(channel, entry)?.is_some_and(|record| record.key.as_deref() == Some(key))
        && is_listed(channel, entry)?
    {
        return Ok(false);
    }
    channel.delete(name)?;
    Ok(true)
}

/// The entry of an object, and the rest of its name.
fn split(name: &str) -> Option<(&str, &str)> {
    let (guest, rest) = name.split_once('/')?;
    let (id, file) = rest.split_once('/')?;
    let entry = name.get(..guest.len().checked_add(id.len())?.checked_add(1)?)?;
    parts(entry).map(|_| (entry, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_entry_has_no_leftovers() {
        let id = "20260101T000000Z-aaaa0001";
        let name = format!("web/{id}/annotations/x.json");
        let entry = format!("web/{id}");
        assert_eq!(split(&name), Some((entry.as_str(), "annotations/x.json")));
        for name in ["index/crashes/day=2026-01-01/part.parquet", "web/core-1", ".vmcorectl-checks"]
        {
            assert_eq!(split(name), None, "{name}");
        }
    }
}
