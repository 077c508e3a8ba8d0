//! Data as JSON.

use std::io::{self, Write};

use serde::Serialize;

/// Prints a value as JSON on several lines, as it stands in a file.
///
/// # Errors
/// Fails if `out` does.
pub fn pretty(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

/// Prints a value as JSON on one line.
///
/// # Errors
/// Fails if `out` does.
pub fn line(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    writeln!(out)
}
