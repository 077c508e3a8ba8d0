//! A core on its way into an age file.
//!
//! The payload can only be appended: a chunk number and key seal one text, or both texts are given
//! away. So a chunk is sealed when more bytes follow it, and the last one at the end. What is taken
//! back costs nothing while it is in memory. Where a chunk would have to be sealed anew, as after a
//! write that failed half-way on a full disk, all chunks are first sealed again in place, with the
//! key of another nonce: the header stays as it is.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use super::payload::{CHUNK, PayloadKey, SEALED, sealed_length};
use super::sealed::SealedHeader;
use crate::corefile::write::CoreSink;

/// How many chunks are sealed again at a time.
const AT_ONCE: u64 = 16;

/// The file that a core is encrypted into.
pub struct EncryptedSink {
    file: File,
    header: SealedHeader,
    key: PayloadKey,
    /// Where the first chunk begins.
    start: u64,
    /// How many chunks are in the file, all of them full.
    sealed: u64,
    /// The plain bytes of the chunk behind those: never none, unless nothing was written.
    pending: Vec<u8>,
    /// Whether that chunk is in the file, too, as the last one.
    ended: bool,
    /// Whether a chunk behind those in the file was sealed already, with other bytes.
    spent: bool,
    /// Sealed chunks on their way to the file.
    out: Vec<u8>,
}

impl fmt::Debug for EncryptedSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptedSink").field("file", &self.file).finish_non_exhaustive()
    }
}

impl EncryptedSink {
    /// Begins an age file in an empty file, which can be read, too.
    ///
    /// # Errors
    /// Fails if the system refuses.
    pub fn begin(mut file: File, header: SealedHeader) -> io::Result<Self> {
        let begin = header.begin()?;
        file.write_all(&begin.bytes)?;
        let start = begin.bytes.len() as u64;
        Ok(Self {
            file,
            header,
            key: begin.key,
            start,
            sealed: 0,
            pending: Vec::with_capacity(CHUNK),
            ended: false,
            spent: false,
            out: Vec::new(),
        })
    }

    /// How many plain bytes there are.
    fn length(&self) -> u64 {
        self.sealed.saturating_mul(CHUNK as u64).saturating_add(self.pending.len() as u64)
    }

    /// Where the chunk that is not full begins in the file.
    fn end(&self) -> u64 {
        self.start.saturating_add(self.sealed.saturating_mul(SEALED as u64))
    }

    /// Makes it possible to seal the next chunk: no other may have had its number and key.
    fn be_fresh(&mut self) -> io::Result<()> {
        if self.ended {
            self.take_back()?;
        }
        if self.spent {
            self.seal_again()?;
        }
        Ok(())
    }

    /// Takes what is behind the full chunks out of the file.
    fn take_back(&mut self) -> io::Result<()> {
        (self.ended, self.spent) = (false, true);
        self.file.set_len(self.end())?;
        self.file.seek(SeekFrom::Start(self.end())).map(drop)
    }

    /// Seals all chunks of the file in place with a new key.
    fn seal_again(&mut self) -> io::Result<()> {
        let (nonce, key) = self.header.another()?;
        let mut number = 0;
        while number < self.sealed {
            let count = AT_ONCE.min(self.sealed.saturating_sub(number));
            let offset = self.start.saturating_add(number.saturating_mul(SEALED as u64));
            let length = usize::try_from(count).unwrap_or(1).saturating_mul(SEALED);
            let mut sealed = vec![0; length];
            self.file.read_exact_at(&mut sealed, offset)?;
            self.out.clear();
            for chunk in sealed.chunks_mut(SEALED) {
                let plain = self.key.open(number, false, chunk).ok_or_else(changed)?;
                let tag = key.seal(number, false, plain)?;
                self.out.extend_from_slice(plain);
                self.out.extend_from_slice(tag.as_ref());
                number = number.saturating_add(1);
            }
            self.file.write_all_at(&self.out, offset)?;
        }
        self.file.write_all_at(&nonce, self.header.length())?;
        (self.key, self.spent) = (key, false);
        Ok(())
    }

    /// Seals the chunk in `out` from `begin` on.
    fn seal(&mut self, begin: usize, number: u64, is_last: bool) -> io::Result<()> {
        let chunk = self.out.get_mut(begin..).unwrap_or_default();
        let tag = self.key.seal(number, is_last, chunk)?;
        self.out.extend_from_slice(tag.as_ref());
        Ok(())
    }

    /// Writes what was sealed. If that fails, the file is as it was before.
    fn write_sealed(&mut self) -> io::Result<()> {
        let written = self.file.write_all(&self.out);
        if written.is_err() {
            let _ = self.take_back();
        }
        written
    }
}

/// A chunk of the file does not open that was sealed here.
fn changed() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "the encrypted file was changed while it was written")
}

impl Write for EncryptedSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        self.be_fresh()?;
        self.out.clear();
        let mut rest = bytes;
        let mut number = self.sealed;
        let mut pending = self.pending.as_slice();
        while pending.len().saturating_add(rest.len()) > CHUNK {
            let begin = self.out.len();
            self.out.extend_from_slice(pending);
            let (more, others) =
                rest.split_at_checked(CHUNK.saturating_sub(pending.len())).unwrap_or((rest, &[]));
            self.out.extend_from_slice(more);
            // What `seal` does; `pending` is borrowed meanwhile.
            let chunk = self.out.get_mut(begin..).unwrap_or_default();
            let tag = self.key.seal(number, false, chunk)?;
            self.out.extend_from_slice(tag.as_ref());
            number = number.saturating_add(1);
            (pending, rest) = (&[], others);
        }
        if number > self.sealed {
            self.write_sealed()?;
            self.sealed = number;
            self.pending.clear();
        }
        self.pending.extend_from_slice(rest);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl CoreSink for EncryptedSink {
    fn truncate(&mut self, length: u64) -> io::Result<()> {
        if length >= self.length() {
            return Ok(());
        }
        if self.ended {
            self.take_back()?;
        }
        let size = CHUNK as u64;
        let number = length.saturating_sub(1) / size;
        if number < self.sealed {
            let mut chunk = vec![0; SEALED];
            let offset = self.start.saturating_add(number.saturating_mul(SEALED as u64));
            self.file.read_exact_at(&mut chunk, offset)?;
            let plain = self.key.open(number, false, &mut chunk).ok_or_else(changed)?;
            self.pending.clear();
            self.pending.extend_from_slice(plain);
            self.sealed = number;
            self.take_back()?;
        }
        let left = length.saturating_sub(self.sealed.saturating_mul(size));
        self.pending.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        if self.ended {
            return Ok(());
        }
        self.be_fresh()?;
        self.out.clear();
        self.out.extend_from_slice(&self.pending);
        self.seal(0, self.sealed, true)?;
        self.write_sealed()?;
        self.ended = true;
        Ok(())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn sync_all(&mut self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn available(&self) -> Option<u64> {
        // Of each chunk, the tag is lost.
        let available = CoreSink::available(&self.file)?;
        Some(available.saturating_sub(available / (CHUNK as u64 / 32)))
    }

    fn reserve(&mut self, length: u64, more: u64) -> io::Result<bool> {
        let from = self.start.saturating_add(sealed_length(length));
        // From the last whole chunk on, whatever of the next one is in memory.
        let from = from.saturating_sub(SEALED as u64);
        let more = sealed_length(more).saturating_add(2 * SEALED as u64);
        CoreSink::reserve(&mut self.file, from, more)
    }

    fn trim(&mut self) {
        CoreSink::trim(&mut self.file);
    }
}

#[cfg(test)]
#[path = "sink_tests.rs"]
mod tests;
