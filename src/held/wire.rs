//! How the process that makes a report asks for the memory of a held guest.
//!
//! ```text
//! question   0   start   u64   physical address
//!            8   length  u64   in bytes, 1 to 4 MiB, all in one of the guest's ranges
//!
//! answer     0   status  u8    0: the memory follows; 1: why not, as text
//!            1   length  u32   of what follows
//!            5   bytes
//! ```
//!
//! Numbers are little-endian. A question gets one answer, and one question is asked at a
//! time. Neither side trusts the other.

use vmcore_formats::addr::PhysAddr;

use crate::vmcore::MemoryRange;

/// The most that is asked for at once, in bytes.
pub(super) const MOST: u64 = 4 << 20;
/// How long a question is.
pub(super) const QUESTION: usize = 16;
/// How long the beginning of an answer is.
pub(super) const ANSWER_HEAD: usize = 5;

/// What an answer begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AnswerHead {
    /// Whether it is the memory.
    pub(super) is_memory: bool,
    /// How many bytes follow.
    pub(super) length: usize,
}

/// A question.
pub(super) fn question(range: MemoryRange) -> [u8; QUESTION] {
    (u128::from(range.start.0) | u128::from(range.length) << 64).to_le_bytes()
}

/// The range that is asked for, unchecked.
pub(super) fn range_of_question(bytes: [u8; QUESTION]) -> MemoryRange {
    let both = u128::from_le_bytes(bytes);
    let half = |number: u128| u64::try_from(number & u128::from(u64::MAX)).unwrap_or_default();
    MemoryRange { start: PhysAddr(half(both)), length: half(both >> 64) }
}

/// An answer: the memory, in parts that follow one another.
pub(super) fn answer_memory(parts: &[&[u8]]) -> Vec<u8> {
    answer(0, parts)
}

/// Makes an answer of memory out of the last one, with its memory: what `read` puts there.
pub(super) fn fill_answer<E>(
    answer: &mut Vec<u8>,
    length: usize,
    read: impl FnOnce(&mut [u8]) -> Result<(), E>,
) -> Result<(), E> {
    answer.clear();
    answer.push(0);
    answer.extend(u32::try_from(length).unwrap_or_default().to_le_bytes());
    answer.resize(length.saturating_add(ANSWER_HEAD), 0);
    read(answer.get_mut(ANSWER_HEAD..).unwrap_or_default())
}

/// An answer: why there is no memory.
pub(super) fn answer_problem(problem: &str) -> Vec<u8> {
    answer(1, &[problem.as_bytes()])
}

fn answer(status: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length = parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
    let mut bytes = Vec::with_capacity(length.saturating_add(ANSWER_HEAD));
    bytes.push(status);
    bytes.extend(u32::try_from(length).unwrap_or_default().to_le_bytes());
    for part in parts {
        bytes.extend_from_slice(part);
    }
    bytes
}

/// The beginning of an answer. Returns `None` for what is none.
pub(super) fn answer_head(bytes: [u8; ANSWER_HEAD]) -> Option<AnswerHead> {
    let [status, length @ ..] = bytes;
    let length = u32::from_le_bytes(length);
    let length = usize::try_from(length).ok().filter(|_| u64::from(length) <= MOST)?;
    (status <= 1).then_some(AnswerHead { is_memory: status == 0, length })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let range = MemoryRange { start: PhysAddr(0x1234_5678_9abc_d000), length: MOST };
        assert_eq!(range_of_question(question(range)), range);
        let head = |bytes: &[u8]| answer_head(bytes[..ANSWER_HEAD].try_into().unwrap());
        let memory = answer_memory(&[&[7; 100], &[7; 200]]);
        assert_eq!(head(&memory), Some(AnswerHead { is_memory: true, length: 300 }));
        assert_eq!(&memory[ANSWER_HEAD..], [7; 300]);
        let problem = answer_problem("no");
        assert_eq!(head(&problem), Some(AnswerHead { is_memory: false, length: 2 }));
    }

    #[test]
    fn an_answer_that_is_too_long_or_unknown_is_none() {
        assert_eq!(answer_head([2, 0, 0, 0, 0]), None);
        assert_eq!(answer_head([0, 1, 0, 0x40, 0]), None);
    }
}
