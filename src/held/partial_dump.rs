//! A part of a dump: its head alone, or one range of memory.
//!
//! `dump-guest-memory` without `begin` and `length` tells all of the guest's ranges in its
//! program headers, before any memory: the pipe is closed after the head, and QEMU ends
//! the dump with an error that is expected. With them, only the segments in the range
//! follow; all notes come each time. Both are done without `detach`: the reply comes when
//! QEMU has closed its end, so that the next one can follow at once. QEMU's main loop
//! waits meanwhile for some milliseconds, or until the pipe is read; closing the
//! pipe, or the end of this process, frees it.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_setfl};
use thiserror::Error;
use vmcore_formats::elf::dump_head::{DumpHead, DumpHeadError, Progress};

use crate::monitor::GuestEvent;
use crate::monitor::dump_pipe::large_pipe;
use crate::monitor::{CommandId, DumpPart, Monitor, MonitorError, WaitLimits, WaitResult};
use crate::vmcore::MemoryRange;

const COMMAND: &str = "dump-guest-memory";
/// How much is read from the pipe at once, in bytes.
const READ: usize = 256 << 10;
/// QEMU writes a page at a time: a reader that is woken for each costs both sides more than one
/// that looks so often, as long as much is missing, and until QEMU is busy elsewhere.
const NAP: Duration = Duration::from_micros(100);
const NAPS: u32 = 20;
const MUCH: u64 = 64 << 10;
/// Room for a head: more only with many vCPUs.
const USUAL_HEAD: u64 = 64 << 10;

/// Why a held guest gives no memory.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PartialDumpError {
    /// The monitor gives no answer, or no.
    #[error(transparent)]
    Monitor(#[from] MonitorError),
    /// No pipe.
    #[error("cannot set up a pipe for the guest's memory")]
    Pipe(#[source] io::Error),
    /// What comes is no dump.
    #[error(transparent)]
    Head(#[from] DumpHeadError),
    /// The dump is shorter than it says.
    #[error("QEMU's partial dump ended after {found} bytes")]
    Short {
        /// How many came.
        found: u64,
    },
    /// The dump is longer than it says.
    #[error("QEMU's partial dump goes on after its {expected} bytes")]
    Long {
        /// How many it says that it has.
        expected: u64,
    },
    /// The guest did not stay as it was.
    #[error("the guest changed while it was read: {event}")]
    GuestChanged {
        /// What happened to it.
        event: GuestEvent,
    },
}

/// Fails if something happened to the guest that changes its memory.
pub(super) fn check_guest(monitor: &dyn Monitor) -> Result<(), PartialDumpError> {
    match monitor.guest_events().iter().find(|event| event.is_change()) {
        Some(event) => Err(PartialDumpError::GuestChanged { event: *event }),
        None => Ok(()),
    }
}

/// The beginning of a dump, or all of a partial one.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) head: DumpHead,
    bytes: Vec<u8>,
}

impl Part {
    /// The head as QEMU wrote it.
    pub(super) fn head_bytes(&self) -> &[u8] {
        let length = usize::try_from(self.head.head_length).unwrap_or(usize::MAX);
        self.bytes.get(..length).unwrap_or(&self.bytes)
    }

    /// The bytes of `range`, if it has these and no others; else how many bytes it has.
    pub(super) fn into_memory(self, range: MemoryRange) -> Result<Vec<u8>, u64> {
        let found = self.head.memory_bytes();
        match self.memory(range) {
            Some(parts) if found == range.length => Ok(parts.concat()),
            _ => Err(found),
        }
    }

    /// The bytes of `range`, in parts that follow one another. Fails if it does not have all
    /// of them.
    pub(super) fn memory(&self, range: MemoryRange) -> Option<Vec<&[u8]>> {
        let mut parts = Vec::new();
        let mut at = range.start.0;
        // QEMU writes segments in the order of their addresses.
        for segment in &self.head.segments {
            let end = segment.physical.0.saturating_add(segment.file_size).min(range.end().0);
            if segment.physical.0 > at || end <= at {
                continue;
            }
            let skip = at.checked_sub(segment.physical.0)?;
            let from = usize::try_from(segment.offset.checked_add(skip)?).ok()?;
            let length = usize::try_from(end.checked_sub(at)?).ok()?;
            parts.push(self.bytes.get(from..from.checked_add(length)?)?);
            at = end;
        }
        (at == range.end().0).then_some(parts)
    }
}

/// The head of a whole dump: notes, and where the guest has memory.
pub(super) fn head(
    monitor: &mut dyn Monitor,
    limits: &WaitLimits<'_>,
) -> Result<Part, PartialDumpError> {
    let mut dump = PartialDump::begin(monitor, limits, DumpPart::Whole { detached: false })?;
    let head = dump.read_head()?;
    let bytes = std::mem::take(&mut dump.bytes);
    dump.end()?;
    Ok(Part { head, bytes })
}

/// The memory of a range, which lies in one of the guest's.
pub(super) fn memory(
    monitor: &mut dyn Monitor,
    range: MemoryRange,
    limits: &WaitLimits<'_>,
) -> Result<Part, PartialDumpError> {
    let mut dump =
        PartialDump::begin(monitor, limits, DumpPart::Range(range.start.0, range.length))?;
    let room = range.length.saturating_add(USUAL_HEAD);
    dump.bytes.reserve(usize::try_from(room).unwrap_or_default());
    let head = dump.read_head()?;
    // The notes of a guest with many vCPUs are long, but bounded; so is what was asked for.
    let most = range.length.saturating_add(head.head_length).saturating_add(USUAL_HEAD);
    dump.read_until(head.stream_length.min(most))?;
    let bytes = std::mem::take(&mut dump.bytes);
    if head.stream_length <= most {
        dump.expect_end(head.stream_length)?;
    } else {
        // Of another range: what it has is found out by the caller.
        dump.end()?;
    }
    Ok(Part { head, bytes })
}

/// A dump under way.
struct PartialDump<'a, 'p> {
    monitor: &'a mut dyn Monitor,
    limits: &'a WaitLimits<'p>,
    pipe: File,
    command: CommandId,
    /// Whether QEMU has ended it.
    replied: bool,
    bytes: Vec<u8>,
}

impl<'a, 'p> PartialDump<'a, 'p> {
    /// Hands QEMU a pipe, and has it write into that.
    fn begin(
        monitor: &'a mut dyn Monitor,
        limits: &'a WaitLimits<'p>,
        part: DumpPart,
    ) -> Result<Self, PartialDumpError> {
        let (read_end, write_end) = large_pipe().map_err(PartialDumpError::Pipe)?;
        monitor.pass_pipe(write_end.as_fd(), limits)?;
        drop(write_end);
        // Only this end: the flag of the other is QEMU's.
        fcntl_setfl(&read_end, OFlags::NONBLOCK)
            .map_err(|error| PartialDumpError::Pipe(error.into()))?;
        let command = monitor.begin_dump(part, limits)?;
        let pipe = File::from(read_end);
        Ok(Self { monitor, limits, pipe, command, replied: false, bytes: Vec::new() })
    }

    fn read_head(&mut self) -> Result<DumpHead, PartialDumpError> {
        loop {
            match DumpHead::decode(&self.bytes)? {
                Progress::Complete(head) => return Ok(head),
                Progress::Incomplete { needed } => self.read_until(needed)?,
            }
        }
    }

    /// Reads until there are `length` bytes.
    fn read_until(&mut self, length: u64) -> Result<(), PartialDumpError> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let mut deadline = self.limits.deadline();
        let mut naps = 0_u32;
        while self.bytes.len() < length {
            let had = self.bytes.len();
            let missing = length.saturating_sub(had).min(READ) as u64;
            let read = (&mut self.pipe).take(missing).read_to_end(&mut self.bytes);
            // What came before the pipe was empty is kept.
            if self.bytes.len() > had {
                self.monitor.dump_sends();
                (deadline, naps) = (self.limits.deadline(), 0);
                continue;
            }
            match read {
                Ok(_) => {
                    // Why it ended is in the reply, if it is in one.
                    self.await_reply(false)?;
                    return Err(PartialDumpError::Short { found: had as u64 });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if missing > MUCH && naps < NAPS {
                        naps = naps.saturating_add(1);
                        std::thread::sleep(NAP);
                    } else {
                        self.wait(deadline, true, false)?;
                    }
                }
                Err(error) => return Err(PartialDumpError::Pipe(error)),
            }
        }
        Ok(())
    }

    /// Waits until QEMU has closed its end, and says that it is well. Fails if more comes.
    fn expect_end(&mut self, expected: u64) -> Result<(), PartialDumpError> {
        let deadline = self.limits.deadline();
        loop {
            let mut more = [0; 1];
            match self.pipe.read(&mut more) {
                Ok(0) => return self.await_reply(false),
                Ok(_) => return Err(PartialDumpError::Long { expected }),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait(deadline, true, false)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(PartialDumpError::Pipe(error)),
            }
        }
    }

    /// Closes the pipe, and waits for the reply, after which QEMU has closed its end.
    fn end(mut self) -> Result<(), PartialDumpError> {
        let (closed, _) = io::pipe().map_err(PartialDumpError::Pipe)?;
        self.pipe = File::from(OwnedFd::from(closed));
        self.await_reply(true)
    }

    fn await_reply(&mut self, broken_off: bool) -> Result<(), PartialDumpError> {
        let deadline = self.limits.deadline();
        while !self.replied {
            self.wait(deadline, false, broken_off)?;
        }
        check_guest(self.monitor)
    }

    /// Waits for the reply, and if wanted for more in the pipe.
    fn wait(
        &mut self,
        deadline: Instant,
        for_more: bool,
        broken_off: bool,
    ) -> Result<(), PartialDumpError> {
        let pipe = [self.pipe.as_fd()];
        let wakers = if for_more { pipe.as_slice() } else { &[] };
        match self.monitor.wait(COMMAND, self.limits, wakers)? {
            WaitResult::Reply(id, result) if id == self.command => {
                self.replied = true;
                match result {
                    // What it says of a pipe that we closed is no news.
                    Err(refusal) if !broken_off => {
                        let command = COMMAND.to_owned();
                        return Err(MonitorError::Refused {
                            by: self.monitor.manager(),
                            command,
                            refusal,
                        }
                        .into());
                    }
                    _ => {}
                }
            }
            WaitResult::Event(_) => check_guest(self.monitor)?,
            _ if Instant::now() >= deadline => {
                let (command, waited) = (COMMAND.to_owned(), self.limits.timeout);
                return Err(
                    MonitorError::TimedOut { by: self.monitor.manager(), command, waited }.into()
                );
            }
            _ => {}
        }
        Ok(())
    }
}
