//! SHA-256 of the file of an encrypted core, in the metadata in the clear: without a key, the file
//! can be compared with nothing else.
//!
//! A core that is not encrypted has the checksums of its chunks. The file is read for this when it
//! has its last form, and no guest waits for it.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{StoreError, metadata_file, report_file};
use crate::metadata::Metadata;
use crate::metadata::core_record::hex;
use crate::regular_file;

/// How much is read at once.
const BUFFER: usize = 1 << 20;

/// The SHA-256 of all that is read from here on.
///
/// # Errors
/// Fails if it cannot be read.
pub fn of(file: &mut dyn Read) -> io::Result<String> {
    Ok(unless_stopped(file, &|| false)?.unwrap_or_default())
}

/// Records the hash of a core, if its metadata says that it is encrypted. `is_stopped` is asked now
/// and then, and ends the reading; then nothing is recorded.
///
/// # Errors
/// Fails if the system refuses; the metadata is then as it was.
pub fn record(core: &Path, is_stopped: &dyn Fn() -> bool) -> Result<(), StoreError> {
    let failed = |source| StoreError::io("read", core, source);
    let path = metadata_file::path(core);
    let sha256 = regular_file::open_own(core)
        .and_then(|mut file: File| unless_stopped(&mut file, is_stopped))
        .map_err(failed)?;
    let text = regular_file::read_own(&path, report_file::MAX_BYTES);
    let text = text.map_err(|source| StoreError::io("read", &path, source))?;
    let clear = serde_json::from_slice::<Metadata>(&text);
    let mut clear = clear.map_err(|error| StoreError::io("read", &path, error.into()))?;
    if let (Some(encrypted), Some(_)) = (&mut clear.encrypted, &sha256) {
        encrypted.core_file_sha256 = sha256;
        return metadata_file::replace(core, &clear.to_json());
    }
    Ok(())
}

fn unless_stopped(
    file: &mut dyn Read,
    is_stopped: &dyn Fn() -> bool,
) -> io::Result<Option<String>> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    while !is_stopped() {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(Some(hex(&hash.finalize()))),
            Ok(count) => hash.update(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::metadata::{Encrypted, Request};

    #[test]
    fn the_hash_is_of_the_file_and_is_recorded_for_encrypted_cores_alone() {
        let folder = tempfile::tempdir().unwrap();
        let core = folder.path().join("vmcore.elf.zst.age");
        let path = metadata_file::path(&core);
        fs::write(&core, "abc").unwrap();
        let started = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut metadata = Metadata::new(Request::to_read(), started);
        let recorded = |metadata: &Metadata, stopped: bool| {
            fs::write(&path, metadata.to_json()).unwrap();
            record(&core, &|| stopped).unwrap();
            let found: Metadata = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            found.encrypted.and_then(|encrypted| encrypted.core_file_sha256)
        };
        assert_eq!(recorded(&metadata, false), None);
        metadata.encrypted =
            Some(Encrypted { to: Vec::new(), core_file_bytes: Some(3), core_file_sha256: None });
        assert_eq!(recorded(&metadata, true), None);
        let sha256 = recorded(&metadata, false).unwrap();
        // FIPS 180-2, B.1.
        assert_eq!(sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(of(&mut &b"abc"[..]).unwrap(), sha256);
        fs::remove_file(&core).unwrap();
        assert!(record(&core, &|| false).is_err());
    }
}
