//! Further recipients for a file, whose payload stays as it is.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::sync::Arc;

use super::EncryptionError;
use super::file::AgeFile;
use super::header::Header;
use super::identities::Identities;
use super::recipients::Recipients;
use crate::corefile::read::bytes::{DataError, PlainFile};

/// Writes `file` into `out` with `recipients` beside those that it has. Nonce and chunks are
/// copied as they are: all its recipients have the same file key.
///
/// Who had a key keeps it: taking recipients away would take nothing from them.
///
/// # Errors
/// Fails if no identity opens it, if it is not whole, or if the system refuses.
pub fn rewrap(
    file: &File,
    out: &mut File,
    identities: &Identities,
    recipients: &Recipients,
) -> Result<(), EncryptionError> {
    let failed = |source| EncryptionError::Data(DataError::Io { offset: 0, source });
    let plain = Arc::new(PlainFile::new(file.try_clone().map_err(failed)?).map_err(failed)?);
    let header = Header::read(&*plain)?;
    let key = identities.open(&header)?;
    AgeFile::with_key(plain, &key)?;
    let length = header.bytes.len() as u64;
    let mut stanzas = header.stanzas;
    stanzas.extend(recipients.wrap(&key)?);
    let header = Header::new(stanzas, &key)?;
    let mut copy = || {
        out.write_all(&header.bytes)?;
        let mut payload = file;
        payload.seek(SeekFrom::Start(length))?;
        // By `copy_file_range`: file systems that can share blocks do.
        io::copy(&mut payload, out)?;
        out.sync_all()
    };
    copy().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corefile::read::bytes::{Bytes, read_vec};
    use crate::encryption::identities::tests::{identities, pair};
    use crate::encryption::{SealedHeader, seal};

    #[test]
    fn the_old_and_the_new_key_open_the_same_bytes() {
        let ((old, old_key), (new, new_key), (_, other)) = (pair(), pair(), pair());
        let text = vec![7; 200_000];
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&seal(&SealedHeader::new(&old).unwrap(), &text).unwrap()).unwrap();
        let mut out = tempfile::tempfile().unwrap();
        assert!(rewrap(&file, &mut out, &identities(&other), &new).is_err());
        rewrap(&file, &mut out, &identities(&old_key), &new).unwrap();
        for key in [&old_key, &new_key] {
            let plain = Arc::new(PlainFile::new(out.try_clone().unwrap()).unwrap());
            let (opened, _) = AgeFile::open(plain, &identities(key)).unwrap();
            assert!(read_vec(&opened, 0, opened.length()).unwrap() == text);
        }
        let plain = Arc::new(PlainFile::new(out).unwrap());
        assert!(AgeFile::open(plain, &identities(&other)).is_err());
    }
}
