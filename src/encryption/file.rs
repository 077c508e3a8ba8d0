//! An age file, opened where it is read.
//!
//! ```text
//! plain offset ──► chunk: offset / 64 KiB ──► file offset: start + chunk * (64 KiB + 16)
//! ```
//!
//! The last chunk says that it is the last: a file without it was cut off. Such a file is refused,
//! or, where its caller says so to the user, read as far as its whole chunks go.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::EncryptionError;
use super::file_key::FileKey;
use super::header::Header;
use super::identities::Identities;
use super::payload::{CHUNK, Layout, NONCE, PayloadKey, SEALED};
use super::sealed::SealedHeader;
use crate::corefile::read::bytes::{Bytes, DataError, read_vec};

/// How many opened chunks are kept: a seek table and frames of zeros are read in small pieces.
const KEPT: usize = 16;
/// How many chunks are read at once at most.
const AT_ONCE: u64 = 32;
/// How many chunks at the end of a file that was cut off may be damaged: what was written last.
const DAMAGED_END: u64 = 16;

/// The plain bytes of an age file.
#[derive(Debug)]
pub struct AgeFile {
    file: Arc<dyn Bytes>,
    key: PayloadKey,
    layout: Layout,
    /// Where and why it ends without its last chunk, if it does.
    cut_off: Option<String>,
    kept: Mutex<VecDeque<(u64, Arc<[u8]>)>>,
}

impl AgeFile {
    /// Opens a file by one of the identities. One that was cut off opens as far as it goes:
    /// [`Self::cut_off`] says so. Gives its header, too, for a file that is to have the same
    /// recipients.
    ///
    /// # Errors
    /// Fails if none of them opens it, or if it has no whole chunk.
    pub fn open(
        file: Arc<dyn Bytes>,
        identities: &Identities,
    ) -> Result<(Self, SealedHeader), EncryptionError> {
        let header = Header::read(&*file)?;
        let key = identities.open(&header)?;
        let start = header.bytes.len() as u64;
        Ok((Self::as_far_as_it_goes(file, start, &key)?, SealedHeader::of(header, key)))
    }

    /// The same, of which the end is not looked at before it is read: of a file that is far away,
    /// the beginning is enough. One that was cut off opens, and fails where it is read to its end.
    ///
    /// # Errors
    /// Fails if none of them opens it, or if no file has such a length.
    pub fn open_by_start(
        file: Arc<dyn Bytes>,
        identities: &Identities,
    ) -> Result<Self, EncryptionError> {
        let header = Header::read(&*file)?;
        let key = identities.open(&header)?;
        let (start, length) = (header.bytes.len() as u64, file.length());
        let cut_off =
            || EncryptionError::NotWhole { problem: format!("it was cut off at byte {length:#x}") };
        let nonce = read_vec(&*file, start, NONCE as u64).map_err(|_| cut_off())?;
        let key = PayloadKey::of(&key, nonce.first_chunk().ok_or_else(cut_off)?)?;
        let layout = Layout::of(start.saturating_add(NONCE as u64), length).ok_or_else(cut_off)?;
        Ok(Self { file, key, layout, cut_off: None, kept: Mutex::default() })
    }

    /// Opens a file by its key.
    ///
    /// # Errors
    /// Fails if it is not its key, or if the file is not whole.
    pub fn with_key(file: Arc<dyn Bytes>, key: &FileKey) -> Result<Self, EncryptionError> {
        let header = Header::read(&*file)?;
        if !header.is_of(key)? {
            return Err(EncryptionError::Header { problem: "it is not that of this key" });
        }
        let opened = Self::as_far_as_it_goes(file, header.bytes.len() as u64, key)?;
        match opened.cut_off {
            Some(problem) => Err(EncryptionError::NotWhole { problem }),
            None => Ok(opened),
        }
    }

    fn as_far_as_it_goes(
        file: Arc<dyn Bytes>,
        header: u64,
        key: &FileKey,
    ) -> Result<Self, EncryptionError> {
        let length = file.length();
        let cut_off = || format!("it was cut off at byte {length:#x}");
        let no_chunk = |_| EncryptionError::NotWhole { problem: cut_off() };
        let nonce = read_vec(&*file, header, NONCE as u64).map_err(no_chunk)?;
        let nonce = nonce.first_chunk();
        let nonce = nonce.ok_or_else(|| EncryptionError::NotWhole { problem: cut_off() })?;
        let key = PayloadKey::of(key, nonce)?;
        let start = header.saturating_add(NONCE as u64);
        let opens = |layout: &Layout| {
            let last = layout.chunks.saturating_sub(1);
            let (offset, sealed) = layout.sealed(last);
            let mut bytes = read_vec(&*file, offset, sealed)?;
            Ok::<_, DataError>(key.open(last, layout.is_last(last), &mut bytes).is_some())
        };
        let opened = |layout, cut_off, file, key| Self {
            file,
            key,
            layout,
            cut_off,
            kept: Mutex::default(),
        };
        let whole = Layout::of(start, length);
        if let Some(layout) = whole
            && opens(&layout)?
        {
            return Ok(opened(layout, None, file, key));
        }
        let full = length.saturating_sub(start) / SEALED as u64;
        let changed = |chunks: u64| {
            let offset = Layout::without_end(start, chunks).sealed(chunks).0;
            format!("the chunk at byte {offset:#x} was changed, or the rest was cut off")
        };
        for chunks in (full.saturating_sub(DAMAGED_END).max(1)..=full).rev() {
            let layout = Layout::without_end(start, chunks);
            if opens(&layout)? {
                let ends = layout.sealed(chunks).0 == length || whole.is_none();
                let problem = if ends { cut_off() } else { changed(chunks) };
                return Ok(opened(layout, Some(problem), file, key));
            }
        }
        let problem = if whole.is_some() { changed(full.saturating_sub(1)) } else { cut_off() };
        Err(EncryptionError::NotWhole { problem })
    }

    /// Where and why it ends without its last chunk, if it does.
    pub fn cut_off(&self) -> Option<&str> {
        self.cut_off.as_deref()
    }

    /// Where the chunks of a plain range are in the file.
    fn sealed(&self, range: &Range<u64>) -> Range<u64> {
        let size = CHUNK as u64;
        let start = self.layout.sealed(range.start / size).0;
        let last = range.end.min(self.layout.length).div_ceil(size).saturating_sub(1);
        let (offset, length) = self.layout.sealed(last);
        start..offset.saturating_add(length)
    }

    /// How many plain bytes a file has, by its length and its header alone: without a key, no more
    /// can be said of it.
    ///
    /// # Errors
    /// Fails if its header is damaged, or if no file has such a length.
    pub fn length_of(file: &dyn Bytes) -> Result<u64, EncryptionError> {
        let start = Header::read(file)?.bytes.len().saturating_add(NONCE) as u64;
        let layout = Layout::of(start, file.length());
        let layout = layout.ok_or_else(|| EncryptionError::NotWhole {
            problem: format!("it was cut off at byte {:#x}", file.length()),
        })?;
        Ok(layout.length)
    }

    /// Opens the chunks of a range, which is short, into one buffer.
    fn chunks(&self, numbers: Range<u64>) -> Result<Vec<u8>, DataError> {
        let (offset, _) = self.layout.sealed(numbers.start);
        let (last, length) = self.layout.sealed(numbers.end.saturating_sub(1));
        let mut bytes =
            read_vec(&*self.file, offset, last.saturating_add(length).saturating_sub(offset))?;
        let mut plain = Vec::with_capacity(bytes.len());
        for (number, sealed) in numbers.zip(bytes.chunks_mut(SEALED)) {
            let opened = self.key.open(number, self.layout.is_last(number), sealed);
            let opened = opened.ok_or_else(|| DataError::Damaged {
                unit: "encrypted chunk",
                offset: self.layout.sealed(number).0,
                problem: "it was changed, or belongs elsewhere".to_owned(),
            })?;
            plain.extend_from_slice(opened);
        }
        Ok(plain)
    }

    /// A chunk, which is kept to be read again.
    fn chunk(&self, number: u64) -> Result<Arc<[u8]>, DataError> {
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = lock().iter().find(|(kept, _)| *kept == number).map(|(_, it)| Arc::clone(it));
        if let Some(chunk) = found {
            return Ok(chunk);
        }
        let chunk: Arc<[u8]> = self.chunks(number..number.saturating_add(1))?.into();
        let mut kept = lock();
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back((number, Arc::clone(&chunk)));
        Ok(chunk)
    }
}

impl Bytes for AgeFile {
    fn length(&self) -> u64 {
        self.layout.length
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DataError> {
        let length = self.layout.length;
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= length);
        let end = end.ok_or(DataError::PastEnd { offset, length })?;
        let size = CHUNK as u64;
        let (mut at, mut rest) = (offset, buffer);
        while !rest.is_empty() {
            let first = at / size;
            let skip = usize::try_from(at % size).unwrap_or(CHUNK);
            let more = end.div_ceil(size).min(first.saturating_add(AT_ONCE));
            let copied = if more.saturating_sub(first) == 1 {
                copy(&self.chunk(first)?, skip, rest)
            } else {
                copy(&self.chunks(first..more)?, skip, rest)
            };
            if copied == 0 {
                return Err(DataError::PastEnd { offset: at, length });
            }
            at = at.saturating_add(copied as u64);
            rest = rest.get_mut(copied..).unwrap_or_default();
        }
        Ok(())
    }

    fn prefetch(&self, ranges: &[Range<u64>]) {
        let ranges = ranges.iter().filter(|range| !range.is_empty());
        self.file.prefetch(&ranges.map(|range| self.sealed(range)).collect::<Vec<_>>());
    }

    fn read_together(&self, range: Range<u64>) {
        // The header, too.
        self.file.read_together(0..self.sealed(&range).end);
    }

    fn spend(&self, bytes: u64) -> Result<(), DataError> {
        self.file.spend(bytes)
    }

    fn read_without_limit(&self) {
        self.file.read_without_limit();
    }

    fn work_done(&self) -> u64 {
        self.file.work_done()
    }

    fn is_remote(&self) -> bool {
        self.file.is_remote()
    }
}

/// Copies what is behind `skip` to the beginning of `buffer`. Gives how much.
fn copy(bytes: &[u8], skip: usize, buffer: &mut [u8]) -> usize {
    let from = bytes.get(skip..).unwrap_or_default();
    let count = from.len().min(buffer.len());
    if let (Some(to), Some(from)) = (buffer.get_mut(..count), from.get(..count)) {
        to.copy_from_slice(from);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encryption::identities::tests::{identities, pair};
    use crate::encryption::text::seal;

    fn plain(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at / 7 % 251) as u8).collect()
    }

    fn opened(file: Vec<u8>, key: &FileKey) -> Result<AgeFile, EncryptionError> {
        AgeFile::with_key(Arc::new(file), key)
    }

    #[test]
    fn any_range_is_that_of_the_plain_bytes() {
        let (recipients, key) = pair();
        let length = 40 * CHUNK + 4711;
        let plain = plain(length);
        let header = SealedHeader::new(&recipients).unwrap();
        let file = Arc::new(seal(&header, &plain).unwrap());
        let (file, again) = AgeFile::open(file, &identities(&key)).unwrap();
        assert_eq!(again.length(), header.length());
        assert_eq!(file.length(), length as u64);
        for (start, count) in [
            (0, 1),
            (0, length),
            (CHUNK - 1, 2),
            (CHUNK, CHUNK),
            (5 * CHUNK + 1, 3 * CHUNK),
            (length - 1, 1),
            (length, 0),
            (3, 35 * CHUNK),
        ] {
            let mut buffer = vec![0; count];
            file.read(start as u64, &mut buffer).unwrap();
            assert!(buffer == plain[start..start + count], "{count} bytes at {start}");
        }
        assert!(matches!(file.read(length as u64, &mut [0]), Err(DataError::PastEnd { .. })));
        assert!(file.read(u64::MAX, &mut [0]).is_err());
    }

    #[test]
    fn what_was_cut_off_at_any_place_does_not_open() {
        let (recipients, _) = pair();
        let header = SealedHeader::new(&recipients).unwrap();
        let file = seal(&header, &plain(2 * CHUNK + 1)).unwrap();
        let start = header.bytes_in_front();
        let ends = [0, 20, start - 1, start, start + 15, start + SEALED, start + 2 * SEALED];
        for end in ends.into_iter().chain(file.len() - 18..file.len()) {
            let error = opened(file[..end].to_vec(), header.key()).unwrap_err();
            assert!(
                matches!(error, EncryptionError::NotWhole { .. } | EncryptionError::Header { .. }),
                "{end}: {error}"
            );
        }
        // What was added is no better.
        let mut longer = file.clone();
        longer.extend([0; 40]);
        assert!(opened(longer, header.key()).is_err());
        let text = opened(file[..start + SEALED].to_vec(), header.key()).unwrap_err().to_string();
        assert!(text.contains(&format!("cut off at byte {:#x}", start + SEALED)), "{text}");
    }

    #[test]
    fn what_was_cut_off_is_read_up_to_its_last_whole_chunk() {
        let (recipients, key) = pair();
        let header = SealedHeader::new(&recipients).unwrap();
        let plain = plain(3 * CHUNK + 100);
        let file = seal(&header, &plain).unwrap();
        let start = header.bytes_in_front();
        let open = |file: Vec<u8>| AgeFile::open(Arc::new(file), &identities(&key));
        assert_eq!(open(file.clone()).unwrap().0.cut_off(), None);
        for (end, chunks) in [
            (start + SEALED, 1),
            (start + SEALED + 1, 1),
            (start + 2 * SEALED - 1, 1),
            (start + 2 * SEALED, 2),
            (start + 3 * SEALED + 20, 3),
            (file.len() - 1, 3),
        ] {
            let (opened, _) = open(file[..end].to_vec()).unwrap();
            let problem = opened.cut_off().unwrap();
            assert!(problem.contains("cut off"), "{problem}");
            assert_eq!(opened.length(), (chunks * CHUNK) as u64, "cut at {end}");
            let read = read_vec(&opened, 0, opened.length()).unwrap();
            assert!(read == plain[..chunks * CHUNK], "cut at {end}");
            assert!(opened.read(opened.length(), &mut [0]).is_err());
        }
        for end in [start - 1, start, start + 15, start + SEALED - 1] {
            assert!(open(file[..end].to_vec()).is_err(), "cut at {end}");
        }
        // Zeros at the end, as a host leaves them that lost its power.
        let mut zeros = file[..start + 2 * SEALED].to_vec();
        zeros.resize(start + 5 * SEALED + 7, 0);
        assert_eq!(open(zeros).unwrap().0.length(), 2 * CHUNK as u64);
    }

    #[test]
    fn changed_and_swapped_chunks_are_errors_where_they_are_and_nowhere_else() {
        let (recipients, _) = pair();
        let header = SealedHeader::new(&recipients).unwrap();
        let plain = plain(4 * CHUNK);
        let good = seal(&header, &plain).unwrap();
        let start = header.bytes_in_front();
        let mut changed = good.clone();
        changed[start + SEALED + 100] ^= 1;
        let mut swapped = good.clone();
        let (one, other) = swapped[start..].split_at_mut(SEALED);
        one.swap_with_slice(&mut other[..SEALED]);
        for (bad, chunks) in [(changed, vec![1]), (swapped, vec![0, 1])] {
            let file = opened(bad, header.key()).unwrap();
            for chunk in 0..4 {
                let mut buffer = vec![0; CHUNK];
                let read = file.read((chunk * CHUNK) as u64, &mut buffer);
                if !chunks.contains(&chunk) {
                    assert!(buffer == plain[chunk * CHUNK..][..CHUNK]);
                    continue;
                }
                let at = (start + chunk * SEALED) as u64;
                let wrong = matches!(read, Err(DataError::Damaged { offset, .. }) if offset == at);
                assert!(wrong, "chunk {chunk}");
            }
        }
    }
}
