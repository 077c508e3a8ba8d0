//! The triage pack of a core: what a report reads of it, in a file of its own.
//!
//! ```text
//! core ─► report ─► UsedChunks ─► Pack ─► triage.zst ─► PackedCore ─► Bytes of the core
//! ```
//!
//! Needs: a core in the seekable format, and the numbers of the chunks that a report used.
//! Gives: a file with these frames ([`Pack`]), and the core's bytes by their offsets out of it
//! ([`PackedCore`]). What is not in it comes from the core, or is an error: never zeros. The
//! layout is that of [`vmcore_formats::triage_pack`].

mod check;
mod read;
mod write;

pub use check::check;
pub use read::{OpenError, PackedCore, RestOfCore};
pub use write::{Pack, WriteError};

use serde::{Deserialize, Serialize};

/// The chunks that were read of a core, by their numbers, in the order in which they were first
/// used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedChunks {
    /// For its report.
    pub report: Vec<u32>,
    /// For the stacks of its tasks, beside them.
    pub stacks: Vec<u32>,
}

/// How many bytes of frames for stacks a pack has at most.
pub const MAX_STACKS: u64 = 16 << 20;
/// How long a pack is at most: it is sent, and fetched, as a whole. Reports read 4 to 8 MiB.
pub const MAX_PACK: u64 = 32 << 20;

#[cfg(test)]
mod tests;
