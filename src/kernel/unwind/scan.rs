//! A search of the stack for what may be return addresses, where nothing leads on.
//!
//! A word counts if it is an address of code, and what stands before that code is a call.
//! It may still be of a function that has long returned: see [`Trust::Scan`].
//!
//! ```text
//! x86-64   e8 rel32, 5 bytes | ff /2, 2 to 7 bytes
//! arm64    bl imm26: 0x94000000 | blr Xn: 0xd63f0000, with authentication 0xd63f08xx, 0xd73f08xx
//! ```

use vmcore_formats::addr::VirtAddr;

use super::guest::Guest;
use super::stack_frame::Trust;
use super::step::{Failure, Position, Step};
use crate::kernel::CodeAddress;

/// Stacks are aligned to their length; where they are longer, this is a part of one.
const STACK: u64 = 16 << 10;
const WORD: u64 = 8;

/// Whose calls are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Calls {
    X86,
    Arm64,
}

/// The next word on the stack that may be a return address, with `strip` applied to each.
pub(super) fn step(
    guest: &impl Guest,
    from: &Position,
    calls: Calls,
    strip: impl Fn(u64) -> u64,
) -> Result<Step, Failure> {
    let start = from.rest.map(|rest| rest.0).filter(|sp| *sp != 0).ok_or(Failure::Nothing)?;
    let start = start.checked_next_multiple_of(WORD).ok_or(Failure::Nothing)?;
    let end = start.saturating_add(1).checked_next_multiple_of(STACK).unwrap_or(u64::MAX);
    let mut before = 0;
    for at in (start..end).step_by(8).map(VirtAddr) {
        // What follows a word that is missing is on another page, or none of this stack.
        let found = guest.word(at).ok_or(Failure::Nothing)?;
        let address = CodeAddress::Return(VirtAddr(strip(found)));
        if guest.is_text(address.lookup()) && follows_a_call(guest, address.address(), calls) {
            // Where there are frame pointers, the caller's stands before its return address.
            let plausible = before > at.0 && before < end && before.is_multiple_of(WORD);
            let fp = if plausible { before } else { 0 };
            let sp = Some(VirtAddr(at.0.wrapping_add(WORD)));
            let position = Position { address, sp, fp, rest: sp, registers: Vec::new() };
            return Ok(Step::Next { position, trust: Trust::Scan, entry: None });
        }
        before = found;
    }
    Err(Failure::Nothing)
}

/// Whether a call stands before `at`, as far as that can be read.
fn follows_a_call(guest: &impl Guest, at: VirtAddr, calls: Calls) -> bool {
    let start = VirtAddr(at.0.wrapping_sub(WORD) & !(WORD - 1));
    let words = [start, VirtAddr(start.0.wrapping_add(WORD))].map(|at| guest.word(at));
    let [Some(first), second] = words else { return true };
    let bytes = [first.to_le_bytes(), second.unwrap_or_default().to_le_bytes()].concat();
    let length = usize::try_from(at.0.wrapping_sub(start.0)).unwrap_or_default();
    let Some(code) = bytes.get(..length) else { return true };
    match calls {
        Calls::X86 => x86_call(code),
        Calls::Arm64 => arm64_call(code),
    }
}

/// What the call before a return address calls, on x86-64, if its target is in the call.
pub(super) fn called_before(guest: &impl Guest, at: VirtAddr) -> Option<VirtAddr> {
    /// `call rel32`
    const CALL: u8 = 0xe8;
    const LENGTH: u64 = 5;
    let start = VirtAddr(at.0.wrapping_sub(LENGTH));
    if !guest.is_text(start) {
        return None;
    }
    let first = VirtAddr(start.0 & !(WORD - 1));
    let words = [first, VirtAddr(first.0.wrapping_add(WORD))].map(|at| guest.word(at));
    let bytes = [words[0]?.to_le_bytes(), words[1].unwrap_or_default().to_le_bytes()].concat();
    let call = bytes.get(usize::try_from(start.0 & (WORD - 1)).ok()?..)?;
    let (CALL, target) = call.split_first().map(|(first, rest)| (*first, rest))? else {
        return None;
    };
    let target = i32::from_le_bytes(*target.first_chunk()?);
    Some(VirtAddr(at.0.wrapping_add_signed(target.into())))
}

fn x86_call(code: &[u8]) -> bool {
    let from_end = |back: usize| code.get(code.len().checked_sub(back)?..);
    let direct = from_end(5).is_some_and(|call| call.first() == Some(&0xe8));
    // The second byte's middle bits are the operation: 2 is a call.
    let indirect = (2..=7).any(
        |length| matches!(from_end(length), Some([0xff, operand, ..]) if operand >> 3 & 7 == 2),
    );
    direct || indirect
}

fn arm64_call(code: &[u8]) -> bool {
    let Some(instruction) = code.last_chunk().copied().map(u32::from_le_bytes) else {
        return false;
    };
    instruction >> 26 == 0b10_0101 || instruction & 0xfeff_f000 == 0xd63f_0000
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
