//! Held memory against a source that plays the guest.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

const RANGES: [(u64, u64); 3] = [(0, 0xa_0000), (0xc_0000, 0x34_0000), (0x100_1000, 0x20_0000)];

/// Memory in which each byte tells its address.
#[derive(Debug)]
struct Guest {
    asked: Arc<AtomicU64>,
}

impl Source for Guest {
    fn read(&mut self, at: PhysAddr, into: &mut [u8]) -> Result<(), String> {
        let length = into.len() as u64;
        self.asked.fetch_add(1 << 32 | length, Ordering::SeqCst);
        let inside =
            RANGES.iter().any(|(start, known)| at.0 >= *start && at.0 + length <= start + known);
        into.iter_mut().zip(at.0..).for_each(|(into, at)| *into = byte(at));
        if inside { Ok(()) } else { Err("outside".to_owned()) }
    }
}

/// Such memory, and how many bytes of it were asked for.
fn held() -> (HeldMemory, Arc<AtomicU64>) {
    let asked = Arc::new(AtomicU64::new(0));
    let ranges =
        RANGES.map(|(start, length)| MemoryRange { start: PhysAddr(start), length }).to_vec();
    let source = Mutex::new(Box::new(Guest { asked: Arc::clone(&asked) }) as Box<dyn Source>);
    (HeldMemory { ranges, source, kept: Mutex::default() }, asked)
}

fn byte(at: u64) -> u8 {
    (at ^ (at >> 8) ^ (at >> 16)) as u8
}

#[test]
fn any_read_gives_the_bytes_that_are_there() {
    let (memory, _) = held();
    for (start, length) in RANGES {
        for (skip, count) in [(0, 1), (0, length), (length - 1, 1), (0x1ff0, 0x41_020)] {
            let (at, count) = (start + skip, count.min(length - skip));
            let mut bytes = vec![0; count as usize];
            memory.read(PhysAddr(at), &mut bytes).unwrap();
            assert!(bytes.iter().zip(at..).all(|(found, at)| *found == byte(at)), "{at:#x}");
        }
    }
}

#[test]
fn what_is_outside_is_absent_at_its_own_address() {
    let (memory, _) = held();
    for (at, length, missing) in
        [(0x9_ffff, 2, 0xa_0000), (0xb_0000, 1, 0xb_0000), (0x3f_fff8, 16, 0x40_0000)]
    {
        let error = memory.read(PhysAddr(at), &mut vec![0; length]).unwrap_err();
        assert!(matches!(error, MemoryError::Absent { at } if at.0 == missing), "{error}");
    }
}

#[test]
fn what_was_read_is_not_asked_for_again_and_reads_from_end_to_end_ask_for_much() {
    let (memory, asked) = held();
    let mut bytes = vec![0; 0xf_0000];
    for _ in 0..2 {
        memory.read(PhysAddr(0x100_1000), &mut bytes).unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 1 << 32 | 0xf_f000);
    }
    asked.store(0, Ordering::SeqCst);
    for at in (0xc_0000..0x40_0000).step_by(0x1000) {
        memory.read(PhysAddr(at), &mut [0; 8]).unwrap();
    }
    assert!(asked.load(Ordering::SeqCst) >> 32 <= 6, "{:#x}", asked.load(Ordering::SeqCst));
}

#[test]
fn long_reads_are_one_question_and_nothing_of_them_is_kept() {
    let (memory, asked) = held();
    let mut bytes = vec![0; 0x20_0000];
    memory.read(PhysAddr(0x100_1000), &mut bytes).unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 1 << 32 | 0x20_0000);
    assert!(bytes.iter().zip(0x100_1000..).all(|(found, at)| *found == byte(at)));
    assert_eq!(memory.kept.lock().unwrap().bytes, 0);
}

#[test]
fn only_so_much_is_kept() {
    let mut kept = Kept::default();
    let piece = Arc::new(vec![0; PIECE as usize]);
    for number in 0..CAPACITY / PIECE + 10 {
        kept.keep(PhysAddr(number * PIECE), Arc::clone(&piece));
    }
    assert_eq!(kept.bytes, CAPACITY);
    assert!(kept.find(PhysAddr(0)).is_none() && kept.find(PhysAddr(10 * PIECE)).is_some());
}
