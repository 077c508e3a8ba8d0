//! A table in object storage.

use std::sync::Arc;

use super::layout::{self, INDEX};
use super::objects::{Objects, TableError};
use crate::remote::{Channel, RemoteError, writing::Put};

/// The table.
#[derive(Debug)]
pub struct Elsewhere {
    channel: Arc<Channel>,
}

impl Elsewhere {
    /// The table of the store at the root of this channel.
    pub fn new(channel: Arc<Channel>) -> Self {
        Self { channel }
    }
}

impl Objects for Elsewhere {
    fn list(&self, kind: &str) -> Result<Vec<(String, u64)>, TableError> {
        let names = self.channel.list_below(&format!("{INDEX}/{kind}"))?.into_iter();
        Ok(names.filter(|(name, _)| layout::parse(name).is_some()).collect())
    }

    fn get(&self, name: &str, most: u64) -> Result<Option<Vec<u8>>, TableError> {
        match self.channel.get(name, most) {
            Err(RemoteError::NotFound { .. }) => Ok(None),
            got => Ok(Some(got?)),
        }
    }

    fn put_new(&self, name: &str, bytes: Vec<u8>) -> Result<bool, TableError> {
        Ok(self.channel.put_new(name, &bytes)? == Put::Created)
    }

    fn delete(&self, name: &str) -> Result<(), TableError> {
        Ok(self.channel.delete(name)?)
    }
}
