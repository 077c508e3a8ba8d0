//! What the child is asked for.
//!
//! ```text
//! {"report": ...} or {"print": ...}      a line of JSON
//! the head of a held guest's dump        up to the end of writing
//! ```

use std::io::{self, Read};

use serde::Deserialize;

use super::{print, report};

/// How long a request may be, in bytes: metadata, and the notes of many vCPUs.
const MAX_REQUEST: u64 = 64 << 20;

/// A task of the child.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// A report.
    Report(Box<report::Request>),
    /// Structures of the kernel.
    Print(print::Request),
}

impl Task {
    /// Reads a task, and the head behind it.
    ///
    /// # Errors
    /// Fails if it cannot be read, or is none.
    pub fn read(from: impl Read) -> io::Result<(Self, Vec<u8>)> {
        let mut bytes = Vec::new();
        from.take(MAX_REQUEST).read_to_end(&mut bytes)?;
        let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
        let head = bytes.get(end.saturating_add(1)..).unwrap_or_default().to_vec();
        Ok((serde_json::from_slice(bytes.get(..end).unwrap_or_default())?, head))
    }
}
