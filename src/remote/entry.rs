//! The core of an entry that is not on this machine.
//!
//! ```text
//! at the same time: the start of triage.zst, core.json, the end of vmcore.elf.zst
//!   then, once something else of the pack is read: all that a report reads of it
//!   then, for what is not in the pack: ranges of the core
//! ```
//!
//! So two requests after each other do for a report, whatever the core's length. A core that is
//! not there, or cannot be had, costs what is not in the pack, and nothing else.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::RemoteError;
use super::channel::Channel;
use super::file::{Opening, RemoteFile};
use super::wire::{Ask, Outcome};
use crate::corefile::pack::{PackedCore, RestOfCore};
use crate::corefile::read::bytes::Bytes;
use crate::metadata::core_record::{CORE_RECORD, CoreRecord, MAX_RECORD};
use crate::metadata::{CORE_FILE, ENCRYPTED, PACK_FILE};

/// How many bytes of a pack come with the first request: its head, the core's seek table, and what
/// is used first.
const START: u64 = 512 << 10;

/// What there is of the core of an entry. Nothing of it was parsed.
#[derive(Debug)]
pub struct EntryCore {
    channel: Arc<Channel>,
    /// The name of the core, or what it would be, below the channel's root.
    pub name: String,
    pack: Option<RemoteFile>,
    core: Core,
}

/// Where the core is.
#[derive(Debug)]
enum Core {
    Opened(Box<RemoteFile>),
    /// It was pushed, and is not opened before it is needed.
    Pushed {
        bytes: u64,
    },
    /// It is not there: why not.
    None(String),
}

/// What an entry turned out to have.
#[derive(Debug)]
pub enum EntryOf {
    /// A core, or the triage pack of one.
    Core(Box<EntryCore>),
    /// Neither.
    Nothing {
        /// Why there is no core, if there is an entry.
        reason: String,
        /// That there is none.
        error: RemoteError,
    },
}

/// The bytes of a core, and what is to be said of where they come from.
#[derive(Debug)]
pub struct CoreBytes {
    /// The bytes of the core's file.
    pub bytes: Arc<dyn Bytes>,
    /// That there is a pack which is not used.
    pub warning: Option<String>,
}

impl EntryCore {
    /// Opens the entry in a directory below the channel's root: its name has a slash at the end,
    /// or is empty for the root itself.
    ///
    /// # Errors
    /// Fails if what is there cannot be had.
    pub fn open(channel: &Arc<Channel>, folder: &str) -> Result<EntryOf, RemoteError> {
        let name = format!("{folder}{CORE_FILE}");
        // A signature is of one object, and not of those beside it.
        let beside = !channel.root().has_query();
        let pack = beside.then(|| {
            RemoteFile::begin(Arc::clone(channel), &format!("{folder}{PACK_FILE}"), Some(START))
        });
        let record = beside.then(|| {
            let name = format!("{folder}{CORE_RECORD}");
            channel.begin(Ask::Get { name, most: MAX_RECORD })
        });
        let core = RemoteFile::begin(Arc::clone(channel), &name, None).and_then(Opening::finish);
        // Without the right to list a bucket, what is not there is a refusal.
        let pack = pack.and_then(|pack| pack.and_then(Opening::finish).ok());
        let record = record.and_then(|asked| match asked.and_then(|id| channel.wait(id)).ok()? {
            answer if matches!(answer.outcome, Outcome::Done) => {
                CoreRecord::parse(&answer.bytes).ok()
            }
            _ => None,
        });
        let channel = Arc::clone(channel);
        let key = record.as_ref().and_then(|record| record.key.as_deref());
        let (name, core, bytes) = match (&record, key) {
            (Some(record), Some(key)) => {
                let name = format!("{folder}{key}");
                let bytes = Some(record.bytes).filter(|_| pack.is_some());
                // Without a pack it is needed in any case.
                let core = match bytes {
                    Some(_) => core,
                    None => RemoteFile::open(Arc::clone(&channel), &name),
                };
                (name, core, bytes)
            }
            _ => match core {
                // An encrypted one has another name.
                Err(RemoteError::NotFound { .. }) if beside => {
                    let encrypted = format!("{name}{ENCRYPTED}");
                    match RemoteFile::open(Arc::clone(&channel), &encrypted) {
                        Ok(found) => (encrypted, Ok(found), None),
                        Err(_) => (name, core, None),
                    }
                }
                core => (name, core, None),
            },
        };
        let reason = |record: Option<CoreRecord>| {
            record
                .map_or_else(|| "it is not uploaded (yet)".to_owned(), |record| record.to_string())
        };
        let core = match (bytes, core) {
            (Some(bytes), _) => Core::Pushed { bytes },
            (None, Ok(core)) => Core::Opened(Box::new(core)),
            (None, Err(error)) => match (error, &pack) {
                (error @ RemoteError::NotFound { .. }, None) => {
                    return Ok(EntryOf::Nothing { reason: reason(record), error });
                }
                (error, None) => return Err(error),
                (RemoteError::NotFound { .. }, Some(_)) => Core::None(reason(record)),
                (error, Some(_)) => Core::None(error.to_string()),
            },
        };
        Ok(EntryOf::Core(Box::new(Self { channel, name, pack, core })))
    }

    /// The core of this name below the channel's root, or the root itself if that is empty: by
    /// itself, whatever is beside it.
    ///
    /// # Errors
    /// Fails if it is not there or cannot be had.
    pub fn of_file(channel: Arc<Channel>, name: String) -> Result<Self, RemoteError> {
        let core = RemoteFile::open(Arc::clone(&channel), &name)?;
        Ok(Self { channel, name, pack: None, core: Core::Opened(Box::new(core)) })
    }

    /// The same, of which the core is read wherever there is one: for a command that judges it.
    #[must_use]
    pub fn without_pack(self) -> Self {
        let pack = self.pack.filter(|_| matches!(self.core, Core::None(_)));
        Self { pack, ..self }
    }

    /// Its address, without secrets.
    pub fn shown(&self) -> String {
        self.channel.shown(&self.name)
    }

    /// Whether there is a triage pack, which is read first.
    pub fn has_pack(&self) -> bool {
        self.pack.is_some()
    }

    /// How long the core is, as far as that is known without parsing anything.
    pub fn length(&self) -> u64 {
        match &self.core {
            Core::Opened(core) => core.length(),
            Core::Pushed { bytes } => *bytes,
            Core::None(_) => self.pack.as_ref().map_or(0, Bytes::length),
        }
    }

    /// The core's bytes.
    ///
    /// # Errors
    /// Fails if the core cannot be had and the pack cannot be used.
    pub fn bytes(self) -> Result<CoreBytes, RemoteError> {
        let no_core = match &self.core {
            Core::None(reason) => Some(reason.clone()),
            Core::Opened(_) | Core::Pushed { .. } => None,
        };
        let Some(pack) = self.pack else {
            let bytes = Rest::new(self.channel, self.name, self.core).open_file()?;
            return Ok(CoreBytes { bytes, warning: None });
        };
        let shown = pack.shown();
        let end = match &self.core {
            Core::Opened(core) => Some((core.length(), core.end().to_vec())),
            Core::Pushed { .. } | Core::None(_) => None,
        };
        let pack = Arc::new(pack);
        let rest = Arc::new(Rest::new(self.channel, self.name, self.core));
        let opened =
            PackedCore::open(Arc::<RemoteFile>::clone(&pack), Arc::<Rest>::clone(&rest) as _);
        let problem = match opened {
            Ok(packed) if end.is_none_or(|(length, end)| packed.is_of(length, &end)) => {
                pack.fetch_together(packed.part_of_report());
                rest.expect(packed.length(), packed.end());
                return Ok(CoreBytes { bytes: Arc::new(packed), warning: None });
            }
            Ok(_) => "it is of another core".to_owned(),
            Err(error) => error.to_string(),
        };
        if let Some(reason) = no_core {
            let problem = format!("{problem}; and of the core: {reason}");
            return Err(RemoteError::Failed { address: shown, problem });
        }
        let warning = Some(format!("{shown} is not used: {problem}"));
        Ok(CoreBytes { bytes: rest.open_file()?, warning })
    }
}

/// The core, for what is not in its pack.
#[derive(Debug)]
struct Rest {
    channel: Arc<Channel>,
    name: String,
    core: Mutex<State>,
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
    fn new(channel: Arc<Channel>, name: String, core: Core) -> Self {
        let core = Mutex::new(State::Not(core));
        Self { channel, name, core, expected: OnceLock::new() }
    }

    fn expect(&self, length: u64, end: Vec<u8>) {
        let _ = self.expected.set((length, end));
    }

    /// Opens the core, if that was not done.
    fn open_file(&self) -> Result<Arc<dyn Bytes>, RemoteError> {
        let failed =
            |problem| RemoteError::Failed { address: self.channel.shown(&self.name), problem };
        let mut state = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        let core = match &*state {
            State::Open(core) => return Ok(Arc::clone(core)),
            State::Failed(problem) => return Err(failed(problem.clone())),
            State::Not(_) => std::mem::replace(&mut *state, State::Failed(String::new())),
        };
        let opened = match core {
            State::Not(Core::Opened(core)) => Ok(*core),
            State::Not(Core::Pushed { .. }) => {
                RemoteFile::open(Arc::clone(&self.channel), &self.name)
            }
            State::Not(Core::None(reason)) => Err(failed(reason)),
            State::Open(_) | State::Failed(_) => Err(RemoteError::Ended),
        };
        let checked = opened.and_then(|core| match self.expected.get() {
            Some((length, end)) if *length != core.length() || !ends_alike(end, core.end()) => {
                Err(failed("it is not the core that its triage pack is of".to_owned()))
            }
            _ => Ok(Arc::new(core)),
        });
        match checked {
            Ok(core) => {
                *state = State::Open(Arc::<RemoteFile>::clone(&core));
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
