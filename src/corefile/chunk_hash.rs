//! The hash that binds metadata to the chunks of its core.

use std::fmt::Write;

use sha2::{Digest, Sha256};
use vmcore_formats::seekable::SeekTable;

/// SHA-256 over the seek table's entries of the chunks, in hexadecimal digits.
pub fn chunk_hash(table: &SeekTable) -> String {
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
    fn the_hash_is_over_the_entries_as_they_are_in_the_table() {
        let frame = |compressed| FrameEntry { compressed, decompressed: 7, checksum: Some(9) };
        let table: SeekTable = (0..1000).map(frame).collect();
        let encoded = table.encode().unwrap();
        let entries = &encoded[8..encoded.len() - 9];
        let expected: String =
            Sha256::digest(entries).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(chunk_hash(&table), expected);
    }
}
