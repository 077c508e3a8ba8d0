//! Objects below one address: opened once, and read by ranges of that same version.

use std::fs::File;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::TryStreamExt;
use object_store::list::PaginatedListStore;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{
    Error as StoreError, GetOptions, GetRange, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt,
};
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

use super::cache::Cache;
use super::connection::ServerClock;
use super::environment::Environment;
use super::reason;
use super::stores::{self, Opened};
use super::uploads::Uploads;
use crate::remote::wire::{MAX_BYTES, Outcome};

/// How many objects a command opens at most.
const MAX_OBJECTS: usize = 64;
/// How often a request is made whose answer broke off. Those that were not answered are repeated
/// by the client.
pub(super) const TRIES: usize = 3;

/// The objects.
pub(super) struct Objects {
    opened: Opened,
    pinned: Mutex<Vec<Pinned>>,
    writes: bool,
    /// What was fetched before, if that is kept.
    cache: Option<Arc<Cache>>,
    /// What is filled.
    pub(super) file: Mutex<Option<Arc<File>>>,
    /// Whether the server keeps to conditions, once that was asked.
    pub(super) conditions: OnceCell<bool>,
    /// Whether the server checks what it receives, once that was asked.
    pub(super) checks: OnceCell<bool>,
}

/// The version of an object that was opened.
#[derive(Clone, Debug)]
pub(super) struct Pinned {
    pub(super) path: Path,
    meta: ObjectMeta,
}

/// Why there is no answer.
pub(super) enum Failed {
    NotFound,
    Because(String),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound { .. } => Self::NotFound,
            error => Self::Because(reason::of(&error)),
        }
    }
}

impl From<String> for Failed {
    fn from(problem: String) -> Self {
        Self::Because(problem)
    }
}

pub(super) type Answered = Result<(Outcome, Vec<u8>), Failed>;

impl Objects {
    pub(super) fn new(
        address: &str,
        writes: bool,
        environment: &Environment,
    ) -> Result<Self, String> {
        let opened = stores::open(address, environment)?;
        if writes && opened.parts.is_none() {
            return Err("what is behind HTTP can be read, and not written".to_owned());
        }
        // What writes reads little, and that anew.
        let cache = if writes { None } else { Cache::open(address, environment).map(Arc::new) };
        let (pinned, file) = (Mutex::default(), Mutex::default());
        let (conditions, checks) = (OnceCell::new(), OnceCell::new());
        Ok(Self { opened, pinned, writes, cache, file, conditions, checks })
    }

    pub(super) fn may_write(&self) -> bool {
        self.writes
    }

    pub(super) fn store(&self) -> &dyn ObjectStore {
        &*self.opened.store
    }

    /// What lists pages, if the server has any.
    pub(super) fn pages(&self) -> Option<&dyn PaginatedListStore> {
        self.opened.pages.as_deref()
    }

    pub(super) fn root(&self) -> &Path {
        &self.opened.root
    }

    pub(super) fn clock(&self) -> &ServerClock {
        &self.opened.clock
    }

    /// What lists uploads, where the server does.
    pub(super) fn uploads(&self) -> Option<&Uploads> {
        self.opened.uploads.as_ref()
    }

    /// The path of what is to be written, and the client for uploads in parts.
    pub(super) fn writable(&self, name: &str) -> Result<(Path, &dyn MultipartStore), Failed> {
        match &self.opened.parts {
            Some(parts) if self.writes && !name.is_empty() => Ok((self.path(name)?, &**parts)),
            _ => Err("nothing may be written here".to_owned().into()),
        }
    }

    /// The path of what is below the address. Parts like `..` are refused.
    pub(super) fn path(&self, name: &str) -> Result<Path, Failed> {
        let root = self.opened.root.as_ref();
        let text = match (root.is_empty(), name.is_empty()) {
            (_, true) => root.to_owned(),
            (true, false) => name.to_owned(),
            (false, false) => format!("{root}/{name}"),
        };
        Ok(Path::parse(text).map_err(|error| error.to_string())?)
    }

    pub(super) async fn open(&self, name: &str, tail: u64) -> Answered {
        let (meta, path, bytes) = self.tail(name, tail).await?;
        self.pin(meta, path, bytes)
    }

    /// Opens an object by its first bytes.
    pub(super) async fn open_start(&self, name: &str, bytes: u64) -> Answered {
        let path = self.path(name)?;
        let range = Some(GetRange::Bounded(0..bytes.clamp(1, MAX_BYTES)));
        let options = GetOptions { range, ..GetOptions::default() };
        let found = self.opened.store.get_opts(&path, options).await?;
        let meta = found.meta.clone();
        self.pin(meta, path, found.bytes().await?.to_vec())
    }

    fn pin(&self, meta: ObjectMeta, path: Path, bytes: Vec<u8>) -> Answered {
        let mut pinned = self.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        if pinned.len() >= MAX_OBJECTS {
            return Err("too many objects are open".to_owned().into());
        }
        let object = u32::try_from(pinned.len()).unwrap_or(u32::MAX);
        let length = meta.size;
        pinned.push(Pinned { path, meta });
        Ok((Outcome::Opened { object, length }, bytes))
    }

    /// The same, of what is not read any more.
    pub(super) async fn end(&self, name: &str, bytes: u64) -> Answered {
        let (meta, _, bytes) = self.tail(name, bytes).await?;
        Ok((Outcome::Opened { object: u32::MAX, length: meta.size }, bytes))
    }

    /// An object's last bytes.
    async fn tail(&self, name: &str, tail: u64) -> Result<(ObjectMeta, Path, Vec<u8>), Failed> {
        let path = self.path(name)?;
        let range = Some(GetRange::Suffix(tail.min(MAX_BYTES)));
        let options = GetOptions { range, ..GetOptions::default() };
        let (meta, bytes) = match self.opened.store.get_opts(&path, options).await {
            Ok(found) => (found.meta.clone(), found.bytes().await?.to_vec()),
            // Azure has no ranges from the end.
            Err(StoreError::NotSupported { .. }) => {
                let options = GetOptions { head: true, ..GetOptions::default() };
                let found = self.opened.store.get_opts(&path, options).await?;
                let size = found.meta.size;
                let pinned = Pinned { path: path.clone(), meta: found.meta };
                let bytes = self.range(&pinned, size.saturating_sub(tail)..size).await?;
                (pinned.meta, bytes)
            }
            Err(error) => return Err(error.into()),
        };
        Ok((meta, path, bytes))
    }

    pub(super) async fn read(&self, object: u32, offset: u64, length: u64) -> Answered {
        let (pinned, range) = self.wanted(object, offset, length)?;
        let bytes = self.cached_range(&pinned, range).await?;
        Ok((Outcome::Done, bytes))
    }

    /// The version of an opened object, and a range that is in it.
    pub(super) fn wanted(
        &self,
        object: u32,
        offset: u64,
        length: u64,
    ) -> Result<(Pinned, Range<u64>), Failed> {
        let pinned = {
            let pinned = self.pinned.lock().unwrap_or_else(PoisonError::into_inner);
            usize::try_from(object).ok().and_then(|object| pinned.get(object).cloned())
        };
        let pinned = pinned.ok_or_else(|| "the object was not opened".to_owned())?;
        let end = offset.checked_add(length).filter(|end| *end <= pinned.meta.size);
        let end = end.filter(|_| (1..=MAX_BYTES).contains(&length));
        let end = end.ok_or_else(|| "the range is not in the object".to_owned())?;
        Ok((pinned, offset..end))
    }

    /// The same as [`Self::range`], of which nothing is fetched that is in the cache. Disks have
    /// threads of their own.
    async fn cached_range(&self, pinned: &Pinned, range: Range<u64>) -> Result<Vec<u8>, Failed> {
        let etag = pinned.meta.e_tag.as_deref().filter(|etag| !etag.starts_with("W/"));
        let (Some(cache), Some(etag)) = (&self.cache, etag) else {
            return self.range(pinned, range).await;
        };
        let length = pinned.meta.size;
        let version = cache.version(pinned.path.as_ref(), etag, length);
        let (look, of, wanted) = (Arc::clone(cache), version.clone(), range.clone());
        let found = spawn_blocking(move || look.read(&of, length, wanted)).await;
        let Ok(found) = found else { return self.range(pinned, range).await };
        let mut bytes = found.before;
        if !found.missing.is_empty() {
            let at = found.missing.start;
            let fetched = Arc::new(self.range(pinned, found.missing).await?);
            let (cache, kept) = (Arc::clone(cache), Arc::clone(&fetched));
            // The answer does not wait for it; the end of this process does.
            drop(spawn_blocking(move || cache.keep(&version, at, &kept, length)));
            let within = |offset: u64| {
                let inside = usize::try_from(offset.saturating_sub(at)).unwrap_or(usize::MAX);
                inside.min(fetched.len())
            };
            let part = fetched.get(within(range.start)..within(range.end));
            bytes.extend_from_slice(part.unwrap_or_default());
        }
        bytes.extend(found.after);
        Ok(bytes)
    }

    /// A range of the version that was opened.
    async fn range(&self, pinned: &Pinned, range: Range<u64>) -> Result<Vec<u8>, Failed> {
        let mut problem = String::new();
        for _ in 0..TRIES {
            let options = pinned.options(range.clone());
            let found = self.opened.store.get_opts(&pinned.path, options).await?;
            pinned.check(&found)?;
            match collect(found, range.end.saturating_sub(range.start)).await {
                Ok(bytes) if bytes.len() as u64 == range.end.saturating_sub(range.start) => {
                    return Ok(bytes);
                }
                Ok(bytes) => problem = format!("the answer has {} bytes", bytes.len()),
                Err(error) => problem = reason::of(&error),
            }
        }
        Err(problem.into())
    }

    pub(super) async fn get(&self, name: &str, most: u64) -> Answered {
        let most = most.min(MAX_BYTES);
        let found = self.opened.store.get(&self.path(name)?).await?;
        if found.meta.size > most {
            return Err(format!("it has {} bytes, more than {most}", found.meta.size).into());
        }
        Ok((Outcome::Done, found.bytes().await?.to_vec()))
    }
}

/// The bytes of an answer, without a copy of all of them; one more at the most than are wanted.
async fn collect(found: GetResult, wanted: u64) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::with_capacity(usize::try_from(wanted.min(MAX_BYTES)).unwrap_or_default());
    let mut pieces = found.into_stream();
    while let Some(piece) = pieces.try_next().await? {
        bytes.extend_from_slice(&piece);
        if bytes.len() as u64 > wanted {
            break;
        }
    }
    Ok(bytes)
}

impl Pinned {
    /// A request for nothing but this version.
    pub(super) fn options(&self, range: Range<u64>) -> GetOptions {
        let range = Some(GetRange::Bounded(range));
        let etag = self.meta.e_tag.clone();
        // A weak one never matches. What comes is compared in any case.
        let if_match = etag.filter(|etag| !etag.starts_with("W/"));
        let if_unmodified_since = if_match.is_none().then_some(self.meta.last_modified);
        let version = self.meta.version.clone();
        GetOptions { range, if_match, if_unmodified_since, version, ..GetOptions::default() }
    }

    /// Whether an answer is of this version: a server may ignore conditions.
    pub(super) fn check(&self, found: &GetResult) -> Result<(), Failed> {
        let same = match (&self.meta.e_tag, &found.meta.e_tag) {
            (None, _) => self.meta.last_modified == found.meta.last_modified,
            (wanted, found) => wanted == found,
        };
        if same && self.meta.size == found.meta.size {
            return Ok(());
        }
        Err("it was changed since it was opened".to_owned().into())
    }
}
