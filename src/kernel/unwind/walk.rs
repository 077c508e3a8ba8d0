//! The walk from a stack's top to its end.
//!
//! ```text
//! x86-64 with ORC     orc ──► frame pointer, if plausible ──► scan
//! x86-64 without      frame pointer ──► scan
//! arm64               frame records ──► scan
//! ```
//!
//! What follows a scan is only as sure as the scan was, whatever finds it. The number of frames
//! is bounded, and a position that was seen before ends the walk.

use std::collections::HashSet;

use super::guest::Guest;
use super::method::Method;
use super::stack_frame::{EntryRegisters, StackEnd, StackFrame, Trust};
use super::step::{Failure, Position, Step};

/// The most functions of a stack. The kernel's are 16 KiB, or 32 KiB where it checks itself.
pub(crate) const MAX_FRAMES: usize = 256;
/// The most functions that are found by scanning.
pub(crate) const MAX_SCANNED: usize = 64;

/// A stack that was walked through. No function has its name yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Walked {
    /// The functions, the one that ran first.
    pub(crate) frames: Vec<StackFrame>,
    /// Where it ended.
    pub(crate) end: StackEnd,
    /// Where the kernel's own method failed: after how many frames, and why.
    pub(crate) breaks: Vec<(usize, Failure, Trust)>,
}

/// Walks a stack from a position on.
pub(crate) fn walk(guest: &dyn Guest, method: &dyn Method, start: Position) -> Walked {
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
    guest: &dyn Guest,
    method: &dyn Method,
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
    StackFrame { address, sp, symbol: None, trust, entry: None }
}

/// Keeps saved registers with the function that was entered by saving them.
fn attach(frames: &mut [StackFrame], entry: Option<Box<EntryRegisters>>) {
    if let (Some(last), Some(entry)) = (frames.last_mut(), entry) {
        last.entry = Some(entry);
    }
}
