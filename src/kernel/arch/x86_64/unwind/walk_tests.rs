use proptest::collection::vec;
use proptest::prelude::*;
use vmcore_formats::addr::VirtAddr;
use vmcore_formats::orc::{Base, Kind};

use super::*;
use crate::kernel::unwind::Trust::{Orc as ByOrc, Registers, Scan};
use crate::kernel::unwind::test_guest::{
    STACK, TestGuest, at, call, code, found, registers, saved, stack, word,
};
use crate::kernel::unwind::walk::{MAX_FRAMES, MAX_SCANNED, Walked, walk};
use crate::kernel::unwind::{StackEnd, Trust};

const CALL: &[u8] = &[0xe8, 1, 2, 3, 4];
const JUNK: u64 = 0x1234_5678_9abc_def0;

fn unwound(guest: &TestGuest, position: Position) -> Walked {
    walk(guest, &Orc { entry: |ip| guest.orc(ip) }, position)
}

#[test]
fn where_the_tables_end_a_scan_goes_on_and_what_follows_is_as_sure_as_that() {
    let guest = TestGuest::default()
        .code(code(3, 0x20), CALL)
        .stack(stack(0x3e00), &[code(2, 0x20)])
        // Function 2 has no entry. Junk; behind a call in function 3.
        .stack(stack(0x3e08), &[JUNK, JUNK, code(3, 0x25)])
        // The tables lead on from function 3.
        .stack(stack(0x3e20), &[code(4, 0x40)])
        .with_orc(1, call(Base::Sp, 8))
        .with_orc(3, call(Base::Sp, 8))
        .with_orc(4, OrcEntry { kind: Kind::End, ..call(Base::Undefined, 0) });
    let walked = unwound(&guest, at(code(1, 8), stack(0x3e00), 0));
    assert_eq!(
        found(&walked.frames),
        [
            (code(1, 8), Registers),
            (code(2, 0x20), ByOrc),
            (code(3, 0x25), Scan),
            (code(4, 0x40), Scan)
        ]
    );
    assert_eq!(walked.breaks, [(2, Failure::NoEntry, Scan)]);
    assert_eq!(walked.end, StackEnd::Bottom);
}

#[test]
fn a_plausible_frame_pointer_is_tried_before_a_scan() {
    let guest = TestGuest::default()
        .code(code(3, 0x20), CALL)
        // Left over from another call; a frame: the caller's bp, its return address.
        .stack(stack(0x3e00), &[code(3, 0x25), stack(0x3f00), code(2, 0x20)])
        .with_orc(2, OrcEntry { kind: Kind::End, ..call(Base::Undefined, 0) });
    let walked = unwound(&guest, at(code(1, 8), stack(0x3e00), stack(0x3e08)));
    assert_eq!(found(&walked.frames)[1], (code(2, 0x20), Trust::FramePointer));
    assert_eq!(walked.end, StackEnd::Bottom);
}

#[test]
fn a_stack_with_more_functions_than_any_is_cut() {
    let mut guest = TestGuest::default().with_orc(1, call(Base::Sp, 8));
    for offset in (0..0x4000).step_by(8) {
        guest = guest.stack(stack(offset), &[code(1, 1 + offset % 0x80)]);
    }
    let walked = unwound(&guest, at(code(1, 8), STACK, 0));
    assert_eq!(walked.frames.len(), MAX_FRAMES);
    assert_eq!(walked.end, StackEnd::Cut("there are more than 256 functions".to_owned()));
}

#[test]
fn registers_that_lead_back_to_themselves_end_the_walk() {
    let guest = TestGuest::default()
        .stack(stack(0x100), &saved(code(1, 8), 0x10, stack(0x100), 0))
        .with_orc(1, registers(Base::Sp, 0, Kind::Regs))
        .whole_stack();
    let walked = unwound(&guest, at(code(1, 8), stack(0x100), 0));
    assert_eq!(walked.breaks[0].1, Failure::NoProgress);
    assert!(walked.frames.len() <= 3, "{walked:?}");
}

#[test]
fn a_stack_whose_rest_is_missing_is_cut_where_it_is_missing() {
    let guest = TestGuest::default()
        .stack(stack(0), &[code(1, 8)])
        .with_orc(1, call(Base::Sp, 8))
        .with_orc(0, call(Base::Sp, 8));
    let walked = unwound(&guest, at(code(0, 0), stack(0), 0));
    let StackEnd::Cut(why) = walked.end else { panic!("{walked:?}") };
    assert_eq!(why, format!("the stack at {} cannot be read", VirtAddr(stack(8))));
    assert_eq!(walked.frames.len(), 2);
}

fn entry() -> impl Strategy<Value = OrcEntry> {
    use vmcore_formats::orc::OrcVersion;
    any::<[u8; 6]>().prop_filter_map("an entry", |bytes| {
        OrcEntry::decode(bytes, OrcVersion::V4).or_else(|| OrcEntry::decode(bytes, OrcVersion::V1))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn random_stacks_and_tables_are_walked_in_bounds(
        words in vec(word(), 0x800),
        entries in vec(entry(), 64),
        ip in word(), sp in word(), fp in word(), registers in vec(word(), 5),
    ) {
        let mut guest = TestGuest::default().stack(STACK, &words);
        for (function, entry) in (0..).zip(entries) {
            guest = guest.with_orc(function, entry);
        }
        let mut start = at(ip, sp, fp);
        start.registers =
            ["rax", "rdx", "rdi", "r10", "r13"].into_iter().zip(registers.clone()).collect();
        let orc = Orc { entry: |ip| guest.orc(ip) };
        for method in [&orc as &dyn Method, &FramePointers] {
            let walked = walk(&guest, method, start.clone());
            prop_assert!(walked.frames.len() <= MAX_FRAMES);
            prop_assert!(walked.breaks.len() <= MAX_SCANNED);
        }
    }
}
