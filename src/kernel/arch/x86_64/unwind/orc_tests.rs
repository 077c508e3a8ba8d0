use super::*;
use crate::kernel::arch::x86_64::unwind::Orc;
use crate::kernel::unwind::Trust::{Orc as ByOrc, Registers};
use crate::kernel::unwind::test_guest::{
    STACK, TestGuest, at, call, code, found, registers, saved, stack,
};
use crate::kernel::unwind::walk::{Walked, walk};

const JUNK: u64 = 0x1234_5678_9abc_def0;

fn unwound(guest: &TestGuest, position: Position) -> Walked {
    walk(guest, &Orc { entry: |ip| guest.orc(ip) }, position)
}

#[test]
fn callers_are_where_the_tables_say() {
    let guest = TestGuest::default()
        // Junk; a plausible address that is none; the return address into function 2.
        .stack(stack(0x100), &[JUNK, code(9, 9), code(2, 0x20)])
        // Function 2: its caller's bp, and the return address into function 3.
        .stack(stack(0x118), &[stack(0x150), code(3, 0x30)])
        // Function 3 goes by bp: junk; the caller's bp; the return address into function 4.
        .stack(stack(0x128), &[JUNK, JUNK, JUNK, JUNK, JUNK, 7, code(4, 0x40)])
        .with_orc(1, call(Base::Sp, 24))
        .with_orc(2, OrcEntry { bp: Base::PreviousSp, bp_offset: -16, ..call(Base::Sp, 16) })
        .with_orc(3, OrcEntry { bp: Base::Bp, ..call(Base::Bp, 16) })
        .with_orc(4, OrcEntry { kind: Kind::End, ..call(Base::Undefined, 0) });
    let walked = unwound(&guest, at(code(1, 5), stack(0x100), 0));
    assert_eq!(
        found(&walked.frames),
        [
            (code(1, 5), Registers),
            (code(2, 0x20), ByOrc),
            (code(3, 0x30), ByOrc),
            (code(4, 0x40), ByOrc)
        ]
    );
    assert_eq!(walked.end, StackEnd::Bottom);
    assert_eq!(walked.frames[3].sp, Some(VirtAddr(stack(0x160))));
    assert!(walked.breaks.is_empty());
}

#[test]
fn a_return_address_behind_a_functions_end_belongs_to_the_function() {
    // The last instruction of function 1 is a call. What follows is function 2, whose
    // entry would lead elsewhere.
    let guest = TestGuest::default()
        .stack(stack(0), &[code(2, 0), JUNK, code(3, 1)])
        .with_orc(0, call(Base::Sp, 8))
        .with_orc(1, call(Base::Sp, 16))
        .with_orc(2, call(Base::Sp, 8))
        .with_orc(3, OrcEntry { kind: Kind::End, ..call(Base::Undefined, 0) });
    let walked = unwound(&guest, at(code(0, 0), stack(0), 0));
    assert_eq!(found(&walked.frames)[2], (code(3, 1), ByOrc));
    assert_eq!(walked.end, StackEnd::Bottom);
}

#[test]
fn a_stack_switch_leads_to_the_word_where_it_begins() {
    let task = stack(0x3000);
    let guest = TestGuest::default()
        // On the interrupts' stack: a return address, then where the task's stack was left.
        .stack(STACK, &[code(1, 8), task])
        // On the task's: a word that the switch pushed, and the return address.
        .stack(task, &[code(2, 8)])
        .with_orc(0, call(Base::Sp, 8))
        .with_orc(1, call(Base::SpIndirect, 8))
        .with_orc(2, OrcEntry { kind: Kind::End, ..call(Base::Undefined, 0) });
    let walked = unwound(&guest, at(code(0, 0), STACK, 0));
    assert_eq!(found(&walked.frames)[2], (code(2, 8), ByOrc));
    assert_eq!(walked.frames[2].sp, Some(VirtAddr(task + 8)));
}

#[test]
fn registers_behind_an_old_stack_switch_are_found() {
    let place = stack(0x3000);
    let guest = TestGuest::default()
        // Junk; the place of the registers, 8 bytes above the stack pointer.
        .stack(STACK, &[JUNK, place])
        .stack(place, &saved(0x40_1000, 0x33, 0x7fff_0000, 5))
        .with_orc(1, registers(Base::SpIndirect, 8, Kind::Regs));
    let walked = unwound(&guest, at(code(1, 8), STACK, 0));
    assert_eq!(walked.end, StackEnd::UserMode);
}

#[test]
fn what_an_exception_interrupted_goes_on_with_its_own_registers() {
    let place = stack(0x200);
    let mut words = saved(code(5, 0x17), 0x10, stack(0x1000), stack(0x1020));
    words[2] = stack(0x1100); // r13, which function 5 goes by
    let guest = TestGuest::default()
        .stack(stack(0x100), &[code(1, 8)])
        .stack(place, &words)
        .stack(stack(0x10f8), &[code(6, 1)])
        .with_orc(0, call(Base::Sp, 8))
        .with_orc(1, registers(Base::Sp, 0xf8, Kind::Regs))
        .with_orc(5, call(Base::R13, 0))
        .with_orc(6, OrcEntry { kind: Kind::End, ..call(Base::Undefined, 0) });
    let walked = unwound(&guest, at(code(0, 0), stack(0x100), 0));
    assert_eq!(
        found(&walked.frames),
        [
            (code(0, 0), Registers),
            (code(1, 8), ByOrc),
            (code(5, 0x17), Registers),
            (code(6, 1), ByOrc)
        ]
    );
    // The interrupted function was at an instruction: it is not looked up before it.
    assert_eq!(walked.frames[2].address, CodeAddress::Instruction(VirtAddr(code(5, 0x17))));
    let entry = walked.frames[1].entry.as_ref().unwrap();
    assert_eq!((entry.at, entry.from_user), (VirtAddr(place), false));
    assert_eq!((entry.get("rip"), entry.get("rbx")), (Some(code(5, 0x17)), Some(5)));
    assert_eq!(entry.registers.len(), 21);
}

#[test]
fn the_processors_five_words_are_enough() {
    let guest = TestGuest::default()
        // An error code; rip cs rflags rsp ss, of kernel code.
        .stack(stack(0x100), &[0, code(5, 3), 0x10, 0x46, stack(0x1000), 0x18])
        .stack(stack(0x1000), &[JUNK, code(6, 1)])
        .with_orc(1, registers(Base::Sp, 8, Kind::PartialRegs))
        // It goes by bp, which the entry code has not touched yet.
        .with_orc(5, call(Base::Bp, 0))
        .with_orc(6, OrcEntry { kind: Kind::End, ..call(Base::Undefined, 0) });
    let walked = unwound(&guest, at(code(1, 0), stack(0x100), stack(0x1010)));
    assert_eq!(found(&walked.frames)[2], (code(6, 1), ByOrc));
    assert_eq!(walked.frames[0].entry.as_ref().unwrap().registers.len(), 5);
}

#[test]
fn a_system_call_ends_at_user_code_with_its_registers() {
    let guest = TestGuest::default()
        .stack(stack(0), &saved(0x40_1234, 0x33, 0x7ffc_1000, 1))
        .with_orc(1, registers(Base::Sp, 0, Kind::Regs));
    let walked = unwound(&guest, at(code(1, 8), stack(0), 0));
    assert_eq!(walked.end, StackEnd::UserMode);
    let entry = walked.frames[0].entry.as_ref().unwrap();
    assert!(entry.from_user);
    assert_eq!(entry.instruction(), Some(VirtAddr(0x40_1234)));
}

#[test]
fn a_call_of_nothing_has_its_caller_on_top_of_the_stack() {
    for nowhere in [0, 0x4141_4141_4141_4141] {
        let guest = TestGuest::default()
            .stack(stack(0), &[code(1, 8)])
            .with_orc(1, OrcEntry { kind: Kind::End, ..call(Base::Undefined, 0) });
        let walked = unwound(&guest, at(nowhere, stack(0), 0));
        assert_eq!(found(&walked.frames), [(nowhere, Registers), (code(1, 8), ByOrc)]);
    }
}

#[test]
fn a_kernel_threads_zeros_are_its_end() {
    let guest = TestGuest::default()
        .stack(stack(0), &[0; 21])
        .with_orc(1, registers(Base::Sp, 0, Kind::Regs));
    let walked = unwound(&guest, at(code(1, 8), stack(0), 0));
    assert_eq!(walked.end, StackEnd::Bottom);
}

#[test]
fn registers_that_are_none_and_stacks_that_shrink_are_refused() {
    let guest = TestGuest::default()
        .stack(stack(0), &saved(code(1, 0), 0x10 | 1, stack(0x100), 0))
        .with_orc(1, registers(Base::Sp, 0, Kind::Regs))
        .with_orc(2, call(Base::Sp, -8))
        .with_orc(3, call(Base::Dx, 8))
        .with_orc(4, call(Base::Sp, 9));
    let step = |function| {
        step(&guest, |ip| guest.orc(ip), &at(code(function, 8), stack(0), 0)).unwrap_err()
    };
    assert_eq!(step(1), Failure::NoRegisters(VirtAddr(stack(0))));
    assert_eq!(step(2), Failure::NoProgress);
    assert_eq!(step(3), Failure::NoBase);
    assert_eq!(step(4), Failure::StackPointer(stack(9)));
    assert_eq!(step(9), Failure::NoEntry);
}

/// Linux 7.2's `__x86_indirect_thunk_rax`: `call .+6; int3; mov %rax,(%rsp); jmp __x86_return_thunk`.
const THUNK: [u8; 15] =
    [0xe8, 1, 0, 0, 0, 0xcc, 0x48, 0x89, 0x04, 0x24, 0xe9, 0x21, 0x0c, 0x00, 0x00];

#[test]
fn a_thunk_without_an_entry_was_called_by_what_calls_it() {
    // In function 2, a call of the thunk, which is function 1.
    let called = code(2, 0x20);
    let distance = i32::try_from(code(1, 0).cast_signed() - called.cast_signed()).unwrap();
    let guest = TestGuest::default()
        .code(code(1, 0), &THUNK)
        .code(called - 5, &[0xe8])
        .code(called - 4, &distance.to_le_bytes())
        .with_orc(1, OrcEntry { kind: Kind::Undefined, ..call(Base::Undefined, 0) })
        .with_orc(2, call(Base::Sp, 16))
        .with_orc(3, OrcEntry { kind: Kind::End, ..call(Base::Undefined, 0) });
    // What the thunk's own call left above: where it speculates to, or the function to jump to.
    let above = [code(1, 5), code(9, 0)];
    let stacks = [vec![], vec![above[0]], vec![above[1]]];
    for (offset, above) in [(0, &stacks[0]), (6, &stacks[1]), (10, &stacks[2])] {
        let words = [above.clone(), vec![called, JUNK, code(3, 1)]].concat();
        let guest = guest.clone().stack(stack(0x100), &words);
        let walked = unwound(&guest, at(code(1, offset), stack(0x100), 0));
        assert_eq!(
            found(&walked.frames),
            [(code(1, offset), Registers), (called, ByOrc), (code(3, 1), ByOrc)],
            "{offset}"
        );
        assert!(walked.breaks.is_empty());
        assert_eq!(walked.end, StackEnd::Bottom);
    }
    // A return address of another function's is not taken.
    let other = guest.stack(stack(0x100), &[code(4, 0x20), JUNK, code(3, 1)]);
    let walked = unwound(&other, at(code(1, 0), stack(0x100), 0));
    assert_ne!(walked.breaks, []);
}
