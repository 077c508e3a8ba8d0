//! Checks every chunk of a compressed core, by several threads.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use vmcore_formats::endian::Endian;
use vmcore_formats::zstd_frame::{CHECKSUM, FrameHeader};
use xxhash_rust::xxh64::xxh64;
use zstd::bulk::Decompressor;

use crate::corefile::read::bytes::{Bytes, DataError};
use crate::corefile::read::chunked::ChunkedFile;
use crate::corefile::read::frame_table::Chunk;

/// How many small chunks are remembered. A guest has thousands that are the same: each is
/// unpacked once.
const REMEMBERED: usize = 1024;

/// What is wrong with a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadChunk {
    /// The chunk.
    pub(super) chunk: Chunk,
    /// What is wrong with it.
    pub(super) problem: String,
}

/// What a check of all chunks found.
#[derive(Debug, Default)]
pub(super) struct CheckedChunks {
    /// The first that are damaged, in the file's order.
    pub(super) bad: Vec<BadChunk>,
    /// How many are damaged, those in `bad` included.
    pub(super) count: u64,
    /// How many are not there: of the core there is the triage pack alone.
    pub(super) not_there: u64,
    /// Why not all were checked.
    pub(super) ended: Option<DataError>,
}

impl CheckedChunks {
    fn add(&mut self, bad: BadChunk, most: usize) {
        self.count = self.count.saturating_add(1);
        if self.bad.len() < most {
            self.bad.push(bad);
        }
    }

    fn join(&mut self, other: Self) {
        self.bad.extend(other.bad);
        self.count = self.count.saturating_add(other.count);
        self.not_there = self.not_there.saturating_add(other.not_there);
        self.ended = self.ended.take().or(other.ended);
    }
}

/// Checks all chunks, as long as the file is worth it. Lists `most` damaged ones.
pub(super) fn check_chunks(core: &ChunkedFile, threads: usize, most: usize) -> CheckedChunks {
    let next = AtomicUsize::new(0);
    let seen = Mutex::new(HashSet::new());
    let work = || {
        let mut checked = CheckedChunks::default();
        let mut checker = Checker::default();
        while let Some(chunk) = core.table().chunk(next.fetch_add(1, Ordering::Relaxed)) {
            match checker.check(core, &chunk, &seen) {
                Ok(()) => {}
                // Chunks are taken in order: the first bad ones of each thread are enough.
                Err(Bad::Chunk(problem)) => checked.add(BadChunk { chunk, problem }, most),
                Err(Bad::Reading(DataError::NotInPack { .. })) => {
                    checked.not_there = checked.not_there.saturating_add(1);
                }
                Err(Bad::Reading(error)) => {
                    checked.ended = Some(error);
                    break;
                }
            }
        }
        checked
    };
    let threads = threads.min(core.table().at_once());
    let mut all = CheckedChunks::default();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().filter_map(|worker| worker.join().ok()).for_each(|one| all.join(one));
    });
    all.bad.sort_by_key(|bad| bad.chunk.index);
    all.bad.truncate(most);
    all
}

/// Why a chunk was not found to be whole.
enum Bad {
    /// It is not.
    Chunk(String),
    /// More would be read than the file is worth, or it is not there.
    Reading(DataError),
}

impl<T: Into<String>> From<T> for Bad {
    fn from(problem: T) -> Self {
        Self::Chunk(problem.into())
    }
}

/// What a thread needs to check chunks.
#[derive(Default)]
struct Checker {
    zstd: Option<Decompressor<'static>>,
    packed: Vec<u8>,
    unpacked: Vec<u8>,
}

impl Checker {
    fn check(
        &mut self,
        core: &ChunkedFile,
        chunk: &Chunk,
        seen: &Mutex<HashSet<(Vec<u8>, u32)>>,
    ) -> Result<(), Bad> {
        let entry = chunk.entry;
        // What unpacks to nothing is a skippable frame: it has no checksum.
        if entry.decompressed == 0 {
            return Ok(());
        }
        self.packed.resize(entry.compressed as usize, 0);
        match core.file().read(chunk.file_offset, &mut self.packed) {
            Err(error @ (DataError::TooMuch { .. } | DataError::NotInPack { .. })) => {
                return Err(Bad::Reading(error));
            }
            read => read.map_err(|error| error.to_string())?,
        }
        let has_checksum = self.check_header(chunk)?;
        let lock = || seen.lock().unwrap_or_else(PoisonError::into_inner);
        let short = chunk.is_small().then(|| (self.packed.clone(), entry.decompressed));
        if has_checksum && short.as_ref().is_some_and(|short| lock().contains(short)) {
            return Ok(());
        }
        core.spend(u64::from(entry.decompressed)).map_err(Bad::Reading)?;
        self.unpack(chunk)?;
        if !has_checksum && let Some(expected) = entry.checksum {
            // The seek table has the low half of the hash.
            let found = xxh64(&self.unpacked, 0) & 0xffff_ffff;
            if found != u64::from(expected) {
                return Err(Bad::Chunk(format!(
                    "its bytes have the checksum {found:#010x}, and the seek table says {expected:#010x}"
                )));
            }
        }
        if let Some(short) = short {
            let mut seen = lock();
            if seen.len() < REMEMBERED {
                seen.insert(short);
            }
        }
        Ok(())
    }

    /// Whether the frame has a checksum of its own, which zstd compares when it unpacks.
    fn check_header(&self, chunk: &Chunk) -> Result<bool, String> {
        let entry = chunk.entry;
        let header = FrameHeader::decode(&self.packed)
            .map_err(|error| error.to_string())?
            .ok_or("it does not begin with a zstd frame")?;
        if let Some(size) = header.content_size
            && size != u64::from(entry.decompressed)
        {
            return Err(format!(
                "its frame is of {size} bytes, and the seek table says {}",
                entry.decompressed
            ));
        }
        let tail = self.packed.last_chunk::<CHECKSUM>().copied();
        if let (true, Some(expected), Some(tail)) = (header.has_checksum, entry.checksum, tail) {
            let found = Endian::Little.u32(tail);
            if found != expected {
                return Err(format!(
                    "its frame has the checksum {found:#010x}, and the seek table says {expected:#010x}"
                ));
            }
        }
        Ok(header.has_checksum)
    }

    fn unpack(&mut self, chunk: &Chunk) -> Result<(), String> {
        let zstd = match &mut self.zstd {
            Some(zstd) => zstd,
            none => none.insert(Decompressor::new().map_err(|error| error.to_string())?),
        };
        self.unpacked.resize(chunk.entry.decompressed as usize, 0);
        let unpacked: &mut [u8] = &mut self.unpacked;
        let length = zstd
            .decompress_to_buffer(&self.packed, unpacked)
            .map_err(|error| format!("it does not unpack: {error}"))?;
        if length == unpacked.len() {
            Ok(())
        } else {
            Err(format!(
                "it unpacks to {length} bytes, and the seek table says {}",
                chunk.entry.decompressed
            ))
        }
    }
}
