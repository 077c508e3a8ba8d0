//! What is below an address, and since when: by the server's clock, whatever this host's says.

use serde::{Deserialize, Serialize};

use super::RemoteError;
use super::channel::Channel;
use super::wire::{Ask, Outcome};

/// An object, and when it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatedObject {
    /// Its name below the root.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// How many seconds ago it was written.
    pub age: u64,
}

/// An upload that was begun and not finished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdleUpload {
    /// The name of its object below the root.
    pub name: String,
    /// What the server calls it.
    pub id: String,
    /// For how many seconds nothing of it was sent.
    pub idle: u64,
}

impl Channel {
    /// The objects below a name (a directory), as [`Self::list_below`] names them.
    ///
    /// # Errors
    /// Fails if the server has no lists, or more names than are read.
    pub fn list_dated(&self, name: &str) -> Result<Vec<DatedObject>, RemoteError> {
        self.list_of(name, Ask::ListDated { below: name.to_owned() })
    }

    /// The uploads below a name (a directory) of which nothing was sent for so many seconds. None
    /// where the server does not list uploads.
    ///
    /// # Errors
    /// Fails if the server refuses.
    pub fn idle_uploads(&self, name: &str, seconds: u64) -> Result<Vec<IdleUpload>, RemoteError> {
        self.list_of(name, Ask::Uploads { below: name.to_owned(), seconds })
    }

    fn list_of<T: for<'a> Deserialize<'a>>(
        &self,
        name: &str,
        ask: Ask,
    ) -> Result<Vec<T>, RemoteError> {
        let answer = self.ask(ask)?;
        match answer.outcome {
            Outcome::Done => serde_json::from_slice(&answer.bytes)
                .map_err(|error| self.failed(name, error.to_string())),
            Outcome::Failed { problem } => Err(self.failed(name, problem)),
            Outcome::NotFound => Err(self.not_found(name)),
            _ => Err(RemoteError::Ended),
        }
    }
}
