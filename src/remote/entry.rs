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
//!
//! The files of an encrypted entry have other names. Those that are expected are asked for first,
//! and the others only if there is nothing under them, or if `core.json` says so.

use std::sync::Arc;

use super::RemoteError;
use super::channel::Channel;
use super::file::{Opening, RemoteFile};
use super::rest_of_core::{Core, Rest, end_of};
use super::wire::{Ask, Outcome};
use crate::corefile::pack::PackedCore;
use crate::corefile::read::bytes::Bytes;
use crate::metadata::core_record::{CORE_RECORD, CoreRecord, MAX_RECORD};
use crate::metadata::{CORE_FILE, ENCRYPTED, PACK_FILE};

pub use super::rest_of_core::Unseal;

/// How many bytes of a pack come with the first request: its head, the core's seek table, and what
/// is used first.
const START: u64 = 512 << 10;

/// How the files of an entry are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As they are.
    Plain,
    /// Encrypted, under names that end with `.age`.
    Encrypted,
}

impl Form {
    fn of(name: &str) -> Self {
        if name.ends_with(ENCRYPTED) { Self::Encrypted } else { Self::Plain }
    }

    fn other(self) -> Self {
        match self {
            Self::Plain => Self::Encrypted,
            Self::Encrypted => Self::Plain,
        }
    }

    fn name(self, folder: &str, file: &str) -> String {
        match self {
            Self::Plain => format!("{folder}{file}"),
            Self::Encrypted => format!("{folder}{file}{ENCRYPTED}"),
        }
    }
}

/// What there is of the core of an entry. Nothing of it was parsed.
#[derive(Debug)]
pub struct EntryCore {
    channel: Arc<Channel>,
    /// The name of the core, or what it would be, below the channel's root.
    pub name: String,
    /// What was pushed with it, if it was.
    pub record: Option<CoreRecord>,
    pack: Option<Pack>,
    core: Core,
    /// How the core is opened, if it is encrypted and is not opened yet.
    unseal: Option<Arc<dyn Unseal>>,
}

/// A triage pack, as it is stored, or as it was opened.
#[derive(Debug)]
struct Pack {
    bytes: Arc<dyn Bytes>,
    shown: String,
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

/// The files of an entry in one form, under the names that tools copy them to.
struct Files {
    pack: Option<RemoteFile>,
    core: Result<RemoteFile, RemoteError>,
}

/// The same, asked for.
struct AskedFiles {
    pack: Option<Result<Opening, RemoteError>>,
    core: Result<Opening, RemoteError>,
}

impl AskedFiles {
    fn begin(channel: &Arc<Channel>, folder: &str, form: Form) -> Self {
        // A signature is of one object, and not of those beside it.
        let beside = !channel.root().has_query();
        let open =
            |file, start| RemoteFile::begin(Arc::clone(channel), &form.name(folder, file), start);
        Self { pack: beside.then(|| open(PACK_FILE, Some(START))), core: open(CORE_FILE, None) }
    }

    fn finish(self) -> Files {
        let core = self.core.and_then(Opening::finish);
        // Without the right to list a bucket, what is not there is a refusal.
        let pack = self.pack.and_then(|pack| pack.and_then(Opening::finish).ok());
        Files { pack, core }
    }
}

impl Files {
    fn are_missing(&self) -> bool {
        self.pack.is_none() && matches!(self.core, Err(RemoteError::NotFound { .. }))
    }
}

/// The pack that the record names: mostly, it is the one that was asked for.
fn pack_of(
    channel: &Arc<Channel>,
    folder: &str,
    record: &CoreRecord,
    file: &str,
    asked: Option<RemoteFile>,
) -> Option<RemoteFile> {
    let object = record.object_of(file)?;
    if object == file {
        return asked;
    }
    let own = RemoteFile::begin(Arc::clone(channel), &format!("{folder}{object}"), Some(START));
    own.and_then(Opening::finish).ok()
}

impl EntryCore {
    /// Opens the entry in a directory below the channel's root: its name has a slash at the end,
    /// or is empty for the root itself. Its files are most likely of the form `expected`.
    ///
    /// # Errors
    /// Fails if what is there cannot be had.
    pub fn open(
        channel: &Arc<Channel>,
        folder: &str,
        expected: Form,
    ) -> Result<EntryOf, RemoteError> {
        let beside = !channel.root().has_query();
        let asked = AskedFiles::begin(channel, folder, expected);
        let record = beside.then(|| {
            let name = format!("{folder}{CORE_RECORD}");
            channel.begin(Ask::Get { name, most: MAX_RECORD })
        });
        let mut files = asked.finish();
        let record = record.and_then(|asked| match asked.and_then(|id| channel.wait(id)).ok()? {
            answer if matches!(answer.outcome, Outcome::Done) => {
                CoreRecord::parse(&answer.bytes).ok()
            }
            _ => None,
        });
        let key = record.as_ref().and_then(|record| record.key.as_deref());
        let mut form = expected;
        let other = match key {
            Some(key) => Form::of(key) != expected,
            None => beside && files.are_missing(),
        };
        if other {
            let found = AskedFiles::begin(channel, folder, expected.other()).finish();
            // What is said of an entry without any is said of its plain names.
            if key.is_some() || !found.are_missing() || expected == Form::Encrypted {
                (files, form) = (found, expected.other());
            }
        }
        let Files { pack, core } = files;
        let pack = match &record {
            Some(record) => pack_of(channel, folder, record, &form.name("", PACK_FILE), pack),
            None => pack,
        };
        let (name, core, bytes) = match (&record, key) {
            (Some(record), Some(key)) => {
                let name = format!("{folder}{key}");
                let bytes = Some(record.bytes).filter(|_| pack.is_some());
                // Without a pack it is needed in any case.
                let core = match bytes {
                    Some(_) => core,
                    None => RemoteFile::open(Arc::clone(channel), &name),
                };
                (name, core, bytes)
            }
            _ => (form.name(folder, CORE_FILE), core, None),
        };
        let reason = || match &record {
            Some(record) => record.to_string(),
            None => "it is not uploaded (yet)".to_owned(),
        };
        let core = match (bytes, core) {
            (Some(bytes), _) => Core::Pushed { bytes },
            (None, Ok(core)) => Core::Opened(Arc::new(core)),
            (None, Err(error)) => match (error, &pack) {
                (error @ RemoteError::NotFound { .. }, None) => {
                    return Ok(EntryOf::Nothing { reason: reason(), error });
                }
                (error, None) => return Err(error),
                (RemoteError::NotFound { .. }, Some(_)) => Core::None(reason()),
                (error, Some(_)) => Core::None(error.to_string()),
            },
        };
        let pack = pack.map(|pack| Pack { shown: pack.shown(), bytes: Arc::new(pack) });
        let channel = Arc::clone(channel);
        Ok(EntryOf::Core(Box::new(Self { channel, name, record, pack, core, unseal: None })))
    }

    /// The core of this name below the channel's root, or the root itself if that is empty: by
    /// itself, whatever is beside it.
    ///
    /// # Errors
    /// Fails if it is not there or cannot be had.
    pub fn of_file(channel: Arc<Channel>, name: String) -> Result<Self, RemoteError> {
        let core = RemoteFile::open(Arc::clone(&channel), &name)?;
        let core = Core::Opened(Arc::new(core));
        Ok(Self { channel, name, record: None, pack: None, core, unseal: None })
    }

    /// The same, of which the core is read wherever there is one: for a command that judges it.
    #[must_use]
    pub fn without_pack(self) -> Self {
        let pack = self.pack.filter(|_| matches!(self.core, Core::None(_)));
        Self { pack, ..self }
    }

    /// Its triage pack, as it is stored.
    pub fn pack(&self) -> Option<Arc<dyn Bytes>> {
        self.pack.as_ref().map(|pack| Arc::clone(&pack.bytes))
    }

    /// The same, whose triage pack was opened; its core is opened by `unseal` where it is needed.
    #[must_use]
    pub fn with_opened_pack(self, bytes: Arc<dyn Bytes>, unseal: Arc<dyn Unseal>) -> Self {
        let pack = self.pack.map(|pack| Pack { bytes, ..pack });
        Self { pack, unseal: Some(unseal), ..self }
    }

    /// Opens the core, if there is one, as it is not possible any more when the process has confined
    /// itself. What fails is said of the first byte that is wanted of it.
    #[must_use]
    pub fn unsealed_now(self) -> Self {
        let Some(unseal) = self.unseal else { return self };
        let Self { channel, name, record, pack, core, .. } = self;
        let rest = Rest::new(Arc::clone(&channel), name.clone(), core, Some(unseal));
        let core = match rest.open_file() {
            Ok(core) => Core::Opened(core),
            Err(error) => Core::None(error.to_string()),
        };
        Self { channel, name, record, pack, core, unseal: None }
    }

    /// Its address, without secrets.
    pub fn shown(&self) -> String {
        self.channel.shown(&self.name)
    }

    /// Whether there is a core, as far as that is known.
    pub fn has_core(&self) -> bool {
        !matches!(self.core, Core::None(_))
    }

    /// Whether its files are encrypted, by their names.
    pub fn is_encrypted(&self) -> bool {
        Form::of(&self.name) == Form::Encrypted
    }

    /// How long the core is, as far as that is known without parsing anything.
    pub fn length(&self) -> u64 {
        match &self.core {
            Core::Opened(core) => core.length(),
            Core::Pushed { bytes } => *bytes,
            Core::None(_) => self.pack.as_ref().map_or(0, |pack| pack.bytes.length()),
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
        let Some(Pack { bytes: pack, shown }) = self.pack else {
            let bytes = Rest::new(self.channel, self.name, self.core, self.unseal).open_file()?;
            return Ok(CoreBytes { bytes, warning: None });
        };
        let end = match (&self.core, &self.unseal) {
            (Core::Opened(core), None) => Some((core.length(), end_of(&**core))),
            _ => None,
        };
        let rest = Arc::new(Rest::new(self.channel, self.name, self.core, self.unseal));
        let problem = match PackedCore::open(pack, Arc::<Rest>::clone(&rest) as _) {
            Ok(packed) if end.is_none_or(|(length, end)| packed.is_of(length, &end)) => {
                packed.read_report_together();
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
