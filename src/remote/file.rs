//! A file in object storage or behind HTTP, as bytes by offset.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::RemoteError;
use super::blocks::{Blocks, Source};
use super::channel::Channel;
use super::wire::{Ask, Outcome};
use crate::corefile::read::bytes::{Bytes, DataError};
use crate::corefile::read::stored_metadata::{MAX_METADATA, Neighbours};
use crate::corefile::read::work::Work;
use crate::metadata::core_record::{CoreRecord, is_core};
use crate::metadata::{ENCRYPTED, METADATA_FILE, PACK_FILE, is_core_name};

/// How many bytes of its end come when a file is opened: footer, seek table and metadata of most
/// cores.
const TAIL: u64 = 128 << 10;

/// The file.
#[derive(Debug)]
pub struct RemoteFile {
    channel: Arc<Channel>,
    /// Its name below the channel's root; empty if it is the root.
    name: String,
    /// What the fetcher calls it.
    object: u32,
    length: u64,
    /// Its end, if that came when it was opened.
    tail: Vec<u8>,
    blocks: Blocks,
    /// Why nothing can be fetched any more. Who could not be reached in spite of all retries is
    /// not tried again for each page.
    lost: Mutex<Option<String>>,
    work: Work,
}

impl RemoteFile {
    /// Opens what has this name below the channel's root, or the root itself if it is empty.
    ///
    /// # Errors
    /// Fails if it is not there or cannot be had.
    pub fn open(channel: Arc<Channel>, name: &str) -> Result<Self, RemoteError> {
        Self::begin(channel, name, None)?.finish()
    }

    /// Begins to open it, with so many of its first bytes, or else with its last ones.
    pub(super) fn begin(
        channel: Arc<Channel>,
        name: &str,
        start: Option<u64>,
    ) -> Result<Opening, RemoteError> {
        let name = name.to_owned();
        let ask = match start {
            Some(bytes) => Ask::OpenStart { name: name.clone(), bytes },
            None => Ask::Open { name: name.clone(), tail: TAIL },
        };
        let question = channel.begin(ask)?;
        Ok(Opening { channel, name, question, at_start: start.is_some() })
    }

    /// Its address, without secrets.
    pub fn shown(&self) -> String {
        self.channel.shown(&self.name)
    }

    /// Bytes of its end, if all of them came when it was opened.
    fn read_tail(&self, offset: u64, buffer: &mut [u8]) -> bool {
        let start = self.length.saturating_sub(self.tail.len() as u64);
        let skip = offset.checked_sub(start).and_then(|skip| usize::try_from(skip).ok());
        let found = skip.and_then(|skip| self.tail.get(skip..skip.saturating_add(buffer.len())));
        found.is_some_and(|found| {
            buffer.copy_from_slice(found);
            true
        })
    }

    /// Why nothing is fetched any more.
    fn lost(&self) -> Option<String> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn lose(&self, offset: u64, problem: String) -> DataError {
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(problem.clone());
        DataError::Remote { offset, problem }
    }
}

impl Source for RemoteFile {
    type Error = DataError;

    fn begin(&self, offset: u64, length: u64) -> Result<u64, DataError> {
        if let Some(problem) = self.lost() {
            return Err(DataError::Remote { offset, problem });
        }
        let asked = self.channel.begin(Ask::Read { object: self.object, offset, length });
        asked.map_err(|error| self.lose(offset, error.to_string()))
    }

    fn finish(&self, request: u64, offset: u64, length: u64) -> Result<Vec<u8>, DataError> {
        let problem = match self.channel.wait(request) {
            Ok(answer) => match answer.outcome {
                Outcome::Done if answer.bytes.len() as u64 == length => return Ok(answer.bytes),
                Outcome::Failed { problem } => problem,
                Outcome::NotFound => format!("{} is gone", self.shown()),
                Outcome::Done | Outcome::Opened { .. } | Outcome::Put { .. } => {
                    RemoteError::Ended.to_string()
                }
            },
            Err(error) => error.to_string(),
        };
        Err(self.lose(offset, problem))
    }
}

/// A file that is being opened.
#[derive(Debug)]
pub(super) struct Opening {
    channel: Arc<Channel>,
    name: String,
    question: u64,
    at_start: bool,
}

impl Opening {
    /// Waits for the answer.
    pub(super) fn finish(self) -> Result<RemoteFile, RemoteError> {
        let Self { channel, name, question, at_start } = self;
        let answer = channel.wait(question)?;
        let (object, length) = match answer.outcome {
            Outcome::Opened { object, length } => (object, length),
            Outcome::NotFound => return Err(channel.not_found(&name)),
            Outcome::Failed { problem } => return Err(channel.failed(&name, problem)),
            Outcome::Done | Outcome::Put { .. } => return Err(RemoteError::Ended),
        };
        let (lost, work) = (Mutex::default(), Work::of_stored(length));
        let (mut tail, blocks) = (answer.bytes, Blocks::new(length));
        if at_start {
            blocks.keep_start(&tail);
            tail = Vec::new();
        } else {
            blocks.keep_end(&tail);
        }
        Ok(RemoteFile { channel, name, object, length, tail, blocks, lost, work })
    }
}

impl Bytes for RemoteFile {
    fn length(&self) -> u64 {
        self.length
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DataError> {
        self.spend(buffer.len() as u64)?;
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.length);
        end.ok_or(DataError::PastEnd { offset, length: self.length })?;
        if self.read_tail(offset, buffer) {
            return Ok(());
        }
        self.blocks.read(offset, buffer, self)
    }

    fn prefetch(&self, ranges: &[Range<u64>]) {
        self.blocks.prefetch(ranges, self);
    }

    fn read_together(&self, range: Range<u64>) {
        self.blocks.fetch_together(range);
    }

    fn spend(&self, bytes: u64) -> Result<(), DataError> {
        self.work.spend(bytes).map_err(|error| DataError::TooMuch { limit: error.limit })
    }

    fn read_without_limit(&self) {
        self.work.unlimited();
    }

    fn work_done(&self) -> u64 {
        self.work.done()
    }

    fn is_remote(&self) -> bool {
        true
    }
}

/// What is beside a remote core.
#[derive(Debug)]
pub struct RemoteNeighbours {
    channel: Arc<Channel>,
    /// The core's name below the channel's root.
    name: String,
    /// What was pushed with it, if it was.
    record: Option<CoreRecord>,
}

impl RemoteNeighbours {
    /// What is beside the core of this name below the channel's root, by its record.
    pub fn new(channel: Arc<Channel>, name: &str, record: Option<CoreRecord>) -> Self {
        Self { channel, name: name.to_owned(), record }
    }

    /// Whether there is something of this name.
    pub fn has(&self, name: &str) -> bool {
        self.channel.get(&self.sibling(name), MAX_METADATA).is_ok()
    }

    /// What is beside it under this name, of so many bytes at most.
    ///
    /// # Errors
    /// Fails if it is not there or cannot be had.
    pub fn get(&self, name: &str, most: u64) -> Result<Vec<u8>, RemoteError> {
        self.channel.get(&self.sibling(name), most)
    }

    /// Whether the core is encrypted, by its name.
    pub fn is_encrypted(&self) -> bool {
        self.name.ends_with(ENCRYPTED)
    }

    fn sibling(&self, name: &str) -> String {
        let name = self.record.as_ref().and_then(|record| record.object_of(name)).unwrap_or(name);
        match self.name.rsplit_once('/') {
            Some((folder, _)) => format!("{folder}/{name}"),
            None => name.to_owned(),
        }
    }

    /// The channel, and the core's directory below its root: empty if it is the root.
    pub fn folder(&self) -> (&Arc<Channel>, &str) {
        (&self.channel, self.name.rsplit_once('/').map_or("", |(folder, _)| folder))
    }

    /// Whether the core is that of an entry.
    pub fn is_in_entry(&self) -> bool {
        let name = self.name.rsplit_once('/').map_or(self.name.as_str(), |(_, name)| name);
        is_core_name(name) || is_core(name)
    }
}

impl Neighbours for RemoteNeighbours {
    fn metadata(&self) -> io::Result<Vec<u8>> {
        // A signature is of one object, and not of those beside it.
        if self.channel.root().has_query() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let name = match self.is_in_entry() {
            true => self.sibling(METADATA_FILE),
            false => format!("{}.json", self.name),
        };
        self.channel.get(&name, MAX_METADATA).map_err(|error| match error {
            RemoteError::NotFound { .. } => io::ErrorKind::NotFound.into(),
            error => io::Error::other(error),
        })
    }

    fn has_metadata(&self) -> bool {
        self.is_in_entry() && !self.channel.root().has_query()
    }

    fn pack(&self) -> io::Result<Arc<dyn Bytes>> {
        let has_none =
            self.record.as_ref().is_some_and(|record| record.object_of(PACK_FILE).is_none());
        if !self.has_metadata() || has_none {
            return Err(io::ErrorKind::NotFound.into());
        }
        match RemoteFile::open(Arc::clone(&self.channel), &self.sibling(PACK_FILE)) {
            Ok(pack) => Ok(Arc::new(pack)),
            Err(RemoteError::NotFound { .. }) => Err(io::ErrorKind::NotFound.into()),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}
