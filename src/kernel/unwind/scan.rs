//! A search of the stack for what may be return addresses, where nothing else finds the caller.
//!
//! A word counts if it is an address of code, and the instruction before that code is a call.
//! It may still be of a function that has long returned: see [`Trust::Scan`].

use vmcore_formats::addr::VirtAddr;

use super::guest::Guest;
use super::stack_frame::Trust;
use super::step::{Failure, Position, Step};
use crate::kernel::CodeAddress;

/// Stacks are aligned to their length; where they are longer, this is a part of one.
const STACK: u64 = 16 << 10;
const WORD: u64 = 8;

/// The next word on the stack that may be a return address, with `strip` applied to each.
pub(crate) fn step(
    guest: &dyn Guest,
    from: &Position,
    ends_in_call: fn(&[u8]) -> bool,
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
        if guest.is_text(address.lookup()) && follows_a_call(guest, address.address(), ends_in_call)
        {
            // With frame pointers, the caller's frame pointer precedes the return address.
            let plausible = before > at.0 && before < end && before.is_multiple_of(WORD);
            let fp = if plausible { before } else { 0 };
            let sp = Some(at.wrapping_add(WORD));
            let position = Position { address, sp, fp, rest: sp, registers: Vec::new() };
            return Ok(Step::Next { position, trust: Trust::Scan, entry: None });
        }
        before = found;
    }
    Err(Failure::Nothing)
}

/// Whether the instruction before `at` is a call, as far as that can be read.
fn follows_a_call(guest: &dyn Guest, at: VirtAddr, ends_in_call: fn(&[u8]) -> bool) -> bool {
    let start = VirtAddr(at.0.wrapping_sub(WORD) & !(WORD - 1));
    let words = [start, start.wrapping_add(WORD)].map(|at| guest.word(at));
    let [Some(first), second] = words else { return true };
    let bytes = [first.to_le_bytes(), second.unwrap_or_default().to_le_bytes()].concat();
    let length = usize::try_from(at.0.wrapping_sub(start.0)).unwrap_or_default();
    let Some(code) = bytes.get(..length) else { return true };
    ends_in_call(code)
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
