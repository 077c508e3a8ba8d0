//! This process's side: serves the memory of a held guest to the child that reads it.
//!
//! The child has parsed what the guest wrote, and may ask for anything: a question is
//! checked before QEMU is, and one answer is kept at most. A child that does not take its
//! answer delays only its own report.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::sockopt::set_socket_send_buffer_size;

use super::HeldError;
use super::direct::DirectMemory;
use super::partial_dump::{self, PartialDumpError};
use super::windows::Windows;
use super::wire::{self, MOST, QUESTION};
use crate::monitor::{Monitor, MonitorError, WaitLimits};
use crate::sandbox::{Child, ChildError, ChildLimits, Waited};
use crate::vmcore::memory::range_of;
use crate::vmcore::{MemoryRange, PhysMemory};

/// How much of an answer the socket should hold, in bytes.
const SEND_BUFFER: usize = 1 << 20;
/// What is said of a wait that a limit ends.
const COMMAND: &str = "reading the held guest";

/// The memory's server: the child's question, and the answer to it.
pub(super) struct Server<'a> {
    ranges: &'a [MemoryRange],
    socket: UnixStream,
    /// What came of a question.
    question: Vec<u8>,
    /// What is still to be sent of an answer.
    answer: Vec<u8>,
    sent: usize,
    /// Whether the child has closed its end.
    gone: bool,
    /// What was read without a dump.
    windows: Windows,
    /// The memory in QEMU's process, if it may be read there.
    direct: Option<Arc<DirectMemory>>,
}

impl<'a> Server<'a> {
    /// A server of the memory in these ranges.
    pub(super) fn new(ranges: &'a [MemoryRange], socket: UnixStream) -> std::io::Result<Self> {
        socket.set_nonblocking(true)?;
        // The child takes a usual answer in one piece. The kernel allows what it allows.
        set_socket_send_buffer_size(&socket, SEND_BUFFER)?;
        let (question, answer) = (Vec::new(), Vec::new());
        let windows = Windows::default();
        let (sent, gone, direct) = (0, false, None);
        Ok(Self { ranges, socket, question, answer, sent, gone, windows, direct })
    }

    /// The same, which asks the monitor for no memory, if it can be had without.
    pub(super) fn with_direct(self, direct: Option<Arc<DirectMemory>>) -> Self {
        Self { direct, ..self }
    }

    /// Serves until the child has answered, or the limits are reached.
    ///
    /// What QEMU refuses is the answer to that one question. A monitor that is lost, and a
    /// guest that another client resumed or reset, end everything.
    pub(super) fn serve(
        mut self,
        monitor: &mut dyn Monitor,
        limits: &WaitLimits<'_>,
        child: &mut Child,
    ) -> Result<Vec<u8>, HeldError> {
        let started = Instant::now();
        let of_child = ChildLimits { until: limits.until, interrupt: limits.interrupt };
        loop {
            let wanted = if self.answer.is_empty() { PollFlags::IN } else { PollFlags::OUT };
            let asked = PollFd::from_borrowed_fd(self.socket.as_fd(), wanted);
            match child.wait(&of_child, (!self.gone).then_some(asked))? {
                Waited::Answered(answer) => return Ok(answer),
                Waited::Ready => self.turn(monitor, limits)?,
                Waited::TimeUp => {
                    let (command, waited) = (COMMAND.to_owned(), started.elapsed());
                    return Err(
                        MonitorError::TimedOut { by: monitor.manager(), command, waited }.into()
                    );
                }
                Waited::Interrupted(signal) => {
                    let during = COMMAND.to_owned();
                    return Err(MonitorError::Interrupted { signal, during }.into());
                }
            }
        }
    }

    /// What is readable once there is a question.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether nobody asks any more.
    pub(super) fn is_gone(&self) -> bool {
        self.gone
    }

    /// Takes what came, and sends all of the answer to it: to a reader that always takes it.
    pub(super) fn turn_to_end(
        &mut self,
        monitor: &mut dyn Monitor,
        limits: &WaitLimits<'_>,
    ) -> Result<(), HeldError> {
        partial_dump::check_guest(monitor)?;
        self.turn(monitor, limits)?;
        while !self.answer.is_empty() && !self.gone {
            let mut polled = [PollFd::from_borrowed_fd(self.socket.as_fd(), PollFlags::OUT)];
            let _ = poll(&mut polled, None);
            self.send();
        }
        Ok(())
    }

    /// Sends what is to be sent, or takes what came and answers it.
    fn turn(
        &mut self,
        monitor: &mut dyn Monitor,
        limits: &WaitLimits<'_>,
    ) -> Result<(), HeldError> {
        if !self.answer.is_empty() {
            self.send();
            return Ok(());
        }
        let Some(question) = self.receive() else { return Ok(()) };
        let range = wire::range_of_question(question);
        check(self.ranges, range)?;
        if let Some(direct) = &self.direct {
            let length = usize::try_from(range.length).unwrap_or_default();
            let read = wire::fill_answer(&mut self.answer, length, |memory| {
                direct.read(range.start, memory)
            });
            if let Err(error) = read {
                self.answer = wire::answer_problem(&error.to_string());
            }
            self.sent = 0;
            self.send();
            return Ok(());
        }
        let lacking = || format!("QEMU's partial dump of {range} does not have all of it");
        if let Some(answer) = self.peek(monitor, range, limits)? {
            self.answer = answer;
            self.sent = 0;
            self.send();
            return Ok(());
        }
        self.answer = match partial_dump::memory(monitor, range, limits) {
            Ok(part) => match part.memory(range) {
                Some(memory) => wire::answer_memory(&memory),
                None => wire::answer_problem(&lacking()),
            },
            Err(PartialDumpError::Monitor(error @ MonitorError::Refused { .. })) => {
                wire::answer_problem(&error.to_string())
            }
            Err(error) => return Err(error.into()),
        };
        // Events of our own dumps, and of no other client's.
        monitor.forget_events();
        self.sent = 0;
        self.send();
        Ok(())
    }

    /// The answer, if the monitor gives memory without a dump.
    fn peek(
        &mut self,
        monitor: &mut dyn Monitor,
        range: MemoryRange,
        limits: &WaitLimits<'_>,
    ) -> Result<Option<Vec<u8>>, HeldError> {
        let read = self.windows.read(monitor, self.ranges, range, limits);
        partial_dump::check_guest(monitor)?;
        match read {
            Ok(Some(bytes)) => Ok(Some(wire::answer_memory(&[&bytes]))),
            Ok(None) => Ok(None),
            Err(error @ MonitorError::Refused { .. }) => {
                Ok(Some(wire::answer_problem(&error.to_string())))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A question, once all of it came.
    fn receive(&mut self) -> Option<[u8; QUESTION]> {
        let mut bytes = [0; QUESTION];
        let missing = QUESTION.saturating_sub(self.question.len());
        match self.socket.read(bytes.get_mut(..missing)?) {
            Ok(0) => self.gone = true,
            Ok(count) => self.question.extend(bytes.get(..count)?),
            Err(error) => self.gone = is_fatal(&error),
        }
        let question = self.question.as_slice().try_into().ok()?;
        self.question.clear();
        Some(question)
    }

    /// Sends as much of the answer as the socket takes.
    fn send(&mut self) {
        while let Some(rest) = self.answer.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match self.socket.write(rest) {
                Ok(count) => self.sent = self.sent.saturating_add(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.gone = is_fatal(&error);
                    return;
                }
            }
        }
        // Its memory is used again: the system takes as long to give some as to copy it.
        self.answer.clear();
    }
}

fn is_fatal(error: &std::io::Error) -> bool {
    !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Whether a range may be asked for: bounded, and in one of the guest's.
fn check(ranges: &[MemoryRange], range: MemoryRange) -> Result<(), ChildError> {
    let inside = range_of(ranges, range.start).is_some_and(|known| {
        range.start.0.checked_add(range.length).is_some_and(|end| end <= known.end().0)
    });
    if inside && (1..=MOST).contains(&range.length) {
        return Ok(());
    }
    let problem = format!("{} bytes at {}", range.length, range.start);
    Err(ChildError::Asked { problem })
}

#[cfg(test)]
mod tests {
    use vmcore_formats::addr::PhysAddr;

    use super::*;

    #[test]
    fn only_memory_of_the_guest_may_be_asked_for_and_not_too_much() {
        let range = |start, length| MemoryRange { start: PhysAddr(start), length };
        let ranges = [range(0, 0xa_0000), range(0x10_0000, 64 << 20)];
        for good in [range(0, 1), range(0x9_f000, 0x1000), range(0x10_0000, MOST)] {
            assert!(check(&ranges, good).is_ok(), "{good}");
        }
        for bad in [
            range(0, 0),
            range(0x9_f000, 0x1001),
            range(0xa_0000, 1),
            range(0x10_0000, MOST + 1),
            range(0x20_0000, u64::MAX),
            range(u64::MAX, 1),
        ] {
            assert!(check(&ranges, bad).is_err(), "{bad}");
        }
    }
}
