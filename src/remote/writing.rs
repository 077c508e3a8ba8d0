//! Small objects that are written and removed.
//!
//! What is published is created under a name that is free, or not at all. A server that ignores
//! this condition is recognised by its answer to a probe; the fetcher then looks before and after,
//! which does not decide between two writers at the same time.

use std::sync::atomic::Ordering;

use super::RemoteError;
use super::channel::{Answer, Channel};
use super::wire::{Ask, Outcome};

/// What became of an object that was to be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is this one.
    Created,
    /// Its name is taken. Where the answer to an earlier try was lost, it may be by this object.
    Exists,
}

impl Channel {
    /// Creates an object, unless its name is taken.
    ///
    /// # Errors
    /// Fails if it cannot be written. Whether it was is then not certain.
    pub fn put_new(&self, name: &str, bytes: &[u8]) -> Result<Put, RemoteError> {
        let ask = Ask::Put { name: name.to_owned(), new: true };
        let answer = self.ask_with(ask, bytes)?;
        match answer.outcome {
            Outcome::Put { created, checked } => {
                if !checked {
                    self.unchecked.store(true, Ordering::Relaxed);
                }
                Ok(if created { Put::Created } else { Put::Exists })
            }
            other => Err(self.refused(name, other)),
        }
    }

    /// Writes an object, over another one of this name.
    ///
    /// # Errors
    /// Fails if it cannot be written.
    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<(), RemoteError> {
        let answer = self.ask_with(Ask::Put { name: name.to_owned(), new: false }, bytes)?;
        self.done(name, answer)
    }

    /// Removes an object, if it is there.
    ///
    /// # Errors
    /// Fails if it cannot be removed.
    pub fn delete(&self, name: &str) -> Result<(), RemoteError> {
        let answer = self.ask(Ask::Delete { name: name.to_owned() })?;
        self.done(name, answer)
    }

    /// Whether an answer so far has shown that the server ignores the condition that a name is free.
    pub fn ignores_conditions(&self) -> bool {
        self.unchecked.load(Ordering::Relaxed)
    }

    /// Whether the server compares what it receives with the checksum that comes with it. If not,
    /// what it has is to be read back.
    ///
    /// # Errors
    /// Fails if the fetcher has ended.
    pub fn checks_what_it_receives(&self) -> Result<bool, RemoteError> {
        let answer = self.ask(Ask::Checks)?;
        match answer.outcome {
            Outcome::Done => Ok(answer.bytes == [1]),
            other => Err(self.refused("", other)),
        }
    }

    /// Nothing but the end of a request was asked for.
    pub(super) fn done(&self, name: &str, answer: Answer) -> Result<(), RemoteError> {
        match answer.outcome {
            Outcome::Done => Ok(()),
            other => Err(self.refused(name, other)),
        }
    }

    /// The error that an outcome is which nobody asked for.
    pub(super) fn refused(&self, name: &str, outcome: Outcome) -> RemoteError {
        match outcome {
            Outcome::Failed { problem } => {
                RemoteError::Write { address: self.shown(name), problem }
            }
            Outcome::NotFound => self.not_found(name),
            _ => RemoteError::Ended,
        }
    }
}
