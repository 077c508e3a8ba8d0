//! The command's side of the socket to its fetcher: questions of several threads at once.
//!
//! Of those that wait for an answer, one reads from the socket, for all of them: so there is no
//! thread that would have to be started before the process confines itself.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicBool;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::RemoteError;
use super::address::RemoteAddress;
use super::passing;
use super::wire::{self, Ask, Outcome, Question};

/// An answer that came.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) outcome: Outcome,
    pub(super) bytes: Vec<u8>,
}

/// The socket.
#[derive(Debug)]
pub struct Channel {
    socket: UnixStream,
    root: RemoteAddress,
    /// The number of the next question. Held while one is sent.
    next: Mutex<u64>,
    arrivals: Mutex<Arrivals>,
    arrived: Condvar,
    /// Whether the server ignores the condition that a name is free.
    pub(super) unchecked: AtomicBool,
}

/// Answers that came, and were not taken yet.
#[derive(Debug, Default)]
struct Arrivals {
    answers: HashMap<u64, Answer>,
    /// Whether a thread reads from the socket.
    read: bool,
    /// Whether nothing comes any more.
    ended: bool,
}

impl Channel {
    /// A channel to a fetcher of what is at and below `root`.
    ///
    /// # Errors
    /// Fails if the fetcher cannot use the address.
    pub fn open(socket: UnixStream, root: RemoteAddress) -> Result<Self, RemoteError> {
        Self::open_for(socket, root, false)
    }

    /// The same, to a fetcher that may write there.
    ///
    /// # Errors
    /// Fails if the fetcher cannot use the address.
    pub fn open_to_write(socket: UnixStream, root: RemoteAddress) -> Result<Self, RemoteError> {
        Self::open_for(socket, root, true)
    }

    fn open_for(
        socket: UnixStream,
        root: RemoteAddress,
        writes: bool,
    ) -> Result<Self, RemoteError> {
        let (next, arrivals) = (Mutex::new(0), Mutex::default());
        let (arrived, unchecked) = (Condvar::new(), AtomicBool::new(false));
        let channel = Self { socket, root, next, arrivals, arrived, unchecked };
        let address = channel.root.with_secrets().to_owned();
        match channel.ask(Ask::Root { address, writes })?.outcome {
            Outcome::Failed { problem } => Err(channel.failed("", problem)),
            _ => Ok(channel),
        }
    }

    /// What all is at or below.
    pub fn root(&self) -> &RemoteAddress {
        &self.root
    }

    /// Asks, and waits for the answer.
    pub(super) fn ask(&self, ask: Ask) -> Result<Answer, RemoteError> {
        self.ask_with(ask, &[])
    }

    /// The same, of a question that has bytes.
    pub(super) fn ask_with(&self, ask: Ask, mut body: &[u8]) -> Result<Answer, RemoteError> {
        let length = body.len() as u64;
        let id = self.send(ask, length, &mut body).map_err(|_| RemoteError::Ended)?;
        self.wait(id)
    }

    /// Asks, and does not wait: gives the number of the question.
    pub(super) fn begin(&self, ask: Ask) -> Result<u64, RemoteError> {
        self.send(ask, 0, &mut io::empty()).map_err(|_| RemoteError::Ended)
    }

    /// Waits for the answer to a question that was sent.
    pub(super) fn wait(&self, id: u64) -> Result<Answer, RemoteError> {
        let mut arrivals = self.lock();
        loop {
            if let Some(answer) = arrivals.answers.remove(&id) {
                return Ok(answer);
            }
            if arrivals.ended {
                return Err(RemoteError::Ended);
            }
            if arrivals.read {
                arrivals = self.arrived.wait(arrivals).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            arrivals.read = true;
            drop(arrivals);
            let received = wire::receive(&mut &self.socket);
            arrivals = self.lock();
            arrivals.read = false;
            match received {
                Ok((head, bytes)) => {
                    let answer = Answer { outcome: head.outcome, bytes };
                    arrivals.answers.insert(head.id, answer);
                }
                Err(_) => arrivals.ended = true,
            }
            self.arrived.notify_all();
        }
    }

    /// Sends a question and its bytes: gives its number. If the bytes cannot be read, the channel
    /// ends.
    pub(super) fn send(&self, ask: Ask, bytes: u64, body: &mut dyn Read) -> io::Result<u64> {
        self.send_by(ask, bytes, |question| wire::send(&mut &self.socket, question, body))
    }

    /// The same, of a question that is written by this.
    fn send_by(
        &self,
        ask: Ask,
        bytes: u64,
        write: impl FnOnce(&Question) -> io::Result<()>,
    ) -> io::Result<u64> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let id = *next;
        *next = next.wrapping_add(1);
        let sent = write(&Question { id, bytes, ask });
        if sent.is_err() {
            let _ = self.socket.shutdown(Shutdown::Both);
        }
        sent.map(|()| id)
    }

    /// Gives the fetcher a file to fill ([`Ask::Fill`]).
    pub(super) fn give(&self, file: &File) -> Result<(), RemoteError> {
        let sent = self.send_by(Ask::File, 1, |question| {
            (&self.socket).write_all(&wire::encode(question)?)?;
            passing::send(&self.socket, file.as_fd())
        });
        let id = sent.map_err(|_| RemoteError::Ended)?;
        match self.wait(id)?.outcome {
            Outcome::Done => Ok(()),
            _ => Err(RemoteError::Ended),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Arrivals> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A small object below the root as a whole.
    ///
    /// # Errors
    /// Fails if it is not there, cannot be had, or has more than `most` bytes.
    pub fn get(&self, name: &str, most: u64) -> Result<Vec<u8>, RemoteError> {
        let answer = self.ask(Ask::Get { name: name.to_owned(), most })?;
        match answer.outcome {
            Outcome::Done => Ok(answer.bytes),
            Outcome::NotFound => Err(self.not_found(name)),
            Outcome::Failed { problem } => Err(self.failed(name, problem)),
            Outcome::Opened { .. } | Outcome::Put { .. } => Err(RemoteError::Ended),
        }
    }

    /// The length of an object, and as many of its last bytes as are asked for, or as it has.
    ///
    /// # Errors
    /// Fails if it is not there or cannot be had.
    pub fn end(&self, name: &str, bytes: u64) -> Result<(u64, Vec<u8>), RemoteError> {
        let answer = self.ask(Ask::End { name: name.to_owned(), bytes })?;
        match answer.outcome {
            Outcome::Opened { length, .. } => Ok((length, answer.bytes)),
            Outcome::NotFound => Err(self.not_found(name)),
            Outcome::Failed { problem } => Err(self.failed(name, problem)),
            Outcome::Done | Outcome::Put { .. } => Err(RemoteError::Ended),
        }
    }

    /// The address of something below the root, as it is shown.
    pub fn shown(&self, name: &str) -> String {
        if name.is_empty() { self.root.shown() } else { self.root.join(name).shown() }
    }

    pub(super) fn not_found(&self, name: &str) -> RemoteError {
        RemoteError::NotFound { address: self.shown(name) }
    }

    pub(super) fn failed(&self, name: &str, problem: String) -> RemoteError {
        RemoteError::Failed { address: self.shown(name), problem }
    }
}
