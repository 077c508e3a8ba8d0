//! A step by arm64 frame records.
//!
//! ```text
//! x29 ──► 0  caller's x29
//!         8  return address, signed where there is pointer authentication
//!
//! 0, 0: no function called this one
//!         16 frame_record_meta's type, in newer kernels: 1 the stack's end, 2 saved registers
//!
//! pt_regs: x0 .. x30, sp, pc, pstate, then more; the record above is its `stackframe`
//! ```
//!
//! Before Linux commit c2c6b27b5aa1 "arm64: stacktrace: unwind exception boundaries" (in v6.13),
//! the record in saved registers has the interrupted address as its return address, so that
//! the chain goes through it: it equals the saved x29 and pc. Pointer authentication replaces
//! the highest bits; bit 55 says what they were.

use vmcore_formats::addr::VirtAddr;

use crate::kernel::CodeAddress;
use crate::kernel::arch::arm64::registers::{plausible, resume, whole};
use crate::kernel::unwind::{EntryRegisters, Failure, Guest, Position, StackEnd, Step, Trust};

const REGISTERS: u64 = 2;
/// How many instructions of a function are looked at.
const MAX_INSTRUCTIONS: u64 = 2048;

/// What differs between kernels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FrameRecords {
    /// The bits that pointer authentication takes: VMCOREINFO's `KERNELPACMASK`.
    pub(super) pac_mask: u64,
    /// Where `stackframe` may be in `struct pt_regs`.
    pub(super) stackframe: Vec<u64>,
}

impl FrameRecords {
    /// An address without its authentication code.
    pub(super) fn strip(&self, address: u64) -> u64 {
        const KERNEL: u64 = 1 << 55;
        if address & KERNEL != 0 { address | self.pac_mask } else { address & !self.pac_mask }
    }

    /// The caller, by the frame record.
    pub(super) fn step(&self, guest: &dyn Guest, from: &Position) -> Result<Step, Failure> {
        if from.interrupted()
            && let Some(step) = self.without_record(guest, from)
        {
            return Ok(step);
        }
        if from.fp == 0 || !from.fp.is_multiple_of(8) {
            return Err(Failure::FramePointer(from.fp));
        }
        let record = VirtAddr(from.fp);
        let word = |offset: u64| {
            let at = record.wrapping_add(offset);
            guest.word(at).ok_or(Failure::Missing(at))
        };
        let (fp, found) = (word(0)?, word(8)?);
        if fp == 0 && found == 0 {
            let kind = word(16).unwrap_or_default();
            return self.marked(guest, record, kind);
        }
        if let Some(saved) = self.saved_around(guest, record, |saved| {
            saved.get("x29") == Some(fp) && saved.get("pc") == Some(found)
        }) {
            return resume(saved);
        }
        let address = CodeAddress::Return(VirtAddr(self.strip(found)));
        if !guest.is_text(address.lookup()) {
            let at = record.wrapping_add(8);
            return Err(Failure::NotCode { at, found });
        }
        let position = Position {
            address,
            sp: None,
            fp,
            rest: Some(record.wrapping_add(16)),
            registers: Vec::new(),
        };
        Ok(Step::Next { position, trust: Trust::FramePointer, entry: None })
    }

    /// The end of the stack, or saved registers: what a record of zeros marks.
    fn marked(&self, guest: &dyn Guest, record: VirtAddr, kind: u64) -> Result<Step, Failure> {
        let saved = self.saved_around(guest, record, |saved| kind == REGISTERS || saved.from_user);
        match saved {
            Some(saved) if kind == REGISTERS || saved.from_user => resume(saved),
            _ if kind == REGISTERS => Err(Failure::NoRegisters(record)),
            _ => Ok(Step::End { end: StackEnd::Bottom, entry: None }),
        }
    }

    /// The registers that a record is in, if they are what they should be.
    fn saved_around(
        &self,
        guest: &dyn Guest,
        record: VirtAddr,
        fit: impl Fn(&EntryRegisters) -> bool,
    ) -> Option<EntryRegisters> {
        let places = self.stackframe.iter().map(|offset| record.0.wrapping_sub(*offset));
        places
            .filter_map(|at| whole(guest, VirtAddr(at)))
            .find(|saved| plausible(saved) && fit(saved))
    }

    /// The caller of a function that has no record of its own yet, or no more: x30 has
    /// where it returns to.
    fn without_record(&self, guest: &dyn Guest, from: &Position) -> Option<Step> {
        let pc = from.address.address();
        let lr = VirtAddr(self.strip(from.register("x30")?));
        if guest.is_text(pc) && has_record(guest, guest.function(pc)?, pc)? {
            return None;
        }
        let address = CodeAddress::Return(lr);
        if !guest.is_text(address.lookup()) {
            return None;
        }
        let position =
            Position { address, sp: None, fp: from.fp, rest: from.rest, registers: Vec::new() };
        Some(Step::Next { position, trust: Trust::Registers, entry: None })
    }
}

/// Whether a function, when it is at `pc`, has made its record and not taken it back.
///
/// Its instructions are gone through in order, without following branches: what counts is
/// the last of `add x29, sp, #n` and `ldp x29, x30, [sp..]` before `pc`.
fn has_record(guest: &dyn Guest, start: VirtAddr, pc: VirtAddr) -> Option<bool> {
    let count = pc.0.checked_sub(start.0)? / 4;
    if count > MAX_INSTRUCTIONS {
        return None;
    }
    let mut made = false;
    for index in 0..count {
        let at = start.0.wrapping_add(index.wrapping_mul(4));
        let word = guest.word(VirtAddr(at & !7))?;
        let instruction = if at & 4 == 0 { word } else { word >> 32 } & 0xffff_ffff;
        // add x29, sp, #n
        if instruction & 0xff80_03ff == 0x9100_03fd {
            made = true;
        }
        // ldp x29, x30, [sp], #n begins an epilogue. Code after the epilogue is of other branches.
        let back =
            instruction & 0xff80_7fff == 0xa880_7bfd || instruction & 0xffc0_7fff == 0xa940_7bfd;
        if back {
            let left = count.saturating_sub(index);
            // At most autiasp, an adjustment of the stack pointer and ret follow.
            if left <= 4 {
                return Some(false);
            }
        }
    }
    Some(made)
}

#[cfg(test)]
#[path = "frame_record_tests.rs"]
mod tests;
