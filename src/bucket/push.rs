//! Pushes one entry: what is small first, then the core, and the record of the core last.

use std::fs;
use std::io;
use std::path::Path;

use jiff::Timestamp;

use super::files::LocalCore;
use super::item::Pushed;
use super::presence::{exists, is_listed};
use super::queue::Held;
use super::small_files::{self, LOOKS};
use super::upload::{self, Sent, Verify};
use super::{BucketError, Rate, table};
use crate::metadata::core_record::{CORE_RECORD, CoreRecord, MAX_RECORD};
use crate::metadata::{Host, Metadata};
use crate::remote::writing::Put;
use crate::remote::{Channel, RemoteError};
use crate::store::metadata_head::MetadataHead;

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is there now.
    Pushed,
    /// It was there already, by this host or another one.
    Already,
    /// It was removed from the bucket while it was sent, and is not sent again.
    Removed,
}

/// Pushes the entry in a directory of the store, or what is left to be pushed. What was done is
/// kept in the queue.
///
/// # Errors
/// Fails if something of it cannot be read or sent.
pub fn push(
    channel: &Channel,
    store: &Path,
    held: &mut Held,
    rate: &mut Rate,
    verify: Verify,
) -> Result<Outcome, BucketError> {
    let entry = held.item.entry.clone();
    let before = held.item.pushed.take();
    let core_removed = before.as_ref().and_then(|pushed| pushed.core_removed);
    let (outcome, pushed) = match record(channel, &entry)? {
        Some(record) => (Outcome::Already, pushed(record, false)),
        None => {
            held.item.listed &= before.is_none();
            match send(channel, store, held, rate, verify) {
                Err(BucketError::Removed { .. }) => {
                    (Outcome::Removed, Pushed::without_core(Timestamp::now()))
                }
                sent => sent?,
            }
        }
    };
    if outcome != Outcome::Removed {
        table::add_annotations(channel, &entry, &store.join(&entry))?;
    }
    held.item.succeed(Pushed { core_removed, ..pushed });
    held.save()?;
    Ok(outcome)
}

fn pushed(record: CoreRecord, read_back: bool) -> Pushed {
    let (at, CoreRecord { key, bytes, .. }) = (Timestamp::now(), record);
    Pushed { at, key, bytes, read_back, core_removed: None }
}

/// Sends what is not there of an entry whose core is not there.
fn send(
    channel: &Channel,
    store: &Path,
    held: &mut Held,
    rate: &mut Rate,
    verify: Verify,
) -> Result<(Outcome, Pushed), BucketError> {
    let entry = held.item.entry.clone();
    let local = store.join(&entry);
    let is_new = small_files::create(channel, &local, held, rate)?;
    let host = Host::this().name;
    let (mut own, stamp, read_back) = match LocalCore::open(&local)? {
        Some(core) => {
            let sent = upload::send(channel, &entry, &core, held, rate, verify)?;
            if let Err(error) = check_hash(&local, &core, &sent) {
                upload::forget(channel, &format!("{entry}/{}", sent.key), held)?;
                return Err(error);
            }
            let Sent { key, bytes, sha256, read_back } = sent;
            (CoreRecord::new(key, bytes, sha256, host), Some(core.stamp), read_back)
        }
        None if never_has_a_core(&local)? => (CoreRecord::without_core(host), None, false),
        // Another host may have it.
        None => {
            let outcome = if is_new { Outcome::Pushed } else { Outcome::Already };
            return Ok((outcome, Pushed::without_core(Timestamp::now())));
        }
    };
    own.files = small_files::settle(channel, &local, held, stamp.as_ref(), rate)?;
    let (outcome, record) = publish(channel, held, own)?;
    Ok((outcome, pushed(record, read_back && outcome == Outcome::Pushed)))
}

/// Whether the metadata of an entry says that it has no core, on any host.
fn never_has_a_core(local: &Path) -> Result<bool, BucketError> {
    let metadata = MetadataHead::parse(&small_files::metadata(local)?);
    Ok(metadata.is_some_and(|metadata| metadata.core_left_out))
}

/// The record of the core of an entry; `None` if there is none yet.
///
/// # Errors
/// Fails if it cannot be had, or is none.
pub fn record(channel: &Channel, entry: &str) -> Result<Option<CoreRecord>, RemoteError> {
    let name = format!("{entry}/{CORE_RECORD}");
    match channel.get(&name, MAX_RECORD) {
        Ok(json) => CoreRecord::parse(&json)
            .map(Some)
            .map_err(|problem| RemoteError::Failed { address: channel.shown(&name), problem }),
        Err(RemoteError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Compares what was sent of an encrypted core with the hash in the metadata. A file that was
/// damaged before opens in part at most, and must not take the place of a whole one.
fn check_hash(local: &Path, core: &LocalCore, sent: &Sent) -> Result<(), BucketError> {
    let metadata = serde_json::from_slice::<Metadata>(&small_files::metadata(local)?).ok();
    let recorded = metadata.and_then(|metadata| metadata.encrypted?.core_file_sha256);
    if recorded.is_none_or(|recorded| recorded == sent.sha256) {
        return Ok(());
    }
    let path = core.path.clone();
    let now = LocalCore::open(local)?;
    Err(match now.is_some_and(|now| now.stamp == core.stamp) {
        true => BucketError::Damaged { path },
        false => BucketError::Changed { path },
    })
}

/// Creates the record. If another host was faster, its core is the entry's, and this one is none.
/// If somebody has removed the entry or the core meanwhile, there is no record, or none any more.
fn publish(
    channel: &Channel,
    held: &mut Held,
    own: CoreRecord,
) -> Result<(Outcome, CoreRecord), BucketError> {
    let entry = held.item.entry.as_str();
    let name = format!("{entry}/{CORE_RECORD}");
    let core = own.key.as_ref().map(|key| format!("{entry}/{key}"));
    // What stays costs space, and no more: the next `prune` finds it.
    let withdraw = |published: Option<&CoreRecord>| {
        let others = own.files.values().map(|file| &file.key);
        for key in others.chain([&own.key]).flatten() {
            if published.is_none_or(|record| !record.names(key)) {
                let _ = channel.delete(&format!("{entry}/{key}"));
            }
        }
    };
    let removed = || {
        withdraw(None);
        Err(BucketError::Removed { address: channel.shown(entry) })
    };
    if !is_listed(channel, entry)? {
        return removed();
    }
    for _ in 0..LOOKS {
        if channel.put_new(&name, &own.to_json())? == Put::Created {
            if !is_listed(channel, entry)? {
                channel.delete(&name)?;
                return removed();
            }
            if let Some(core) = &core
                && !exists(channel, core)?
            {
                channel.delete(&name)?;
                let address = channel.shown(core);
                held.item.upload = None;
                held.save()?;
                return Err(RemoteError::NotFound { address }.into());
            }
            return Ok((Outcome::Pushed, own));
        }
        let Some(found) = record(channel, entry)? else { continue };
        withdraw(Some(&found));
        // It is this push's own if the answer to an earlier try was lost.
        let is_own = match &own.key {
            Some(_) => found.key == own.key,
            None => found == own,
        };
        return Ok((if is_own { Outcome::Pushed } else { Outcome::Already }, found));
    }
    Err(BucketError::OtherEntry { address: channel.shown(&name) })
}

/// The entries of a store that can be pushed: `GUEST/ID`, the newest last.
///
/// # Errors
/// Fails if the store cannot be read.
pub fn published(store: &Path) -> Result<Vec<String>, BucketError> {
    let (entries, _) = crate::store::listing::list(store).map_err(|error| {
        BucketError::io("read the store", store, io::Error::other(error.to_string()))
    })?;
    let published = entries.iter().filter(|entry| entry.published);
    Ok(published.filter_map(|entry| name(store, &entry.folder)).collect())
}

/// `GUEST/ID` of an entry's directory.
pub fn name(store: &Path, folder: &Path) -> Option<String> {
    let name = folder.strip_prefix(store).ok().and_then(Path::to_str);
    let name = name.map(str::to_owned).or_else(|| {
        let store = fs::canonicalize(store).ok()?;
        let folder = fs::canonicalize(folder).ok()?;
        Some(folder.strip_prefix(store).ok()?.to_str()?.to_owned())
    })?;
    (name.split('/').count() == 2).then_some(name)
}
