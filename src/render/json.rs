//! Data as JSON.

use serde::Serializer;

pub use crate::printable::json::{line, pretty};

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
