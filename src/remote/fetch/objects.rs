//! Objects below one address: opened once, and read by ranges of that same version.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{
    Error as StoreError, GetOptions, GetRange, GetResult, ObjectMeta, ObjectStoreExt,
};

use super::environment::Environment;
use super::reason;
use super::stores::{self, Opened};
use crate::remote::wire::{Ask, MAX_BYTES, Outcome};

/// How many objects a command opens at most.
const MAX_OBJECTS: usize = 64;
/// How many names are listed at most.
const MAX_LISTED: usize = 400_000;
/// How often a request is made whose answer broke off. Those that were not answered are repeated
/// by the client.
const TRIES: usize = 3;

/// The objects.
pub(super) struct Objects {
    opened: Opened,
    pinned: Mutex<Vec<Pinned>>,
}

/// The version of an object that was opened.
#[derive(Clone, Debug)]
struct Pinned {
    path: Path,
    meta: ObjectMeta,
}

/// Why there is no answer.
enum Failed {
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

type Answered = Result<(Outcome, Vec<u8>), Failed>;

impl Objects {
    pub(super) fn new(address: &str, environment: &Environment) -> Result<Self, String> {
        let opened = stores::open(address, environment)?;
        Ok(Self { opened, pinned: Mutex::default() })
    }

    pub(super) async fn answer(&self, ask: Ask) -> (Outcome, Vec<u8>) {
        let answered = match ask {
            Ask::Root { .. } => Err("the address is set once".to_owned().into()),
            Ask::Open { name, tail } => self.open(&name, tail).await,
            Ask::Read { object, offset, length } => self.read(object, offset, length).await,
            Ask::List => self.list().await,
            Ask::Get { name, most } => self.get(&name, most).await,
        };
        match answered {
            Ok(answer) => answer,
            Err(Failed::NotFound) => (Outcome::NotFound, Vec::new()),
            Err(Failed::Because(problem)) => (Outcome::Failed { problem }, Vec::new()),
        }
    }

    /// The path of what is below the address. Parts like `..` are refused.
    fn path(&self, name: &str) -> Result<Path, Failed> {
        let root = self.opened.root.as_ref();
        let text = match (root.is_empty(), name.is_empty()) {
            (_, true) => root.to_owned(),
            (true, false) => name.to_owned(),
            (false, false) => format!("{root}/{name}"),
        };
        Ok(Path::parse(text).map_err(|error| error.to_string())?)
    }

    async fn open(&self, name: &str, tail: u64) -> Answered {
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
        let mut pinned = self.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        if pinned.len() >= MAX_OBJECTS {
            return Err("too many objects are open".to_owned().into());
        }
        let object = u32::try_from(pinned.len()).unwrap_or(u32::MAX);
        let length = meta.size;
        pinned.push(Pinned { path, meta });
        Ok((Outcome::Opened { object, length }, bytes))
    }

    async fn read(&self, object: u32, offset: u64, length: u64) -> Answered {
        let pinned = {
            let pinned = self.pinned.lock().unwrap_or_else(PoisonError::into_inner);
            usize::try_from(object).ok().and_then(|object| pinned.get(object).cloned())
        };
        let pinned = pinned.ok_or_else(|| "the object was not opened".to_owned())?;
        let end = offset.checked_add(length).filter(|end| *end <= pinned.meta.size);
        let end = end.filter(|_| (1..=MAX_BYTES).contains(&length));
        let end = end.ok_or_else(|| "the range is not in the object".to_owned())?;
        let bytes = self.range(&pinned, offset..end).await?;
        Ok((Outcome::Done, bytes))
    }

    /// A range of the version that was opened.
    async fn range(&self, pinned: &Pinned, range: Range<u64>) -> Result<Vec<u8>, Failed> {
        let mut problem = String::new();
        for _ in 0..TRIES {
            let options = pinned.options(range.clone());
            let found = self.opened.store.get_opts(&pinned.path, options).await?;
            pinned.check(&found)?;
            match found.bytes().await {
                Ok(bytes) if bytes.len() as u64 == range.end.saturating_sub(range.start) => {
                    return Ok(bytes.to_vec());
                }
                Ok(bytes) => problem = format!("the answer has {} bytes", bytes.len()),
                Err(error) => problem = reason::of(&error),
            }
        }
        Err(problem.into())
    }

    async fn list(&self) -> Answered {
        let root = &self.opened.root;
        let prefix = (!root.as_ref().is_empty()).then_some(root);
        let mut objects = self.opened.store.list(prefix);
        let mut found: Vec<(String, u64)> = Vec::new();
        while let Some(object) = objects.try_next().await? {
            let name = object.location.as_ref().strip_prefix(root.as_ref()).unwrap_or_default();
            found.push((name.trim_start_matches('/').to_owned(), object.size));
            if found.len() > MAX_LISTED {
                return Err(format!("it has more than {MAX_LISTED} objects").into());
            }
        }
        let json = serde_json::to_vec(&found).map_err(|error| error.to_string())?;
        if json.len() as u64 > MAX_BYTES {
            return Err("its names are too long for a list".to_owned().into());
        }
        Ok((Outcome::Done, json))
    }

    async fn get(&self, name: &str, most: u64) -> Answered {
        let most = most.min(MAX_BYTES);
        let found = self.opened.store.get(&self.path(name)?).await?;
        if found.meta.size > most {
            return Err(format!("it has {} bytes, more than {most}", found.meta.size).into());
        }
        Ok((Outcome::Done, found.bytes().await?.to_vec()))
    }
}

impl Pinned {
    /// A request for nothing but this version.
    fn options(&self, range: Range<u64>) -> GetOptions {
        let range = Some(GetRange::Bounded(range));
        let etag = self.meta.e_tag.clone();
        // A weak one never matches. What comes is compared in any case.
        let if_match = etag.filter(|etag| !etag.starts_with("W/"));
        let if_unmodified_since = if_match.is_none().then_some(self.meta.last_modified);
        let version = self.meta.version.clone();
        GetOptions { range, if_match, if_unmodified_since, version, ..GetOptions::default() }
    }

    /// Whether an answer is of this version: a server may ignore conditions.
    fn check(&self, found: &GetResult) -> Result<(), Failed> {
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
