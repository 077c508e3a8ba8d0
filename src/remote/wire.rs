//! What the command and its fetcher say to each other.
//!
//! ```text
//! 0   length   u32   little endian, of the head
//! 4   head           JSON: a Question, or an AnswerHead
//!     bytes          as many as the head says: what is written, or what was read
//! ```
//!
//! Each side checks what the other sends: the command has parsed what a guest wrote, and the
//! fetcher what a server answered.

use std::io::{self, ErrorKind, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The longest head, in bytes.
pub(super) const MAX_HEAD: u32 = 64 << 10;
/// The most bytes of one answer.
pub(super) const MAX_BYTES: u64 = 32 << 20;
/// How many bytes of a question are read at once.
const BUFFER: u64 = 256 << 10;
/// The most bytes of one question: a part of an upload.
pub(super) const MAX_BODY: u64 = 1 << 30;

/// What the command asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Question {
    /// Given back with the answer.
    pub(super) id: u64,
    /// How many bytes follow.
    #[serde(default)]
    pub(super) bytes: u64,
    pub(super) ask: Ask,
}

/// A question. The first one is [`Ask::Root`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ask {
    /// Names the address that all others are at or below, and whether something may be written
    /// there. Once, before the command parses anything.
    Root { address: String, writes: bool },
    /// Opens an object: gives its number, its length, and its last bytes.
    Open { name: String, tail: u64 },
    /// The same, with its first bytes.
    OpenStart { name: String, bytes: u64 },
    /// Bytes of an opened object.
    Read { object: u32, offset: u64, length: u64 },
    /// Gives the file that is filled from now on. It comes with the one byte that follows.
    File,
    /// Writes bytes of an opened object to that file, at the same offset.
    Fill { object: u32, offset: u64, length: u64 },
    /// The length and the last bytes of an object that is not opened.
    End { name: String, bytes: u64 },
    /// A page of a list, as JSON ([`Page`]).
    List(PageOf),
    /// Uploads below a name of which nothing was sent for so many seconds, as JSON.
    Uploads { below: String, seconds: u64 },
    /// Whether the server checks what it receives: one byte, 1 or 0.
    Checks,
    /// A small object as a whole.
    Get { name: String, most: u64 },
    /// Writes an object; `new` only if its name is free.
    Put { name: String, new: bool },
    /// Removes an object. One that is not there is removed, too.
    Delete { name: String },
    /// Begins an upload in parts: gives its id.
    Begin { name: String },
    /// A part of an upload: gives its id.
    Part { name: String, upload: String, number: usize },
    /// Makes the object out of its parts, whose ids follow in order, as JSON.
    Finish { name: String, upload: String },
    /// Gives an upload up.
    Abort { name: String, upload: String },
}

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

/// Which page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PageOf {
    /// What all names begin with, below the address.
    pub(super) prefix: String,
    /// The list begins after this name. Only for its first page.
    pub(super) after: Option<String>,
    /// What the page before said.
    pub(super) token: Option<String>,
    /// Names that have a slash behind the prefix are not wanted, but each such beginning once.
    pub(super) folders: bool,
}

/// A page of a list.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Page {
    pub(super) objects: Vec<DatedObject>,
    /// The beginnings, each with its slash.
    pub(super) folders: Vec<String>,
    /// What the question for the next page has to say; `None` after the last one.
    pub(super) token: Option<String>,
    /// Whether a list may begin anywhere, with any prefix.
    pub(super) begins_anywhere: bool,
}

/// The head of an answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct AnswerHead {
    pub(super) id: u64,
    /// How many bytes follow.
    pub(super) bytes: u64,
    pub(super) outcome: Outcome,
}

/// What came of a question.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Done,
    Opened {
        object: u32,
        length: u64,
    },
    /// Written, or not, because the name is taken: which is `checked` by the server, or else was
    /// looked at before and after.
    Put {
        created: bool,
        checked: bool,
    },
    NotFound,
    Failed {
        problem: String,
    },
}

/// Writes a head.
pub(super) fn encode(head: &impl Serialize) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(head)?;
    let length = u32::try_from(json.len()).ok().filter(|length| *length <= MAX_HEAD);
    let length = length.ok_or(ErrorKind::InvalidInput)?;
    let mut message = length.to_le_bytes().to_vec();
    message.extend(json);
    Ok(message)
}

/// Reads a head of this length.
pub(super) fn decode<T: DeserializeOwned>(json: &[u8]) -> io::Result<T> {
    serde_json::from_slice(json).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
}

/// Sends a question, and the bytes that it says.
pub(super) fn send(
    socket: &mut impl Write,
    question: &Question,
    body: &mut dyn Read,
) -> io::Result<()> {
    socket.write_all(&encode(question)?)?;
    let mut left = question.bytes;
    let mut buffer = vec![0; usize::try_from(left.min(BUFFER)).unwrap_or_default()];
    while left > 0 {
        let end = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let part = buffer.get_mut(..end).unwrap_or_default();
        body.read_exact(part)?;
        socket.write_all(part)?;
        left = left.saturating_sub(end as u64);
    }
    Ok(())
}

/// Receives an answer.
pub(super) fn receive(socket: &mut impl Read) -> io::Result<(AnswerHead, Vec<u8>)> {
    let mut length = [0; 4];
    socket.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > MAX_HEAD {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut json = vec![0; length as usize];
    socket.read_exact(&mut json)?;
    let head: AnswerHead = decode(&json)?;
    if head.bytes > MAX_BYTES {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; usize::try_from(head.bytes).unwrap_or_default()];
    socket.read_exact(&mut bytes)?;
    Ok((head, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_promises_too_much_is_an_error_and_nothing_is_allocated() {
        let head = AnswerHead { id: 1, bytes: MAX_BYTES + 1, outcome: Outcome::Done };
        assert!(receive(&mut &encode(&head).unwrap()[..]).is_err());
        assert!(receive(&mut &[0xff; 64][..]).is_err());
        let head = AnswerHead { bytes: 2, ..head };
        let message = [encode(&head).unwrap(), b"ab".to_vec()].concat();
        assert_eq!(receive(&mut &message[..]).unwrap().1, b"ab");
        assert!(receive(&mut &message[..message.len() - 1]).is_err());
    }
}
