//! The index of a store: what a listing read of each entry's files, for the next listing.
//!
//! It is never the truth. A record is used only if the files that it was read of are still the
//! same ones: inode, length and time of the last change. What a listing needs beside that (which
//! entries there are, cores, pins, captures under way) it looks at itself. A file that changed
//! shortly before it was read is not recorded: it may change again within the resolution of its
//! file system's clock, and look the same.
//!
//! A listing that finds the index missing, damaged, or of too many other files writes a new one,
//! whole under another name first. One that cannot, in a store that it may only read, goes
//! without. An index is written and read within [`MAX_BYTES`].

mod codec;
mod record;

use std::collections::HashMap;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use vmcore_formats::cursor::Cursor;
use vmcore_formats::endian::Endian;

use super::publish::create_file;
use super::{INCOMPLETE, StoreError};
use crate::regular_file;

pub(super) use record::{Heads, Stamp, Stamps};

/// Its name in the store. No guest's directory begins with a dot.
const INDEX_FILE: &str = ".index";
/// What every index of this version begins with.
const MAGIC: &[u8] = concat!("vmcorectl/index/1 ", env!("CARGO_PKG_VERSION"), "\n").as_bytes();
/// The longest index, packed and unpacked.
const MAX_BYTES: u64 = 64 << 20;
/// How old an unfinished index is when its writer is taken for dead.
const ABANDONED: Duration = Duration::from_mins(1);

/// Records by the paths of their entries below the store.
///
/// ```text
/// magic
/// then for each entry:
///     u32  length of the key     key: GUEST/ID, the names of the directories
///     u32  length of the record  record
/// ```
///
/// All of it is one zstd frame with a checksum.
#[derive(Debug, Default)]
pub(super) struct Index {
    bytes: Vec<u8>,
    records: HashMap<Box<[u8]>, Range<usize>>,
}

impl Index {
    /// The index of a store. One that cannot be read is empty.
    pub(super) fn load(store: &Path) -> Self {
        Self::unpack(store).unwrap_or_default()
    }

    fn unpack(store: &Path) -> Option<Self> {
        let packed = regular_file::read_own(&store.join(INDEX_FILE), MAX_BYTES).ok()?;
        let mut bytes = Vec::new();
        let unpacked = zstd::Decoder::new(packed.as_slice()).ok()?;
        let length = unpacked.take(MAX_BYTES + 1).read_to_end(&mut bytes).ok()?;
        if u64::try_from(length).ok()? > MAX_BYTES || !bytes.starts_with(MAGIC) {
            return None;
        }
        let records = records(&bytes)?;
        Some(Self { bytes, records })
    }

    /// How many records it has.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// What the files of an entry said when they were these; `None` if they are others, or the
    /// entry is not in the index.
    pub(super) fn find(&self, folder: &Path, now: &Stamps) -> Option<Heads> {
        record::decode(self.record(folder)?, now)
    }

    fn record(&self, folder: &Path) -> Option<&[u8]> {
        self.bytes.get(self.records.get(&*key(folder)?)?.clone())
    }

    /// Writes a new index. That it cannot be written is no failure: the next listing reads the
    /// entries' files again.
    pub(super) fn write<'a>(
        &self,
        store: &Path,
        entries: impl Iterator<Item = (&'a Path, Option<New<'a>>)>,
    ) {
        let mut bytes = MAGIC.to_vec();
        for (folder, new) in entries {
            let Some(key) = key(folder) else { continue };
            let encoded = new.map(|(stamps, heads)| record::encode(stamps, heads));
            let record = encoded.as_deref().or_else(|| self.record(folder));
            codec::put_bytes(&mut bytes, &key);
            codec::put_bytes(&mut bytes, record.unwrap_or_default());
        }
        if bytes.len() as u64 <= MAX_BYTES {
            let _ = publish(store, &bytes);
        }
    }
}

/// A record to make: the files, and what was read of them.
pub(super) type New<'a> = (&'a Stamps, record::HeadsOf<'a>);

/// The key of an entry: the names of its two directories.
fn key(folder: &Path) -> Option<Vec<u8>> {
    let name = folder.file_name()?.as_encoded_bytes();
    let guest = folder.parent()?.file_name()?.as_encoded_bytes();
    Some([guest, b"/", name].concat())
}

/// Where each record is.
fn records(bytes: &[u8]) -> Option<HashMap<Box<[u8]>, Range<usize>>> {
    let mut cursor = Cursor::new(bytes, Endian::Little);
    cursor.take(MAGIC.len() as u64, "magic").ok()?;
    let mut records = HashMap::new();
    while cursor.left() > 0 {
        let key = codec::bytes(&mut cursor)?;
        let record = codec::bytes(&mut cursor)?;
        let end = usize::try_from(cursor.at()).ok()?;
        records.insert(key.into(), end.checked_sub(record.len())?..end);
    }
    Some(records)
}

fn publish(store: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let path = store.join(INDEX_FILE);
    let staged = store.join([INDEX_FILE, INCOMPLETE].concat());
    let failed = |source| StoreError::io("write", &path, source);
    let mut file = match create_file(&staged) {
        Err(StoreError::Exists { .. }) if is_abandoned(&staged) => {
            fs::remove_file(&staged).map_err(failed)?;
            create_file(&staged)?
        }
        // Another listing writes it, or nothing may be written here.
        other => other?,
    };
    let packed = pack(bytes).map_err(failed)?;
    let written = file.write_all(&packed).and_then(|()| fs::rename(&staged, &path));
    written.map_err(|source| {
        let _ = fs::remove_file(&staged);
        failed(source)
    })
}

fn pack(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut packer = zstd::Encoder::new(Vec::new(), 1)?;
    packer.include_checksum(true)?;
    packer.write_all(bytes)?;
    packer.finish()
}

fn is_abandoned(staged: &PathBuf) -> bool {
    match fs::symlink_metadata(staged).and_then(|file| file.modified()) {
        Ok(modified) => SystemTime::now().duration_since(modified).is_ok_and(|age| age > ABANDONED),
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
