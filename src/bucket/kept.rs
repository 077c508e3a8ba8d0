//! Cores of this machine that are kept for a time after they were pushed.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use jiff::Timestamp;

use super::BucketError;
use super::files::LocalCore;
use super::push::record;
use super::queue::Held;
use crate::metadata::core_record::{CORE_RECORD, CoreRecord, hex};
use crate::remote::{Channel, RemoteError};
use crate::store::pin::is_pinned;

/// Removes the core of an entry, if the core that was pushed is there, and all of it was read and
/// has the SHA-256 of its record. A record of where it is takes its place. Gives whether it was
/// removed; one of a pinned entry is not.
///
/// # Errors
/// Fails if the pushed core is not there as it was, or the system refuses.
pub fn remove_core(channel: &Channel, store: &Path, held: &mut Held) -> Result<bool, BucketError> {
    let entry = held.item.entry.clone();
    let local = store.join(&entry);
    if is_pinned(&local) {
        return Ok(false);
    }
    let found = record(channel, &entry)?;
    let confirmed = found.filter(|record| record.removed.is_none()).and_then(|record| {
        let name = format!("{entry}/{}", record.key.as_ref()?);
        Some((record, name))
    });
    let Some((record, name)) = confirmed else {
        let address = channel.shown(&format!("{entry}/{CORE_RECORD}"));
        return Err(RemoteError::NotFound { address }.into());
    };
    let (length, _) = channel.end(&name, 1)?;
    let core = LocalCore::open(&local)?;
    let same = core.as_ref().is_none_or(|core| core.stamp.bytes == record.bytes);
    if length != record.bytes || !same {
        let problem = format!("it has {length} bytes, and {} are wanted", record.bytes);
        return Err(BucketError::Differs { address: channel.shown(&name), problem });
    }
    // What goes here may be the only other copy: what is there is read, if it was not.
    let is_read = held.item.pushed.as_ref().is_some_and(|pushed| pushed.read_back);
    if !is_read {
        let found = hex(&channel.hash(&name)?.sha256);
        if record.sha256.as_ref() != Some(&found) {
            let problem = "its SHA-256 is not that of its record".to_owned();
            return Err(BucketError::Differs { address: channel.shown(&name), problem });
        }
    }
    // First the record: an entry without a core says where it is.
    write(&local, &CoreRecord { at: Some(channel.shown(&entry)), ..record })?;
    if let Some(core) = core {
        let removed = fs::remove_file(&core.path);
        removed.map_err(|source| BucketError::io("remove", core.path, source))?;
    }
    if let Some(pushed) = &mut held.item.pushed {
        (pushed.read_back, pushed.core_removed) = (true, Some(Timestamp::now()));
    }
    held.save()?;
    Ok(true)
}

/// Writes the record into an entry on this machine.
pub(super) fn write(local: &Path, record: &CoreRecord) -> Result<(), BucketError> {
    let path = local.join(CORE_RECORD);
    let new = local.join("core.json.incomplete");
    let write = || {
        match fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::File::options().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(&record.to_json())?;
        file.sync_all()?;
        fs::rename(&new, &path)
    };
    write().map_err(|source| BucketError::io("write", &path, source))
}
