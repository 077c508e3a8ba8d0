//! Ranges of objects that go into a file of the process that asks, as they come from the server:
//! they do not go through the socket, and no range is ever in memory as a whole.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, PoisonError};

use futures_util::TryStreamExt;
use object_store::GetResult;
use tokio::task::spawn_blocking;

use super::objects::{Answered, Failed, Objects, TRIES};
use super::reason;
use crate::remote::wire::Outcome;

/// How far a range has come.
struct Filling {
    file: Arc<File>,
    /// Where its next byte is.
    at: u64,
    end: u64,
}

impl Objects {
    /// Takes the file that ranges go into from now on.
    pub(super) fn take_file(&self, file: OwnedFd) {
        let file = Some(Arc::new(File::from(file)));
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = file;
    }

    /// Writes a range of an opened object to the file, at the same offset.
    pub(super) async fn fill(&self, object: u32, offset: u64, length: u64) -> Answered {
        let (pinned, range) = self.wanted(object, offset, length)?;
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let file = file.ok_or_else(|| "there is no file for it".to_owned())?;
        let mut filling = Filling { file, at: range.start, end: range.end };
        let mut problem = String::new();
        for _ in 0..TRIES {
            let options = pinned.options(filling.at..filling.end);
            let found = self.store().get_opts(&pinned.path, options).await?;
            pinned.check(&found)?;
            match filling.take(found).await? {
                None => return Ok((Outcome::Done, Vec::new())),
                Some(broken) => problem = broken,
            }
        }
        Err(problem.into())
    }
}

impl Filling {
    /// Writes an answer. Gives what is wrong with it, if it is not the rest of the range.
    async fn take(&mut self, found: GetResult) -> Result<Option<String>, Failed> {
        let mut pieces = found.into_stream();
        loop {
            let piece = match pieces.try_next().await {
                Ok(Some(piece)) => piece,
                Ok(None) if self.at == self.end => return Ok(None),
                Ok(None) => return Ok(Some("the answer ends before its range does".to_owned())),
                Err(error) => return Ok(Some(reason::of(&error))),
            };
            let after = self.at.checked_add(piece.len() as u64).filter(|after| *after <= self.end);
            let Some(after) = after else {
                return Ok(Some("the answer has more bytes than were asked for".to_owned()));
            };
            let (file, at) = (Arc::clone(&self.file), self.at);
            // Disks have threads of their own.
            let written = spawn_blocking(move || file.write_all_at(&piece, at)).await;
            let written = written.map_err(|error| error.to_string())?;
            written.map_err(|error| format!("the file cannot be written: {error}"))?;
            self.at = after;
        }
    }
}
