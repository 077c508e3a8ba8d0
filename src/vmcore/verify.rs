//! Checks a stored core for damage.
//!
//! Needs: an open core. Gives: every damage, with its place in the file and in the
//! guest's memory, and what is missing. All of the core is read.

use std::io::ErrorKind;
use std::ops::ControlFlow;

use serde::Serialize;
use vmcore_formats::addr::PhysAddr;
use vmcore_formats::elf::Segment;
use vmcore_formats::elf::stored_core::PAGE;

use super::memory::MemoryRange;
use super::opened::Vmcore;
use super::scan::{Content, scan};
use super::{verify_chunks, verify_metadata};
use crate::corefile::pack;
use crate::corefile::read::chunked::ChunkedFile;
use crate::metadata::{CaptureResult, Metadata, PACK_FILE};

/// How many ranges of memory are listed for one damage: segments may overlap, and a file
/// may have hundreds of thousands of them.
const MAX_RANGES: usize = 256;

/// How many damages are listed, and how many sentences on what is missing.
const MAX_DAMAGE: usize = 1000;

/// Something that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// What it is.
    pub problem: String,
    /// Where it begins in the file.
    pub file_offset: Option<u64>,
    /// How many bytes of the file are concerned.
    pub file_bytes: Option<u64>,
    /// Where it begins in the unpacked core.
    pub core_offset: Option<u64>,
    /// The guest memory that cannot be trusted.
    pub memory: Vec<GuestRange>,
}

/// A range of guest physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct GuestRange {
    /// Where it begins.
    pub start: u64,
    /// How many bytes it has.
    pub length: u64,
}

/// The result of a verification.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// How many chunks were unpacked and compared with their checksums.
    pub chunks: u64,
    /// How many bytes of the core were checked.
    pub bytes: u64,
    /// What is damaged: the first of it, if it is very much.
    pub damage: Vec<Damage>,
    /// How much more is damaged.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_damage: u64,
    /// What is missing, although nothing is damaged.
    pub missing: Vec<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Verification {
    /// How much is damaged.
    pub fn damage_count(&self) -> u64 {
        (self.damage.len() as u64).saturating_add(self.more_damage)
    }

    fn add(&mut self, damage: Damage) {
        if self.damage.len() < MAX_DAMAGE {
            self.damage.push(damage);
        } else {
            self.more_damage = self.more_damage.saturating_add(1);
        }
    }

    /// Notes why the check ended before all was read.
    fn ended(&mut self, reason: &dyn std::fmt::Display) {
        self.missing.push(format!("not all of it was checked: {reason}"));
    }
}

/// Checks a core from end to end.
pub fn verify(core: &Vmcore, threads: usize) -> Verification {
    let mut found = Verification { missing: core.findings().to_vec(), ..Verification::default() };
    match core.chunked() {
        Some(chunked) => {
            found.chunks = chunked.table().frames().len() as u64;
            found.bytes = chunked.table().unpacked_length();
            let checked = verify_chunks::check_chunks(chunked, threads, MAX_DAMAGE);
            found.more_damage = checked.count.saturating_sub(checked.bad.len() as u64);
            for bad in checked.bad {
                let (start, length) = (bad.chunk.offset, u64::from(bad.chunk.entry.decompressed));
                found.damage.push(Damage {
                    problem: format!("chunk {}: {}", bad.chunk.index, bad.problem),
                    file_offset: Some(bad.chunk.file_offset),
                    file_bytes: Some(u64::from(bad.chunk.entry.compressed)),
                    core_offset: Some(start),
                    memory: in_memory(core.segments(), start, length),
                });
            }
            if let Some(error) = checked.ended {
                found.ended(&error);
            }
            if checked.not_there > 0 {
                found.missing.push(format!(
                    "{} chunks are not in the triage pack, which is all that there is of the core",
                    checked.not_there
                ));
            }
        }
        None => read_all(core, threads, &mut found),
    }
    let part = |metadata: Metadata| metadata.result != CaptureResult::Complete;
    if found.missing.is_empty() && core.metadata().is_some_and(part) {
        found.missing.push("its metadata says that a part of the dump is missing".to_owned());
    }
    let damage = |problem| Damage { problem, ..Damage::default() };
    let metadata = verify_metadata::check(core);
    elf_problems(core, &mut |problem| found.add(damage(problem)));
    metadata.problems.into_iter().for_each(|problem| found.add(damage(problem)));
    found.missing.extend(metadata.not_compared);
    if let Some(problem) = core.chunked().and_then(|chunked| pack_problem(core, chunked)) {
        found.add(damage(format!("{PACK_FILE}: {problem}")));
    }
    found
}

/// What is wrong with the triage pack beside a core.
fn pack_problem(core: &Vmcore, chunked: &ChunkedFile) -> Option<String> {
    match core.neighbours().pack() {
        Ok(pack) => pack::check(chunked, pack),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => Some(format!("it cannot be read: {error}")),
    }
}

/// Reads what is stored without checksums: what cannot be read is damaged.
fn read_all(core: &Vmcore, threads: usize, found: &mut Verification) {
    let work = |piece: MemoryRange, content: Content<'_>| match content {
        Content::Missing(
            super::MemoryError::Excluded { .. }
            | super::MemoryError::LeftOut { .. }
            | super::MemoryError::Truncated { .. },
        ) => Ok(0),
        Content::Missing(error) => Err((piece, error)),
        _ => Ok(piece.length),
    };
    scan(core.memory(), core.memory().ranges(), threads, work, |result| {
        match result {
            Ok(bytes) => found.bytes = found.bytes.saturating_add(bytes),
            Err((_, error)) if error.is_too_much() => {
                found.ended(&error);
                return ControlFlow::Break(());
            }
            Err((piece, error)) => found.add(Damage {
                problem: error.to_string(),
                memory: vec![GuestRange { start: piece.start.0, length: piece.length }],
                ..Damage::default()
            }),
        }
        ControlFlow::Continue(())
    });
}

/// What of the guest's memory lies in a range of the unpacked core.
fn in_memory(segments: &[Segment], start: u64, length: u64) -> Vec<GuestRange> {
    let end = start.saturating_add(length);
    let hit = |segment: &Segment| {
        let from = segment.offset.max(start);
        let to = segment.offset.saturating_add(segment.file_size).min(end);
        let length = to.checked_sub(from).filter(|length| *length > 0)?;
        let skipped = from.saturating_sub(segment.offset);
        Some(GuestRange { start: segment.physical.0.saturating_add(skipped), length })
    };
    segments.iter().filter_map(hit).take(MAX_RANGES).collect()
}

/// What contradicts itself in an ELF core.
fn elf_problems(core: &Vmcore, report: &mut dyn FnMut(String)) {
    for note in core.notes() {
        if let Err(error) = note {
            report(format!("the notes are damaged: {error}"));
        }
    }
    let record = core.left_out();
    let mut order: Vec<&Segment> = core.segments().iter().collect();
    order.sort_by_key(|segment| segment.physical);
    let mut end = PhysAddr(0);
    for segment in order {
        if segment.physical < end {
            report(format!("two segments describe the memory at {}", segment.physical));
        }
        end = end.max(segment.physical.saturating_add(segment.memory_size));
        if let Some(run) = record.and_then(|record| record.first_in(segment)) {
            report(format!(
                "the {} page at {} is recorded as left out, and is in the segment at {}",
                run.class, run.start, segment.physical
            ));
        }
        // A page of ours never lies across two chunks; foreign cores promise nothing.
        if core.chunked().is_some() && segment.offset.wrapping_sub(segment.physical.0) % PAGE != 0 {
            report(format!(
                "the segment at {} is not aligned to pages in the file",
                segment.physical
            ));
        }
    }
}
