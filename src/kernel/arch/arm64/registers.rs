//! The registers that an arm64 kernel saves where it is entered (`struct pt_regs`).
//!
//! ```text
//! 0    x0 .. x30
//! 248  sp pc pstate
//! ```
//!
//! Source: Linux `arch/arm64/include/uapi/asm/ptrace.h`, `struct user_pt_regs`.

use vmcore_formats::addr::VirtAddr;

use crate::kernel::CodeAddress;
use crate::kernel::unwind::{EntryRegisters, Failure, Guest, Position, StackEnd, Step, Trust};

const NAMES: [&str; 34] = [
    "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14",
    "x15", "x16", "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27",
    "x28", "x29", "x30", "sp", "pc", "pstate",
];
/// The exception level in PSTATE, 0 for user code.
pub(super) const LEVEL: u64 = 0xc;
/// The exception level, and which stack pointer is used.
const MODE: u64 = 0xf;
/// PSTATE of code with 32 bits, whose instructions may have two bytes.
const THIRTY_TWO_BITS: u64 = 0x10;

/// The registers that were saved at `at`, if they can be read.
pub(super) fn whole(guest: &dyn Guest, at: VirtAddr) -> Option<EntryRegisters> {
    let mut registers = Vec::with_capacity(NAMES.len());
    for (name, offset) in NAMES.iter().zip((0_u64..).step_by(8)) {
        registers.push((*name, guest.word(at.wrapping_add(offset))?));
    }
    let mut saved = EntryRegisters { at, from_user: false, registers };
    let pstate = saved.get("pstate").unwrap_or_default();
    // Level 0, and not the zeros that a thread begins with, or what an idle task's stack had
    // before: user code has somewhere to go on.
    let alignment = if pstate & THIRTY_TWO_BITS == 0 { 4 } else { 2 };
    let goes_on = saved.get("pc").is_some_and(|pc| pc != 0 && pc.is_multiple_of(alignment));
    saved.from_user = pstate & MODE == 0 && goes_on;
    Some(saved)
}

/// Whether these can be registers of code that ran: PSTATE has 32 bits and levels 0 to 2.
pub(super) fn plausible(saved: &EntryRegisters) -> bool {
    saved.get("pstate").is_some_and(|pstate| pstate >> 33 == 0 && pstate & 0xc != 0xc)
}

/// What was interrupted when these registers were saved.
pub(super) fn resume(saved: EntryRegisters) -> Result<Step, Failure> {
    if saved.from_user {
        let entry = Some(Box::new(saved));
        return Ok(Step::End { end: StackEnd::UserMode, entry });
    }
    let position = Position {
        address: CodeAddress::Instruction(VirtAddr(saved.get("pc").unwrap_or_default())),
        sp: saved.get("sp").map(VirtAddr),
        rest: saved.get("sp").map(VirtAddr),
        fp: saved.get("x29").unwrap_or_default(),
        registers: saved.registers.clone(),
    };
    Ok(Step::Next { position, trust: Trust::Registers, entry: Some(Box::new(saved)) })
}
