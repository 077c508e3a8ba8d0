//! The walk from a stack's top to its end, by each way in turn.
//!
//! ```text
//! x86-64 with ORC     orc ──► frame pointer, if plausible ──► scan
//! x86-64 without      frame pointer ──► scan
//! arm64               frame records ──► scan
//! ```
//!
//! What follows a scan is only as sure as the scan was, whatever finds it. Each way is
//! bounded, and so is the whole: a place that was seen before ends it.

use std::collections::HashSet;

use super::arm64::Arm64;
use super::guest::Guest;
use super::scan::Calls;
use super::stack_frame::{EntryRegisters, StackEnd, StackFrame, Trust};
use super::step::{Failure, Position, Step};
use super::{frame_pointer, orc, scan};

/// The most functions of a stack. The kernel's are 16 KiB, or 32 KiB where it checks itself.
const MAX_FRAMES: usize = 256;
/// The most functions that are found by scanning: what is left over comes again and again.
const MAX_SCANNED: usize = 64;

/// How stacks of a kernel are unwound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// x86-64, with tables.
    Orc,
    /// x86-64, with frame pointers.
    FramePointer,
    /// arm64.
    Arm64(Arm64),
}

impl Method {
    /// The caller, in the way that all of the kernel's code is made for.
    fn step(&self, guest: &impl Guest, from: &Position) -> Result<Step, Failure> {
        match self {
            Self::Orc => orc::step(guest, from),
            Self::FramePointer => frame_pointer::step(guest, from),
            Self::Arm64(arm64) => arm64.step(guest, from),
        }
    }

    /// The caller, in whatever way may be left.
    fn guess(&self, guest: &impl Guest, from: &Position) -> Result<Step, Failure> {
        match self {
            Self::Orc => frame_pointer::guess(guest, from)
                .or_else(|_| scan::step(guest, from, Calls::X86, |word| word)),
            Self::FramePointer => scan::step(guest, from, Calls::X86, |word| word),
            Self::Arm64(arm64) => scan::step(guest, from, Calls::Arm64, |word| arm64.strip(word)),
        }
    }
}

/// A stack that was walked through. No function has its name yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Walked {
    /// The functions, the one that ran first.
    pub(crate) frames: Vec<StackFrame>,
    /// Where it ended.
    pub(crate) end: StackEnd,
    /// Where the kernel's own way did not lead on: after how many functions, and why.
    pub(super) breaks: Vec<(usize, Failure, Trust)>,
}

/// Walks a stack from a position on.
pub(crate) fn walk(guest: &impl Guest, method: &Method, start: Position) -> Walked {
    let mut walked = Walked { frames: Vec::new(), end: StackEnd::Bottom, breaks: Vec::new() };
    let mut seen = HashSet::new();
    let mut position = start;
    let mut trust = Trust::Registers;
    let mut scanned = 0_usize;
    let mut doubt = Trust::Registers;
    loop {
        seen.insert((position.address, position.rest, position.fp));
        walked.frames.push(frame(&position, trust.max(doubt)));
        if walked.frames.len() >= MAX_FRAMES {
            walked.end = StackEnd::Cut(format!("there are more than {MAX_FRAMES} functions"));
            return walked;
        }
        let step = step(guest, method, &position, &seen).or_else(|failure| {
            let guessed = method.guess(guest, &position).and_then(|step| new(step, &seen));
            match guessed {
                Ok(step @ Step::Next { trust, .. }) if scanned < MAX_SCANNED => {
                    scanned = scanned.saturating_add(1);
                    if trust == Trust::Scan {
                        doubt = trust;
                    }
                    walked.breaks.push((walked.frames.len(), failure, trust));
                    Ok(step)
                }
                _ => Err(failure),
            }
        });
        match step {
            Ok(Step::Next { position: next, trust: how, entry }) => {
                attach(&mut walked.frames, entry);
                (position, trust) = (next, how);
            }
            Ok(Step::End { end, entry }) => {
                attach(&mut walked.frames, entry);
                walked.end = end;
                return walked;
            }
            Err(failure) => {
                walked.end = StackEnd::Cut(failure.to_string());
                return walked;
            }
        }
    }
}

type Seen = HashSet<(crate::kernel::CodeAddress, Option<vmcore_formats::addr::VirtAddr>, u64)>;

fn step(
    guest: &impl Guest,
    method: &Method,
    from: &Position,
    seen: &Seen,
) -> Result<Step, Failure> {
    new(method.step(guest, from)?, seen)
}

/// A step to where the walk has not been yet.
fn new(step: Step, seen: &Seen) -> Result<Step, Failure> {
    match &step {
        Step::Next { position, .. }
            if seen.contains(&(position.address, position.rest, position.fp)) =>
        {
            Err(Failure::NoProgress)
        }
        _ => Ok(step),
    }
}

fn frame(position: &Position, trust: Trust) -> StackFrame {
    let Position { address, sp, .. } = *position;
    StackFrame { address, sp, place: None, trust, entry: None }
}

/// Keeps saved registers with the function that was entered by saving them.
fn attach(frames: &mut [StackFrame], entry: Option<Box<EntryRegisters>>) {
    if let (Some(last), Some(entry)) = (frames.last_mut(), entry) {
        last.entry = Some(entry);
    }
}

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;
