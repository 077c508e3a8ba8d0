//! Data as JSON.

use std::io::{self, Write};

use serde::{Serialize, Serializer};

/// Prints a value as indented JSON, like a stored file.
pub fn pretty(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

/// Prints a value as JSON on one line.
pub fn line(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    writeln!(out)
}

/// A 64-bit address or register as a string: many JSON parsers take numbers for doubles and lose
/// the last digits.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands fields by reference")]
pub(super) fn hex<S: Serializer>(value: &u64, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(&format_args!("{value:#x}"))
}

/// The same, or `null` for an unknown value.
pub(super) fn hex_if_known<S: Serializer>(value: &Option<u64>, out: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => hex(value, out),
        None => out.serialize_none(),
    }
}
