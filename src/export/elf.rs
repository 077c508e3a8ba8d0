//! The plain ELF core, written sparse.
//!
//! Each thread unpacks a unit of the core's file and writes it where it belongs.
//! Pages of zeros are not written: they are holes. Into a pipe the units go in
//! their order, and zeros are written out.

use std::fs::File;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use vmcore_formats::addr::PhysAddr;

use super::{ExportError, Exported};
use crate::corefile::read::bytes::Bytes;
use crate::vmcore::memory::{MemoryError, MemoryRange, PhysMemory};
use crate::vmcore::scan::{Content, MAX_PIECE, scan};

/// What is left out at once if it is zeros.
const BLOCK: usize = 4096;
/// How much is written at once, in bytes. Longer writes are given larger folios by
/// the page cache, which a virtual machine's memory may have to be asked for first.
const WRITE: usize = 128 << 10;

/// Writes `image` into an empty file.
pub fn to_file(image: &dyn Bytes, file: &File, threads: usize) -> Result<Exported, ExportError> {
    let length = image.length();
    file.set_len(length).map_err(ExportError::Write)?;
    let mut exported = Exported { bytes: length, zeros: 0 };
    run(
        image,
        threads,
        |piece, content| match content {
            Content::Zeros => Ok(piece.length),
            Content::Bytes(bytes) => {
                spend(image, bytes.len() as u64)?;
                write_sparse(file, piece.start.0, bytes).map_err(ExportError::Write)
            }
            Content::Missing(error) => Err(missing(error)),
        },
        |zeros| {
            exported.zeros = exported.zeros.saturating_add(zeros);
            Ok(())
        },
    )?;
    Ok(exported)
}

/// Accounts for what is written.
fn spend(image: &dyn Bytes, bytes: u64) -> Result<(), ExportError> {
    image.spend(bytes).map_err(|error| ExportError::Data(Arc::new(error)))
}

/// How many zeros in a stream are as much work as a byte that is read.
const ZEROS_PER_BYTE: u64 = 16;

/// Writes `image` into a stream.
pub fn to_stream(
    image: &dyn Bytes,
    out: &mut dyn Write,
    threads: usize,
) -> Result<Exported, ExportError> {
    let exported = Exported { bytes: image.length(), zeros: 0 };
    let zeros = vec![0; usize::try_from(MAX_PIECE).unwrap_or_default()];
    run(
        image,
        threads,
        |piece, content| match content {
            Content::Zeros => {
                spend(image, piece.length / ZEROS_PER_BYTE)?;
                Ok((piece.length, Vec::new()))
            }
            Content::Bytes(bytes) => Ok((0, bytes.to_vec())),
            Content::Missing(error) => Err(missing(error)),
        },
        |(zero, bytes)| {
            let mut left = usize::try_from(zero).unwrap_or(usize::MAX);
            while left > 0 {
                let part = zeros.get(..left).unwrap_or(&zeros);
                out.write_all(part)?;
                left = left.saturating_sub(part.len());
            }
            out.write_all(&bytes)
        },
    )?;
    out.flush().map_err(ExportError::Write)?;
    Ok(exported)
}

/// Reads all of `image`, unit by unit; `take` gets what `work` makes of it in order.
fn run<T: Send>(
    image: &dyn Bytes,
    threads: usize,
    work: impl Fn(MemoryRange, Content<'_>) -> Result<T, ExportError> + Sync,
    mut take: impl FnMut(T) -> io::Result<()>,
) -> Result<(), ExportError> {
    let all = MemoryRange { start: PhysAddr(0), length: image.length() };
    let file = FileAsMemory { image, ranges: vec![all] };
    let mut result = Ok(());
    scan(&file, file.ranges(), threads, work, |made| {
        result = made.and_then(|made| take(made).map_err(ExportError::Write));
        if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    result
}

fn missing(error: MemoryError) -> ExportError {
    match error {
        MemoryError::Damaged { source, .. } => ExportError::Data(source),
        other => ExportError::Memory(other),
    }
}

/// Writes what is not zeros. Gives how many bytes were.
fn write_sparse(file: &File, offset: u64, bytes: &[u8]) -> io::Result<u64> {
    let (mut start, mut end, mut zeros) = (0_usize, 0_usize, 0_u64);
    let write = |start: usize, end: usize| {
        let mut at = offset.saturating_add(start as u64);
        for part in bytes.get(start..end).unwrap_or_default().chunks(WRITE) {
            file.write_all_at(part, at)?;
            at = at.saturating_add(part.len() as u64);
        }
        Ok::<_, io::Error>(())
    };
    for block in bytes.chunks(BLOCK) {
        let next = end.saturating_add(block.len());
        if is_zeros(block) {
            zeros = zeros.saturating_add(block.len() as u64);
            write(start, end)?;
            start = next;
        }
        end = next;
    }
    write(start, end)?;
    Ok(zeros)
}

/// Whether bytes are zeros, looked at by as many at once as the processor can.
pub(super) fn is_zeros(bytes: &[u8]) -> bool {
    bytes.chunks(256).all(|part| part.iter().fold(0, |any, byte| any | byte) == 0)
}

/// A file's bytes, to be scanned like memory: an address is an offset.
#[derive(Debug)]
struct FileAsMemory<'a> {
    image: &'a dyn Bytes,
    ranges: Vec<MemoryRange>,
}

impl PhysMemory for FileAsMemory<'_> {
    fn ranges(&self) -> &[MemoryRange] {
        &self.ranges
    }

    fn read(&self, at: PhysAddr, buffer: &mut [u8]) -> Result<(), MemoryError> {
        let damaged = |source| MemoryError::Damaged { at, source: Arc::new(source) };
        self.image.read(at.0, buffer).map_err(damaged)
    }

    fn piece_end(&self, at: PhysAddr) -> PhysAddr {
        PhysAddr(self.image.unit_end(at.0))
    }

    fn zeros(&self, at: PhysAddr) -> u64 {
        self.image.zeros(at.0)
    }
}

#[cfg(test)]
#[path = "elf_tests.rs"]
mod tests;
