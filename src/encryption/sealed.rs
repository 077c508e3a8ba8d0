//! The header of a file that is written, and what seals its payload.

use super::EncryptionError;
use super::file_key::FileKey;
use super::header::Header;
use super::payload::{NONCE, PayloadKey};
use super::recipients::Recipients;

/// A header with its file key: for one file, and what takes its place.
#[derive(Clone, Debug)]
pub struct SealedHeader {
    bytes: Vec<u8>,
    key: FileKey,
}

/// The beginning of a payload.
#[derive(Debug)]
pub(super) struct Begin {
    /// Header and nonce, as they are in the file.
    pub(super) bytes: Vec<u8>,
    /// Seals what follows.
    pub(super) key: PayloadKey,
}

impl SealedHeader {
    /// A new file key, wrapped for `recipients`.
    ///
    /// # Errors
    /// Fails if it cannot be wrapped for one of them. A plugin may ask its user for something.
    pub fn new(recipients: &Recipients) -> Result<Self, EncryptionError> {
        let key = FileKey::generate()?;
        let header = Header::new(recipients.wrap(&key)?, &key)?;
        Ok(Self { bytes: header.bytes, key })
    }

    /// The header of a file that is written anew.
    pub(super) fn of(header: Header, key: FileKey) -> Self {
        Self { bytes: header.bytes, key }
    }

    /// The key, for a reader of this process and its child.
    pub fn key(&self) -> &FileKey {
        &self.key
    }

    /// How long the header is.
    pub(super) fn length(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// How many bytes are in front of the first chunk.
    #[cfg(test)]
    pub(super) fn bytes_in_front(&self) -> usize {
        self.bytes.len() + NONCE
    }

    /// The beginning of a payload, each time with another key.
    pub(super) fn begin(&self) -> Result<Begin, EncryptionError> {
        let (nonce, key) = PayloadKey::new(&self.key)?;
        let mut bytes = self.bytes.clone();
        bytes.extend(nonce);
        Ok(Begin { bytes, key })
    }

    /// Another nonce for the same header, and its key.
    pub(super) fn another(&self) -> Result<([u8; NONCE], PayloadKey), EncryptionError> {
        PayloadKey::new(&self.key)
    }
}
