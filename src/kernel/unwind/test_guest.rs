//! A guest for tests: stacks and code, written word by word.

use std::collections::BTreeMap;

use proptest::prelude::*;
use vmcore_formats::addr::VirtAddr;
use vmcore_formats::orc::{Base, Kind, OrcEntry};

use super::guest::Guest;
use super::step::Position;
use crate::kernel::CodeAddress;

/// Where the code is: functions of 256 bytes, one behind the other.
pub(crate) const TEXT: u64 = 0xffff_ffff_8100_0000;
const TEXT_END: u64 = TEXT + 0x1_0000;
/// Where a stack of 16 KiB begins.
pub(crate) const STACK: u64 = 0xffff_c900_0010_0000;
const FUNCTION: u64 = 0x100;

/// Memory, and what ORC says of each function.
#[derive(Clone, Debug, Default)]
pub(crate) struct TestGuest {
    pub(crate) words: BTreeMap<u64, u64>,
    pub(crate) orc: BTreeMap<u64, OrcEntry>,
}

/// An address in a function of the test's, by its number.
pub(crate) fn code(function: u64, offset: u64) -> u64 {
    TEXT + function * FUNCTION + offset
}

/// A place on the test's stack.
pub(crate) fn stack(offset: u64) -> u64 {
    STACK + offset
}

/// An entry: the caller's stack is at sp, or bp, and this.
pub(crate) fn call(sp: Base, sp_offset: i16) -> OrcEntry {
    let bp = Base::Undefined;
    OrcEntry { sp, sp_offset, bp, bp_offset: 0, kind: Kind::Call, signal: false }
}

/// An entry of registers that were saved at sp and this.
pub(crate) fn registers(sp: Base, sp_offset: i16, kind: Kind) -> OrcEntry {
    OrcEntry { kind, signal: true, ..call(sp, sp_offset) }
}

impl TestGuest {
    /// With words from a place on, each said in a comment where it is written.
    pub(crate) fn stack(mut self, at: u64, words: &[u64]) -> Self {
        for (index, word) in words.iter().enumerate() {
            self.words.insert(at + index as u64 * 8, *word);
        }
        self
    }

    /// With bytes of code.
    pub(crate) fn code(mut self, at: u64, bytes: &[u8]) -> Self {
        for (index, byte) in bytes.iter().enumerate() {
            let at = at + index as u64;
            let word = self.words.entry(at & !7).or_default();
            let shift = (at & 7) * 8;
            *word = *word & !(0xff << shift) | u64::from(*byte) << shift;
        }
        self
    }

    /// With what ORC says of a function.
    pub(crate) fn with_orc(mut self, function: u64, entry: OrcEntry) -> Self {
        self.orc.insert(code(function, 0), entry);
        self
    }

    /// With zeros wherever a stack of 16 KiB has no word yet.
    pub(crate) fn whole_stack(mut self) -> Self {
        for at in (STACK..STACK + 0x4000).step_by(8) {
            self.words.entry(at).or_default();
        }
        self
    }
}

impl TestGuest {
    /// What ORC has for an instruction.
    pub(crate) fn orc(&self, ip: VirtAddr) -> Option<OrcEntry> {
        let (start, entry) = self.orc.range(..=ip.0).next_back()?;
        (ip.0 - start < FUNCTION).then_some(*entry)
    }
}

impl Guest for TestGuest {
    fn word(&self, at: VirtAddr) -> Option<u64> {
        self.words.get(&at.0).copied()
    }

    fn is_text(&self, at: VirtAddr) -> bool {
        (TEXT..TEXT_END).contains(&at.0)
    }

    fn function(&self, at: VirtAddr) -> Option<VirtAddr> {
        self.is_text(at).then_some(VirtAddr(at.0 & !(FUNCTION - 1)))
    }
}

/// Where a vCPU is.
pub(crate) fn at(ip: u64, sp: u64, fp: u64) -> Position {
    let address = CodeAddress::Instruction(VirtAddr(ip));
    Position { address, sp: Some(VirtAddr(sp)), fp, rest: Some(VirtAddr(sp)), registers: vec![] }
}

/// The 21 words of saved registers: each general one has its place's number.
pub(crate) fn saved(ip: u64, cs: u64, sp: u64, bp: u64) -> Vec<u64> {
    // r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax
    let mut words: Vec<u64> = (0..16).collect();
    words[4] = bp;
    words[15] = u64::MAX;
    // rip cs rflags rsp ss
    words.extend([ip, cs, 0x246, sp, 0x18]);
    words
}

/// The addresses of a walk, and how each was found.
pub(crate) fn found(frames: &[super::StackFrame]) -> Vec<(u64, super::Trust)> {
    frames.iter().map(|frame| (frame.address.address().0, frame.trust)).collect()
}

/// Words that lead somewhere: code, the stack, marked frame pointers, small and random ones.
pub(crate) fn word() -> impl Strategy<Value = u64> {
    prop_oneof![
        (0..0x1_0000_u64).prop_map(|offset| code(0, offset)),
        (0..0x800_u64).prop_map(|word| stack(word * 8)),
        (0..0x800_u64).prop_map(|word| stack(word * 8) | 1),
        0..0x40_u64,
        any::<u64>(),
    ]
}
