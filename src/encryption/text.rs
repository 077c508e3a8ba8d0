//! Small files as a whole, in memory.

use super::EncryptionError;
use super::header::Header;
use super::identities::Identities;
use super::payload::{CHUNK, Layout, NONCE, PayloadKey};
use super::sealed::SealedHeader;

/// A text as an age file.
///
/// # Errors
/// Fails if the system has no random numbers.
pub fn seal(header: &SealedHeader, text: &[u8]) -> Result<Vec<u8>, EncryptionError> {
    let begin = header.begin()?;
    let mut file = begin.bytes;
    let layout = Layout::of(0, super::payload::sealed_length(text.len() as u64));
    let count = layout.map_or(1, |layout| layout.chunks);
    let mut chunks = text.chunks(CHUNK);
    for number in 0..count {
        let mut chunk = chunks.next().unwrap_or_default().to_vec();
        let tag = begin.key.seal(number, number.saturating_add(1) == count, &mut chunk)?;
        file.append(&mut chunk);
        file.extend(tag.as_ref());
    }
    Ok(file)
}

/// The text in an age file, and the header that it has.
///
/// # Errors
/// Fails if none of the identities opens it, or if it is not whole.
pub fn open_text(
    file: &[u8],
    identities: &Identities,
) -> Result<(Vec<u8>, SealedHeader), EncryptionError> {
    let header = Header::of_text(file)?;
    let key = identities.open(&header)?;
    let payload = file.get(header.bytes.len()..).unwrap_or_default();
    let not_whole = |problem: &str| EncryptionError::NotWhole { problem: problem.to_owned() };
    let (nonce, _) =
        payload.split_first_chunk::<NONCE>().ok_or_else(|| not_whole("it ends in its head"))?;
    let payload_key = PayloadKey::of(&key, nonce)?;
    let start = header.bytes.len().saturating_add(NONCE) as u64;
    let layout = Layout::of(start, file.len() as u64).ok_or_else(|| not_whole("it was cut off"))?;
    let mut text = Vec::new();
    for number in 0..layout.chunks {
        let (offset, length) = layout.sealed(number);
        let range = usize::try_from(offset).ok().zip(usize::try_from(length).ok());
        let sealed =
            range.and_then(|(offset, length)| file.get(offset..offset.saturating_add(length)));
        let mut sealed = sealed.unwrap_or_default().to_vec();
        let opened = payload_key.open(number, layout.is_last(number), &mut sealed);
        let opened = opened.ok_or_else(|| {
            not_whole(&format!("the bytes at {offset:#x} were changed, or the rest was cut off"))
        })?;
        text.extend_from_slice(opened);
    }
    Ok((text, SealedHeader::of(header, key)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encryption::identities::tests::{identities, pair};

    #[test]
    fn a_text_of_any_length_comes_back() {
        let (recipients, key) = pair();
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7] {
            let text: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let header = SealedHeader::new(&recipients).unwrap();
            let file = seal(&header, &text).unwrap();
            let (opened, _) = open_text(&file, &identities(&key)).unwrap();
            assert!(opened == text, "{length}");
            let decryptor = age::Decryptor::new(&file[..]).unwrap();
            let mut theirs =
                decryptor.decrypt(std::iter::once(&key as &dyn age::Identity)).unwrap();
            let mut read = Vec::new();
            std::io::Read::read_to_end(&mut theirs, &mut read).unwrap();
            assert!(read == text, "{length}");
        }
    }

    #[test]
    fn every_truncation_and_each_changed_byte_is_an_error() {
        let (recipients, key) = pair();
        let file = seal(&SealedHeader::new(&recipients).unwrap(), b"a text").unwrap();
        for length in 0..file.len() {
            assert!(open_text(&file[..length], &identities(&key)).is_err(), "cut at {length}");
        }
        for at in 0..file.len() {
            let mut changed = file.clone();
            changed[at] ^= 1;
            assert!(open_text(&changed, &identities(&key)).is_err(), "changed at {at}");
        }
    }
}
