//! Data as JSON.

use std::io::{self, Write};

use serde::{Serialize, Serializer};

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

/// A 64-bit address or register as a string: many readers of JSON take numbers for
/// doubles, and lose its last digits.
///
/// # Errors
/// Fails if the serializer does.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands fields by reference")]
pub(super) fn hex<S: Serializer>(value: &u64, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(&format_args!("{value:#x}"))
}

/// The same for one that need not be known.
///
/// # Errors
/// Fails if the serializer does.
pub(super) fn hex_if_known<S: Serializer>(value: &Option<u64>, out: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => hex(value, out),
        None => out.serialize_none(),
    }
}
