//! Documents for programs.

use std::io::{self, Write};

use crate::store::metadata::Metadata;

/// Prints metadata as it stands in its file.
///
/// # Errors
/// Fails if `out` does.
pub fn metadata(metadata: &Metadata, out: &mut impl Write) -> io::Result<()> {
    out.write_all(&metadata.to_json())
}
