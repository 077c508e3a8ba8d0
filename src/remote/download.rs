//! A whole object, by several ranges at a time, of one version: into a file, and its hash.
//!
//! ```text
//! range 0 ─┐
//! range 1 ─┼─► file, at its offset ─► hash, one after the other
//! range 2 ─┘
//! ```

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

use sha2::{Digest, Sha256};

use super::RemoteError;
use super::channel::Channel;
use super::wire::{Ask, Outcome};

/// How many bytes of a range.
const RANGE: u64 = 4 << 20;
/// How many ranges are asked for at the same time.
const AT_ONCE: usize = 8;

/// What came of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downloaded {
    /// Its length in bytes.
    pub bytes: u64,
    /// SHA-256 of all of them.
    pub sha256: [u8; 32],
}

/// What all threads share.
struct Download<'a> {
    channel: &'a Channel,
    name: &'a str,
    object: u32,
    length: u64,
    /// Where the bytes go, if they are kept.
    file: Option<&'a File>,
    /// Where the next range begins.
    next: AtomicU64,
    hashed: Mutex<Hashed>,
    advanced: Condvar,
}

/// What was hashed, in order.
struct Hashed {
    hash: Sha256,
    /// How many bytes.
    end: u64,
    /// What went wrong first.
    failed: Option<RemoteError>,
}

impl Channel {
    /// Writes an object to a file, from its beginning on.
    ///
    /// # Errors
    /// Fails if it cannot be had as a whole, in the version that it had at first, or if the file
    /// cannot be written.
    pub fn download(&self, name: &str, file: &File) -> Result<Downloaded, RemoteError> {
        self.read_all(name, Some(file))
    }

    /// Reads all of an object, for its hash.
    ///
    /// # Errors
    /// Fails if it cannot be had as a whole, in the version that it had at first.
    pub fn hash(&self, name: &str) -> Result<Downloaded, RemoteError> {
        self.read_all(name, None)
    }

    fn read_all(&self, name: &str, file: Option<&File>) -> Result<Downloaded, RemoteError> {
        let answer = self.ask(Ask::Open { name: name.to_owned(), tail: 1 })?;
        let (object, length) = match answer.outcome {
            Outcome::Opened { object, length } => (object, length),
            Outcome::NotFound => return Err(self.not_found(name)),
            Outcome::Failed { problem } => return Err(self.failed(name, problem)),
            _ => return Err(RemoteError::Ended),
        };
        let hashed = Mutex::new(Hashed { hash: Sha256::new(), end: 0, failed: None });
        let (next, advanced) = (AtomicU64::new(0), Condvar::new());
        let download =
            Download { channel: self, name, object, length, file, next, hashed, advanced };
        thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| download.work());
            }
        });
        let hashed = download.hashed.into_inner().unwrap_or_else(PoisonError::into_inner);
        match hashed.failed {
            Some(error) => Err(error),
            None => Ok(Downloaded { bytes: length, sha256: hashed.hash.finalize().into() }),
        }
    }

    fn range(
        &self,
        name: &str,
        object: u32,
        offset: u64,
        length: u64,
    ) -> Result<Vec<u8>, RemoteError> {
        let answer = self.ask(Ask::Read { object, offset, length })?;
        match answer.outcome {
            Outcome::Done if answer.bytes.len() as u64 == length => Ok(answer.bytes),
            Outcome::Failed { problem } => Err(self.failed(name, problem)),
            Outcome::NotFound => Err(self.failed(name, "it is gone".to_owned())),
            _ => Err(RemoteError::Ended),
        }
    }
}

impl Download<'_> {
    /// Takes one range after another, until none is left or something failed.
    fn work(&self) {
        loop {
            let offset = self.next.fetch_add(RANGE, Ordering::Relaxed);
            if offset >= self.length {
                return;
            }
            let got = self.take(offset, RANGE.min(self.length.saturating_sub(offset)));
            let mut hashed = self.hashed.lock().unwrap_or_else(PoisonError::into_inner);
            while got.is_ok() && hashed.end < offset && hashed.failed.is_none() {
                hashed = self.advanced.wait(hashed).unwrap_or_else(PoisonError::into_inner);
            }
            match got {
                _ if hashed.failed.is_some() => return,
                Ok(bytes) => {
                    hashed.hash.update(&bytes);
                    hashed.end = offset.saturating_add(bytes.len() as u64);
                }
                Err(error) => hashed.failed = Some(error),
            }
            self.advanced.notify_all();
        }
    }

    fn take(&self, offset: u64, length: u64) -> Result<Vec<u8>, RemoteError> {
        let bytes = self.channel.range(self.name, self.object, offset, length)?;
        let written = self.file.map_or(Ok(()), |file| file.write_all_at(&bytes, offset));
        written.map_err(|error| RemoteError::Read {
            address: self.channel.shown(self.name),
            problem: error.to_string(),
        })?;
        Ok(bytes)
    }
}
