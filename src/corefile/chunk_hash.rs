//! The hash that binds metadata to the chunks of its core.

use std::fmt::Write;

use sha2::{Digest, Sha256};
use vmcore_formats::seekable::{FrameEntry, SeekTable};

/// Low 32 bits of XXH64 of no bytes: what a frame without content has.
pub(in crate::corefile) const CHECKSUM_OF_NOTHING: u32 = 0x51d8_e999;

/// SHA-256 over the seek table's entries of the chunks, in hexadecimal digits.
pub fn chunk_hash(table: &SeekTable) -> String {
    hexadecimal(digest(table.iter()))
}

/// The same as bytes, without the entries of frames that have no content.
pub fn digest_of_chunks(table: &SeekTable) -> [u8; 32] {
    digest(table.iter().filter(|frame| frame.decompressed > 0))
}

/// A digest in hexadecimal digits, as metadata has it.
pub fn hexadecimal(digest: [u8; 32]) -> String {
    let mut text = String::new();
    for byte in digest {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn digest(frames: impl Iterator<Item = FrameEntry>) -> [u8; 32] {
    let mut hash = Sha256::new();
    // An entry without a checksum is none that this tool wrote: the hash then differs.
    for entry in frames.filter_map(|frame| frame.encode()) {
        hash.update(entry);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

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
