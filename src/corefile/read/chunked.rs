//! A compressed core: independent zstd frames, unpacked where they are read.
//!
//! Needs: a file in the seekable format. One that was cut off, as by an interrupted
//! capture, has no seek table: its frames are then found one after the other, up to the
//! last complete one.

use std::fs::File;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zstd::bulk::Decompressor;

use super::bytes::{Bytes, DataError, PlainFile};
use super::chunk_cache::ChunkCache;
use super::failed_chunks::FailedChunks;
use super::frame_table::{self, Chunk, FrameTable};
use super::used_chunks::Record;
use super::zero_checksums::ZeroChecksums;

/// The longest buffer for a compressed chunk that is kept for the next one.
const KEPT_PACKED: usize = 4 << 20;
/// How many chunks are unpacked for the cache at the same time.
const MAX_LANES: usize = 64;
/// How many frames are fetched in advance at most.
const MAX_EXPECTED: usize = 256;

/// An open compressed file.
#[derive(Debug)]
pub struct ChunkedFile {
    file: Arc<dyn Bytes>,
    table: FrameTable,
    cache: ChunkCache,
    failed: FailedChunks,
    /// Held while a chunk is unpacked for the cache: as many as may be at the same time.
    lanes: Vec<Mutex<()>>,
    /// zstd contexts that no thread is using.
    idle: Mutex<Vec<Unpacker>>,
    /// Compressed chunks seen, and whether they are zeros from end to end.
    small_chunks: Mutex<Vec<(Vec<u8>, bool)>>,
    zero_checksums: ZeroChecksums,
    used: Record,
}

impl ChunkedFile {
    /// Opens a file by its seek table, or by its frames if it has none.
    ///
    /// # Errors
    /// Fails if the file cannot be read or does not begin with a frame.
    pub fn open(file: File) -> Result<Self, frame_table::Error> {
        let file = PlainFile::new(file).map_err(|source| DataError::Io { offset: 0, source })?;
        Self::of_bytes(Arc::new(file))
    }

    /// The same, for the bytes of a file, wherever that is.
    ///
    /// # Errors
    /// Fails if they cannot be read or do not begin with a frame.
    pub fn of_bytes(file: Arc<dyn Bytes>) -> Result<Self, frame_table::Error> {
        let table = FrameTable::read(&*file)?;
        let lanes = table.at_once().min(MAX_LANES);
        let cache = if file.is_remote() { ChunkCache::full() } else { ChunkCache::growing() };
        Ok(Self {
            lanes: (0..lanes).map(|_| Mutex::default()).collect(),
            file,
            table,
            cache,
            failed: FailedChunks::default(),
            idle: Mutex::default(),
            small_chunks: Mutex::default(),
            zero_checksums: ZeroChecksums::default(),
            used: Record::default(),
        })
    }

    /// The compressed file.
    pub fn file(&self) -> &dyn Bytes {
        &*self.file
    }

    /// Its frames, and what is wrong with their table.
    pub fn table(&self) -> &FrameTable {
        &self.table
    }

    /// Unpacks a chunk into `buffer`, which must have its size.
    ///
    /// # Errors
    /// Fails if it does not unpack to just that, or its checksum is wrong.
    pub fn unpack(&self, chunk: &Chunk, buffer: &mut [u8]) -> Result<(), DataError> {
        self.note_use(chunk);
        self.failed.check(chunk.index)?;
        self.spend(u64::from(chunk.entry.decompressed))?;
        let mut unpacker = self.unpacker()?;
        let result = unpacker.unpack(&*self.file, chunk, buffer);
        if unpacker.packed.capacity() > KEPT_PACKED {
            unpacker.packed = Vec::new();
        }
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(unpacker);
        result.inspect_err(|error| self.failed.keep(chunk.index, error))
    }

    fn unpacker(&self) -> Result<Unpacker, DataError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(Unpacker::new, Ok)
    }

    fn cached(&self, chunk: &Chunk) -> Result<Arc<Vec<u8>>, DataError> {
        if let Some(bytes) = self.cache.find(chunk.index) {
            return Ok(bytes);
        }
        // One thread unpacks a chunk, and the others wait for it.
        let _lane = self.lane(chunk);
        if let Some(bytes) = self.cache.find(chunk.index) {
            return Ok(bytes);
        }
        self.failed.check(chunk.index)?;
        let mut bytes = self.cache.buffer(chunk.entry.decompressed as usize);
        self.unpack(chunk, &mut bytes)?;
        let bytes = Arc::new(bytes);
        self.cache.keep(chunk.index, Arc::clone(&bytes));
        Ok(bytes)
    }

    /// Waits until a chunk may be unpacked beside others.
    fn lane(&self, chunk: &Chunk) -> Option<MutexGuard<'_, ()>> {
        let lane =
            chunk.index.checked_rem(self.lanes.len()).and_then(|lane| self.lanes.get(lane))?;
        Some(lane.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a chunk is all zeros, if that is cheap to find out: chunks of zeros are short
    /// and all the same, so one is unpacked and the others are compared with it.
    fn is_zeros(&self, chunk: &Chunk) -> bool {
        if !chunk.is_small() {
            return false;
        }
        if self.file.is_remote() && self.has_checksum_of_zeros(chunk) {
            return true;
        }
        self.unpacks_to_zeros(chunk)
    }

    /// Whether the seek table describes a chunk as one of zeros.
    fn has_checksum_of_zeros(&self, chunk: &Chunk) -> bool {
        chunk.is_small() && self.zero_checksums.is_of_zeros(&chunk.entry)
    }

    /// Records the chunks that are read from now on.
    pub fn record_use(&self) {
        self.used.begin();
    }

    /// The numbers of the chunks that were read since, in the order of their first use, without
    /// those that the seek table describes as zeros; and how many bytes their frames have.
    pub fn used(&self) -> (Vec<u32>, u64) {
        self.used.so_far()
    }

    /// How many bytes the frames of these chunks have.
    pub fn used_bytes(&self) -> u64 {
        self.used.packed()
    }

    /// The frames of the chunks in a range that have to be read, by their offsets in the file.
    fn frames_to_read(&self, range: &Range<u64>, frames: &mut Vec<Range<u64>>) {
        let mut at = range.start;
        while at < range.end && frames.len() < MAX_EXPECTED {
            let Some(chunk) = self.table.chunk_at(at) else { return };
            let length = u64::from(chunk.entry.decompressed);
            at = chunk.offset.saturating_add(length.max(1));
            if self.cache.find(chunk.index).is_none() && !self.has_checksum_of_zeros(&chunk) {
                frames.push(chunk.file_offset..chunk.file_end());
            }
        }
    }

    fn note_use(&self, chunk: &Chunk) {
        if self.used.is_kept() && !self.has_checksum_of_zeros(chunk) {
            self.used.add(chunk);
        }
    }

    /// The same, by the compressed bytes.
    fn unpacks_to_zeros(&self, chunk: &Chunk) -> bool {
        const KNOWN: usize = 64;
        self.note_use(chunk);
        let mut packed = vec![0; chunk.entry.compressed as usize];
        if self.file.read(chunk.file_offset, &mut packed).is_err() {
            return false;
        }
        let known = |chunks: &[(Vec<u8>, bool)]| {
            chunks.iter().find(|(bytes, _)| *bytes == packed).map(|(_, zeros)| *zeros)
        };
        let lock = || self.small_chunks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(zeros) = known(&lock()) {
            return zeros;
        }
        let _lane = self.lane(chunk);
        if let Some(zeros) = known(&lock()) {
            return zeros;
        }
        let mut bytes = vec![1; chunk.entry.decompressed as usize];
        let zeros = self.unpack(chunk, &mut bytes).is_ok() && bytes.iter().all(|byte| *byte == 0);
        let mut chunks = lock();
        if chunks.len() < KNOWN {
            chunks.push((packed, zeros));
        }
        zeros
    }
}

impl Bytes for ChunkedFile {
    fn length(&self) -> u64 {
        self.table.unpacked_length()
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DataError> {
        let end = offset.saturating_add(buffer.len() as u64);
        if self.file.is_remote() && self.unit_end(offset) < end {
            self.prefetch(std::slice::from_ref(&(offset..end)));
        }
        let (mut offset, mut rest) = (offset, buffer);
        while !rest.is_empty() {
            let chunk = self
                .table
                .chunk_at(offset)
                .ok_or(DataError::PastEnd { offset, length: self.length() })?;
            let skip = usize::try_from(offset.saturating_sub(chunk.offset)).unwrap_or(usize::MAX);
            let size = chunk.entry.decompressed as usize;
            let take = size.saturating_sub(skip).min(rest.len());
            let (now, later) = rest.split_at_mut(take);
            if self.file.is_remote() && self.has_checksum_of_zeros(&chunk) {
                now.fill(0);
            } else {
                let cached = match self.cache.find(chunk.index) {
                    None if take == size => None,
                    None => Some(self.cached(&chunk)?),
                    cached => cached,
                };
                match cached {
                    Some(bytes) => {
                        if let Some(part) = bytes.get(skip..skip.saturating_add(take)) {
                            now.copy_from_slice(part);
                        }
                    }
                    // All of it is wanted.
                    None => self.unpack(&chunk, now)?,
                }
            }
            offset = offset.saturating_add(take as u64);
            rest = later;
        }
        Ok(())
    }

    fn unit_end(&self, offset: u64) -> u64 {
        let chunk = self.table.chunk_at(offset);
        chunk.map_or(u64::MAX, |chunk| {
            chunk.offset.saturating_add(u64::from(chunk.entry.decompressed))
        })
    }

    fn zeros(&self, offset: u64) -> u64 {
        let Some(chunk) = self.table.chunk_at(offset) else { return 0 };
        let end = chunk.offset.saturating_add(u64::from(chunk.entry.decompressed));
        if self.is_zeros(&chunk) { end.saturating_sub(offset) } else { 0 }
    }

    fn spend(&self, bytes: u64) -> Result<(), DataError> {
        self.file.spend(bytes)
    }

    fn read_without_limit(&self) {
        self.file.read_without_limit();
    }

    fn is_remote(&self) -> bool {
        self.file.is_remote()
    }

    fn prefetch(&self, ranges: &[Range<u64>]) {
        if !self.file.is_remote() {
            return;
        }
        let mut frames = Vec::new();
        for range in ranges {
            self.frames_to_read(range, &mut frames);
        }
        self.file.prefetch(&frames);
    }
}

/// zstd's state, and room for a compressed chunk.
struct Unpacker {
    zstd: Decompressor<'static>,
    packed: Vec<u8>,
}

impl std::fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unpacker").finish_non_exhaustive()
    }
}

impl Unpacker {
    fn new() -> Result<Self, DataError> {
        let zstd = Decompressor::new().map_err(|source| DataError::Io { offset: 0, source })?;
        Ok(Self { zstd, packed: Vec::new() })
    }

    fn unpack(
        &mut self,
        file: &dyn Bytes,
        chunk: &Chunk,
        buffer: &mut [u8],
    ) -> Result<(), DataError> {
        let damaged =
            |problem| DataError::Damaged { unit: "chunk", offset: chunk.file_offset, problem };
        self.packed.resize(chunk.entry.compressed as usize, 0);
        file.prefetch(std::slice::from_ref(&(chunk.file_offset..chunk.file_end())));
        file.read(chunk.file_offset, &mut self.packed)?;
        let written = self.zstd.decompress_to_buffer(&self.packed, buffer);
        match written {
            Ok(written) if written == buffer.len() => Ok(()),
            Ok(written) => Err(damaged(format!(
                "it unpacks to {written} bytes, and the seek table says {}",
                buffer.len()
            ))),
            Err(error) => Err(damaged(error.to_string())),
        }
    }
}

#[cfg(test)]
#[path = "chunked_tests.rs"]
mod tests;
