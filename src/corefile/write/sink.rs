//! Where a core goes: anything that can be written from front to back.

use std::fmt;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::AsFd;

use rustix::fs::{FallocateFlags, fallocate, fstatvfs};
use rustix::io::{Errno, retry_on_intr};

/// Where a core goes.
///
/// A core is published after it is complete and synced, by the owner of the sink: a file
/// of a store gets its name by `store::staging`.
pub trait CoreSink: Write + fmt::Debug + Send {
    /// Gives up what was written behind `length`; what is written next goes there.
    fn truncate(&mut self, length: u64) -> io::Result<()>;

    /// Ends what was written: nothing follows, unless some of it is given up before.
    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Waits until what was written would survive a crash of the host. Times of a file and
    /// the like may be left out.
    fn sync_data(&mut self) -> io::Result<()>;

    /// The same, with nothing left out.
    fn sync_all(&mut self) -> io::Result<()>;

    /// How many bytes can still be written, if that can be asked.
    fn available(&self) -> Option<u64>;

    /// Reserves room behind the first `length` bytes, so that what is written there cannot
    /// fail for want of space. Gives whether it did: not every sink can. Fails only if there
    /// is too little.
    fn reserve(&mut self, length: u64, more: u64) -> io::Result<bool>;

    /// Gives back what was reserved and is not needed: nothing more will be written.
    fn trim(&mut self);
}

impl CoreSink for File {
    fn truncate(&mut self, length: u64) -> io::Result<()> {
        // Setting the length that it has would free the room that was reserved.
        if self.metadata()?.len() != length {
            self.set_len(length)?;
        }
        self.seek(SeekFrom::Start(length)).map(drop)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        Self::sync_data(self)
    }

    fn sync_all(&mut self) -> io::Result<()> {
        Self::sync_all(self)
    }

    fn available(&self) -> Option<u64> {
        // Without an answer, a full file system is noticed when it refuses a write.
        let space = fstatvfs(self.as_fd()).ok()?;
        Some(space.f_bavail.saturating_mul(space.f_frsize))
    }

    fn reserve(&mut self, length: u64, more: u64) -> io::Result<bool> {
        let kept = FallocateFlags::KEEP_SIZE;
        match retry_on_intr(|| fallocate(self.as_fd(), kept, length, more)) {
            Ok(()) => Ok(true),
            Err(error @ (Errno::NOSPC | Errno::DQUOT)) => Err(error.into()),
            // Not every file system can; those find out when it is written.
            Err(_) => Ok(false),
        }
    }

    fn trim(&mut self) {
        // Setting the length that it has frees what lies behind it.
        let _ = self.metadata().and_then(|file| self.set_len(file.len()));
    }
}
