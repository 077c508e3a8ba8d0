//! Brings an entry to its end, after the guest was let go.
//!
//! ```text
//! chunk, chunk, ... | metadata in a skippable frame | seek table
//! ```
//!
//! Needs: what the dump left. Gives: a published entry, or an incomplete one
//! with the same parts, or nothing.

use std::fmt::Write as _;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use vmcore_formats::cursor::Endian;
use vmcore_formats::elf::Class;
use vmcore_formats::seekable::{FrameEntry, METADATA_MAGIC, SeekTable, skippable_frame};

use super::dump::Attempt;
use super::outcome::{CaptureError, Problem};
use super::session::Session;
use super::stream::{CHUNK, Written};
use crate::store::StoreError;
use crate::store::metadata::{CaptureResult, Core};
use crate::store::staging::Staging;

/// Low 32 bits of XXH64 of no bytes: what a frame without content has.
const CHECKSUM_OF_NOTHING: u32 = 0x51d8_e999;
/// How much of the newest chunks is given up where a full disk leaves no room
/// for a seek table, in bytes.
const GIVEN_UP: u64 = 1 << 20;

/// What is on disk in the end.
#[derive(Debug, Default)]
pub(super) struct Finished {
    pub(super) entry: Option<PathBuf>,
    pub(super) incomplete: Option<PathBuf>,
}

/// Ends the entry: published if the dump is whole, incomplete if a part is worth
/// keeping, and removed if not.
pub(super) fn finish(
    session: &mut Session<'_>,
    mut attempt: Attempt,
    keep: bool,
    problems: &mut Vec<Problem>,
) -> Finished {
    session.metadata.result = CaptureResult::Incomplete;
    let Some(staging) = attempt.staging.take() else {
        session.metadata.phases = session.clock.phases();
        return Finished::default();
    };
    let written = take_written(session, &mut attempt);
    let whole = attempt.outcome.is_ok() && matches!(written, Some(Ok(_)));
    let written = match written {
        Some(Ok(written)) => Some(written),
        Some(Err((error, written))) => {
            problems.push(Problem::new(&error, error.hint()));
            session.metadata.failure = Some(error.as_failure("write"));
            Some(written)
        }
        None => None,
    };
    let hangs = written.is_none() && attempt.pipeline.is_some();
    let Some(mut written) = written.filter(|written| keep && !written.table.frames.is_empty())
    else {
        session.metadata.phases = session.clock.phases();
        if keep && hangs {
            // The writer has not come back from the disk. What it wrote may be
            // all that is left of the guest's memory.
            return Finished { entry: None, incomplete: Some(staging.staged().to_owned()) };
        }
        staging.discard();
        session.metadata.id.clear();
        return Finished::default();
    };
    if whole {
        session.metadata.result = CaptureResult::Complete;
    }
    let staged = staging.staged().to_owned();
    match complete(session, &attempt, staging, &mut written, whole) {
        Ok(Some(entry)) => {
            session.observer.step(&format!("published {}", entry.display()));
            Finished { entry: Some(entry), incomplete: None }
        }
        Ok(None) => Finished { entry: None, incomplete: Some(staged) },
        Err(error) => {
            session.metadata.result = CaptureResult::Incomplete;
            problems.push(Problem::new(&error, error.hint()));
            Finished { entry: None, incomplete: Some(staged) }
        }
    }
}

/// What is in the file. The writer may still be at it: it is waited for as long
/// as a whole core may come of it, and a while if only a part can.
fn take_written(
    session: &Session<'_>,
    attempt: &mut Attempt,
) -> Option<Result<Written, (CaptureError, Written)>> {
    let started = Instant::now();
    while let Some(pipeline) = &attempt.pipeline {
        attempt.stream = attempt.stream.take().or_else(|| pipeline.take_stream_end());
        attempt.output = attempt.output.take().or_else(|| pipeline.take_output());
        let patient = match attempt.outcome {
            Ok(()) => !session.interrupt.is_raised(),
            Err(_) => started.elapsed() < session.request.timeout,
        };
        if (attempt.output.is_some() && attempt.stream.is_some()) || !patient {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Some(attempt.output.take()?.map_err(super::dump_settling::split))
}

fn complete(
    session: &mut Session<'_>,
    attempt: &Attempt,
    staging: Staging,
    written: &mut Written,
    whole: bool,
) -> Result<Option<PathBuf>, StoreError> {
    let core_error = |source| StoreError::io("complete", staging.staged(), source);
    // The large part first, so that its time can be told in the metadata.
    written.file.sync_data().map_err(core_error)?;
    session.clock.lap("sync");
    session.metadata.phases = session.clock.phases();
    warn_of_contents(session, attempt);
    session.metadata.core = Some(describe(attempt, written, &staging));
    let mut json = session.metadata.to_json();
    if let Err(error) = append_tail(written, &json) {
        if whole || error.kind() != io::ErrorKind::StorageFull {
            return Err(core_error(error));
        }
        give_up_chunks(written);
        session.metadata.core = Some(describe(attempt, written, &staging));
        json = session.metadata.to_json();
        append_tail(written, &json).map_err(core_error)?;
    }
    written.file.sync_all().map_err(core_error)?;
    staging.write_metadata(&json, true)?;
    if !whole {
        return Ok(None);
    }
    let (entry, synced) = staging.publish()?;
    if let Err(error) = synced {
        let text = super::outcome::with_causes(&error);
        session
            .warn(format!("the entry is whole, but may not outlive a crash of the host: {text}"));
    }
    Ok(Some(entry))
}

/// Tells what the head of the dump gives reason to doubt.
fn warn_of_contents(session: &mut Session<'_>, attempt: &Attempt) {
    let Some(summary) = attempt.stream.as_ref().and_then(|stream| stream.summary.as_ref()) else {
        return;
    };
    if !summary.notes.consistent {
        session.warn(
            "the sizes of QEMU's notes contradict its headers: memory may be shifted in this core"
                .to_owned(),
        );
    }
    if summary.trailing_sections > 0 {
        session.warn(format!(
            "QEMU dumped {} bytes in sections behind the memory, which are not in this core",
            summary.trailing_sections
        ));
    }
}

/// Writes metadata and seek table behind the frames, over whatever is there.
fn append_tail(written: &mut Written, json: &[u8]) -> io::Result<()> {
    let too_large = || io::Error::from(io::ErrorKind::FileTooLarge);
    let end = written.table.compressed_length();
    // Setting the length that it has would free the room that was reserved.
    if written.file.metadata()?.len() != end {
        written.file.set_len(end)?;
    }
    written.file.seek(SeekFrom::Start(end))?;
    let frame = skippable_frame(METADATA_MAGIC, json).ok_or_else(too_large)?;
    let mut table = SeekTable { frames: written.table.frames.clone() };
    table.frames.push(FrameEntry {
        compressed: u32::try_from(frame.len()).map_err(|_| too_large())?,
        decompressed: 0,
        checksum: Some(CHECKSUM_OF_NOTHING),
    });
    let table = table.encode().ok_or_else(too_large)?;
    written.file.write_all(&frame)?;
    written.file.write_all(&table)
}

fn give_up_chunks(written: &mut Written) {
    let mut freed = 0_u64;
    while freed < GIVEN_UP
        && let Some(frame) = written.table.frames.pop()
    {
        freed = freed.saturating_add(u64::from(frame.compressed));
    }
    let _ = written.file.set_len(written.table.compressed_length());
}

fn describe(attempt: &Attempt, written: &Written, staging: &Staging) -> Core {
    let stream = attempt.stream.as_ref();
    let summary = stream.and_then(|stream| stream.summary.as_ref());
    let identity = summary.map(|summary| summary.identity);
    let file = staging.core_file().file_name().unwrap_or_default();
    Core {
        file: file.to_string_lossy().into_owned(),
        format: "elf+zstd-seekable".to_owned(),
        machine: identity.and_then(|identity| identity.machine_name()).map(str::to_owned),
        endianness: identity.map(|identity| {
            match identity.endian {
                Endian::Little => "little",
                Endian::Big => "big",
            }
            .to_owned()
        }),
        elf_class: identity.map(|identity| match identity.class {
            Class::Elf32 => 32,
            Class::Elf64 => 64,
        }),
        bytes_read: stream.map_or(0, |stream| stream.bytes_read),
        bytes_expected: summary.map(|summary| summary.stream_length),
        bytes_core: written.table.decompressed_length(),
        bytes_written: written.table.compressed_length(),
        zero_bytes: attempt.pipeline.as_ref().map_or(0, super::stream::Pipeline::zero_bytes),
        chunk_bytes: CHUNK as u64,
        chunks: written.table.frames.len() as u64,
        segments: summary.map(|summary| summary.segments),
        cpus: summary.map(|summary| summary.notes.cpus),
        vmcoreinfo: summary.map(|summary| summary.notes.vmcoreinfo),
        kernel_release: summary.and_then(|summary| summary.notes.release.clone()),
        kernel_build_id: summary.and_then(|summary| summary.notes.build_id.clone()),
        chunks_sha256: hash_of_chunks(&written.table),
    }
}

fn hash_of_chunks(table: &SeekTable) -> String {
    let entries: Vec<u8> = table.encode_entries().collect();
    let mut text = String::new();
    for byte in Sha256::digest(&entries) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
