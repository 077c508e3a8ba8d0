//! Where a core goes: anything that can be written from front to back.

use std::fmt;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::AsFd;

use rustix::fs::{FallocateFlags, fallocate, fstatvfs};
use rustix::io::Errno;

/// Where a core goes. Nobody sees it before it is published, which whoever made the sink
/// does: for a file in a store that is [`Staging`](crate::store::staging::Staging).
pub trait CoreSink: Write + fmt::Debug + Send {
    /// Gives up what was written behind `length`; what is written next goes there.
    fn truncate(&mut self, length: u64) -> io::Result<()>;

    /// Waits until what was written would outlive a crash of the host. What describes a
    /// file, as its times, may be left out.
    fn sync_data(&mut self) -> io::Result<()>;

    /// The same, with nothing left out.
    fn sync_all(&mut self) -> io::Result<()>;

    /// How many bytes may still be written; `None` if nobody knows.
    fn available(&self) -> Option<u64>;

    /// Reserves room behind the first `length` bytes, so that what is written there cannot
    /// fail for want of space. Fails only if there is too little; not every sink can.
    fn reserve(&mut self, length: u64, more: u64) -> io::Result<()>;
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
        // Not every file system tells; one that is full refuses the write.
        let space = fstatvfs(self.as_fd()).ok()?;
        Some(space.f_bavail.saturating_mul(space.f_frsize))
    }

    fn reserve(&mut self, length: u64, more: u64) -> io::Result<()> {
        match fallocate(self.as_fd(), FallocateFlags::KEEP_SIZE, length, more) {
            Err(error @ (Errno::NOSPC | Errno::DQUOT)) => Err(error.into()),
            // Not every file system can; those find out when it is written.
            Ok(()) | Err(_) => Ok(()),
        }
    }
}
