//! The order of a log: some viewers and collectors of logs have the newest line first.
//!
//! Needs: records. Gives: the same, oldest first.

use super::LogRecord;

/// Lines that the kernel prints directly one after the other.
const PAIRS: [(&[u8], &[u8]); 8] = [
    (b"Call Trace:", b"<TASK>"),
    (b"Call Trace:", b"<IRQ>"),
    (b"CPU: ", b"Hardware name: "),
    (b"Modules linked in:", b"CPU: "),
    (b"RSP: 0018:", b"RAX: "),
    (b"RAX: ", b"RDX: "),
    (b"------------[ cut here ]", b"WARNING: "),
    (b"------------[ cut here ]", b"kernel BUG at "),
];
/// So few steps in time decide nothing.
const FEW: usize = 5;

/// Puts the oldest record first.
pub(super) fn oldest_first(records: &mut [LogRecord]) {
    if is_newest_first(records) {
        records.reverse();
    }
}

fn is_newest_first(records: &[LogRecord]) -> bool {
    let (mut later, mut earlier) = (0_usize, 0_usize);
    let mut last = None;
    for time in records.iter().filter_map(|record| record.time_ns) {
        match last {
            Some(last) if time > last => later += 1,
            Some(last) if time < last => earlier += 1,
            _ => {}
        }
        last = Some(time);
    }
    if later + earlier >= FEW {
        return earlier > later * 3;
    }
    // Without times, or with the same one on all records.
    let pairs = records.iter().zip(records.iter().skip(1)).map(|(one, next)| {
        let (one, next) = (one.text.trim_ascii_start(), next.text.trim_ascii_start());
        let has = |first: &[u8], then: &[u8]| {
            PAIRS.iter().any(|pair| first.starts_with(pair.0) && then.starts_with(pair.1))
        };
        (has(one, next), has(next, one))
    });
    let (forward, backward) = pairs.fold((0_usize, 0_usize), |(forward, backward), pair| {
        (forward + usize::from(pair.0), backward + usize::from(pair.1))
    });
    backward > forward
}
