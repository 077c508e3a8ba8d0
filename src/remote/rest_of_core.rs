//! The core of a remote entry, for what is not in its triage pack.
//!
//! It is opened when the first byte of it is wanted, which a report never does. What is then found is
//! compared with the pack: a core that the pack is not of is an error.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::RemoteError;
use super::channel::Channel;
use super::file::RemoteFile;
use crate::corefile::pack::RestOfCore;
use crate::corefile::read::bytes::{Bytes, read_vec};

/// Where the core is.
#[derive(Debug)]
pub(super) enum Core {
    Opened(Arc<dyn Bytes>),
    /// It was pushed, and is not opened before it is needed.
    Pushed {
        bytes: u64,
    },
    /// It is not there: why not.
    None(String),
}

/// Opens an encrypted core, in a process that may have confined itself.
pub trait Unseal: fmt::Debug + Send + Sync {
    /// The plain bytes of the core's file; or why they cannot be had.
    fn unseal(&self, core: Arc<dyn Bytes>) -> Result<Arc<dyn Bytes>, String>;
}

/// The core, for what is not in its pack.
#[derive(Debug)]
pub(super) struct Rest {
    channel: Arc<Channel>,
    name: String,
    core: Mutex<State>,
    /// How it is opened, if it is encrypted.
    unseal: Option<Arc<dyn Unseal>>,
    /// The length and the end of the core that the pack is of.
    expected: OnceLock<(u64, Vec<u8>)>,
}

#[derive(Debug)]
enum State {
    Not(Core),
    Open(Arc<dyn Bytes>),
    Failed(String),
}

impl Rest {
    pub(super) fn new(
        channel: Arc<Channel>,
        name: String,
        core: Core,
        unseal: Option<Arc<dyn Unseal>>,
    ) -> Self {
        let core = Mutex::new(State::Not(core));
        Self { channel, name, core, unseal, expected: OnceLock::new() }
    }

    /// Says what the pack is of.
    pub(super) fn expect(&self, length: u64, end: Vec<u8>) {
        let _ = self.expected.set((length, end));
    }

    /// Opens the core, if that was not done.
    pub(super) fn open_file(&self) -> Result<Arc<dyn Bytes>, RemoteError> {
        let failed =
            |problem| RemoteError::Failed { address: self.channel.shown(&self.name), problem };
        let mut state = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        let core = match &*state {
            State::Open(core) => return Ok(Arc::clone(core)),
            State::Failed(problem) => return Err(failed(problem.clone())),
            State::Not(_) => std::mem::replace(&mut *state, State::Failed(String::new())),
        };
        let opened = match core {
            State::Not(Core::Opened(core)) => Ok(core),
            State::Not(Core::Pushed { .. }) => {
                RemoteFile::open(Arc::clone(&self.channel), &self.name)
                    .map(|core| Arc::new(core) as _)
            }
            State::Not(Core::None(reason)) => Err(failed(reason)),
            State::Open(_) | State::Failed(_) => Err(RemoteError::Ended),
        };
        let opened = opened.and_then(|core| match &self.unseal {
            Some(unseal) => unseal.unseal(core).map_err(failed),
            None => Ok(core),
        });
        let checked = opened.and_then(|core| match self.expected.get() {
            Some((length, end))
                if *length != core.length() || !ends_alike(end, &end_of(&*core)) =>
            {
                Err(failed("it is not the core that its triage pack is of".to_owned()))
            }
            _ => Ok(core),
        });
        match checked {
            Ok(core) => {
                *state = State::Open(Arc::clone(&core));
                Ok(core)
            }
            Err(error) => {
                *state = State::Failed(match &error {
                    RemoteError::Failed { problem, .. } => problem.clone(),
                    error => error.to_string(),
                });
                Err(error)
            }
        }
    }
}

/// The end of a core, which came when it was opened.
pub(super) fn end_of(core: &dyn Bytes) -> Vec<u8> {
    const END: u64 = 64 << 10;
    let start = core.length().saturating_sub(END);
    read_vec(core, start, core.length().saturating_sub(start)).unwrap_or_default()
}

/// Whether the shorter one is the end of the longer one.
fn ends_alike(one: &[u8], other: &[u8]) -> bool {
    one.ends_with(other) || other.ends_with(one)
}

impl RestOfCore for Rest {
    fn file(&self) -> Result<Arc<dyn Bytes>, String> {
        self.open_file().map_err(|error| match error {
            RemoteError::Failed { problem, .. } => {
                format!("the core cannot be had from {}: {problem}", self.channel.shown(&self.name))
            }
            error => error.to_string(),
        })
    }
}
