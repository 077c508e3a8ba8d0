//! What is below an address, and since when: by the server's clock, whatever this host's says.

use serde::{Deserialize, Serialize};

use super::RemoteError;
use super::channel::Channel;
use super::wire::{Ask, Outcome};

pub use super::wire::DatedObject;

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
    /// The uploads below a name (a directory) of which nothing was sent for so many seconds. None
    /// where the server does not list uploads.
    ///
    /// # Errors
    /// Fails if the server refuses.
    pub fn idle_uploads(&self, name: &str, seconds: u64) -> Result<Vec<IdleUpload>, RemoteError> {
        let answer = self.ask(Ask::Uploads { below: name.to_owned(), seconds })?;
        match answer.outcome {
            Outcome::Done => serde_json::from_slice(&answer.bytes)
                .map_err(|error| self.failed(name, error.to_string())),
            Outcome::Failed { problem } => Err(self.failed(name, problem)),
            Outcome::NotFound => Err(self.not_found(name)),
            _ => Err(RemoteError::Ended),
        }
    }
}
