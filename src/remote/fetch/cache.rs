//! Bytes of objects on this machine's disk, so that they are not fetched again.
//!
//! ```text
//! $XDG_CACHE_HOME/vmcorectl/objects/
//!     <version>.bytes    each block of 8 KiB at its offset in the object; the rest are holes
//!     <version>.map      16 bytes for each block that is there, appended:
//!         block     u64  its number, little endian
//!         checksum  u64  XXH64 of its bytes, with the number as the seed
//! ```
//!
//! `<version>` is a digest of address, `ETag` and length: what is cached is of one version of one
//! object. A block counts if its bytes have the checksum: what another process writes at the same
//! time, what a crash left and what a disk has damaged is fetched again, never given. Two
//! processes that write a block write the same bytes. Objects that were not used for the longest
//! time are removed first; a process that has them open reads on.
//!
//! What is in there is memory of guests: for its owner alone. A directory of somebody else is not
//! used, and links in it are not followed. A cache that cannot be used is none: nothing depends
//! on it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use rustix::fs::{AtFlags, Mode, OFlags, fstatvfs, openat, unlinkat};
use sha2::{Digest, Sha256};
use xxhash_rust::xxh64::xxh64;

use super::environment::Environment;
use crate::remote::blocks;
use crate::units;

/// The size of a block: readers ask for whole ones.
const BLOCK: u64 = blocks::BLOCK;
/// How many bytes of blocks are kept, if the environment does not say otherwise.
const KEPT: u64 = 1 << 30;
/// How many bytes are written between two looks at the size.
const LOOK: u64 = 64 << 20;
/// The longest map: that of 16 GiB of an object.
const MAX_MAP: u64 = 32 << 20;
const RECORD: usize = 16;

/// The cache.
#[derive(Debug)]
pub(super) struct Cache {
    /// What distinguishes the server.
    origin: String,
    path: PathBuf,
    folder: OwnedFd,
    kept: u64,
    objects: Mutex<HashMap<String, Option<Cached>>>,
    /// How many bytes may be written before the next look at the size.
    until_look: Mutex<u64>,
}

/// An object that is open.
#[derive(Debug)]
struct Cached {
    bytes: File,
    map: File,
    /// The checksums of the blocks.
    blocks: HashMap<u64, u64>,
}

/// What the cache has of a range.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Bytes from the start of the range on.
    pub(super) before: Vec<u8>,
    /// What has to be fetched: whole blocks, or up to the end of the object. Empty if all is here.
    pub(super) missing: Range<u64>,
    /// Bytes up to the end of the range.
    pub(super) after: Vec<u8>,
}

impl Cache {
    /// The user's cache for what is at an address. `None` if there is none, or is not to be any.
    pub(super) fn open(address: &str, environment: &Environment) -> Option<Self> {
        let kept = environment.get("VMCORECTL_CACHE").map(|size| units::parse::size(size).ok());
        let kept = kept.unwrap_or(Some(KEPT)).filter(|kept| *kept > 0)?;
        let base =
            environment.file("XDG_CACHE_HOME", ".cache").filter(|path| path.is_absolute())?;
        // A home that does not exist is not made.
        base.parent().filter(|above| above.is_dir())?;
        let plain = address.split_once('?').map_or(address, |(plain, _)| plain);
        let origin = format!("{plain}\n{}", environment.server());
        Self::at(&base.join("vmcorectl").join("objects"), origin, kept)
    }

    fn at(path: &Path, origin: String, kept: u64) -> Option<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path).ok()?;
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty()).ok()?;
        let found = rustix::fs::fstat(&folder).ok()?;
        let others = found.st_mode & 0o022 != 0;
        if found.st_uid != rustix::process::geteuid().as_raw() || others {
            return None;
        }
        let (objects, until_look) = (Mutex::default(), Mutex::new(0));
        Some(Self { origin, path: path.to_owned(), folder, kept, objects, until_look })
    }

    /// The name of a version of an object in the cache.
    pub(super) fn version(&self, object: &str, etag: &str, length: u64) -> String {
        let digest = Sha256::digest(format!("{}\n{object}\n{etag}\n{length}", self.origin));
        let mut name = String::new();
        for byte in digest.iter().take(16) {
            let _ = write!(name, "{byte:02x}");
        }
        name
    }

    /// What is here of a range of a version that has so many bytes.
    pub(super) fn read(&self, version: &str, length: u64, range: Range<u64>) -> Found {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let object = objects.entry(version.to_owned()).or_insert_with(|| self.open_object(version));
        let none =
            Found { before: Vec::new(), missing: outwards(&range, length), after: Vec::new() };
        let Some(object) = object else { return none };
        let block = |number: u64| object.block(number, length);
        let numbers = || range.start / BLOCK..range.end.div_ceil(BLOCK);
        let before: Vec<Vec<u8>> = numbers().map_while(block).collect();
        let first = numbers().start.saturating_add(before.len() as u64);
        let after: Vec<Vec<u8>> = (first..numbers().end).rev().map_while(block).collect();
        let last = numbers().end.saturating_sub(after.len() as u64);
        let cut = |blocks: Vec<u8>, at: u64| {
            let start = usize::try_from(range.start.saturating_sub(at)).unwrap_or(usize::MAX);
            let end = usize::try_from(range.end.saturating_sub(at)).unwrap_or(usize::MAX);
            blocks.get(start..end.min(blocks.len())).unwrap_or_default().to_vec()
        };
        Found {
            before: cut(before.concat(), numbers().start.saturating_mul(BLOCK)),
            missing: first.saturating_mul(BLOCK)..last.saturating_mul(BLOCK).min(length),
            after: cut(
                after.into_iter().rev().collect::<Vec<_>>().concat(),
                last.saturating_mul(BLOCK),
            ),
        }
    }

    /// Keeps bytes at an offset, which is that of a block.
    pub(super) fn keep(&self, version: &str, offset: u64, bytes: &[u8], length: u64) {
        if !self.has_room(bytes.len() as u64) {
            return;
        }
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Some(object)) = objects.get_mut(version)
            && object.keep(offset, bytes, length).is_none()
        {
            // The disk is full, or broken.
            objects.insert(version.to_owned(), None);
        }
    }

    fn open_object(&self, version: &str) -> Option<Cached> {
        let open = |ending: &str| {
            let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let flags = if ending == "map" { flags | OFlags::APPEND } else { flags };
            let name = format!("{version}.{ending}");
            let file =
                openat(&self.folder, name, flags | OFlags::NONBLOCK, Mode::RUSR | Mode::WUSR);
            Some(File::from(file.ok()?)).filter(|file| file.metadata().is_ok_and(|it| it.is_file()))
        };
        let (bytes, map) = (open("bytes")?, open("map")?);
        let length = map.metadata().ok()?.len().min(MAX_MAP);
        let mut records = vec![0; usize::try_from(length).ok()?];
        map.read_exact_at(&mut records, 0).ok()?;
        if !records.len().is_multiple_of(RECORD) {
            // A record was not written to its end: those behind it would not be read.
            map.set_len(0).ok()?;
            records.clear();
        }
        let number = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).ok();
        let blocks = records.chunks_exact(RECORD).filter_map(|record| {
            let (block, checksum) = record.split_at_checked(8)?;
            Some((number(block)?, number(checksum)?))
        });
        let blocks = blocks.collect();
        // It is the last one to go.
        let _ = map.set_modified(SystemTime::now());
        Some(Cached { bytes, map, blocks })
    }

    /// Whether so many bytes may be written. Removes what was not used for longest.
    fn has_room(&self, bytes: u64) -> bool {
        let mut left = self.until_look.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(after) = left.checked_sub(bytes) {
            *left = after;
            return true;
        }
        *left = LOOK.min(self.kept / 4).saturating_sub(bytes);
        self.trim(bytes);
        let space = fstatvfs(&self.folder);
        bytes <= self.kept && space.is_ok_and(|space| space.f_bavail > space.f_blocks / 20)
    }

    /// Removes objects until the others leave room for what is written up to the next look.
    fn trim(&self, bytes: u64) {
        /// What `st_blocks` counts in.
        const UNIT: u64 = 512;
        let mut objects: HashMap<String, (SystemTime, u64)> = HashMap::new();
        for entry in fs::read_dir(&self.path).into_iter().flatten().filter_map(Result::ok) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let (Some((version, ending)), Ok(file)) = (name.split_once('.'), entry.metadata())
            else {
                continue;
            };
            let object = objects.entry(version.to_owned()).or_insert((SystemTime::UNIX_EPOCH, 0));
            object.1 = object.1.saturating_add(file.blocks().saturating_mul(UNIT));
            if let (true, Ok(modified)) = (ending == "map", file.modified()) {
                object.0 = modified;
            }
        }
        let mut objects: Vec<_> =
            objects.into_iter().map(|(name, (used, size))| (used, size, name)).collect();
        objects.sort();
        let mut size = objects.iter().fold(bytes, |sum, (_, size, _)| sum.saturating_add(*size));
        let most = self.kept.saturating_sub(LOOK.min(self.kept / 4));
        for (_, of_object, version) in objects {
            if size <= most {
                break;
            }
            for ending in ["map", "bytes"] {
                let _ = unlinkat(&self.folder, format!("{version}.{ending}"), AtFlags::empty());
            }
            size = size.saturating_sub(of_object);
        }
    }
}

/// The range, extended to whole blocks.
fn outwards(range: &Range<u64>, length: u64) -> Range<u64> {
    let end = range.end.div_ceil(BLOCK).saturating_mul(BLOCK).min(length);
    (range.start / BLOCK).saturating_mul(BLOCK)..end
}

impl Cached {
    /// A block of an object of so many bytes, if it is here and undamaged.
    fn block(&self, number: u64, length: u64) -> Option<Vec<u8>> {
        let checksum = self.blocks.get(&number)?;
        let start = number.checked_mul(BLOCK)?;
        let size = length.checked_sub(start)?.min(BLOCK);
        let mut bytes = vec![0; usize::try_from(size).ok()?];
        self.bytes.read_exact_at(&mut bytes, start).ok()?;
        (xxh64(&bytes, number) == *checksum).then_some(bytes)
    }

    /// Keeps the blocks that are whole. The bytes first: a record without them counts for nothing.
    fn keep(&mut self, offset: u64, bytes: &[u8], length: u64) -> Option<()> {
        let mut records = Vec::new();
        let blocks = bytes.chunks(usize::try_from(BLOCK).ok()?);
        for (number, block) in (offset / BLOCK..).zip(blocks) {
            let start = number.checked_mul(BLOCK)?;
            if block.len() as u64 != length.checked_sub(start)?.min(BLOCK) {
                break;
            }
            self.bytes.write_all_at(block, start).ok()?;
            let checksum = xxh64(block, number);
            records.extend(number.to_le_bytes());
            records.extend(checksum.to_le_bytes());
            self.blocks.insert(number, checksum);
        }
        std::io::Write::write_all(&mut &self.map, &records).ok()
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
