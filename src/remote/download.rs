//! A whole object, into a file: several ranges at a time, of one version.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::RemoteError;
use super::channel::Channel;
use super::wire::{Ask, Outcome};

/// How many bytes of a range.
const RANGE: u64 = 8 << 20;
/// How many ranges are asked for at the same time.
const AT_ONCE: usize = 4;

impl Channel {
    /// Writes an object to a file, from its beginning on. Gives its length.
    ///
    /// # Errors
    /// Fails if it cannot be had as a whole, in the version that it had at first, or if the file
    /// cannot be written.
    pub fn download(&self, name: &str, file: &File) -> Result<u64, RemoteError> {
        let answer = self.ask(Ask::Open { name: name.to_owned(), tail: 1 })?;
        let (object, length) = match answer.outcome {
            Outcome::Opened { object, length } => (object, length),
            Outcome::NotFound => return Err(self.not_found(name)),
            Outcome::Failed { problem } => return Err(self.failed(name, problem)),
            _ => return Err(RemoteError::Ended),
        };
        let (next, failed) = (AtomicU64::new(0), Mutex::new(None));
        let work = || {
            loop {
                let offset = next.fetch_add(RANGE, Ordering::Relaxed);
                if offset >= length || failed.lock().is_ok_and(|failed| failed.is_some()) {
                    return;
                }
                let bytes = RANGE.min(length.saturating_sub(offset));
                let got = self.range(name, object, offset, bytes);
                let written = got.and_then(|got| {
                    file.write_all_at(&got, offset).map_err(|error: io::Error| RemoteError::Read {
                        address: self.shown(name),
                        problem: error.to_string(),
                    })
                });
                if let Err(error) = written {
                    let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                    failed.get_or_insert(error);
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(work);
            }
        });
        match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(length),
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
