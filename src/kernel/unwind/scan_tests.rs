use super::*;
use crate::kernel::unwind::test_guest::{TestGuest, at, code, stack};

const CALL: &[u8] = &[0xe8, 1, 2, 3, 4];
const INDIRECT: &[u8] = &[0x41, 0xff, 0xd5];

/// A direct call of five bytes, or an indirect one of three.
fn ends_in_call(code: &[u8]) -> bool {
    code.ends_with(CALL) || code.ends_with(INDIRECT)
}

fn next(guest: &TestGuest, sp: u64) -> Result<(u64, Option<u64>, u64), Failure> {
    match step(guest, &at(code(0, 0), sp, 0), ends_in_call, |word| word)? {
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
        // Junk; a function's pointer, which no call precedes; behind a direct call;
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
