//! Cores in object storage and behind HTTP, by ranges.
//!
//! ```text
//! the command, which parses             fetcher: the same program
//!   RemoteFile ──► Blocks ──► Channel ──── socket (stdin) ──►  Objects ──► object_store, tokio
//!     Bytes        cache,     questions                         ETag, retries, credentials
//!                  one flight
//! ```
//!
//! What a panicked guest wrote is parsed by a process without network, files to write to and
//! programs ([`crate::sandbox`]). So a process of its own has the network and the credentials. It
//! parses nothing of the guest, and gives bytes of what is below one address. The command starts
//! it before it confines itself, and only if an address was typed: no other command has a
//! runtime.
//!
//! A channel that was opened to write creates, replaces and removes objects, too ([`writing`]), and
//! uploads in parts ([`multipart`]). A command that parses memory has none.
//!
//! Needs: an address. Gives: its bytes by offset. An object that was changed or removed since it
//! was opened is an error, and so is one that cannot be reached: never zeros, and never bytes of
//! another object.

pub mod address;
mod at_once;
mod blocks;
mod channel;
pub mod dated;
mod download;
pub mod entry;
#[cfg(feature = "remote")]
pub mod fetch;
mod fetcher;
pub mod file;
mod listing;
pub mod multipart;
mod passing;
mod rest_of_core;
mod wire;
pub mod writing;

use thiserror::Error;

pub use at_once::at_once;
pub use channel::Channel;
pub use download::Downloaded;
pub use fetcher::start;

/// What is said of an address where nothing can fetch it.
pub const LEFT_OUT: &str =
    "this program was built without the feature `remote`: it reads cores of this machine only";
/// The hidden command that the fetcher runs.
pub const COMMAND: &str = "fetcher";

/// Why something remote cannot be had.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// The fetcher cannot be started.
    #[error("cannot start the process that fetches: {problem}")]
    Start {
        /// What the system said.
        problem: String,
    },
    /// Nothing is there.
    #[error("{address} is not there")]
    NotFound {
        /// What was asked for.
        address: String,
    },
    /// It is there, or was, and cannot be had.
    #[error("cannot fetch {address}: {problem}")]
    Failed {
        /// What was asked for.
        address: String,
        /// Why not.
        problem: String,
    },
    /// It cannot be written or removed.
    #[error("cannot write {address}: {problem}")]
    Write {
        /// What should be changed.
        address: String,
        /// Why it is not.
        problem: String,
    },
    /// The file of this machine that is sent or received cannot be read or written.
    #[error("cannot copy between a file of this machine and {address}: {problem}")]
    Read {
        /// What is sent or received.
        address: String,
        /// What the system said.
        problem: String,
    },
    /// The fetcher has ended.
    #[error("the process that fetches has ended")]
    Ended,
}
