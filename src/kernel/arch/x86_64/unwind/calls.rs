//! Call instructions of x86-64.
//!
//! ```text
//! e8 rel32, 5 bytes | ff /2, 2 to 7 bytes
//! ```

use vmcore_formats::addr::VirtAddr;
use vmcore_formats::endian::Endian;

use crate::kernel::unwind::Guest;

const WORD: u64 = 8;

/// The target of the direct call before a return address.
pub(super) fn target_before(guest: &dyn Guest, at: VirtAddr) -> Option<VirtAddr> {
    /// `call rel32`
    const CALL: u8 = 0xe8;
    const LENGTH: u64 = 5;
    let start = at.wrapping_sub(LENGTH);
    if !guest.is_text(start) {
        return None;
    }
    let first = VirtAddr(start.0 & !(WORD - 1));
    let words = [first, first.wrapping_add(WORD)].map(|at| guest.word(at));
    let bytes = [words[0]?.to_le_bytes(), words[1].unwrap_or_default().to_le_bytes()].concat();
    let call = bytes.get(usize::try_from(start.0 & (WORD - 1)).ok()?..)?;
    let (CALL, target) = call.split_first().map(|(first, rest)| (*first, rest))? else {
        return None;
    };
    let target = Endian::Little.u32_at(target, 0)?.cast_signed();
    Some(at.wrapping_add_signed(target.into()))
}

/// Whether the last instruction of `code` is a call.
pub(super) fn ends_in_call(code: &[u8]) -> bool {
    let from_end = |back: usize| code.get(code.len().checked_sub(back)?..);
    let direct = from_end(5).is_some_and(|call| call.first() == Some(&0xe8));
    // The second byte's middle bits are the operation: 2 is a call.
    let indirect = (2..=7).any(
        |length| matches!(from_end(length), Some([0xff, operand, ..]) if operand >> 3 & 7 == 2),
    );
    direct || indirect
}

#[cfg(test)]
mod tests {
    use super::ends_in_call;

    #[test]
    fn calls_are_distinguished_from_jumps() {
        // call *%rax; call *0x8(%rax); call *0x12345678(%rip)
        for code in [&[0xff, 0xd0][..], &[0xff, 0x50, 8], &[0xff, 0x15, 0x78, 0x56, 0x34, 0x12]] {
            assert!(ends_in_call(code), "{code:02x?}");
        }
        // jmp *%rax; push %rax; nothing
        for code in [&[0xff, 0xe0][..], &[0x50], &[]] {
            assert!(!ends_in_call(code), "{code:02x?}");
        }
    }
}
