use super::*;
use crate::kernel::arch::x86_64::unwind::FramePointers;
use crate::kernel::unwind::Trust::{FramePointer, Registers};
use crate::kernel::unwind::test_guest::{TestGuest, at, code, found, saved, stack};
use crate::kernel::unwind::walk::{Walked, walk};

const JUNK: u64 = 0x1234_5678_9abc_def0;
/// endbr64; five bytes of no-op; push %rbp; mov %rsp,%rbp; sub $0x10,%rsp
const PROLOGUE: &[u8] = &[
    0xf3, 0x0f, 0x1e, 0xfa, 0x0f, 0x1f, 0x44, 0x00, 0x00, 0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xec,
    0x10,
];

fn unwound(guest: &TestGuest, ip: u64, sp: u64, bp: u64) -> Walked {
    walk(guest, &FramePointers, at(ip, sp, bp))
}

#[test]
fn a_chain_is_followed_to_the_user_code_that_called() {
    let guest = TestGuest::default()
        .code(code(1, 0), PROLOGUE)
        // Junk that looks like a return address: locals of function 1.
        .stack(stack(0x100), &[JUNK, code(8, 8)])
        // Its frame: the caller's bp, the return address into function 2.
        .stack(stack(0x110), &[stack(0x140), code(2, 0x20)])
        // The last frame: bp was cleared when the kernel was entered.
        .stack(stack(0x140), &[0, code(3, 0x30)])
        // What the system call saved.
        .stack(stack(0x150), &saved(0x40_1000, 0x33, 0x7ffc_0000, 9));
    let walked = unwound(&guest, code(1, 0x40), stack(0x100), stack(0x110));
    assert_eq!(
        found(&walked.frames),
        [(code(1, 0x40), Registers), (code(2, 0x20), FramePointer), (code(3, 0x30), FramePointer)]
    );
    assert_eq!(walked.end, StackEnd::UserMode);
    assert_eq!(walked.frames[2].sp, Some(VirtAddr(stack(0x150))));
    assert_eq!(walked.frames[2].entry.as_ref().unwrap().get("rbp"), Some(9));
}

#[test]
fn a_marked_frame_pointer_leads_to_saved_registers() {
    let place = stack(0x200);
    let guest = TestGuest::default()
        // The handler's frame: its caller's bp is marked, and it returns into the entry code.
        .stack(stack(0x110), &[place | 1, code(2, 0x20)])
        .stack(place, &saved(code(5, 0x44), 0x10, stack(0x1000), stack(0x1010)))
        // On the interrupted stack, the frame of function 5, at which the chain ends.
        .stack(stack(0x1010), &[0, code(6, 0x60)]);
    let walked = unwound(&guest, code(1, 0x40), stack(0x100), stack(0x110));
    assert_eq!(
        found(&walked.frames),
        [
            (code(1, 0x40), Registers),
            (code(2, 0x20), FramePointer),
            (code(5, 0x44), Registers),
            (code(6, 0x60), FramePointer)
        ]
    );
    assert_eq!(walked.frames[1].entry.as_ref().unwrap().at, VirtAddr(place));
    assert_eq!(walked.end, StackEnd::Bottom);
}

#[test]
fn a_kernel_thread_ends_at_its_first_registers_which_are_zeros() {
    let guest = TestGuest::default()
        .stack(stack(0x110), &[stack(0x120) | 1, code(2, 0x20)])
        .stack(stack(0x120), &[0; 21]);
    let walked = unwound(&guest, code(1, 0x40), stack(0x100), stack(0x110));
    assert_eq!((walked.frames.len(), walked.end), (2, StackEnd::Bottom));
}

#[test]
fn a_function_interrupted_in_its_prologue_keeps_its_caller() {
    let caller_frame = [0, code(3, 0x30)];
    // Before push: the return address is on top. bp is still the caller's.
    for offset in [0, 4, 9] {
        let guest = TestGuest::default()
            .code(code(1, 0), PROLOGUE)
            .stack(stack(0x100), &[code(2, 0x20)])
            .stack(stack(0x140), &caller_frame);
        let walked = unwound(&guest, code(1, offset), stack(0x100), stack(0x140));
        let addresses: Vec<_> = found(&walked.frames).into_iter().map(|(at, _)| at).collect();
        assert_eq!(addresses, [code(1, offset), code(2, 0x20), code(3, 0x30)], "at {offset}");
    }
    // Behind push: the caller's bp is on top, then the return address.
    let guest = TestGuest::default()
        .code(code(1, 0), PROLOGUE)
        .stack(stack(0x100), &[stack(0x140), code(2, 0x20)])
        .stack(stack(0x140), &caller_frame);
    let walked = unwound(&guest, code(1, 10), stack(0x100), stack(0x140));
    assert_eq!(walked.frames[1].address.address(), VirtAddr(code(2, 0x20)));
    // At ret, and at the jump that replaces it: both behind pop.
    for ret in [&[0x5d, 0xc3][..], &[0x5d, 0xe9, 0, 0, 0, 0]] {
        let guest = TestGuest::default()
            .code(code(1, 0), PROLOGUE)
            .code(code(1, 0x50), ret)
            .stack(stack(0x100), &[code(2, 0x20)])
            .stack(stack(0x140), &caller_frame);
        let walked = unwound(&guest, code(1, 0x51), stack(0x100), stack(0x140));
        assert_eq!(walked.frames[1].address.address(), VirtAddr(code(2, 0x20)));
    }
}

#[test]
fn a_stack_that_was_interrupted_by_a_call_of_nothing_begins_with_the_caller() {
    let guest = TestGuest::default()
        .stack(stack(0x100), &[code(2, 0x20)])
        .stack(stack(0x140), &[0, code(3, 0x30)]);
    let walked = unwound(&guest, 0, stack(0x100), stack(0x140));
    assert_eq!(walked.frames[1].address.address(), VirtAddr(code(2, 0x20)));
    assert_eq!(walked.frames.len(), 3);
}

#[test]
fn a_frame_that_leads_back_ends_the_walk() {
    // A cycle of two frames, and a frame that is its own caller.
    let guest = TestGuest::default()
        .stack(stack(0x110), &[stack(0x120), code(2, 2)])
        .stack(stack(0x120), &[stack(0x110), code(3, 3)]);
    let walked = unwound(&guest, code(1, 0x40), stack(0x100), stack(0x110));
    assert!(matches!(walked.end, StackEnd::Cut(_)) && walked.frames.len() < 10, "{walked:?}");
    let guest = TestGuest::default().stack(stack(0x110), &[stack(0x110), code(2, 2)]);
    let walked = unwound(&guest, code(1, 0x40), stack(0x100), stack(0x110));
    assert!(matches!(walked.end, StackEnd::Cut(_)) && walked.frames.len() < 10, "{walked:?}");
}

#[test]
fn a_guess_needs_a_frame_a_little_above_the_stack_pointer() {
    let guest = TestGuest::default()
        .stack(stack(0x110), &[JUNK, code(2, 2)])
        .stack(stack(0x120), &[JUNK, JUNK]);
    let guess = |bp| guess(&guest, &at(code(1, 0x40), stack(0x100), bp));
    assert!(guess(stack(0x110)).is_ok());
    // Below the stack pointer; no return address behind it; not aligned; far away; none.
    for bp in [stack(0x80), stack(0x120), stack(0x111), stack(0x40_0000), 0, u64::MAX] {
        assert_eq!(guess(bp), Err(Failure::FramePointer(bp)));
    }
}
