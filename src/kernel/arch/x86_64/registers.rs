//! The registers that an x86-64 kernel saves where it is entered (`struct pt_regs`).
//!
//! ```text
//! 0    r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi   pushed by the entry code
//! 120  orig_rax        number of the system call, error code, or -1
//! 128  rip cs rflags rsp ss                                        pushed by the processor
//! ```
//!
//! Source: Linux `arch/x86/include/uapi/asm/ptrace.h`.

use vmcore_formats::addr::VirtAddr;

use crate::kernel::CodeAddress;
use crate::kernel::unwind::{EntryRegisters, Failure, Guest, Position, StackEnd, Step, Trust};

const NAMES: [&str; 21] = [
    "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi",
    "rdi", "orig_rax", "rip", "cs", "rflags", "rsp", "ss",
];
/// How many of them entry code pushes, before those of the processor.
const PUSHED: usize = 16;
/// The privilege level of user code, in the lowest bits of `cs`.
pub(super) const USER: u64 = 3;
/// The bit of `rflags` that is always set.
const FLAGS_ALWAYS: u64 = 2;

/// All registers that were saved at `at`.
pub(super) fn whole(guest: &dyn Guest, at: VirtAddr) -> Result<EntryRegisters, Failure> {
    read(guest, at, &NAMES)
}

/// Those that the processor saved at `at`, where entry code has not saved the others yet.
pub(super) fn by_processor(guest: &dyn Guest, at: VirtAddr) -> Result<EntryRegisters, Failure> {
    read(guest, at, NAMES.get(PUSHED..).unwrap_or_default())
}

fn read(
    guest: &dyn Guest,
    at: VirtAddr,
    names: &[&'static str],
) -> Result<EntryRegisters, Failure> {
    let mut registers = Vec::with_capacity(names.len());
    for (name, offset) in names.iter().zip((0_u64..).step_by(8)) {
        let place = at.wrapping_add(offset);
        registers.push((*name, guest.word(place).ok_or(Failure::Missing(place))?));
    }
    let mut saved = EntryRegisters { at, from_user: false, registers };
    saved.from_user = saved.get("cs").is_some_and(|cs| cs & USER == USER);
    Ok(saved)
}

/// Whether these can be registers of code that ran.
fn plausible(saved: &EntryRegisters) -> bool {
    let get = |name| saved.get(name).unwrap_or_default();
    // With FRED, the processor keeps more in the selectors' words than the selectors.
    let cs = get("cs") & 0xffff;
    let level = cs & USER;
    cs > USER && (level == 0 || level == USER) && get("rflags") & FLAGS_ALWAYS != 0
}

/// Whether registers are the zeros that a kernel thread begins with.
pub(super) fn of_a_kernel_thread(saved: &EntryRegisters) -> bool {
    saved.get("rip") == Some(0) && saved.get("cs").is_some_and(|cs| cs & 0xffff == 0)
}

/// What was interrupted, or called, when these registers were saved.
///
/// `fp` is the frame pointer, where it is not among them.
pub(super) fn resume(saved: EntryRegisters, fp: u64, signal: bool) -> Result<Step, Failure> {
    if !plausible(&saved) {
        return Err(Failure::NoRegisters(saved.at));
    }
    if saved.from_user {
        let entry = Some(Box::new(saved));
        return Ok(Step::End { end: StackEnd::UserMode, entry });
    }
    let ip = VirtAddr(saved.get("rip").unwrap_or_default());
    let position = Position {
        address: if signal { CodeAddress::Instruction(ip) } else { CodeAddress::Return(ip) },
        sp: saved.get("rsp").map(VirtAddr),
        rest: saved.get("rsp").map(VirtAddr),
        fp: saved.get("rbp").unwrap_or(fp),
        registers: saved.registers.clone(),
    };
    Ok(Step::Next { position, trust: Trust::Registers, entry: Some(Box::new(saved)) })
}
