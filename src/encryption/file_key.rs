//! The key of one encrypted file, and what is derived from it.

use std::fmt;

use ring::hkdf::{HKDF_SHA256, Prk, Salt};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use super::EncryptionError;

/// How many bytes a file key has.
const LENGTH: usize = 16;

/// The key that a file's header holds for its recipients. It is in memory alone: what prints it
/// prints nothing of it, and its bytes are overwritten when it is dropped.
#[derive(Clone, Serialize, Deserialize)]
pub struct FileKey([u8; LENGTH]);

impl FileKey {
    /// A new key.
    ///
    /// # Errors
    /// Fails if the system has no random numbers.
    pub(super) fn generate() -> Result<Self, EncryptionError> {
        random().map(Self)
    }

    pub(super) fn bytes(&self) -> &[u8; LENGTH] {
        &self.0
    }

    /// What the keys of a payload, or of a header without a salt, are expanded from.
    pub(super) fn extract(&self, salt: &[u8]) -> Prk {
        Salt::new(HKDF_SHA256, salt).extract(&self.0)
    }

    /// The key of the header's MAC.
    pub(super) fn mac_key(&self) -> Result<hmac::Key, EncryptionError> {
        let key = self.extract(&[]);
        let key = key.expand(&[b"header"], hmac::HMAC_SHA256);
        Ok(key.map_err(|_| EncryptionError::Cipher)?.into())
    }
}

impl From<[u8; LENGTH]> for FileKey {
    fn from(bytes: [u8; LENGTH]) -> Self {
        Self(bytes)
    }
}

impl Drop for FileKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileKey(..)")
    }
}

/// Bytes that nobody can guess.
pub(super) fn random<const COUNT: usize>() -> Result<[u8; COUNT], EncryptionError> {
    let mut bytes = [0; COUNT];
    SystemRandom::new().fill(&mut bytes).map_err(|_| EncryptionError::Random)?;
    Ok(bytes)
}
