//! The child: a second process of this program, whose end is awaited and never trusted.
//!
//! Three descriptors are all that it has: a channel of which this process holds the other
//! end (its stdout), where the memory comes from (its stdin), and a pipe for what it says
//! (its stderr). It takes the request from the channel, up to the end of writing, and
//! answers there.
//!
//! Everything that it does is bounded: what it writes in length, what it asks for by
//! the server of the memory, and its life by the caller's limit. Nothing here waits for it in
//! any other way.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{self, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::COMMAND;
use super::end::{ChildError, End};
use crate::interrupt::Interrupt;

/// How long an answer may be, in bytes.
pub(super) const MAX_ANSWER: usize = 16 << 20;
/// How much of the end of what it says is kept, in bytes.
const MAX_SAID: usize = 4 << 10;
/// How long a process may take to end once it has closed its channel, or was killed.
const END: Duration = Duration::from_millis(500);

/// The child. Killed when dropped.
#[derive(Debug)]
pub struct Child {
    process: process::Child,
    channel: UnixStream,
    said: UnixStream,
    says: bool,
    request: Vec<u8>,
    sent: Option<usize>,
    answer: Vec<u8>,
    last_words: Vec<u8>,
}

/// What a wait came to.
#[derive(Debug)]
pub enum Waited {
    /// The descriptor that was waited for along with the child is ready.
    Ready,
    /// The child ended well, and this is its answer.
    Answered(Vec<u8>),
    /// The time is up. The child lives.
    TimeUp,
    /// A signal asks this process to end. The child lives.
    Interrupted(&'static str),
}

/// The limits of a wait.
#[derive(Clone, Copy, Debug)]
pub struct ChildLimits<'a> {
    /// When the time is up; `None` for one without a limit.
    pub until: Option<Instant>,
    /// What ends it at once. `None` where nothing may.
    pub interrupt: Option<&'a Interrupt>,
}

impl Child {
    /// Starts the child on `memory`, with a request.
    ///
    /// The program is the one that runs, whatever has become of its file meanwhile.
    pub fn start(memory: OwnedFd, request: Vec<u8>) -> Result<Self, ChildError> {
        Self::spawn(memory, request).map_err(ChildError::Start)
    }

    fn spawn(memory: OwnedFd, request: Vec<u8>) -> io::Result<Self> {
        let (channel, theirs) = UnixStream::pair()?;
        let (said, stderr) = UnixStream::pair()?;
        channel.set_nonblocking(true)?;
        said.set_nonblocking(true)?;
        // Its own group: a terminal's Ctrl-C is for this process, which ends the child.
        let process = Command::new("/proc/self/exe")
            .arg0(env!("CARGO_PKG_NAME"))
            .arg(COMMAND)
            .current_dir("/")
            .process_group(0)
            .stdin(memory)
            .stdout(OwnedFd::from(theirs))
            .stderr(OwnedFd::from(stderr))
            .spawn()?;
        Ok(Self {
            process,
            channel,
            said,
            says: true,
            request,
            sent: Some(0),
            answer: Vec::new(),
            last_words: Vec::new(),
        })
    }

    /// Waits until the child has ended, `also` is ready, or a limit is reached.
    ///
    /// # Errors
    /// Fails if it ended otherwise than it should.
    pub fn wait(
        &mut self,
        limits: &ChildLimits<'_>,
        also: Option<PollFd<'_>>,
    ) -> Result<Waited, ChildError> {
        loop {
            let mut left = Duration::from_hours(1);
            if let Some(until) = limits.until {
                left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Ok(Waited::TimeUp);
                }
            }
            if let Some(interrupt) = limits.interrupt.filter(|interrupt| interrupt.is_raised()) {
                return Ok(Waited::Interrupted(interrupt.signal_name()));
            }
            let ready = self.wait_for_some(left, limits.interrupt, also.clone())?;
            self.send();
            self.listen();
            if self.receive()? {
                return self.end(limits.until).map(Waited::Answered);
            }
            if ready {
                return Ok(Waited::Ready);
            }
        }
    }

    /// Waits for anything to happen. Says whether `also` is ready.
    fn wait_for_some(
        &self,
        left: Duration,
        interrupt: Option<&Interrupt>,
        also: Option<PollFd<'_>>,
    ) -> Result<bool, ChildError> {
        let sending = if self.sent.is_some() { PollFlags::OUT } else { PollFlags::empty() };
        let mut polled =
            vec![PollFd::from_borrowed_fd(self.channel.as_fd(), PollFlags::IN | sending)];
        if self.says {
            polled.push(PollFd::from_borrowed_fd(self.said.as_fd(), PollFlags::IN));
        }
        if let Some(interrupt) = interrupt {
            polled.push(PollFd::from_borrowed_fd(interrupt.descriptor(), PollFlags::IN));
        }
        let of_caller = also.is_some();
        polled.extend(also);
        let timeout = Timespec::try_from(left).ok();
        match poll(&mut polled, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(ChildError::Wait(error.into())),
        }
        Ok(of_caller && polled.last().is_some_and(|also| !also.revents().is_empty()))
    }

    /// Sends as much of the request as the channel takes. A child that does not want it
    /// ends, and that says more.
    fn send(&mut self) {
        while let Some(sent) = self.sent {
            let rest = self.request.get(sent..).unwrap_or_default();
            let written = if rest.is_empty() { Ok(0) } else { self.channel.write(rest) };
            match written {
                Ok(count @ 1..) => self.sent = Some(sent.saturating_add(count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => {
                    self.sent = None;
                    self.request = Vec::new();
                    let _ = self.channel.shutdown(Shutdown::Write);
                }
            }
        }
    }

    /// Keeps the end of what it says.
    fn listen(&mut self) {
        let mut bytes = [0; MAX_SAID];
        match self.said.read(&mut bytes) {
            Ok(0) => self.says = false,
            Ok(count) => {
                self.last_words.extend(bytes.get(..count).unwrap_or_default());
                let too_many = self.last_words.len().saturating_sub(MAX_SAID);
                self.last_words.drain(..too_many);
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => self.says = false,
        }
    }

    /// Takes what came of the answer. Says whether that was all.
    fn receive(&mut self) -> Result<bool, ChildError> {
        let mut bytes = [0; 64 << 10];
        match self.channel.read(&mut bytes) {
            Ok(0) => return Ok(true),
            Ok(count) => self.answer.extend(bytes.get(..count).unwrap_or_default()),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            // It was killed before it read the request.
            Err(_) => return Ok(true),
        }
        if self.answer.len() > MAX_ANSWER {
            self.kill();
            return Err(ChildError::TooLong { limit: MAX_ANSWER });
        }
        Ok(false)
    }

    /// The channel is closed: the child ends, or is ended.
    fn end(&mut self, until: Option<Instant>) -> Result<Vec<u8>, ChildError> {
        let soon = Instant::now() + END;
        let status = self.await_end(until.map_or(soon, |until| until.min(soon)));
        self.listen();
        if status.is_some_and(|status| status.success()) {
            return Ok(std::mem::take(&mut self.answer));
        }
        self.kill();
        Err(ChildError::Ended { end: End::new(status, &self.last_words) })
    }

    /// How the process ended, if it did in time.
    fn await_end(&mut self, until: Instant) -> Option<ExitStatus> {
        loop {
            match self.process.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < until => thread::sleep(Duration::from_millis(1)),
                _ => return None,
            }
        }
    }

    /// Kills the process. One that hangs in the kernel is left to it.
    fn kill(&mut self) {
        if self.process.kill().is_ok() {
            let _ = self.await_end(Instant::now() + END);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !matches!(self.process.try_wait(), Ok(Some(_))) {
            self.kill();
        }
    }
}
