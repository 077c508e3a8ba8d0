//! How long a guest would be held: measured on this host, in about a second.
//!
//! Generated memory goes through the pipeline of a capture, to an unnamed file beside the store.
//! QEMU's own speed and what else happens at a panic are not in it, so the result is an estimate.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use serde::Serialize;

use super::host_checks::existing;
use crate::corefile::read::bytes::{Bytes, DataError};
use crate::corefile::write::{BytesSource, MAX_CORE, Pipeline, SpoolLimit, StreamOptions};
use crate::store::space::Space;

/// How long is measured.
const TIME: Duration = Duration::from_secs(1);
/// What has to be free beyond what the store keeps free: more than is written meanwhile.
const LEAST_SPACE: u64 = 4 << 30;
/// How much memory is generated, and repeated: more than a processor's cache.
const SAMPLE: usize = 32 << 20;
const PAGE: usize = 4096;

/// How fast this host compresses and stores memory.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Speed {
    /// Bytes of memory in a second.
    pub bytes_per_second: f64,
    /// What was left of each byte.
    pub ratio: f64,
    /// The threads that compressed.
    pub threads: usize,
}

/// Measures.
///
/// Returns the reason if that is not possible.
pub(super) fn measure(store: &Path, level: i32, threads: usize) -> Result<Speed, String> {
    let folder = existing(store);
    let space = Space::of(folder).map_err(|error| error.to_string())?;
    let reserve = space.default_reserve();
    if space.available < reserve.saturating_add(LEAST_SPACE) {
        return Err(format!("{} has too little space to write to", folder.display()));
    }
    let file = unnamed(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let source = BytesSource(Arc::new(Endless(generated())));
    let options = StreamOptions { level, threads, reserve, memory: 0, spool: SpoolLimit::NONE };
    let started = Instant::now();
    let pipeline = Pipeline::start(source, Box::new(file), options)
        .map_err(|error| format!("no pipeline: {error}"))?;
    let mut last = None;
    pipeline.wait(|progress| {
        let elapsed = started.elapsed();
        last = Some((progress, elapsed.as_secs_f64()));
        elapsed < TIME
    });
    let (progress, seconds) = last.ok_or("the pipeline ended at once")?;
    if progress.bytes_written == 0 || progress.bytes_read == 0 {
        return Err("nothing was written in a second".to_owned());
    }
    // Below 2^53, as all cores are.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let [read, written] = [progress.bytes_read, progress.bytes_written].map(|count| count as f64);
    let threads = pipeline.threads();
    Ok(Speed { bytes_per_second: read / seconds, ratio: written / read, threads })
}

/// A file without a name, which is gone when it is closed.
fn unnamed(folder: &Path) -> std::io::Result<File> {
    let flags = i32::try_from(OFlags::TMPFILE.bits()).unwrap_or_default();
    File::options().write(true).custom_flags(flags).mode(0o600).open(folder)
}

/// A sample again and again, as long as a core can be.
#[derive(Debug)]
struct Endless(Vec<u8>);

impl Bytes for Endless {
    fn length(&self) -> u64 {
        MAX_CORE
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DataError> {
        let past_end = DataError::PastEnd { offset, length: MAX_CORE };
        let start = usize::try_from(offset % (self.0.len() as u64)).unwrap_or_default();
        // Chunks are aligned, and the sample has whole ones.
        let found = self.0.get(start..start.saturating_add(buffer.len())).ok_or(past_end)?;
        buffer.copy_from_slice(found);
        Ok(())
    }
}

/// Memory as a guest has it: text and tables, pointers, code, and data that does not compress.
fn generated() -> Vec<u8> {
    let program = std::fs::read("/proc/self/exe").unwrap_or_default();
    let mut code = program.chunks_exact(PAGE).cycle();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut memory = Vec::with_capacity(SAMPLE);
    let mut page = 0_u32;
    while memory.len() < SAMPLE {
        match page % 8 {
            0..=2 => text(&mut random, &mut memory),
            3 | 4 => pointers(&mut random, &mut memory),
            5 | 6 => memory.extend_from_slice(code.next().unwrap_or(&[0; PAGE])),
            _ => (0..PAGE / 8).for_each(|_| memory.extend(random.next().to_le_bytes())),
        }
        page = page.wrapping_add(1);
    }
    memory.truncate(SAMPLE);
    memory
}

/// A page of words.
fn text(random: &mut Random, memory: &mut Vec<u8>) {
    const WORDS: [&str; 16] = [
        "the ", "error: ", "kernel ", "request ", "0x7f", "user=", "GET /", "status ", "of ",
        "10.0.", "return ", "null, ", "timeout ", "memory ", "INFO ", "\n",
    ];
    let end = memory.len().saturating_add(PAGE);
    while memory.len() < end {
        let number = random.next();
        let word = WORDS.get((number % 16) as usize).copied().unwrap_or_default();
        memory.extend_from_slice(word.as_bytes());
        if number & 0x300 == 0 {
            memory.extend_from_slice(format!("{} ", number >> 44).as_bytes());
        }
    }
    memory.truncate(end);
}

/// A page of addresses, counters and zeros.
fn pointers(random: &mut Random, memory: &mut Vec<u8>) {
    for _ in 0..PAGE / 8 {
        let number = random.next();
        let word = match number % 4 {
            0 => 0,
            1 => number >> 56,
            _ => 0xffff_8880_0000_0000 | ((number >> 32) & 0x3fff_ffc0),
        };
        memory.extend(word.to_le_bytes());
    }
}

/// xorshift64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_memory_compresses_as_memory_does() {
        let memory = generated();
        assert_eq!(memory.len(), SAMPLE);
        let part = &memory[..8 << 20];
        let packed = zstd::encode_all(part, 1).unwrap().len();
        assert!((part.len() / 4..part.len() / 2).contains(&packed), "{packed}");
    }

    #[test]
    fn a_measurement_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        match measure(&store, 1, 1) {
            Ok(speed) => assert!(speed.bytes_per_second > 0.0 && speed.ratio < 1.0, "{speed:?}"),
            Err(reason) => {
                assert!(reason.contains("space") || reason.contains("written"), "{reason}")
            }
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
