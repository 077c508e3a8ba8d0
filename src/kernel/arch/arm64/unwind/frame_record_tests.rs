use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::kernel::unwind::Trust::{FramePointer, Registers as Saved};
use crate::kernel::unwind::test_guest::{STACK, TestGuest, at, code, found, stack, word};
use crate::kernel::unwind::walk::{MAX_FRAMES, MAX_SCANNED, Walked, walk};

const STACKFRAME: u64 = 304;
const MASK: u64 = 0xfff0_0000_0000_0000;
const JUNK: u64 = 0x1234_5678_9abc_def0;
/// Levels 1 and 0 of PSTATE.
const KERNEL_STATE: u64 = 0x6040_0005;
const USER_STATE: u64 = 0x8000_0000;

fn records() -> FrameRecords {
    FrameRecords { pac_mask: MASK, stackframe: vec![STACKFRAME] }
}

/// An address with an authentication code in its highest bits.
fn signed(address: u64) -> u64 {
    // Bit 55 stays what it was.
    address & !MASK | 0x5ac0_0000_0000_0000 & MASK
}

/// `pt_regs` up to its `stackframe`, and that, for a record at the end of what is given.
fn saved(pc: u64, sp: u64, fp: u64, pstate: u64, record: [u64; 3]) -> Vec<u64> {
    // x0 to x30: each has its number.
    let mut words: Vec<u64> = (0..31).collect();
    words[29] = fp;
    words.extend([sp, pc, pstate]);
    // orig_x0, syscallno, and two more.
    words.extend([JUNK; 4]);
    words.extend(record);
    words
}

fn unwound(guest: &TestGuest, fp: u64) -> Walked {
    let mut position = at(code(1, 0x80), stack(0x100), fp);
    position.registers = vec![("x30", code(7, 7))];
    walk(guest, &&records(), position)
}

/// Function 1 has made its record long before it is at 0x80.
fn guest() -> TestGuest {
    let mut guest = TestGuest::default();
    for offset in (0..0x80).step_by(4) {
        guest = guest.code(code(1, offset), &0xd503_201f_u32.to_le_bytes());
    }
    // stp x29, x30, [sp, #-32]!; mov x29, sp
    guest
        .code(code(1, 4), &0xa9be_7bfd_u32.to_le_bytes())
        .code(code(1, 8), &0x9100_03fd_u32.to_le_bytes())
}

#[test]
fn records_are_followed_and_authentication_codes_taken_off() {
    let user = stack(0x3eb0);
    let guest = guest()
        .stack(stack(0x100), &[stack(0x140), signed(code(2, 0x20))])
        .stack(stack(0x140), &[user + STACKFRAME, signed(code(3, 0x30))])
        // The final record, in the registers of user code; what follows it is of no use.
        .stack(user, &saved(0x40_1000, 0x7fff_0000, 5, USER_STATE, [0, 0, JUNK]));
    let walked = unwound(&guest, stack(0x100));
    assert_eq!(
        found(&walked.frames),
        [(code(1, 0x80), Saved), (code(2, 0x20), FramePointer), (code(3, 0x30), FramePointer)]
    );
    assert_eq!(walked.end, StackEnd::UserMode);
    let entry = walked.frames[2].entry.as_ref().unwrap();
    assert_eq!((entry.get("x30"), entry.get("pc")), (Some(30), Some(0x40_1000)));
}

#[test]
fn a_kernel_threads_registers_are_zeros_and_its_record_is_the_last() {
    for kind in [0, 1] {
        let thread = stack(0x3eb0);
        // copy_thread sets PSTATE alone: EL1h.
        let guest = guest()
            .stack(stack(0x100), &[thread + STACKFRAME, code(2, 0x20)])
            .stack(thread, &saved(0, 0, 0, KERNEL_STATE, [0, 0, kind]));
        let walked = unwound(&guest, stack(0x100));
        assert_eq!((walked.frames.len(), walked.end), (2, StackEnd::Bottom));
    }
}

#[test]
fn an_idle_tasks_stack_has_no_registers_of_user_code() {
    // Seen in CPU 1's idle task of Linux 6.12: nothing has written there since the firmware.
    let leftover = stack(0x3eb0);
    let guest = guest()
        .stack(stack(0x100), &[leftover + STACKFRAME, code(2, 0x20)])
        .stack(leftover, &saved(0x10_0005, 0, 0, USER_STATE, [0, 0, 0]));
    let walked = unwound(&guest, stack(0x100));
    assert_eq!((walked.frames.len(), walked.end), (2, StackEnd::Bottom));
    assert!(walked.frames.iter().all(|frame| frame.entry.is_none()));
}

#[test]
fn an_interrupt_is_crossed_with_and_without_a_type_in_its_record() {
    let place = stack(0x200);
    let interrupted = (code(5, 0x44), stack(0x1000), stack(0x1010));
    let (pc, sp, fp) = interrupted;
    // Before 6.13 the record is what was interrupted; since then zeros and a type.
    for record in [[fp, pc, JUNK], [0, 0, REGISTERS]] {
        let guest = guest()
            .stack(stack(0x100), &[place + STACKFRAME, code(2, 0x20)])
            .stack(place, &saved(pc, sp, fp, KERNEL_STATE, record))
            // The interrupted function's record, and the end.
            .stack(fp, &[stack(0x1100), code(6, 0x60)])
            .stack(stack(0x1100), &[0, 0, 1]);
        let walked = unwound(&guest, stack(0x100));
        let addresses: Vec<_> = found(&walked.frames).into_iter().map(|(at, _)| at).collect();
        assert_eq!(addresses, [code(1, 0x80), code(2, 0x20), pc, code(6, 0x60)], "{record:x?}");
        assert_eq!(walked.frames[2].address, CodeAddress::Instruction(VirtAddr(pc)));
        assert_eq!(walked.frames[2].sp, Some(VirtAddr(sp)));
        assert_eq!(walked.frames[1].entry.as_ref().unwrap().at, VirtAddr(place));
        assert_eq!(walked.end, StackEnd::Bottom);
    }
}

#[test]
fn a_function_without_its_record_returns_to_x30() {
    let guest = guest().stack(stack(0x100), &[stack(0x140), code(2, 0x20)]);
    let step = |offset| {
        let mut position = at(code(1, offset), stack(0x100), stack(0x100));
        position.registers = vec![("x30", signed(code(7, 7)))];
        match records().step(&guest, &position).unwrap() {
            Step::Next { position, .. } => position.address.address().0,
            end @ Step::End { .. } => panic!("{end:?}"),
        }
    };
    // Before stp, between it and mov; behind both.
    assert_eq!((step(0), step(8)), (code(7, 7), code(7, 7)));
    assert_eq!(step(12), code(2, 0x20));
    // ldp x29, x30, [sp], #32; ret
    let guest = guest
        .clone()
        .code(code(1, 0x40), &0xa8c2_7bfd_u32.to_le_bytes())
        .code(code(1, 0x44), &0xd65f_03c0_u32.to_le_bytes());
    let has = |offset| has_record(&guest, VirtAddr(code(1, 0)), VirtAddr(code(1, offset)));
    assert_eq!((has(0x40), has(0x44), has(0x80)), (Some(true), Some(false), Some(true)));
}

#[test]
fn bit_55_tells_what_an_authentication_code_replaced() {
    assert_eq!(records().strip(signed(code(2, 0))), code(2, 0));
    assert_eq!(records().strip(0x5a40_0000_0040_1000), 0x40_1000);
    let without = FrameRecords { pac_mask: 0, stackframe: vec![] };
    assert_eq!(without.strip(code(2, 0)), code(2, 0));
}

#[test]
fn records_that_are_none_cut_the_stack() {
    for words in [[stack(0x140), JUNK], [stack(0x100), code(2, 0x20)], [0, JUNK]] {
        let walked = unwound(&guest().stack(stack(0x100), &words), stack(0x100));
        assert!(matches!(walked.end, StackEnd::Cut(_)), "{words:x?} {walked:?}");
        assert!(walked.frames.len() < 5);
    }
    for fp in [0, 7, u64::MAX] {
        let walked = unwound(&guest(), fp);
        assert!(matches!(walked.end, StackEnd::Cut(_)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn random_stacks_are_walked_in_bounds(
        words in vec(word(), 0x800), ip in word(), sp in word(), fp in word(),
    ) {
        let guest = TestGuest::default().stack(STACK, &words);
        let walked = walk(&guest, &&records(), at(ip, sp, fp));
        prop_assert!(walked.frames.len() <= MAX_FRAMES);
        prop_assert!(walked.breaks.len() <= MAX_SCANNED);
    }
}
