//! What is made of types alone, without a kernel: for those who try the conversion with any bytes.

use std::io::{self, Write};

use serde_json::json;
use vmcore_formats::btf::Btf;

use super::dwarf::Dwarf;
use super::isf::TypeTable;

/// The sections of debug information of these types, by their names.
pub fn debug_sections(btf: &Btf) -> Vec<(&'static str, Vec<u8>)> {
    Dwarf::of_kernel(btf, Vec::new()).finish().sections
}

/// An ISF without symbols.
///
/// # Errors
/// Fails if `out` does.
pub fn isf(btf: &Btf, out: &mut dyn Write) -> io::Result<()> {
    let types = TypeTable::new(btf);
    let user: serde_json::Map<String, serde_json::Value> =
        types.user_types().map(|(name, value)| (name.to_owned(), value)).collect();
    let enums: serde_json::Map<String, serde_json::Value> =
        types.enumerations().map(|(name, value)| (name.to_owned(), value)).collect();
    let all = json!({ "base_types": types.base_types(), "user_types": user, "enums": enums });
    crate::printable::json::line(&all, out)
}
