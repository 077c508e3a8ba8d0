//! Which part of a bucket is listed to find an entry by what was typed.
//!
//! ```text
//! the whole bucket, if that is one page
//! latest:GUEST            the guest's entries of the last day, month or year, if there are any
//! GUEST/ID, its address   that entry
//! an id or more than its time     what begins so, of each of not too many guests
//! latest, a part of an id         everything
//! ```

use jiff::{SignedDuration, Timestamp};

use super::stored::{StoredEntries, add};
use crate::remote::{Channel, RemoteError};
use crate::store::guest_folder::folder_name;
use crate::store::{INCOMPLETE, METADATA_FILE};

/// The directory of the table, which no guest has.
const INDEX: &str = "index/";
/// Up to this many guests, one request for each takes no longer than a list of everything.
const MAX_GUESTS: usize = 64;
/// How long ago the newest entry of a guest is looked for, one after the other.
const DAYS: [i64; 3] = [1, 30, 365];

/// All entries of a bucket.
///
/// # Errors
/// Fails if they cannot be listed.
pub fn all(channel: &Channel) -> Result<StoredEntries, RemoteError> {
    below(channel, &[String::new()])
}

/// Those entries of a bucket among which is each that this name may mean to
/// [`choose`](crate::store::entry::choose), or that has the name as its address or as `GUEST/ID`.
///
/// # Errors
/// Fails if they cannot be listed.
pub fn named(channel: &Channel, wanted: &str) -> Result<StoredEntries, RemoteError> {
    if let Some(guest) = wanted.strip_prefix("latest:") {
        return newest(channel, &format!("{}/", folder_name(Some(guest))));
    }
    let root = format!("{}/", channel.shown("").trim_end_matches('/'));
    let name = wanted.strip_prefix(&root).unwrap_or(wanted).trim_end_matches('/');
    if let Some((guest, id)) = name.split_once('/')
        && !guest.is_empty()
        && !id.is_empty()
        && !id.contains('/')
    {
        return below(channel, &[format!("{name}/")]);
    }
    let mut entries = StoredEntries::new();
    if channel.walk_page("", Some(INDEX), &mut |object| add(&mut entries, &object))? {
        return Ok(entries);
    }
    // The random part of an id, by which an entry is found, too, has no hyphen.
    if name.contains('-') && !name.contains('/') {
        let guests = channel.folders("")?;
        if guests.len() <= MAX_GUESTS {
            let guests = guests.iter().map(|guest| format!("{guest}/{name}"));
            return below(channel, &guests.collect::<Vec<_>>());
        }
    }
    all(channel)
}

/// Entries of the guest that has this directory: the newest one is among them.
fn newest(channel: &Channel, guest: &str) -> Result<StoredEntries, RemoteError> {
    let mut entries = StoredEntries::new();
    if channel.walk_page(guest, None, &mut |object| add(&mut entries, &object))? {
        return Ok(entries);
    }
    for days in DAYS {
        let mut entries = StoredEntries::new();
        let since = Timestamp::now() - SignedDuration::from_hours(days.saturating_mul(24));
        channel.walk_since(guest, since, &mut |object| add(&mut entries, &object))?;
        let is_published = |(entry, files): (&String, &super::stored::StoredFiles)| {
            files.has(METADATA_FILE) && !entry.ends_with(INCOMPLETE)
        };
        if entries.iter().any(is_published) {
            return Ok(entries);
        }
    }
    below(channel, &[guest.to_owned()])
}

fn below(channel: &Channel, prefixes: &[String]) -> Result<StoredEntries, RemoteError> {
    let mut entries = StoredEntries::new();
    channel.walk(prefixes, Some(INDEX), &mut |object| add(&mut entries, &object))?;
    Ok(entries)
}
