//! A whole object, by several ranges at a time, of one version: into a file, and its hash.
//!
//! ```text
//! range 0 ─┐
//! range 1 ─┼─► file, at its offset ─► hash, one after the other
//! range 2 ─┘
//! ```
//!
//! The fetcher writes to the file, and what is hashed is read from it: the system still has it in
//! memory. It goes to the disk meanwhile, so that there is little left to wait for in the end.

use std::fs::File;
use std::io;
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
/// After how many bytes what was written goes to the disk.
const TO_DISK: u64 = 64 << 20;
/// How many bytes of the file are hashed at once.
const BUFFER: usize = 256 << 10;
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
        if let Some(file) = file {
            self.give(file)?;
        }
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
}

impl Download<'_> {
    /// Takes one range after another, until none is left or something failed.
    fn work(&self) {
        loop {
            let offset = self.next.fetch_add(RANGE, Ordering::Relaxed);
            if offset >= self.length {
                return;
            }
            let end = offset.saturating_add(RANGE).min(self.length);
            if let Err(error) = self.take(offset, end) {
                let mut hashed = self.hashed.lock().unwrap_or_else(PoisonError::into_inner);
                hashed.failed.get_or_insert(error);
                // No thread takes another one.
                self.next.fetch_max(self.length, Ordering::Relaxed);
                self.advanced.notify_all();
                return;
            }
        }
    }

    /// Takes a range.
    fn take(&self, offset: u64, end: u64) -> Result<(), RemoteError> {
        let bytes = self.bring(offset, end.saturating_sub(offset))?;
        let mut hashed = self.hashed.lock().unwrap_or_else(PoisonError::into_inner);
        while hashed.end < offset && hashed.failed.is_none() {
            hashed = self.advanced.wait(hashed).unwrap_or_else(PoisonError::into_inner);
        }
        if hashed.failed.is_some() {
            return Ok(());
        }
        match self.file {
            Some(file) => hashed.update(file, end).map_err(|error| self.of_file(&error))?,
            None => hashed.hash.update(&bytes),
        }
        hashed.end = end;
        drop(hashed);
        self.advanced.notify_all();
        match self.file {
            Some(file) if end.is_multiple_of(TO_DISK) => {
                file.sync_data().map_err(|error| self.of_file(&error))
            }
            _ => Ok(()),
        }
    }

    /// Brings a range into the file; its bytes, if there is none.
    fn bring(&self, offset: u64, length: u64) -> Result<Vec<u8>, RemoteError> {
        let object = self.object;
        let (ask, wanted) = match self.file {
            Some(_) => (Ask::Fill { object, offset, length }, 0),
            None => (Ask::Read { object, offset, length }, length),
        };
        let answer = self.channel.ask(ask)?;
        match answer.outcome {
            Outcome::Done if answer.bytes.len() as u64 == wanted => Ok(answer.bytes),
            Outcome::Failed { problem } => Err(self.channel.failed(self.name, problem)),
            Outcome::NotFound => Err(self.channel.failed(self.name, "it is gone".to_owned())),
            _ => Err(RemoteError::Ended),
        }
    }

    fn of_file(&self, error: &io::Error) -> RemoteError {
        let address = self.channel.shown(self.name);
        RemoteError::Read { address, problem: error.to_string() }
    }
}

impl Hashed {
    /// Hashes what the file has up to here.
    fn update(&mut self, file: &File, end: u64) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        let mut at = self.end;
        while at < end {
            let length = usize::try_from(end.saturating_sub(at)).unwrap_or(BUFFER).min(BUFFER);
            let bytes = buffer.get_mut(..length).unwrap_or_default();
            file.read_exact_at(bytes, at)?;
            self.hash.update(&*bytes);
            at = at.saturating_add(length as u64);
        }
        Ok(())
    }
}
