//! Whether something is in the bucket.

use crate::remote::{Channel, RemoteError};
use crate::store::METADATA_FILE;

/// Whether an entry (`GUEST/ID`) is listed in the bucket.
pub(super) fn is_listed(channel: &Channel, entry: &str) -> Result<bool, RemoteError> {
    exists(channel, &format!("{entry}/{METADATA_FILE}"))
}

/// Whether there is an object of this name.
pub(super) fn exists(channel: &Channel, name: &str) -> Result<bool, RemoteError> {
    match channel.end(name, 1) {
        Ok(_) => Ok(true),
        Err(RemoteError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
