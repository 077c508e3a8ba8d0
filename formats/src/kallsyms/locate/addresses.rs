//! Candidates for the table of addresses, before the names or after the tokens.

use crate::addr::VirtAddr;
use crate::endian::Endian;

/// A possible table of addresses, by its offset in the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Candidate {
    /// `kallsyms_addresses`.
    Absolute {
        /// Its offset.
        at: usize,
    },
    /// `kallsyms_offsets` with a base: base-relative, or absolute per-CPU.
    Based {
        /// Its offset.
        at: usize,
        /// `kallsyms_relative_base`.
        base: VirtAddr,
    },
    /// `kallsyms_offsets`, place-relative.
    PlaceRelative {
        /// Its offset.
        at: usize,
    },
}

impl Candidate {
    /// The offset of the table in the bytes.
    pub fn at(&self) -> usize {
        match self {
            Self::Absolute { at } | Self::Based { at, .. } | Self::PlaceRelative { at } => *at,
        }
    }
}

/// Possible tables of `count` addresses: before the number of symbols at `count_at`, and
/// after `end`, the end of the tokens' index.
pub(super) fn candidates(
    bytes: &[u8],
    count_at: usize,
    end: usize,
    count: u32,
    endian: Endian,
) -> Vec<Candidate> {
    let mut found = Vec::new();
    found.extend(based_before(bytes, count_at, count, endian));
    found.extend(absolute_before(bytes, count_at, count, endian));
    for alignment in [8, 4] {
        let Some(at) = end.checked_next_multiple_of(alignment) else { continue };
        if found.iter().any(|candidate| candidate.at() == at) {
            continue;
        }
        found.extend(based_at(bytes, at, count, endian));
        found.extend(absolute_at(bytes, at, count, endian));
        if contains(bytes, at, length(count, 4)) {
            found.push(Candidate::PlaceRelative { at });
        }
    }
    found
}

fn length(count: u32, entry: usize) -> Option<usize> {
    usize::try_from(count).ok()?.checked_mul(entry)
}

fn contains(bytes: &[u8], at: usize, length: Option<usize>) -> bool {
    let end = length.and_then(|length| at.checked_add(length));
    end.is_some_and(|end| end <= bytes.len())
}

fn based_before(bytes: &[u8], count_at: usize, count: u32, endian: Endian) -> Option<Candidate> {
    // With padding, the number of symbols is at the second half of eight bytes.
    let base_at = count_at.checked_sub(8)? & !7;
    let base = kernel_address(endian.u64_at(bytes, base_at)?)?;
    let at = base_at.checked_sub(length(count, 4)?.checked_next_multiple_of(8)?)?;
    Some(Candidate::Based { at, base })
}

fn absolute_before(bytes: &[u8], count_at: usize, count: u32, endian: Endian) -> Option<Candidate> {
    let at = count_at.checked_sub(length(count, 8)?)?;
    // The last entry is the address of the last symbol.
    let last = endian.u64_at(bytes, count_at.checked_sub(8)?)?;
    kernel_address(last).map(|_| Candidate::Absolute { at })
}

fn based_at(bytes: &[u8], at: usize, count: u32, endian: Endian) -> Option<Candidate> {
    let base_at = at.checked_add(length(count, 4)?)?.checked_next_multiple_of(8)?;
    let base = kernel_address(endian.u64_at(bytes, base_at)?)?;
    Some(Candidate::Based { at, base })
}

fn absolute_at(bytes: &[u8], at: usize, count: u32, endian: Endian) -> Option<Candidate> {
    let last = at.checked_add(length(count.checked_sub(1)?, 8)?)?;
    kernel_address(endian.u64_at(bytes, last)?).map(|_| Candidate::Absolute { at })
}

/// An address that the kernel's image can be at.
fn kernel_address(value: u64) -> Option<VirtAddr> {
    (value >> 48 == 0xffff && value != u64::MAX).then_some(VirtAddr(value))
}
