//! Which entries of a seek table are those of zeros.
//!
//! A chunk of zeros is recognised without its frame, which may be on another machine: so few bytes
//! of a chunk hold a repeated pattern at most, and the checksum is that of zeros. A guest that
//! wants to can have other bytes with that checksum; `verify` compares the bytes.

use std::sync::{Mutex, PoisonError};

use vmcore_formats::seekable::FrameEntry;
use xxhash_rust::xxh64::Xxh64;

/// How many sizes of chunks are looked at. A core of a capture has two.
const MOST: usize = 16;

/// The checksums of zeros, by the size of the chunk.
#[derive(Debug, Default)]
pub(super) struct ZeroChecksums {
    found: Mutex<Vec<(u32, u32)>>,
}

impl ZeroChecksums {
    /// Whether an entry has the checksum of zeros.
    pub(super) fn is_of_zeros(&self, entry: &FrameEntry) -> bool {
        let size = entry.decompressed;
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let checksum = found.iter().find(|(of, _)| *of == size).map(|(_, checksum)| *checksum);
        let checksum = checksum.or_else(|| {
            let checksum = (found.len() < MOST).then(|| checksum_of_zeros(size))?;
            found.push((size, checksum));
            Some(checksum)
        });
        size > 0 && entry.checksum.is_some() && entry.checksum == checksum
    }
}

/// Low 32 bits of XXH64 of so many zeros.
fn checksum_of_zeros(size: u32) -> u32 {
    const PIECE: usize = 4096;
    let zeros = [0; PIECE];
    let mut hash = Xxh64::new(0);
    let mut left = size as usize;
    while left > 0 {
        let piece = left.min(PIECE);
        hash.update(zeros.get(..piece).unwrap_or_default());
        left = left.saturating_sub(piece);
    }
    let [b0, b1, b2, b3, ..] = hash.digest().to_le_bytes();
    u32::from_le_bytes([b0, b1, b2, b3])
}

#[cfg(test)]
mod tests {
    use xxhash_rust::xxh64::xxh64;

    use super::*;

    #[test]
    fn zeros_of_each_size_are_recognised_and_nothing_else() {
        let known = ZeroChecksums::default();
        for size in [1_usize, 4095, 4096, 65_536, 1 << 20] {
            let mut bytes = vec![0; size];
            let entry = |bytes: &[u8]| FrameEntry {
                compressed: 20,
                decompressed: size as u32,
                checksum: Some(xxh64(bytes, 0) as u32),
            };
            assert!(known.is_of_zeros(&entry(&bytes)), "{size}");
            assert!(known.is_of_zeros(&entry(&bytes)), "{size}");
            bytes[size / 2] = 1;
            assert!(!known.is_of_zeros(&entry(&bytes)), "{size}");
        }
        let none = FrameEntry { compressed: 20, decompressed: 4096, checksum: None };
        assert!(!known.is_of_zeros(&none));
        let empty = FrameEntry { compressed: 20, decompressed: 0, checksum: Some(0x51d8_e999) };
        assert!(!known.is_of_zeros(&empty));
    }
}
