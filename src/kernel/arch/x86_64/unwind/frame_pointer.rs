//! A step by x86-64 frame pointers, as kernels without ORC keep them.
//!
//! ```text
//! bp ──► 0  caller's bp
//!        8  return address          caller: ip = *(bp + 8), sp = bp + 16, bp = *bp
//!
//! bp with bit 0 set: no frame, but saved registers at bp - 1
//! bp = 0: the stack's end, with user registers behind it if a system call began it
//! ```
//!
//! Entry code marks registers so (Linux commit 946c191161ce "x86/entry/unwind: Create
//! stack frames for saved interrupt registers", in v4.9). A kernel thread's first
//! registers are zeros.
//!
//! A function that was interrupted before it had set `bp` is recognised by its first
//! instructions: its return address is at `sp` before `push %rbp`, and at `sp + 8` after
//! that. Test: `a_function_interrupted_in_its_prologue_keeps_its_caller`.

use vmcore_formats::addr::VirtAddr;

use crate::kernel::CodeAddress;
use crate::kernel::arch::x86_64::registers;
use crate::kernel::unwind::{Failure, Guest, Position, StackEnd, Step, Trust};

/// How long the largest stack is: the largest distance of two frames on one.
const MAX_STACK: u64 = 64 << 10;
/// `push %rbp`
const PUSH_BP: &[u8] = &[0x55];
/// What may precede it: `endbr64`, the five bytes of ftrace's call or of its no-op, and older
/// forms of the no-op.
const BEFORE: [&[u8]; 4] = [
    &[0xf3, 0x0f, 0x1e, 0xfa],
    &[0x0f, 0x1f, 0x44, 0x00, 0x00],
    &[0x66, 0x66, 0x66, 0x66, 0x90],
    &[0x66, 0x66, 0x66, 0x90],
];
const CALL: u8 = 0xe8;
const CALL_LENGTH: usize = 5;
/// `mov %rsp,%rbp`, in its two encodings.
const SET_BP: [&[u8]; 2] = [&[0x48, 0x89, 0xe5], &[0x48, 0x8b, 0xec]];
/// `pop %rbp`, behind which a function returns.
const POP_BP: &[u8] = &[0x5d];
/// `ret`
const RETURN: &[u8] = &[0xc3];
/// `jmp`: of the thunk that returns in its place, where a processor's returns are not safe.
const JUMP: &[u8] = &[0xe9];

/// The caller, by the frame pointer.
pub(super) fn step(guest: &dyn Guest, from: &Position) -> Result<Step, Failure> {
    if from.interrupted()
        && let Some(step) = without_frame(guest, from)
    {
        return Ok(step);
    }
    if from.fp == 0 {
        return Ok(end(guest, from));
    }
    if from.fp & 1 == 1 {
        return marked(guest, from);
    }
    if !from.fp.is_multiple_of(8) {
        return Err(Failure::FramePointer(from.fp));
    }
    let frame = VirtAddr(from.fp);
    let fp = guest.word(frame).ok_or(Failure::Missing(frame))?;
    let at = frame.wrapping_add(8);
    called_from(guest, at, fp)
}

/// The same where `bp` need not be a frame pointer: only if the frame is plausible.
pub(super) fn guess(guest: &dyn Guest, from: &Position) -> Result<Step, Failure> {
    let implausible = Failure::FramePointer(from.fp);
    let sp = from.sp.ok_or_else(|| implausible.clone())?;
    let distance = from.fp.wrapping_sub(sp.0);
    if !from.fp.is_multiple_of(8) || distance > MAX_STACK {
        return Err(implausible);
    }
    match step(guest, from) {
        Ok(Step::Next { position, trust: Trust::FramePointer, entry }) => {
            Ok(Step::Next { position, trust: Trust::FramePointer, entry })
        }
        _ => Err(implausible),
    }
}

/// The registers that a marked frame pointer leads to.
fn marked(guest: &dyn Guest, from: &Position) -> Result<Step, Failure> {
    let at = VirtAddr(from.fp & !1);
    if !at.is_aligned(8) {
        return Err(Failure::FramePointer(from.fp));
    }
    let saved = registers::whole(guest, at)?;
    if registers::of_a_kernel_thread(&saved) {
        return Ok(Step::End { end: StackEnd::Bottom, entry: None });
    }
    registers::resume(saved, 0, true)
}

/// What is below the last frame: the registers of user code, if a system call began the stack.
fn end(guest: &dyn Guest, from: &Position) -> Step {
    let saved = from.sp.and_then(|sp| registers::whole(guest, sp).ok());
    let of_user = saved.filter(|saved| saved.from_user);
    match of_user.and_then(|saved| registers::resume(saved, 0, true).ok()) {
        Some(end @ Step::End { .. }) => end,
        _ => Step::End { end: StackEnd::Bottom, entry: None },
    }
}

/// The caller of a function that has no frame of its own yet, or no more.
fn without_frame(guest: &dyn Guest, from: &Position) -> Option<Step> {
    let (sp, ip) = (from.sp?, from.address.address());
    let at = if guest.is_text(ip) {
        let start = guest.function(ip)?;
        frame_missing(guest, start, ip).map(|pushed| sp.wrapping_add(pushed))?
    } else {
        // A call of an address that is no code has pushed its return address, and no more.
        sp
    };
    called_from(guest, at, from.fp).ok()
}

/// How many bytes a function has pushed, if its frame pointer is still its caller's.
fn frame_missing(guest: &dyn Guest, start: VirtAddr, ip: VirtAddr) -> Option<u64> {
    let code = Code::read(guest, start);
    let done = usize::try_from(ip.0.checked_sub(start.0)?).ok()?;
    let here = Code::read(guest, ip);
    let popped = Code::read(guest, ip.wrapping_sub(1)).starts_with(0, POP_BP);
    if here.starts_with(0, RETURN) || popped && here.starts_with(0, JUMP) {
        return Some(0);
    }
    let push = code.skip_prefix();
    if done <= push {
        // At the start of a function, whatever it is. Or before the frame is made.
        return (done == 0 || code.starts_with(push, PUSH_BP)).then_some(0);
    }
    let set = push.checked_add(PUSH_BP.len())?;
    let sets = SET_BP.iter().any(|set_bp| code.starts_with(set, set_bp));
    (code.starts_with(push, PUSH_BP) && sets && done == set).then_some(8)
}

/// The first bytes of a function.
struct Code(Vec<u8>);

impl Code {
    fn read(guest: &dyn Guest, start: VirtAddr) -> Self {
        let first = VirtAddr(start.0 & !7);
        let words = (0..4).map_while(|index| guest.word(first.wrapping_add(index * 8)));
        let skip = usize::try_from(start.0 & 7).unwrap_or_default();
        Self(words.flat_map(u64::to_le_bytes).skip(skip).collect())
    }

    fn starts_with(&self, at: usize, bytes: &[u8]) -> bool {
        self.0.get(at..).is_some_and(|code| code.starts_with(bytes))
    }

    fn skip_prefix(&self) -> usize {
        let mut at = 0_usize;
        // endbr64 and one no-op or call at most.
        for _ in 0..2 {
            let known = BEFORE.iter().find(|bytes| self.starts_with(at, bytes));
            let length = match known {
                Some(bytes) => bytes.len(),
                None if self.starts_with(at, &[CALL]) => CALL_LENGTH,
                None => 0,
            };
            at = at.saturating_add(length);
        }
        at
    }
}

/// The caller whose return address is at `at`.
fn called_from(guest: &dyn Guest, at: VirtAddr, fp: u64) -> Result<Step, Failure> {
    let found = guest.word(at).ok_or(Failure::Missing(at))?;
    let address = CodeAddress::Return(VirtAddr(found));
    if !guest.is_text(address.lookup()) {
        return Err(Failure::NotCode { at, found });
    }
    let sp = Some(at.wrapping_add(8));
    let position = Position { address, sp, fp, rest: sp, registers: Vec::new() };
    Ok(Step::Next { position, trust: Trust::FramePointer, entry: None })
}

#[cfg(test)]
#[path = "frame_pointer_tests.rs"]
mod tests;
