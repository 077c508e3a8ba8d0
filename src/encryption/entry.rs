//! What the files of one entry are encrypted with.

use std::fmt::Write;
use std::fs::{self, File};
use std::io;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::EncryptionError;
use super::recipients::Recipients;
use super::sealed::SealedHeader;
use super::sink::EncryptedSink;
use super::text::seal;
use crate::corefile::write::CoreSink;
use crate::metadata::{Encrypted, Hidden, Metadata, MetadataFiles, RecipientKey};

/// What distinguishes hosts: by it, aliases of guests are made.
const MACHINE_ID: &str = "/etc/machine-id";

/// The headers of an entry's files, made before anything is written: a recipient's plugin may take
/// its time. The keys are in memory as long as this is, for the report of the core that was just
/// written; nobody but the recipients can read the entry afterwards.
#[derive(Debug)]
pub struct EntryEncryption {
    core: SealedHeader,
    metadata: SealedHeader,
    report: SealedHeader,
    pack: SealedHeader,
    hidden: Hidden,
    keys: Vec<RecipientKey>,
}

impl EntryEncryption {
    /// Makes the headers.
    ///
    /// # Errors
    /// Fails if the keys cannot be wrapped for a recipient.
    pub fn new(recipients: &Recipients, hidden: Hidden) -> Result<Self, EncryptionError> {
        let header = || SealedHeader::new(recipients);
        Ok(Self {
            core: header()?,
            metadata: header()?,
            report: header()?,
            pack: header()?,
            hidden,
            keys: recipients.keys().to_vec(),
        })
    }

    /// The header of the core.
    pub fn core(&self) -> &SealedHeader {
        &self.core
    }

    /// The header of the triage pack.
    pub fn pack(&self) -> &SealedHeader {
        &self.pack
    }

    /// The report's file.
    ///
    /// # Errors
    /// Fails if the system has no random numbers.
    pub fn report(&self, json: &[u8]) -> Result<Vec<u8>, EncryptionError> {
        seal(&self.report, json)
    }

    /// What the guest is called where everybody can read it.
    pub fn guest(&self, name: Option<&str>) -> Option<String> {
        match self.hidden.names {
            true => name.and_then(guest_alias),
            false => name.map(str::to_owned),
        }
    }

    /// The files of the metadata, for a core whose file has so many bytes.
    ///
    /// # Errors
    /// Fails if the system has no random numbers.
    pub fn metadata(
        &self,
        metadata: &Metadata,
        core_file_bytes: Option<u64>,
    ) -> Result<MetadataFiles, EncryptionError> {
        let sealed = Some(seal(&self.metadata, &metadata.to_json())?);
        Ok(MetadataFiles { clear: self.clear(metadata, core_file_bytes), sealed })
    }

    /// `metadata.json`.
    pub fn clear(&self, metadata: &Metadata, core_file_bytes: Option<u64>) -> Vec<u8> {
        let to = self.keys.clone();
        let to = Encrypted { to, core_file_bytes, core_file_sha256: None };
        let alias = self.guest(metadata.guest.name.as_deref());
        metadata.in_the_clear(self.hidden, alias, to).to_json()
    }
}

/// An entry's file, or one that is written as it is.
pub trait Sealed {
    /// The sink of a core.
    ///
    /// # Errors
    /// Fails if the system refuses.
    fn sink(&self, file: File) -> io::Result<Box<dyn CoreSink>>;

    /// The files of the metadata.
    ///
    /// # Errors
    /// Fails if the system has no random numbers.
    fn metadata_files(
        &self,
        metadata: &Metadata,
        core_file_bytes: Option<u64>,
    ) -> io::Result<MetadataFiles>;

    /// The file of the report.
    ///
    /// # Errors
    /// Fails if the system has no random numbers.
    fn report_file(&self, json: Vec<u8>) -> io::Result<Vec<u8>>;
}

impl Sealed for Option<&EntryEncryption> {
    fn sink(&self, file: File) -> io::Result<Box<dyn CoreSink>> {
        Ok(match self {
            Some(encryption) => Box::new(EncryptedSink::begin(file, encryption.core.clone())?),
            None => Box::new(file),
        })
    }

    fn metadata_files(
        &self,
        metadata: &Metadata,
        core_file_bytes: Option<u64>,
    ) -> io::Result<MetadataFiles> {
        Ok(match self {
            Some(encryption) => encryption.metadata(metadata, core_file_bytes)?,
            None => MetadataFiles::plain(metadata.to_json()),
        })
    }

    fn report_file(&self, json: Vec<u8>) -> io::Result<Vec<u8>> {
        Ok(match self {
            Some(encryption) => encryption.report(&json)?,
            None => json,
        })
    }
}

/// A name for a guest by which nobody can find its own, and always the same on this host. Returns
/// `None` where the host has no id of its own.
pub fn guest_alias(name: &str) -> Option<String> {
    let id = fs::read_to_string(MACHINE_ID).ok().filter(|id| id.trim().len() >= 32)?;
    alias_by(id.trim(), name)
}

fn alias_by(id: &str, name: &str) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(id.as_bytes()).ok()?;
    mac.update(b"vmcorectl guest ");
    mac.update(name.as_bytes());
    let mut alias = "guest-".to_owned();
    for byte in mac.finalize().into_bytes().iter().take(8) {
        let _ = write!(alias, "{byte:02x}");
    }
    Some(alias)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_is_of_one_guest_and_one_host() {
        let id = "0123456789abcdef0123456789abcdef";
        let one = alias_by(id, "web-3").unwrap();
        assert_eq!(alias_by(id, "web-3").unwrap(), one);
        assert_eq!(one.len(), 22);
        assert!(!one.contains("web"));
        assert_ne!(alias_by(id, "web-4").unwrap(), one);
        assert_ne!(alias_by("fedcba9876543210fedcba9876543210", "web-3").unwrap(), one);
    }
}
