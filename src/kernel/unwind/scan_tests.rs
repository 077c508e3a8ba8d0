use super::*;
use crate::kernel::unwind::synthetic::{TestGuest, at, code, stack};

const CALL: &[u8] = &[0xe8, 1, 2, 3, 4];
const INDIRECT: &[u8] = &[0x41, 0xff, 0xd5];

fn next(guest: &TestGuest, sp: u64) -> Result<(u64, Option<u64>, u64), Failure> {
    match step(guest, &at(code(0, 0), sp, 0), Calls::X86, |word| word)? {
        Step::Next { position, trust: Trust::Scan, entry: None } => {
            Ok((position.address.address().0, position.sp.map(|sp| sp.0), position.fp))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_follows_a_call_counts_and_other_addresses_of_code_do_not() {
    let guest = TestGuest::default()
        .code(code(1, 0x20), CALL)
        .code(code(2, 0x20), INDIRECT)
        .code(code(3, 0x20), &[0x90; 8])
        // Junk; a function's pointer, before which no call stands; behind a direct call;
        // junk; behind an indirect call.
        .stack(stack(0x3fc0), &[5, code(3, 0x28), code(1, 0x25), 6, code(2, 0x23)])
        .stack(stack(0x3fe8), &[0, 0, 0]);
    let first = next(&guest, stack(0x3fc0)).unwrap();
    assert_eq!(first, (code(1, 0x25), Some(stack(0x3fd8)), 0));
    assert_eq!(next(&guest, stack(0x3fd8)).unwrap().0, code(2, 0x23));
    // Nothing up to the end of the stack, which the next page is not part of.
    let guest = guest.stack(stack(0x4000), &[code(1, 0x25)]);
    assert_eq!(next(&guest, stack(0x3fe8)), Err(Failure::Nothing));
}

#[test]
fn a_frame_pointer_before_the_return_address_is_kept() {
    let guest = TestGuest::default()
        .code(code(1, 0x20), CALL)
        .stack(stack(0x3f00), &[stack(0x3f80), code(1, 0x25)]);
    assert_eq!(next(&guest, stack(0x3f00)).unwrap().2, stack(0x3f80));
    // One that leads down is none.
    let guest = guest.stack(stack(0x3f00), &[stack(0x3e00)]);
    assert_eq!(next(&guest, stack(0x3f00)).unwrap().2, 0);
}

#[test]
fn a_missing_page_and_a_stack_pointer_without_sense_end_the_search() {
    let guest = TestGuest::default().stack(stack(0x3f00), &[1, 2]);
    assert_eq!(next(&guest, stack(0x3f00)), Err(Failure::Nothing));
    for sp in [0, 1, u64::MAX, u64::MAX - 7] {
        assert_eq!(next(&guest, sp), Err(Failure::Nothing));
    }
}

#[test]
fn calls_of_both_architectures_are_known() {
    // call *%rax; call *0x8(%rax); call *0x12345678(%rip)
    for code in [&[0xff, 0xd0][..], &[0xff, 0x50, 8], &[0xff, 0x15, 0x78, 0x56, 0x34, 0x12]] {
        assert!(x86_call(code), "{code:02x?}");
    }
    // jmp *%rax; push %rax; nothing
    for code in [&[0xff, 0xe0][..], &[0x50], &[]] {
        assert!(!x86_call(code), "{code:02x?}");
    }
    // bl; blr x8; blraaz x8
    for code in [0x9400_1234_u32, 0xd63f_0100, 0xd63f_091f] {
        assert!(arm64_call(&code.to_le_bytes()), "{code:#x}");
    }
    // b; br x8; ret
    for code in [0x1400_1234_u32, 0xd61f_0100, 0xd65f_03c0] {
        assert!(!arm64_call(&code.to_le_bytes()), "{code:#x}");
    }
}
