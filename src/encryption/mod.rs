//! Files in the age format, that only their recipients can read.
//!
//! ```text
//! writing   recipients ──► SealedHeader ──► EncryptedSink: CoreSink     a core on its way
//!                               └─────────► seal                        a text beside it
//! reading   identities ──► open_header ───► AgeFile: Bytes              any range of a core
//!                               └─────────► open_text                   a text beside it
//! ```
//!
//! The header is made and opened by the `age` crate, which knows recipients and identities:
//! X25519, ssh keys, plugins. The payload is sealed and opened here by ring, in 64 KiB chunks
//! (`payload`): it is on the path of a capture, and a reader wants its chunks in any order.
//!
//! Needs: recipients to write, identities to read. Gives: files that stock `age` opens. What was
//! changed, cut off or taken from elsewhere is an error, with its offset, and never bytes.

mod entry;
mod file;
mod file_key;
mod header;
pub mod identities;
mod pack;
mod payload;
pub mod recipients;
mod rewrap;
mod sealed;
mod sink;
mod text;

use std::io;
use std::path::PathBuf;

use thiserror::Error;

pub use entry::{EntryEncryption, Sealed, guest_alias};
pub use file::AgeFile;
pub use file_key::FileKey;
pub use header::{is_age, is_age_file};
pub use identities::Identities;
pub use pack::seal_pack;
pub use recipients::Recipients;
pub use rewrap::rewrap;
pub use sealed::SealedHeader;
pub use sink::EncryptedSink;
pub use text::{open_text, seal};

use crate::corefile::read::bytes::DataError;

/// Why something cannot be encrypted, or not be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EncryptionError {
    /// A file cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A file of keys cannot be read.
    #[error("cannot read {}", path.display())]
    Keys {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no recipient.
    #[error("{text:?} is no recipient, and no file of recipients")]
    NoRecipient {
        /// What was given.
        text: String,
    },
    /// A line of a file of recipients is none.
    #[error("line {line} of {} is no recipient", path.display())]
    RecipientLine {
        /// The file.
        path: PathBuf,
        /// The number of the line.
        line: usize,
    },
    /// A file of recipients has none, or none was given.
    #[error("there is no recipient in {place}")]
    NoRecipients {
        /// Where it was looked for.
        place: String,
    },
    /// The key cannot be wrapped for a recipient.
    #[error("cannot encrypt to these recipients: {problem}")]
    Wrap {
        /// Why not.
        problem: String,
    },
    /// A file of identities has something else in it.
    #[error("cannot use the identities in {}: {problem}", path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// No identity was given.
    #[error("it is encrypted, and no identity was given")]
    NoIdentity {
        /// The types of its recipients.
        types: Vec<String>,
    },
    /// None of the identities is that of a recipient.
    #[error("it is encrypted to other keys than these: its recipients are of type {}", types.join(", "))]
    NoMatch {
        /// The types of its recipients.
        types: Vec<String>,
    },
    /// The identity of a recipient does not open it.
    #[error("the identity does not open it: {problem}")]
    Unwrap {
        /// Why not.
        problem: String,
    },
    /// The header is damaged.
    #[error("the header of the encrypted file is damaged: {problem}")]
    Header {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The payload is not whole.
    #[error("the encrypted file is not whole: {problem}")]
    NotWhole {
        /// What is wrong with it.
        problem: String,
    },
    /// The system has no random numbers.
    #[error("the system gives no random numbers")]
    Random,
    /// The cipher refused.
    #[error("the cipher refuses this length")]
    Cipher,
}

impl EncryptionError {
    /// Whether something is wrong with the file, and not with the keys.
    pub fn is_of_file(&self) -> bool {
        matches!(self, Self::Data(_) | Self::Header { .. } | Self::NotWhole { .. })
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoRecipient { .. } => Some(
                "a recipient is age1..., ssh-ed25519 ... or ssh-rsa ...; a file has one a line",
            ),
            Self::NoIdentity { .. } => {
                Some("name the file of your key with --identity, or in VMCORECTL_IDENTITY")
            }
            Self::NoMatch { .. } => {
                Some("`info` prints the fingerprints of its recipients; give another --identity")
            }
            Self::NotWhole { .. } => Some("copy it anew from where it was written"),
            _ => None,
        }
    }
}

impl From<EncryptionError> for io::Error {
    fn from(error: EncryptionError) -> Self {
        Self::other(error)
    }
}
