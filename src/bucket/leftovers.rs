//! What pushes have left that were not finished: their queue was lost, or the entry was removed
//! while they went on.
//!
//! ```text
//! a directory without metadata.json     all that is in it
//! core-<random>, other-<random>-<name> that core.json does not name
//! uploads that were begun, and of which nothing was sent for long
//! ```
//!
//! Ages are by the server's clock. A push that runs changes something at least every hour, and goes
//! on if what it had sent was removed: so nothing that may still be published is lost.

use std::time::Duration;

use super::BucketError;
use super::presence::is_listed;
use super::pull::parts;
use super::push::record;
use super::stored::{self, StoredEntries, StoredFile};
use crate::metadata::core_record::{is_core, is_other};
use crate::remote::{Channel, RemoteError, at_once};
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

/// Finds what has not changed for so long, and an hour at least, in the entries of a bucket and in
/// what has no metadata and is none. Uploads come last: not everybody may list them, and what the
/// server said then is given, too.
///
/// # Errors
/// Fails if a record cannot be had.
pub fn find(
    channel: &Channel,
    entries: &StoredEntries,
    unlisted: &StoredEntries,
    after: Duration,
) -> Result<(Vec<Leftover>, Option<RemoteError>), RemoteError> {
    let seconds = after.max(RECENT).as_secs();
    let mut found = Vec::new();
    let leftover = |entry: &str, file: &StoredFile| Leftover {
        entry: entry.to_owned(),
        name: format!("{entry}/{}", file.name),
        bytes: file.bytes,
        upload: None,
    };
    let is_old = |file: &&StoredFile| file.age >= seconds;
    let named_by_record = entries.iter().filter(|(entry, _)| parts(entry).is_some());
    let named_by_record: Vec<_> = named_by_record
        .filter_map(|(entry, files)| {
            let old: Vec<_> = files
                .files()
                .filter(|file| is_named_by_record(&file.name))
                .filter(is_old)
                .collect();
            (!old.is_empty()).then_some((entry, old))
        })
        .collect();
    let left = at_once(&named_by_record, |(entry, old)| {
        let record = record(channel, entry)?;
        let is_named = |name: &str| record.as_ref().is_some_and(|record| record.names(name));
        let left = old.iter().filter(|file| !is_named(&file.name));
        Ok::<_, RemoteError>(left.map(|file| leftover(entry, file)).collect::<Vec<_>>())
    })?;
    found.extend(left.into_iter().flatten());
    for (entry, files) in unlisted.iter().filter(|(entry, _)| parts(entry).is_some()) {
        if !files.has(PIN_FILE) && files.all().iter().all(|file| is_old(&file)) {
            found.extend(files.all().iter().map(|file| leftover(entry, file)));
        }
    }
    let uploads = match channel.idle_uploads("", seconds) {
        Ok(uploads) => uploads,
        Err(error) => return Ok((found, Some(error))),
    };
    for upload in uploads {
        if let Some((entry, name)) = split(&upload.name).filter(|(_, name)| is_core(name)) {
            let (entry, name) = (entry.to_owned(), format!("{entry}/{name}"));
            found.push(Leftover { entry, name, bytes: 0, upload: Some(upload.id) });
        }
    }
    Ok((found, None))
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
    if let Some(key) = name.rsplit('/').next().filter(|key| is_named_by_record(key))
        && record(channel, entry)?.is_some_and(|record| record.names(key))
        && is_listed(channel, entry)?
    {
        return Ok(false);
    }
    channel.delete(name)?;
    Ok(true)
}

/// Whether an object belongs to the entry only if the record names it.
fn is_named_by_record(name: &str) -> bool {
    is_core(name) || is_other(name)
}

/// The entry of an object, and the rest of its name.
fn split(name: &str) -> Option<(&str, &str)> {
    stored::split(name).filter(|(entry, _)| parts(entry).is_some())
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
