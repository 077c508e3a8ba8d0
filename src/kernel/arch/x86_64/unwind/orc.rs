//! A step by the kernel's ORC tables.
//!
//! ```text
//! caller's sp   n = base + sp_offset; for an indirect base, the word at it
//! call          ip = *(n - 8), sp = n
//! registers     struct pt_regs at n, or an iret frame of five words
//! caller's bp   *(n + bp_offset), *(bp + bp_offset), or unchanged
//! ```
//!
//! A base of `(sp)` means `*sp + sp_offset`, since Linux commit 87ccc826bf1c
//! "x86/unwind/orc: Change `REG_SP_INDIRECT`" (in v5.12): the word where a stack begins
//! is the stack pointer of the one before. In older kernels it means `*(sp + sp_offset)`, and only
//! entries of registers have it, which in newer kernels never do: the kind of the entry decides.
//! Code without ORC entries: accept the stack word as a return address if the call before it
//! targets this code.
//!
//! Tests: `a_stack_switch_leads_to_the_word_where_it_begins`,
//! `registers_behind_an_old_stack_switch_are_found`.

use vmcore_formats::addr::VirtAddr;
use vmcore_formats::orc::{Base, Kind, OrcEntry};

use super::calls;
use crate::kernel::CodeAddress;
use crate::kernel::arch::x86_64::registers;
use crate::kernel::unwind::{Failure, Guest, Position, StackEnd, Step, Trust};

/// What is pushed by a call of address 0: its return address.
const CALLED_NOTHING: OrcEntry = OrcEntry {
    sp: Base::Sp,
    sp_offset: 8,
    bp: Base::Undefined,
    bp_offset: 0,
    kind: Kind::Call,
    signal: false,
};

/// The caller, by ORC.
///
/// `entry` looks up the entry of an instruction.
pub(super) fn step(
    guest: &dyn Guest,
    entry: impl Fn(VirtAddr) -> Option<OrcEntry>,
    from: &Position,
) -> Result<Step, Failure> {
    let ip = from.address.lookup();
    let entry = if from.interrupted() && !guest.is_text(ip) {
        // A call of an address that is no code has pushed its return address, and no more.
        CALLED_NOTHING
    } else {
        let found = entry(ip).filter(|entry| entry.kind != Kind::Undefined);
        found.or_else(|| called_here(guest, from)).ok_or(Failure::NoEntry)?
    };
    follow(guest, from, &entry)
}

/// An entry for code without ORC entries, if the call that led to it is on the stack.
///
/// Retpolines have no entries. The return address of the call inside of a retpoline may be above
/// that of the call that led to it.
fn called_here(guest: &dyn Guest, from: &Position) -> Option<OrcEntry> {
    let sp = from.sp.filter(|_| from.interrupted())?;
    let start = guest.function(from.address.address())?;
    let is_of_call = |skip: &i16| {
        let found = guest.word(offset(sp.0, *skip)).map(VirtAddr);
        found.and_then(|found| calls::target_before(guest, found)) == Some(start)
    };
    let skip = [0, 8].into_iter().find(is_of_call)?;
    Some(OrcEntry { sp_offset: skip.saturating_add(8), ..CALLED_NOTHING })
}

/// The caller, by an entry.
fn follow(guest: &dyn Guest, from: &Position, entry: &OrcEntry) -> Result<Step, Failure> {
    match entry.kind {
        Kind::End => return Ok(Step::End { end: StackEnd::Bottom, entry: None }),
        Kind::Undefined => return Err(Failure::NoEntry),
        Kind::Call | Kind::Regs | Kind::PartialRegs => {}
    }
    let sp = callers_sp(guest, from, entry)?;
    match entry.kind {
        Kind::Regs => {
            let saved = registers::whole(guest, sp)?;
            if registers::of_a_kernel_thread(&saved) {
                return Ok(Step::End { end: StackEnd::Bottom, entry: None });
            }
            return registers::resume(saved, from.fp, entry.signal);
        }
        Kind::PartialRegs => {
            let saved = registers::by_processor(guest, sp)?;
            return registers::resume(saved, from.fp, entry.signal);
        }
        _ => {}
    }
    // Entries based on rbp may switch stacks (`asm_call_irq_on_stack` in older kernels).
    let same_stack = entry.sp == Base::Sp;
    if same_stack && from.sp.is_some_and(|from| sp <= from) {
        return Err(Failure::NoProgress);
    }
    let at = sp.wrapping_sub(8);
    let found = word(guest, at)?;
    if !guest.is_text(VirtAddr(found.wrapping_sub(u64::from(!entry.signal)))) {
        return Err(Failure::NotCode { at, found });
    }
    let fp = match entry.bp {
        Base::PreviousSp => word(guest, offset(sp.0, entry.bp_offset))?,
        Base::Bp => word(guest, offset(from.fp, entry.bp_offset))?,
        _ => from.fp,
    };
    let ip = VirtAddr(found);
    let address = if entry.signal { CodeAddress::Instruction(ip) } else { CodeAddress::Return(ip) };
    let position = Position { address, sp: Some(sp), fp, rest: Some(sp), registers: Vec::new() };
    Ok(Step::Next { position, trust: Trust::Orc, entry: None })
}

/// The caller's stack pointer, or where registers are.
fn callers_sp(guest: &dyn Guest, from: &Position, entry: &OrcEntry) -> Result<VirtAddr, Failure> {
    let sp = from.sp.map(|sp| sp.0);
    let base = match entry.sp {
        Base::Sp | Base::SpIndirect => sp,
        Base::Bp | Base::BpIndirect => Some(from.fp),
        Base::Ax => from.register("rax"),
        Base::Dx => from.register("rdx"),
        Base::Di => from.register("rdi"),
        Base::R10 => from.register("r10"),
        Base::R13 => from.register("r13"),
        Base::PreviousSp | Base::Undefined => None,
    };
    let base = base.ok_or(Failure::NoBase)?;
    let found = match (entry.sp, entry.kind) {
        (Base::SpIndirect, Kind::Call) => offset(word(guest, VirtAddr(base))?, entry.sp_offset),
        (Base::SpIndirect | Base::BpIndirect, _) => {
            VirtAddr(word(guest, offset(base, entry.sp_offset))?)
        }
        _ => offset(base, entry.sp_offset),
    };
    if !found.is_aligned(8) {
        return Err(Failure::StackPointer(found.0));
    }
    Ok(found)
}

fn offset(base: u64, offset: i16) -> VirtAddr {
    VirtAddr(base.wrapping_add_signed(i64::from(offset)))
}

fn word(guest: &dyn Guest, at: VirtAddr) -> Result<u64, Failure> {
    guest.word(at).ok_or(Failure::Missing(at))
}

#[cfg(test)]
#[path = "orc_tests.rs"]
mod tests;
