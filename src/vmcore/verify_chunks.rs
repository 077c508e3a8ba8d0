//! Checks every chunk of a compressed core, by several threads.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use vmcore_formats::endian::Endian;
use vmcore_formats::zstd_frame::{CHECKSUM, FrameHeader};
use xxhash_rust::xxh64::xxh64;
use zstd::bulk::Decompressor;

use crate::corefile::read::bytes::Bytes;
use crate::corefile::read::chunked::ChunkedFile;
use crate::corefile::read::frame_table::Chunk;

/// The longest compressed chunk that is remembered, in bytes. A guest has
/// thousands that are the same, all of them short: each is unpacked once.
const SHORT: u32 = 256;
/// How many of them are remembered.
const REMEMBERED: usize = 1024;

/// What is wrong with a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadChunk {
    /// The chunk.
    pub(super) chunk: Chunk,
    /// What is wrong with it.
    pub(super) problem: String,
}

/// Checks all chunks. Gives those that are damaged, in the file's order.
pub(super) fn bad_chunks(core: &ChunkedFile, threads: usize) -> Vec<BadChunk> {
    let next = AtomicUsize::new(0);
    let seen = Mutex::new(HashSet::new());
    let work = || {
        let mut bad = Vec::new();
        let mut checker = Checker::default();
        while let Some(chunk) = core.table().chunk(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(problem) = checker.check(core, &chunk, &seen) {
                bad.push(BadChunk { chunk, problem });
            }
        }
        bad
    };
    let mut bad: Vec<BadChunk> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().filter_map(|worker| worker.join().ok()).flatten().collect()
    });
    bad.sort_by_key(|bad| bad.chunk.index);
    bad
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
    ) -> Result<(), String> {
        let entry = chunk.entry;
        // What unpacks to nothing is a skippable frame: it has no checksum.
        if entry.decompressed == 0 {
            return Ok(());
        }
        self.packed.resize(entry.compressed as usize, 0);
        core.file().read(chunk.file_offset, &mut self.packed).map_err(|error| error.to_string())?;
        let has_checksum = self.check_header(chunk)?;
        let lock = || seen.lock().unwrap_or_else(PoisonError::into_inner);
        let short = (entry.compressed <= SHORT).then(|| (self.packed.clone(), entry.decompressed));
        if has_checksum && short.as_ref().is_some_and(|short| lock().contains(short)) {
            return Ok(());
        }
        self.unpack(chunk)?;
        if !has_checksum && let Some(expected) = entry.checksum {
            // The seek table has the low half of the hash.
            let found = xxh64(&self.unpacked, 0) & 0xffff_ffff;
            if found != u64::from(expected) {
                return Err(format!(
                    "its bytes have the checksum {found:#010x}, and the seek table says {expected:#010x}"
                ));
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
