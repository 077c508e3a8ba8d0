//! The metadata that travels in a compressed core, or stands beside it.

use std::ffi::OsString;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use thiserror::Error;
use vmcore_formats::seekable::{METADATA_MAGIC, SeekTable, skippable_content};

use crate::corefile::read::bytes::read_vec;
use crate::corefile::read::chunked::ChunkedFile;
use crate::metadata::{Metadata, SCHEMA};
use crate::store::{CORE_FILE, METADATA_FILE};

/// The longest metadata that is read, in bytes.
const MAX_METADATA: u64 = 16 << 20;

/// Why a core's own metadata cannot be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// No frame of metadata in it.
    #[error("the core has no metadata in it")]
    None,
    /// Of another version, or damaged.
    #[error("the core's metadata is not of the schema {SCHEMA}: {problem}")]
    Schema {
        /// What is wrong with it.
        problem: String,
    },
}

/// The metadata in the frame behind the last chunk.
///
/// # Errors
/// Fails if there is none that this version understands.
pub fn of(core: &ChunkedFile) -> Result<Metadata, MetadataError> {
    let table = core.table();
    let from_end = (0..table.frames().len()).rev().map_while(|index| table.chunk(index));
    for chunk in from_end.take_while(|chunk| chunk.entry.decompressed == 0) {
        let length = u64::from(chunk.entry.compressed);
        if length > MAX_METADATA {
            continue;
        }
        let bytes = read_vec(core.file(), chunk.file_offset, length)
            .map_err(|error| MetadataError::Schema { problem: error.to_string() })?;
        if let Some(json) = skippable_content(METADATA_MAGIC, &bytes) {
            let metadata: Metadata = serde_json::from_slice(json)
                .map_err(|error| MetadataError::Schema { problem: error.to_string() })?;
            if metadata.schema != SCHEMA {
                return Err(MetadataError::Schema { problem: metadata.schema });
            }
            return Ok(metadata);
        }
    }
    Err(MetadataError::None)
}

/// Where the metadata of a core stands beside it.
pub(super) fn path_beside(core: &Path) -> PathBuf {
    if core.file_name().is_some_and(|name| name == CORE_FILE) {
        return core.with_file_name(METADATA_FILE);
    }
    let mut name = OsString::from(core);
    name.push(".json");
    name.into()
}

/// The metadata in the file beside a core. Of a capture that was interrupted there is
/// no other.
pub(super) fn beside(core: &Path) -> Option<Metadata> {
    let path = path_beside(core);
    if fs::metadata(&path).ok()?.len() > MAX_METADATA {
        return None;
    }
    let metadata: Metadata = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    (metadata.schema == SCHEMA).then_some(metadata)
}

/// SHA-256 over the entries of the chunks, in hexadecimal digits.
#[must_use]
pub fn hash_of_chunks(table: &SeekTable) -> String {
    let mut hash = Sha256::new();
    // An entry without a checksum is none that this tool wrote: the hash then differs.
    for entry in table.iter().filter_map(|frame| frame.encode()) {
        hash.update(entry);
    }
    let mut text = String::new();
    for byte in hash.finalize() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmcore_formats::seekable::FrameEntry;

    #[test]
    fn the_hash_is_over_the_entries_as_they_stand_in_the_table() {
        let frame = |compressed| FrameEntry { compressed, decompressed: 7, checksum: Some(9) };
        let table: SeekTable = (0..1000).map(frame).collect();
        let encoded = table.encode().unwrap();
        let entries = &encoded[8..encoded.len() - 9];
        let expected: String =
            Sha256::digest(entries).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash_of_chunks(&table), expected);
    }
}
