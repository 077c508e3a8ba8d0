//! The payload of the age format: chunks that are sealed one by one.
//!
//! ```text
//! nonce    16 bytes: with the file key, it gives the payload's key
//! chunk    64 KiB of ciphertext, and a tag of 16 bytes
//! ...
//! chunk    1 byte to 64 KiB and a tag; the only chunk of an empty file has its tag alone
//! ```
//!
//! The nonce of a chunk is its number and whether it is the last one: chunks that were swapped,
//! dropped, added or taken from elsewhere do not open. See <https://age-encryption.org/v1>.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, Tag, UnboundKey};

use super::EncryptionError;
use super::file_key::{FileKey, random};

/// Bytes of the nonce in front of the chunks.
pub(super) const NONCE: usize = 16;
/// Plain bytes of a chunk that is not the last one.
pub(super) const CHUNK: usize = 64 << 10;
/// Bytes of a chunk's tag.
pub(super) const TAG: usize = 16;
/// Bytes of a sealed chunk that is not the last one.
pub(super) const SEALED: usize = CHUNK + TAG;

/// The key of a payload.
#[derive(Debug)]
pub(super) struct PayloadKey(LessSafeKey);

impl PayloadKey {
    /// The key of the payload that begins with this nonce.
    pub(super) fn of(key: &FileKey, nonce: &[u8; NONCE]) -> Result<Self, EncryptionError> {
        let key = key.extract(nonce);
        let key = key.expand(&[b"payload"], &CHACHA20_POLY1305);
        let key = UnboundKey::from(key.map_err(|_| EncryptionError::Cipher)?);
        Ok(Self(LessSafeKey::new(key)))
    }

    /// A nonce for a new payload, and its key.
    pub(super) fn new(key: &FileKey) -> Result<([u8; NONCE], Self), EncryptionError> {
        let nonce = random()?;
        Ok((nonce, Self::of(key, &nonce)?))
    }

    /// Seals a chunk where it is, and gives its tag. No two chunks of a payload may have the same
    /// number.
    pub(super) fn seal(
        &self,
        number: u64,
        is_last: bool,
        chunk: &mut [u8],
    ) -> Result<Tag, EncryptionError> {
        let sealed = self.0.seal_in_place_separate_tag(nonce(number, is_last), Aad::empty(), chunk);
        sealed.map_err(|_| EncryptionError::Cipher)
    }

    /// Opens a chunk, with its tag, where it is. Returns `None` if it is not this chunk of this
    /// payload; its bytes are then worth nothing.
    pub(super) fn open<'a>(
        &self,
        number: u64,
        is_last: bool,
        sealed: &'a mut [u8],
    ) -> Option<&'a mut [u8]> {
        self.0.open_in_place(nonce(number, is_last), Aad::empty(), sealed).ok()
    }
}

fn nonce(number: u64, is_last: bool) -> Nonce {
    let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
    Nonce::assume_unique_for_key([0, 0, 0, a, b, c, d, e, f, g, h, u8::from(is_last)])
}

/// Where the chunks of a payload are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Where the first chunk begins in the file.
    pub(super) start: u64,
    /// How many chunks there are.
    pub(super) chunks: u64,
    /// How many plain bytes they have.
    pub(super) length: u64,
    /// Whether the last of them ends the payload: otherwise the file was cut off behind it.
    ends: bool,
}

impl Layout {
    /// The layout of a file of `length` bytes, whose chunks begin at `start`. Returns `None` if no
    /// payload has such a length.
    pub(super) fn of(start: u64, length: u64) -> Option<Self> {
        let sealed = length.checked_sub(start)?;
        let chunks = sealed.div_ceil(SEALED as u64);
        let length = sealed.checked_sub(chunks.checked_mul(TAG as u64)?)?;
        // A last chunk without bytes is that of an empty file.
        let last = length.checked_sub(chunks.checked_sub(1)?.checked_mul(CHUNK as u64)?)?;
        (last > 0 || chunks == 1).then_some(Self { start, chunks, length, ends: true })
    }

    /// The layout of the first `chunks` chunks of a payload, without its end.
    pub(super) fn without_end(start: u64, chunks: u64) -> Self {
        Self { start, chunks, length: chunks.saturating_mul(CHUNK as u64), ends: false }
    }

    /// Where a chunk begins in the file, and how long it is there.
    pub(super) fn sealed(&self, number: u64) -> (u64, u64) {
        let offset = self.start.saturating_add(number.saturating_mul(SEALED as u64));
        let plain = self.length.saturating_sub(number.saturating_mul(CHUNK as u64));
        (offset, plain.min(CHUNK as u64).saturating_add(TAG as u64))
    }

    /// Whether it is the last chunk.
    pub(super) fn is_last(&self, number: u64) -> bool {
        self.ends && number.saturating_add(1) == self.chunks
    }
}

/// How many bytes so many plain bytes are when they are sealed, without nonce and header.
pub(super) fn sealed_length(plain: u64) -> u64 {
    let chunks = plain.div_ceil(CHUNK as u64).max(1);
    plain.saturating_add(chunks.saturating_mul(TAG as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_the_inverse_of_the_sealed_length() {
        let chunk = CHUNK as u64;
        for plain in [0, 1, chunk - 1, chunk, chunk + 1, 3 * chunk, 1_000_000_007] {
            let layout = Layout::of(200, 200 + sealed_length(plain)).unwrap();
            assert_eq!(layout.length, plain);
            assert_eq!(layout.chunks, plain.div_ceil(chunk).max(1));
            let (offset, length) = layout.sealed(layout.chunks - 1);
            assert_eq!(offset + length, 200 + sealed_length(plain));
        }
    }

    #[test]
    fn lengths_that_no_payload_has_are_refused() {
        // No chunk, a part of a tag, and an empty chunk behind a full one.
        for sealed in [0, 1, 15, SEALED as u64 + 1, (SEALED + TAG) as u64] {
            assert_eq!(Layout::of(7, 7 + sealed), None, "{sealed}");
        }
        assert_eq!(Layout::of(7, 3), None);
    }

    #[test]
    fn a_chunk_opens_at_its_own_place_alone() {
        let (_, key) = PayloadKey::new(&FileKey::generate().unwrap()).unwrap();
        let mut chunk = b"bytes".to_vec();
        let tag = key.seal(7, false, &mut chunk).unwrap();
        chunk.extend(tag.as_ref());
        for (number, is_last, opens) in [(7, false, true), (8, false, false), (7, true, false)] {
            assert_eq!(key.open(number, is_last, &mut chunk.clone()).is_some(), opens);
        }
        let (_, other) = PayloadKey::new(&FileKey::generate().unwrap()).unwrap();
        assert!(other.open(7, false, &mut chunk).is_none());
    }
}
