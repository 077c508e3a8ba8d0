//! Uploads in parts, which another process can go on with: their ids are all it needs.

use std::io::Read;

use super::RemoteError;
use super::channel::{Answer, Channel};
use super::wire::{Ask, Outcome};

/// A part that was sent, and not answered yet.
#[derive(Debug)]
#[must_use]
pub struct SentPart {
    question: u64,
    /// Its number, from 0.
    pub number: usize,
}

impl Channel {
    /// Begins an upload. Gives its id.
    ///
    /// # Errors
    /// Fails if the server refuses.
    pub fn begin_upload(&self, name: &str) -> Result<String, RemoteError> {
        let answer = self.ask(Ask::Begin { name: name.to_owned() })?;
        self.id(name, answer)
    }

    /// Sends a part, and does not wait for the answer. Its bytes are read meanwhile.
    ///
    /// # Errors
    /// Fails if the bytes cannot be read, or the fetcher has ended.
    pub fn send_part(
        &self,
        name: &str,
        upload: &str,
        number: usize,
        length: u64,
        bytes: &mut dyn Read,
    ) -> Result<SentPart, RemoteError> {
        let ask = Ask::Part { name: name.to_owned(), upload: upload.to_owned(), number };
        let sent = self.send(ask, length, bytes);
        let question = sent.map_err(|error| RemoteError::Read {
            address: self.shown(name),
            problem: error.to_string(),
        })?;
        Ok(SentPart { question, number })
    }

    /// Waits until the server has a part. Gives the part's id.
    ///
    /// # Errors
    /// Fails if the server refuses it; with [`RemoteError::NotFound`] if it has no such upload.
    pub fn finish_part(&self, name: &str, part: &SentPart) -> Result<String, RemoteError> {
        let answer = self.wait(part.question)?;
        self.id(name, answer)
    }

    /// Makes the object out of its parts, whose ids come in order.
    ///
    /// # Errors
    /// Fails if the server refuses; with [`RemoteError::NotFound`] if it has no such upload: it may
    /// have made the object, and the answer was lost.
    pub fn finish_upload(
        &self,
        name: &str,
        upload: &str,
        parts: &[String],
    ) -> Result<(), RemoteError> {
        let ask = Ask::Finish { name: name.to_owned(), upload: upload.to_owned() };
        let json =
            serde_json::to_vec(parts).map_err(|error| self.failed(name, error.to_string()))?;
        let answer = self.ask_with(ask, &json)?;
        self.done(name, answer)
    }

    /// Gives an upload up: the server forgets its parts.
    ///
    /// # Errors
    /// Fails if the server refuses.
    pub fn abort_upload(&self, name: &str, upload: &str) -> Result<(), RemoteError> {
        let ask = Ask::Abort { name: name.to_owned(), upload: upload.to_owned() };
        let answer = self.ask(ask)?;
        self.done(name, answer)
    }

    fn id(&self, name: &str, answer: Answer) -> Result<String, RemoteError> {
        match answer.outcome {
            Outcome::Done => String::from_utf8(answer.bytes)
                .map_err(|_| self.failed(name, "the id is no text".to_owned())),
            other => Err(self.refused(name, other)),
        }
    }
}
